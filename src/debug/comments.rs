//! A page with marks becomes a page with comments.

use std::collections::BTreeSet;

use super::html::CommentPositions;
use super::marks::{FoundMarks, FragmentMark, MarkSide, Marks};

/// What goes into a page.
pub(crate) struct Annotations<'a> {
    /// What there is to say of a fragment, as an [`CommentObject`](super::CommentObject) says it. The marks of one that is not known
    /// are taken out.
    pub(crate) describe: &'a dyn Fn(u64) -> Option<String>,
    /// What goes into the head, where the text is a whole page: little, as browsers look for the page's encoding in its
    /// first 1,024 bytes.
    pub(crate) head: &'a dyn Fn(&AnnotatedFragments) -> String,
    /// What goes to the end of it.
    pub(crate) end: &'a dyn Fn(&AnnotatedFragments) -> String,
}

/// What became of a page's fragments.
#[derive(Debug)]
pub(crate) struct AnnotatedFragments {
    /// Those that have comments around them.
    pub(crate) fragments: BTreeSet<u64>,
    /// Whether the page says what its relative addresses are relative to.
    pub(crate) has_base: bool,
}

/// Puts comments around fragments where a comment is one, and takes out all other marks.
pub(crate) fn annotate(page: &[u8], marks: &Marks, notes: &Annotations<'_>) -> Vec<u8> {
    let FoundMarks { text, marks } = marks.find(page);
    if std::str::from_utf8(&text).is_err() {
        // In another encoding anything may look like a tag.
        return text;
    }
    let places = CommentPositions::of(&text);
    let takes_comment = |at| places.takes_comment(&text, at);
    let mut placed = AnnotatedFragments { fragments: BTreeSet::new(), has_base: places.has_base() };
    let mut added = comments(&marks, &takes_comment, notes, &mut placed);
    if let Some(at) = places.head().filter(|at| takes_comment(*at)) {
        added.push((at, (notes.head)(&placed)));
        let end = if takes_comment(text.len()) { text.len() } else { at };
        added.push((end, (notes.end)(&placed)));
    }
    // It is stable: what is at one place stays in order.
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

/// The comments for every pair of which both may stand where they are, in the order of the marks.
fn comments(
    marks: &[FragmentMark],
    takes_comment: &dyn Fn(usize) -> bool,
    notes: &Annotations<'_>,
    placed: &mut AnnotatedFragments,
) -> Vec<(usize, String)> {
    let mut comments: Vec<Option<String>> = marks.iter().map(|_| None).collect();
    for (begin, end) in pairs(marks) {
        let id = marks[begin].id;
        if takes_comment(marks[begin].at)
            && takes_comment(marks[end].at)
            && let Some(facts) = (notes.describe)(id)
        {
            placed.fragments.insert(id);
            comments[begin] = Some(format!("<!-- fragment {id:x} {facts} -->"));
            comments[end] = Some(format!("<!-- /fragment {id:x} -->"));
        }
    }
    marks.iter().zip(comments).filter_map(|(mark, comment)| Some((mark.at, comment?))).collect()
}

/// Which marks belong together, by their index. One that has no other, or is not nested as it should be, is left out.
fn pairs(marks: &[FragmentMark]) -> Vec<(usize, usize)> {
    let (mut open, mut pairs) = (Vec::<usize>::new(), Vec::new());
    for (at, mark) in marks.iter().enumerate() {
        match mark.side {
            MarkSide::Begin => open.push(at),
            MarkSide::End => {
                if let Some(begin) = open.iter().rposition(|begin| marks[*begin].id == mark.id) {
                    pairs.push((open[begin], at));
                    open.truncate(begin);
                }
            }
        }
    }
    pairs
}
