//! Splits a template into text, raw blocks, comments and tags, by the syntax of the environment.
//!
//! Follows MiniJinja's lexer in deciding what a tag is, and adds the literal `<% cache %>` spelling. `lex` reads the
//! inside of a tag; this file knows no statements.

use std::ops::Range;

use minijinja::syntax::SyntaxConfig;

use crate::compile::lex::{LexError, TagEnd, TagToken, identifier_len, lex, line_break, newlines};
use crate::compile::steps::count_step;

/// The kind of a span.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SpanKind {
    Text,
    Raw,
    Comment,
    LineComment,
    Variable,
    Block,
    LineStatement,
    /// `<% cache … %>` or `<% endcache %>`, under any delimiters of the environment.
    Literal,
}

/// A range of the source. Spans follow each other without gaps.
#[derive(Debug)]
pub(super) struct SourceSpan {
    pub(super) kind: SpanKind,
    pub(super) range: Range<usize>,
    /// The range between the delimiters and their white space controls; the whole span where there are none.
    pub(super) inner: Range<usize>,
    pub(super) line: usize,
    pub(super) opening: Option<char>,
    pub(super) closing: Option<char>,
    pub(super) tokens: Vec<TagToken>,
}

impl SourceSpan {
    /// Whether this is a statement: a block tag in any spelling.
    pub(super) fn is_statement(&self) -> bool {
        matches!(self.kind, SpanKind::Block | SpanKind::LineStatement | SpanKind::Literal)
    }
}

/// A template as spans.
#[derive(Debug)]
pub(super) struct Scan<'s> {
    /// The part of the template that MiniJinja reads: without the last line break, unless the syntax keeps it.
    pub(super) source: &'s str,
    /// The last line break, if MiniJinja drops it.
    pub(super) tail: &'s str,
    pub(super) spans: Vec<SourceSpan>,
    /// The error that ended the scan; the text after it is not in `spans`.
    pub(super) error: Option<ScanError>,
}

/// The position and the reason of an error.
#[derive(Debug)]
pub(super) struct ScanError {
    pub(super) start: usize,
    pub(super) line: usize,
    pub(super) tokens: Vec<TagToken>,
    pub(super) at: usize,
    pub(super) message: &'static str,
}

/// Splits `template` into spans.
pub(super) fn scan<'s>(template: &'s str, syntax: &SyntaxConfig) -> Scan<'s> {
    let mut source = template;
    if !syntax.keep_trailing_newline() {
        source = source.strip_suffix('\n').unwrap_or(source);
        source = source.strip_suffix('\r').unwrap_or(source);
    }
    let mut scanner = Scanner { source, markers: markers(syntax), syntax, balance: 0, line: 1, spans: Vec::new() };
    let error = scanner.run().err();
    Scan { source, tail: &template[source.len()..], spans: scanner.spans, error }
}

/// The first delimiter of `syntax` in `source` at or after `from`: its position and length.
pub(super) fn first_marker(source: &str, from: usize, syntax: &SyntaxConfig) -> Option<(usize, usize)> {
    find_marker(source, from, &markers(syntax)).map(|(at, _, len)| (at, len))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Marker {
    Variable,
    Block,
    Comment,
    LineStatement,
    LineComment,
}

struct Scanner<'s, 'c> {
    source: &'s str,
    syntax: &'c SyntaxConfig,
    markers: Vec<(&'c str, Marker)>,
    balance: isize,
    line: usize,
    spans: Vec<SourceSpan>,
}

impl Scanner<'_, '_> {
    fn run(&mut self) -> Result<(), ScanError> {
        let mut at = 0;
        let mut marker = find_marker(self.source, at, &self.markers);
        while at < self.source.len() {
            // One search serves all literal tags before the marker, so that the work stays linear.
            if marker.is_some_and(|(pos, ..)| pos < at) {
                marker = find_marker(self.source, at, &self.markers);
            }
            let limit = marker.map_or(self.source.len(), |(pos, ..)| pos);
            if let Some((pos, inner)) = find_literal(self.source, at, limit) {
                self.text(at..pos);
                at = self.literal(pos, inner)?;
                continue;
            }
            self.text(at..limit);
            at = match marker {
                None => limit,
                Some((pos, Marker::LineComment, len)) => self.line_comment(pos, len),
                Some((pos, Marker::Comment, len)) => self.comment(pos, len)?,
                Some((pos, Marker::Variable, len)) => {
                    let closing = TagEnd::Delimiter(self.syntax.variable_delimiters().1);
                    self.tag(SpanKind::Variable, pos, len, closing)?
                }
                Some((pos, Marker::LineStatement, len)) => {
                    self.tag(SpanKind::LineStatement, pos, len, TagEnd::EndOfLine)?
                }
                Some((pos, Marker::Block, len)) => self.block(pos, len)?,
            };
        }
        Ok(())
    }

    fn text(&mut self, range: Range<usize>) {
        if !range.is_empty() {
            self.push(SpanKind::Text, range);
        }
    }

    fn push(&mut self, kind: SpanKind, range: Range<usize>) -> usize {
        let line = self.line;
        self.line += newlines(&self.source[range.clone()]);
        let end = range.end;
        self.spans.push(SourceSpan {
            kind,
            inner: range.clone(),
            range,
            line,
            opening: None,
            closing: None,
            tokens: Vec::new(),
        });
        end
    }

    fn push_marked(&mut self, kind: SpanKind, range: Range<usize>, marker_end: usize) -> usize {
        let end = self.push(kind, range);
        if let Some(span) = self.spans.last_mut() {
            span.opening = control(self.source, marker_end);
        }
        end
    }

    fn line_comment(&mut self, pos: usize, len: usize) -> usize {
        let rest = &self.source[pos + len..];
        let text = rest.find(['\r', '\n']).unwrap_or(rest.len());
        let end = pos + len + text + line_break(&rest[text..]).1;
        self.push(SpanKind::LineComment, pos..end)
    }

    fn comment(&mut self, pos: usize, len: usize) -> Result<usize, ScanError> {
        let inner = pos + len + control(self.source, pos + len).map_or(0, char::len_utf8);
        let close = self.syntax.comment_delimiters().1;
        match self.source[inner..].find(close) {
            Some(found) => {
                let end = inner + found + close.len();
                Ok(self.push_marked(SpanKind::Comment, pos..end, pos + len))
            }
            None => Err(self.unread(pos, "unexpected end of comment")),
        }
    }

    fn block(&mut self, pos: usize, len: usize) -> Result<usize, ScanError> {
        let (open, close) = self.syntax.block_delimiters();
        let inner = pos + len + control(self.source, pos + len).map_or(0, char::len_utf8);
        let Some(raw) = bare_tag(&self.source[inner..], "raw", close) else {
            return self.tag(SpanKind::Block, pos, len, TagEnd::Delimiter(close));
        };
        let mut at = inner + raw;
        while let Some(found) = self.source[at..].find(open) {
            at += found + open.len();
            let start = at + control(self.source, at).map_or(0, char::len_utf8);
            if let Some(end) = bare_tag(&self.source[start..], "endraw", close) {
                return Ok(self.push_marked(SpanKind::Raw, pos..start + end, pos + len));
            }
        }
        Err(self.unread(pos, "unexpected end of raw block"))
    }

    fn tag(&mut self, kind: SpanKind, pos: usize, len: usize, closing: TagEnd<'_>) -> Result<usize, ScanError> {
        let opening = match kind {
            SpanKind::LineStatement => None,
            _ => control(self.source, pos + len),
        };
        let inner = pos + len + opening.map_or(0, char::len_utf8);
        let mut balance = self.balance;
        let lexed = lex(self.source, inner, closing, &mut balance);
        self.balance = balance;
        self.finish_tag(kind, pos, inner, opening, lexed)
    }

    fn literal(&mut self, pos: usize, inner: usize) -> Result<usize, ScanError> {
        let opening = control(self.source, pos + LITERAL_OPEN.len());
        let lexed = lex(self.source, inner, TagEnd::Delimiter(LITERAL_CLOSE), &mut 0);
        self.finish_tag(SpanKind::Literal, pos, inner, opening, lexed)
    }

    fn finish_tag(
        &mut self,
        kind: SpanKind,
        pos: usize,
        inner: usize,
        opening: Option<char>,
        lexed: Result<crate::compile::lex::LexedTag, LexError>,
    ) -> Result<usize, ScanError> {
        let lexed = match lexed {
            Ok(lexed) => lexed,
            Err(LexError { tokens, at, message }) => {
                return Err(ScanError { start: pos, line: self.line, tokens, at, message });
            }
        };
        self.push(kind, pos..lexed.end);
        if let Some(span) = self.spans.last_mut() {
            span.inner = inner..lexed.inner_end;
            span.opening = opening;
            span.closing = lexed.control;
            span.tokens = lexed.tokens;
        }
        Ok(lexed.end)
    }

    fn unread(&self, start: usize, message: &'static str) -> ScanError {
        ScanError { start, line: self.line, tokens: Vec::new(), at: start, message }
    }
}

const LITERAL_OPEN: &str = "<%";
const LITERAL_CLOSE: &str = "%>";

/// The longest marker first, since MiniJinja takes the longest one that matches.
fn markers(syntax: &SyntaxConfig) -> Vec<(&str, Marker)> {
    let mut markers = vec![
        (syntax.variable_delimiters().0, Marker::Variable),
        (syntax.block_delimiters().0, Marker::Block),
        (syntax.comment_delimiters().0, Marker::Comment),
        (syntax.line_statement_prefix().unwrap_or(""), Marker::LineStatement),
        (syntax.line_comment_prefix().unwrap_or(""), Marker::LineComment),
    ];
    markers.retain(|(text, _)| !text.is_empty());
    markers.sort_by_key(|(text, _)| std::cmp::Reverse(text.len()));
    markers
}

fn find_marker(source: &str, from: usize, markers: &[(&str, Marker)]) -> Option<(usize, Marker, usize)> {
    let bytes = source.as_bytes();
    for at in from..bytes.len() {
        count_step();
        for &(text, marker) in markers {
            let matches = bytes[at] == text.as_bytes()[0] && bytes[at..].starts_with(text.as_bytes());
            if matches && (marker != Marker::LineStatement || starts_line(&bytes[..at])) {
                return Some((at, marker, text.len()));
            }
        }
    }
    None
}

fn starts_line(before: &[u8]) -> bool {
    let last = before.iter().rev().find(|&&b| b != b' ' && b != b'\t');
    matches!(last, None | Some(b'\r' | b'\n'))
}

/// The first literal cache tag that begins in `from..limit`: its start, and the start of its inside.
fn find_literal(source: &str, from: usize, limit: usize) -> Option<(usize, usize)> {
    let bytes = source.as_bytes();
    let mut at = from;
    while at < limit {
        let pos = at + bytes[at..limit].iter().position(|&byte| byte == b'<')?;
        if !bytes[pos..].starts_with(LITERAL_OPEN.as_bytes()) {
            at = pos + 1;
            continue;
        }
        at = pos + LITERAL_OPEN.len();
        let inner = at + control(source, at).map_or(0, char::len_utf8);
        let word = source[inner..].trim_start_matches(|c: char| c.is_ascii_whitespace());
        if matches!(&word[..identifier_len(word)], "cache" | "endcache") {
            return Some((pos, inner));
        }
    }
    None
}

fn control(source: &str, at: usize) -> Option<char> {
    source[at..].chars().next().filter(|&c| c == '-' || c == '+')
}

/// The length of `name` and of the end of its tag, if the tag contains only that name.
fn bare_tag(inside: &str, name: &str, close: &str) -> Option<usize> {
    let blank = |c: char| c.is_ascii_whitespace();
    let rest = inside.trim_start_matches(blank).strip_prefix(name)?;
    let rest = rest.trim_start_matches(blank);
    let rest = rest.strip_prefix(['-', '+']).unwrap_or(rest);
    let rest = rest.strip_prefix(close)?;
    Some(inside.len() - rest.len())
}
