//! The text that takes the place of one tag while it is written, on the lines of the author's.

use std::ops::Range;

use crate::compile::expr::Guard;
use crate::compile::guard::inserts;
use crate::compile::lex::{TokenKind, newlines};
use crate::compile::scan::SourceSpan;
use crate::compile::steps::count_step;

/// The replacement of one tag while it is written.
pub(super) struct TagWriter<'a> {
    source: &'a str,
    span: &'a SourceSpan,
    pub(super) out: String,
    /// Line breaks written so far.
    lines: usize,
    /// How many line breaks of the tag stand before a place: most arguments are written in order.
    counted: (usize, usize),
}

impl<'a> TagWriter<'a> {
    pub(super) fn new(source: &'a str, span: &'a SourceSpan) -> Self {
        TagWriter { source, span, out: String::new(), lines: 0, counted: (span.range.start, 0) }
    }

    pub(super) fn put(&mut self, text: &str) {
        self.out.push_str(text);
    }

    /// Writes line breaks until the output is on the line of `at`.
    pub(super) fn align(&mut self, at: usize) {
        let line = self.line_of(at);
        while self.lines < line {
            self.out.push('\n');
            self.lines += 1;
        }
    }

    fn line_of(&mut self, at: usize) -> usize {
        let (from, before) = if self.counted.0 <= at { self.counted } else { (self.span.range.start, 0) };
        self.counted = (at, before + newlines(&self.source[from..at]));
        self.counted.1
    }

    /// Writes an expression of the author's, checked where `guards` say so. An operand that is the whole argument is
    /// checked by the run side.
    pub(super) fn argument(&mut self, range: &Range<usize>, guards: &[Guard], simple: bool) {
        self.align(range.start);
        // A part that comes out of order must not bring its own line breaks.
        let flat = self.lines > self.line_of(range.start);
        if !simple {
            self.put("(");
        }
        let first = guards.partition_point(|guard| guard.range.start < range.start);
        let inside = guards[first..].iter().take_while(|guard| guard.range.end <= range.end).inspect(|_| count_step());
        let checks = inserts(self.source, inside.filter(|guard| guard.range != *range));
        self.copy_with(range.clone(), &checks, flat);
        if !simple {
            self.put(")");
        }
    }

    /// Copies a stretch of the source, with what is to be inserted into it.
    pub(super) fn copy_with(&mut self, range: Range<usize>, inserts: &[(usize, String)], flat: bool) {
        let mut from = range.start;
        for (at, text) in inserts {
            self.copy(from..*at, flat);
            self.put(text);
            from = *at;
        }
        self.copy(from..range.end, flat);
    }

    /// Copies a stretch of the source, on one line where it must not bring its own line breaks.
    pub(super) fn copy(&mut self, range: Range<usize>, flat: bool) {
        let text = &self.source[range.clone()];
        if !flat {
            self.lines += newlines(text);
            self.out.push_str(text);
            return;
        }
        for (offset, c) in text.char_indices() {
            match c {
                '\n' => self.flat_line_break(range.start + offset),
                _ => self.out.push(c),
            }
        }
    }

    fn flat_line_break(&mut self, at: usize) {
        let next = self.span.tokens.get(self.span.tokens.partition_point(|token| token.end <= at));
        let Some(string) = next.filter(|token| token.kind == TokenKind::Str && token.start < at) else {
            self.out.push(' ');
            return;
        };
        let before = &self.source[string.start..at];
        let slashes = before.len() - before.trim_end_matches('\\').len();
        // MiniJinja keeps a backslash before a line break; it needs its own escape here.
        self.out.push_str(if slashes % 2 == 1 { "\\\\n" } else { "\\n" });
    }
}
