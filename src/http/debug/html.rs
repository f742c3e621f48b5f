//! The positions of a page at which a comment changes nothing else in the browser's document.
//!
//! html5gum tokenizes the page. This file records the positions of its tokens, and `tree.rs` follows the open elements.

use html5gum::{Emitter, Error, State, Tokenizer};

use super::tree::{ContentModel, OpenElements};

/// The tokens of a page by offset.
#[derive(Debug, Default)]
pub(super) struct CommentPositions {
    /// In order, without overlap.
    tokens: Vec<HtmlToken>,
    /// Ranges in which a comment would become text or be dropped. Both ends are part of a range.
    closed: Vec<(usize, usize)>,
    head: Option<(HeadAnchor, usize)>,
    has_base: bool,
}

/// The tags after which the script is inserted. A later one is preferred.
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
    /// Whether the browser drops a newline right after it.
    eats_newline: bool,
    /// Whether the browser moves text after it in front of a table.
    moves_text: bool,
}

impl CommentPositions {
    pub(super) fn of(page: &[u8]) -> CommentPositions {
        // Equal for the tokenizer. With CR LF it would count one character, and offsets would be wrong.
        let text: Vec<u8> = page.iter().map(|byte| if *byte == b'\r' { b'\n' } else { *byte }).collect();
        let mut positions = CommentPositions::default();
        // Reading from memory does not fail.
        let _ = Tokenizer::new_with_emitter(text.as_slice(), TokenReader::new(&text, &mut positions)).finish();
        positions
    }

    /// The position for the script: right after a tag in the head. `None` if the text is not a whole page.
    pub(super) fn head(&self) -> Option<usize> {
        self.head.map(|(_, at)| at)
    }

    /// Whether the page has a `base` element.
    pub(super) fn has_base(&self) -> bool {
        self.has_base
    }

    /// Whether a comment at this position is read as a comment and changes nothing else.
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

/// Whether the position is inside of a line end, of a character reference or of a possible start of a tag, or between
/// the start of the page and a byte order mark.
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

/// Receives the tokens from html5gum and records their positions.
struct TokenReader<'a> {
    page: &'a [u8],
    positions: &'a mut CommentPositions,
    tree: OpenElements,
    position: usize,
    /// The start of the current token.
    open: Option<usize>,
    /// The start of a text without tags, as in a script.
    raw: Option<usize>,
    closed: Option<usize>,
    is_end: bool,
    is_self_closing: bool,
    name: Vec<u8>,
    last_start: Vec<u8>,
}

impl<'a> TokenReader<'a> {
    fn new(page: &'a [u8], positions: &'a mut CommentPositions) -> TokenReader<'a> {
        TokenReader {
            page,
            positions,
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
        self.positions.tokens.push(HtmlToken { start, end: self.position, eats_newline, moves_text });
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
            self.positions.close(start, usize::MAX);
        }
    }

    /// Records a tag that only a whole page has.
    fn record_head(&mut self, found: HeadAnchor) {
        if self.positions.head.is_none_or(|(known, _)| known < found) {
            self.positions.head = Some((found, self.position));
        }
    }

    /// Records ranges without comments, as the open elements require. `start` is that of the current token.
    fn record_closed(&mut self, start: usize) {
        match (self.closed, self.tree.is_closed()) {
            (None, true) => self.closed = Some(self.position),
            (Some(since), false) => {
                self.positions.close(since, start);
                self.closed = None;
            }
            _ => {}
        }
        if self.tree.is_lost() {
            self.positions.close(start, usize::MAX);
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
        // The possible tag was text.
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
                    b"html" => self.record_head(HeadAnchor::Html),
                    b"head" => self.record_head(HeadAnchor::Head),
                    b"base" => self.positions.has_base = true,
                    _ => {}
                }
                self.tree.start(&self.name, self.is_self_closing)
            }
        };
        let start = self.token();
        if let Some(raw) = self.raw.take() {
            self.positions.close(raw, start);
        }
        self.record_closed(start);
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
            // The last position inside is before the last character of `]]>`.
            self.positions.close(start + 1, end.map_or(usize::MAX, |end| start + end + 2));
        }
        foreign
    }

    fn emit_current_comment(&mut self) {
        self.other_token();
    }

    fn emit_current_doctype(&mut self) {
        self.record_head(HeadAnchor::Doctype);
        self.other_token();
    }

    fn emit_eof(&mut self) {
        for open in [self.open.map(|open| open + 1), self.raw, self.closed].into_iter().flatten() {
            self.positions.close(open, usize::MAX);
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
