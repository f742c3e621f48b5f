//! Writes the text that replaces one tag, keeping the author's expressions on their lines.

use std::ops::Range;

use crate::compile::expr::Guard;
use crate::compile::guard::inserts;
use crate::compile::lex::{TokenKind, newlines};
use crate::compile::scan::SourceSpan;
use crate::compile::steps::count_step;

/// The replacement of a tag under construction.
pub(super) struct TagWriter<'a> {
    source: &'a str,
    span: &'a SourceSpan,
    out: String,
    /// Line breaks written so far.
    lines: usize,
    /// A position, and the line breaks of the tag before it. Most arguments are written in source order, so the count
    /// continues from here.
    counted: (usize, usize),
}

impl<'a> TagWriter<'a> {
    pub(super) fn new(source: &'a str, span: &'a SourceSpan) -> Self {
        TagWriter { source, span, out: String::new(), lines: 0, counted: (span.range.start, 0) }
    }

    pub(super) fn put(&mut self, text: &str) {
        self.out.push_str(text);
    }

    /// Writes a white space control.
    pub(super) fn put_control(&mut self, control: Option<char>) {
        self.out.extend(control);
    }

    pub(super) fn into_text(self) -> String {
        self.out
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

    /// Writes an expression of the author, with its guards. A guard on the whole argument is left out: the runtime
    /// checks arguments itself.
    pub(super) fn argument(&mut self, range: &Range<usize>, guards: &[Guard], simple: bool) {
        self.align(range.start);
        // An argument out of source order must not bring its own line breaks.
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

    /// Copies a range of the source with insertions.
    pub(super) fn copy_with(&mut self, range: Range<usize>, inserts: &[(usize, String)], flat: bool) {
        let mut from = range.start;
        for (at, text) in inserts {
            self.copy(from..*at, flat);
            self.put(text);
            from = *at;
        }
        self.copy(from..range.end, flat);
    }

    /// Copies a range of the source. With `flat`, its line breaks are escaped or replaced by blanks.
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
        // MiniJinja keeps a backslash before a line break; here it needs an escape of its own.
        self.out.push_str(if slashes % 2 == 1 { "\\\\n" } else { "\\n" });
    }
}
