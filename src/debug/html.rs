//! Where a page may take a comment, so that a browser makes of it what it made before, and a comment.
//!
//! html5gum reads the page; what is noted here is where its tokens are, and what `tree` says of them.

use html5gum::{Emitter, Error, State, Tokenizer};

use super::tree::{ContentModel, OpenElements};

/// What was read of a page, by offset.
#[derive(Debug, Default)]
pub(super) struct CommentPositions {
    /// In order, without overlap.
    tokens: Vec<HtmlToken>,
    /// Where comments would be text, or lost: from the first place to the last, both included.
    closed: Vec<(usize, usize)>,
    head: Option<(HeadAnchor, usize)>,
    has_base: bool,
}

/// After what a script goes, the best last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum HeadAnchor {
    Doctype,
    Html,
    Head,
}

/// A tag, comment or doctype.
#[derive(Debug)]
struct HtmlToken {
    start: usize,
    end: usize,
    /// Whether a newline right after it is dropped.
    eats_newline: bool,
    /// Whether text after it is moved in front of a table, as a whole.
    moves_text: bool,
}

impl CommentPositions {
    pub(super) fn of(page: &[u8]) -> CommentPositions {
        // To a tokenizer it is the same; its offsets need not be adjusted for the pairs.
        let text: Vec<u8> = page.iter().map(|byte| if *byte == b'\r' { b'\n' } else { *byte }).collect();
        let mut places = CommentPositions::default();
        // Reading from memory does not fail.
        let _ = Tokenizer::new_with_emitter(text.as_slice(), TokenReader::new(&text, &mut places)).finish();
        places
    }

    /// Where a script disturbs nothing: right after a tag of the page's head. `None` in what is no whole page.
    pub(super) fn head(&self) -> Option<usize> {
        self.head.map(|(_, at)| at)
    }

    /// Whether the page says what its relative addresses are relative to.
    pub(super) fn has_base(&self) -> bool {
        self.has_base
    }

    /// Whether a comment at this offset is one, and changes nothing else.
    pub(super) fn takes_comment(&self, page: &[u8], at: usize) -> bool {
        let next = self.tokens.partition_point(|token| token.start < at);
        let before = next.checked_sub(1).and_then(|last| self.tokens.get(last));
        if before.is_some_and(|token| at < token.end) || self.is_closed(at) || splits(page, at) {
            return false;
        }
        let Some(before) = before else { return true };
        if before.eats_newline && before.end == at && page.get(at).is_some_and(|byte| b"\r\n".contains(byte)) {
            return false;
        }
        let end = self.tokens.get(next).map_or(page.len(), |token| token.start);
        let inside = before.end < at && at < end;
        !(inside && before.moves_text && !page[before.end..end].iter().all(u8::is_ascii_whitespace))
    }

    fn is_closed(&self, at: usize) -> bool {
        let next = self.closed.partition_point(|(start, _)| *start <= at);
        next > 0 && at <= self.closed[next - 1].1
    }

    fn close(&mut self, start: usize, end: usize) {
        let (mut start, mut end) = (start, end);
        while let Some(last) = self.closed.pop_if(|last| start <= last.1) {
            (start, end) = (start.min(last.0), end.max(last.1));
        }
        self.closed.push((start, end));
    }
}

/// Whether something that is one is on both sides of the offset: a line's end, a character reference, what could be a
/// tag's start, a byte order mark and the start of the page.
fn splits(page: &[u8], at: usize) -> bool {
    let (before, after) = page.split_at(at);
    if before.ends_with(b"\r") && after.starts_with(b"\n") || before.ends_with(b"<") || before.ends_with(b"</") {
        return true;
    }
    if before.is_empty() && after.starts_with("\u{feff}".as_bytes()) {
        return true;
    }
    let goes_on = after.first().is_some_and(|byte| byte.is_ascii_alphanumeric() || b"#;".contains(byte));
    let word = |byte: &&u8| byte.is_ascii_alphanumeric() || **byte == b'#';
    goes_on && before.iter().rev().find(|byte| !word(byte)) == Some(&b'&')
}

/// Notes where tokens are.
struct TokenReader<'a> {
    page: &'a [u8],
    places: &'a mut CommentPositions,
    tree: OpenElements,
    position: usize,
    /// Where the token starts that is being read.
    open: Option<usize>,
    /// Where text started in which there are no tags.
    raw: Option<usize>,
    closed: Option<usize>,
    is_end: bool,
    is_self_closing: bool,
    name: Vec<u8>,
    last_start: Vec<u8>,
}

impl<'a> TokenReader<'a> {
    fn new(page: &'a [u8], places: &'a mut CommentPositions) -> TokenReader<'a> {
        TokenReader {
            page,
            places,
            tree: OpenElements::default(),
            position: 0,
            open: None,
            raw: None,
            closed: None,
            is_end: false,
            is_self_closing: false,
            name: Vec::new(),
            last_start: Vec::new(),
        }
    }

    fn token(&mut self) -> usize {
        let start = self.open.take().unwrap_or(self.position);
        let eats_newline = !self.is_end && matches!(self.name.as_slice(), b"pre" | b"listing");
        let moves_text = self.tree.moves_text();
        self.places.tokens.push(HtmlToken { start, end: self.position, eats_newline, moves_text });
        start
    }

    /// A comment or a doctype.
    fn other_token(&mut self) {
        self.name.clear();
        let start = self.token();
        let text = &self.page[start..self.position];
        let ended = match text.starts_with(b"<!--") {
            true => text.ends_with(b"-->") || text.ends_with(b"--!>"),
            false => text.ends_with(b">"),
        };
        if !ended {
            self.places.close(start, usize::MAX);
        }
    }

    /// These say that it is a page and not a part of one.
    fn note_head(&mut self, found: HeadAnchor) {
        if self.places.head.is_none_or(|(known, _)| known < found) {
            self.places.head = Some((found, self.position));
        }
    }

    /// Notes from where to where no comment may stand for what is open there.
    fn follow(&mut self, start: usize) {
        match (self.closed, self.tree.is_closed()) {
            (None, true) => self.closed = Some(self.position),
            (Some(since), false) => {
                self.places.close(since, start);
                self.closed = None;
            }
            _ => {}
        }
        if self.tree.is_lost() {
            self.places.close(start, usize::MAX);
        }
    }
}

impl Emitter for TokenReader<'_> {
    type Token = std::convert::Infallible;

    fn move_position(&mut self, offset: isize) {
        self.position = self.position.saturating_add_signed(offset);
    }

    fn start_open_tag(&mut self) {
        self.open = Some(self.position.saturating_sub(1));
    }

    fn emit_string(&mut self, _text: &[u8]) {
        // What looked like a tag was text.
        self.open = None;
    }

    fn init_start_tag(&mut self) {
        self.is_end = false;
        self.is_self_closing = false;
        self.name.clear();
    }

    fn init_end_tag(&mut self) {
        self.is_end = true;
        self.name.clear();
    }

    fn push_tag_name(&mut self, name: &[u8]) {
        self.name.extend_from_slice(name);
    }

    fn set_self_closing(&mut self) {
        self.is_self_closing = true;
    }

    fn emit_current_tag(&mut self) -> Option<State> {
        let content = match self.is_end {
            true => {
                self.tree.end(&self.name);
                ContentModel::Markup
            }
            false => {
                self.last_start.clone_from(&self.name);
                match self.name.as_slice() {
                    b"html" => self.note_head(HeadAnchor::Html),
                    b"head" => self.note_head(HeadAnchor::Head),
                    b"base" => self.places.has_base = true,
                    _ => {}
                }
                self.tree.start(&self.name, self.is_self_closing)
            }
        };
        let start = self.token();
        if let Some(raw) = self.raw.take() {
            self.places.close(raw, start);
        }
        self.follow(start);
        if content != ContentModel::Markup {
            self.raw = Some(self.position);
        }
        match content {
            ContentModel::Markup => None,
            ContentModel::Text => Some(State::RcData),
            ContentModel::Raw => Some(State::RawText),
            ContentModel::Script => Some(State::ScriptData),
            ContentModel::Plain => Some(State::PlainText),
        }
    }

    fn current_is_appropriate_end_tag_token(&mut self) -> bool {
        self.is_end && self.name == self.last_start
    }

    fn adjusted_current_node_present_but_not_in_html_namespace(&mut self) -> bool {
        let foreign = self.tree.is_foreign();
        if let Some(start) = self.open.filter(|_| foreign) {
            let end = self.page[start..].windows(3).position(|three| three == b"]]>");
            // The last place inside is before the last character of the end.
            self.places.close(start + 1, end.map_or(usize::MAX, |end| start + end + 2));
        }
        foreign
    }

    fn emit_current_comment(&mut self) {
        self.other_token();
    }

    fn emit_current_doctype(&mut self) {
        self.note_head(HeadAnchor::Doctype);
        self.other_token();
    }

    fn emit_eof(&mut self) {
        for open in [self.open.map(|open| open + 1), self.raw, self.closed].into_iter().flatten() {
            self.places.close(open, usize::MAX);
        }
    }

    fn should_emit_errors(&mut self) -> bool {
        false
    }

    fn pop_token(&mut self) -> Option<Self::Token> {
        None
    }

    fn emit_error(&mut self, _error: Error) {}
    fn set_last_start_tag(&mut self, _name: Option<&[u8]>) {}
    fn init_comment(&mut self) {}
    fn push_comment(&mut self, _text: &[u8]) {}
    fn init_attribute(&mut self) {}
    fn push_attribute_name(&mut self, _name: &[u8]) {}
    fn push_attribute_value(&mut self, _value: &[u8]) {}
    fn init_doctype(&mut self) {}
    fn push_doctype_name(&mut self, _name: &[u8]) {}
    fn set_force_quirks(&mut self) {}
    fn set_doctype_public_identifier(&mut self, _value: &[u8]) {}
    fn set_doctype_system_identifier(&mut self, _value: &[u8]) {}
    fn push_doctype_public_identifier(&mut self, _value: &[u8]) {}
    fn push_doctype_system_identifier(&mut self, _value: &[u8]) {}
}
