//! Replaces the marks in a page by comments.

use std::collections::BTreeSet;

use super::html::CommentPositions;
use crate::telemetry::mark_text::{FoundMarks, FragmentMark, MarkSide, Marks};

/// The texts that are added to a page.
pub(crate) struct Annotations<'a> {
    /// The description of a fragment: a finished [`CommentObject`](super::CommentObject). `None` for an unknown
    /// fragment, whose marks are removed.
    pub(crate) describe: &'a dyn Fn(u64) -> Option<String>,
    /// The text for the head of a whole page. It must be short, because browsers look for the encoding in the first
    /// 1,024 bytes of a page.
    pub(crate) head: &'a dyn Fn(&AnnotatedFragments) -> String,
    /// The text for the end of a whole page.
    pub(crate) end: &'a dyn Fn(&AnnotatedFragments) -> String,
}

/// Facts about a page whose fragments got comments.
#[derive(Debug)]
pub(crate) struct AnnotatedFragments {
    /// The fragments with comments around them.
    fragments: BTreeSet<u64>,
    /// Whether the page has a `base` element.
    has_base: bool,
}

impl AnnotatedFragments {
    pub(crate) fn contains(&self, fragment: u64) -> bool {
        self.fragments.contains(&fragment)
    }

    pub(crate) fn has_base(&self) -> bool {
        self.has_base
    }

    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        self.fragments.len()
    }
}

/// Puts comments around fragments where a page can have comments, and removes all other marks.
pub(crate) fn annotate(page: &[u8], marks: &Marks, texts: &Annotations<'_>) -> Vec<u8> {
    let FoundMarks { text, marks } = marks.find(page);
    if std::str::from_utf8(&text).is_err() {
        // Bytes of another encoding may look like tags.
        return text;
    }
    let positions = CommentPositions::of(&text);
    let takes_comment = |at| positions.takes_comment(&text, at);
    let mut annotated = AnnotatedFragments { fragments: BTreeSet::new(), has_base: positions.has_base() };
    let mut added = comments(&marks, &takes_comment, texts, &mut annotated);
    if let Some(at) = positions.head().filter(|at| takes_comment(*at)) {
        added.push((at, (texts.head)(&annotated)));
        let end = if takes_comment(text.len()) { text.len() } else { at };
        added.push((end, (texts.end)(&annotated)));
    }
    // A stable sort keeps the order of texts at one position.
    added.sort_by_key(|(at, _)| *at);
    let mut html = Vec::with_capacity(text.len() + added.iter().map(|(_, added)| added.len()).sum::<usize>());
    let mut done = 0;
    for (at, added) in &added {
        html.extend_from_slice(&text[done..*at]);
        html.extend_from_slice(added.as_bytes());
        done = *at;
    }
    html.extend_from_slice(&text[done..]);
    html
}

/// The comments for each pair of marks that are both at a position for comments, in the order of the marks.
fn comments(
    marks: &[FragmentMark],
    takes_comment: &dyn Fn(usize) -> bool,
    texts: &Annotations<'_>,
    annotated: &mut AnnotatedFragments,
) -> Vec<(usize, String)> {
    let mut comments: Vec<Option<String>> = marks.iter().map(|_| None).collect();
    for (begin, end) in pairs(marks) {
        let id = marks[begin].id;
        if takes_comment(marks[begin].at)
            && takes_comment(marks[end].at)
            && let Some(facts) = (texts.describe)(id)
        {
            annotated.fragments.insert(id);
            comments[begin] = Some(format!("<!-- fragment {id:x} {facts} -->"));
            comments[end] = Some(format!("<!-- /fragment {id:x} -->"));
        }
    }
    marks.iter().zip(comments).filter_map(|(mark, comment)| Some((mark.at, comment?))).collect()
}

/// The indexes of marks that belong together. A mark without a counterpart, or one that is not nested properly, is left
/// out.
fn pairs(marks: &[FragmentMark]) -> Vec<(usize, usize)> {
    let (mut open, mut pairs) = (Vec::<usize>::new(), Vec::new());
    for (at, mark) in marks.iter().enumerate() {
        if mark.side == MarkSide::Begin {
            open.push(at);
        } else if let Some(begin) = open.iter().rposition(|begin| marks[*begin].id == mark.id) {
            pairs.push((open[begin], at));
            open.truncate(begin);
        }
    }
    pairs
}
