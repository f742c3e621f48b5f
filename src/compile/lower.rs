//! Writes a cache tag as plain MiniJinja, on the lines the author used.
//!
//! Owns the text that takes a tag's place, including what a line statement does to the white space
//! around it. Which tags belong together is left to `blocks`.

use std::ops::Range;

use minijinja::Environment;
use minijinja::syntax::SyntaxConfig;

use crate::compile::analyze::keyword;
use crate::compile::expr::{Expr, ExprError, Shape};
use crate::compile::guard::{Guard, QUOTED, inserts};
use crate::compile::lex::{Kind, is_blank, newlines};
use crate::compile::outline::Cached;
use crate::compile::scan::{Scan, Span, SpanKind};
use crate::compile::visits::visit;
use crate::duration::{Ttl, parse_ttl_value};
use crate::names::{
    CALLED_BACK, CALLER, CALLING, FILLED, FLAG_CALLER, FLAG_SUPER, HIT, MISS, MISS_TAGGED, MISS_WITH, MISS_WITH_TAGGED,
    OPEN, STORE, TICKET,
};

/// What the lowering of all tags of a template shares.
pub(crate) struct Lowering<'a, 's> {
    pub(crate) scan: &'a Scan<'s>,
    pub(crate) syntax: &'a SyntaxConfig,
    pub(crate) parent: Option<&'a str>,
}

impl Lowering<'_, '_> {
    /// What takes the place of the opening tag.
    pub(crate) fn opening(&self, cached: &Cached<'_>, site: u128) -> Result<String, ExprError> {
        let span = &self.scan.spans[cached.open];
        let (start, end) = self.syntax.block_delimiters();
        let mut tag = Tag::new(self.scan.source, span);
        tag.out.push_str(start);
        tag.out.extend(edge(span));
        self.condition(&mut tag, cached, site)?;
        tag.put(&format!(" {end}{start} with {TICKET} = none|"));
        self.open_call(&mut tag, cached)?;
        tag.put(&format!(" {end}{start} filter {STORE}({TICKET})"));
        self.finish(&mut tag, cached.open);
        Ok(tag.out)
    }

    /// What takes the place of `endcache`.
    pub(crate) fn closing(&self, index: usize) -> String {
        let span = &self.scan.spans[index];
        let (start, end) = self.syntax.block_delimiters();
        let (print, printed) = self.syntax.variable_delimiters();
        let mut tag = Tag::new(self.scan.source, span);
        tag.out.push_str(start);
        tag.out.extend(edge(span));
        tag.put(&format!(
            " endfilter {end}{start} endwith {end}{start} else {end}{print} none|{HIT} {printed}{start} endif"
        ));
        self.finish(&mut tag, index);
        tag.out
    }

    /// The opening tag of a call block or a macro, with a mark behind it that runs where its text does. A `set` keeps what
    /// was open when the call block began: it opens no scope, which a template could see.
    pub(crate) fn marked(&self, index: usize, checks: &[(usize, String)]) -> String {
        let span = &self.scan.spans[index];
        let (start, end) = self.syntax.block_delimiters();
        let mut tag = Tag::new(self.scan.source, span);
        tag.put(start);
        tag.out.extend(edge(span));
        let is_call = keyword(tag.source, span) == Some("call");
        if is_call {
            tag.put(&format!(" set {CALLER} = none|{CALLING} {end}{start}"));
        }
        tag.put(" ");
        if let (Some(first), Some(last)) = (span.tokens.first(), span.tokens.last()) {
            let mut from = first.start;
            for (at, check) in checks {
                tag.copy(from..*at, false);
                tag.put(check);
                from = *at;
            }
            tag.copy(from..last.end, false);
        }
        let mark = if is_call { format!("{CALLER} is {CALLED_BACK}") } else { format!("none is {FILLED}") };
        tag.put(&format!(" {end}{start} if {mark} {end}{start} endif"));
        self.finish(&mut tag, index);
        tag.out
    }

    fn condition(&self, tag: &mut Tag<'_>, cached: &Cached<'_>, site: u128) -> Result<(), ExprError> {
        let head = &cached.head;
        let options = &head.options;
        let literal = literal_ttl(tag.source, head.ttl.as_ref())?;
        if let Some(stale) = &options.stale {
            literal_ttl(tag.source, Some(stale))?;
        }
        let (first, rest) = tag.key_parts(&head.key);
        tag.put(" if ");
        tag.argument(&first.0, &head.key.guards, first.1);
        let conditional = options.when.is_some() || options.unless.is_some();
        let more = conditional || options.version.is_some() || options.vary.is_some();
        let all = more || literal.is_none();
        let name = match (all, options.tags.is_some()) {
            (false, false) => MISS,
            (false, true) => MISS_TAGGED,
            (true, false) => MISS_WITH,
            (true, true) => MISS_WITH_TAGGED,
        };
        tag.put(&format!(" is {name}({site}, "));
        match (&literal, &head.ttl) {
            (None, Some(ttl)) => tag.argument(&ttl.range, &[], false),
            (literal, _) => tag.put(&literal_text(literal.unwrap_or(Ttl::Default))),
        }
        if all {
            tag.put(&format!(", {}, ", literal.is_some()));
            tag.gate(options.when.as_ref(), options.unless.as_ref());
            tag.put(", ");
            tag.optional(options.version.as_ref(), "[", "]");
            tag.put(", ");
            tag.optional(options.vary.as_ref(), "", "");
        }
        for (range, simple) in &rest {
            tag.put(", ");
            tag.argument(range, &head.key.guards, *simple);
        }
        if let Some(tags) = &options.tags {
            tag.put(", ");
            tag.argument(&tags.range, &tags.guards, false);
        }
        tag.put(")");
        Ok(())
    }

    fn open_call(&self, tag: &mut Tag<'_>, cached: &Cached<'_>) -> Result<(), ExprError> {
        let flags = [(cached.calls_super, FLAG_SUPER), (cached.keyed_by_caller, FLAG_CALLER)];
        let flags: u32 = flags.into_iter().filter(|(set, _)| *set).map(|(_, flag)| flag).sum();
        let line = self.scan.spans[cached.open].line;
        let key = quote(&tag.source[cached.head.key.range.clone()], QUOTED);
        let parent = self.parent.map_or_else(|| "none".to_owned(), |name| quote(name, usize::MAX));
        tag.put(&format!("{OPEN}({line}, {key}, {flags}, {parent}"));
        let options = &cached.head.options;
        for (name, value) in [("stale", &options.stale), ("name", &options.name)] {
            if let Some(value) = value {
                tag.put(&format!(", {name}="));
                tag.argument(&value.range, &[], false);
            }
        }
        tag.put(")");
        Ok(())
    }

    /// Ends a tag with the author's edge and line breaks.
    pub(crate) fn finish(&self, tag: &mut Tag<'_>, index: usize) {
        let span = &self.scan.spans[index];
        let end = self.syntax.block_delimiters().1;
        tag.put(" ");
        tag.align(span.inner.end);
        if span.kind != SpanKind::LineStatement {
            tag.out.extend(span.closing);
            tag.out.push_str(end);
            return;
        }
        let line_break = self.scan.source[span.inner.end..span.range.end].trim_start_matches(is_blank);
        tag.out.push_str(&self.line_end(index, line_break));
    }

    /// Ends a tag that stands in place of a line, with the line break of that.
    pub(crate) fn line_end(&self, index: usize, line_break: &str) -> String {
        let end = self.syntax.block_delimiters().1;
        if self.next_line_needs_its_start(index) {
            format!("-{end}{line_break}")
        } else {
            format!("{line_break}+{end}")
        }
    }

    /// Whether what follows this line is a tag that MiniJinja treats differently at the start of a
    /// line; `-` then removes the line break, and nothing else that would have been kept.
    fn next_line_needs_its_start(&self, index: usize) -> bool {
        let mut rest = self.scan.spans[index + 1..].iter();
        let mut next = rest.next();
        if let Some(text) = next.filter(|span| span.kind == SpanKind::Text) {
            if !self.scan.source[text.range.clone()].chars().all(is_blank) {
                return false;
            }
            next = rest.next();
        }
        next.is_some_and(|span| match span.kind {
            SpanKind::LineStatement | SpanKind::LineComment => true,
            SpanKind::Text | SpanKind::Variable => false,
            _ => self.syntax.lstrip_blocks() && span.opening.is_none(),
        })
    }
}

/// The text before a line statement, as MiniJinja keeps it: without the blanks of its line.
pub(crate) fn before_line_statement(text: &str) -> &str {
    let trimmed = text.trim_end_matches(is_blank);
    if trimmed.is_empty() || trimmed.ends_with('\n') { trimmed } else { text }
}

/// The value of a string literal, escapes resolved by MiniJinja itself.
pub(crate) fn literal_str(text: &str) -> Option<String> {
    let value = Environment::empty().compile_expression(text).ok()?.eval(()).ok()?;
    value.as_str().map(str::to_owned)
}

/// A line statement has no `-` or `+`; its own white space rules are applied to the text around it.
pub(crate) fn edge(span: &Span) -> Option<char> {
    if span.kind == SpanKind::LineStatement { Some('+') } else { span.opening }
}

/// The lifetime, if it is known before rendering.
fn literal_ttl(source: &str, expr: Option<&Expr>) -> Result<Option<Ttl>, ExprError> {
    let Some(expr) = expr else {
        return Ok(Some(Ttl::Default));
    };
    let text = &source[expr.range.clone()];
    // A list or map is no lifetime whatever it holds, but must not be evaluated for it.
    if text.starts_with(['[', '{']) {
        let message = format!("the lifetime `{text}` is a list or a map; give seconds or a duration");
        return Err(ExprError { at: expr.range.start, message });
    }
    if !expr.shape.is_literal() {
        return Ok(None);
    }
    let value = Environment::empty().compile_expression(text).and_then(|e| e.eval(()));
    let ttl = match value {
        Ok(value) => parse_ttl_value(&value).map_err(|error| error.to_string()),
        Err(error) => Err(format!("the lifetime `{text}` cannot be read: {error}")),
    };
    ttl.map(Some).map_err(|message| ExprError { at: expr.range.start, message })
}

/// A lifetime as the test takes it: nanoseconds, -1 for ever, 0 for a bypass, or none.
fn literal_text(ttl: Ttl) -> String {
    match ttl {
        Ttl::Default => "none".into(),
        Ttl::Forever => "-1".into(),
        Ttl::Bypass => "0".into(),
        Ttl::For(duration) => duration.as_nanos().to_string(),
    }
}

/// `text` as a string literal on one line.
pub(crate) fn quote(text: &str, limit: usize) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for (count, c) in text.chars().enumerate() {
        if count == limit {
            quoted.push('…');
            break;
        }
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            _ => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

/// The replacement of one tag while it is written.
pub(crate) struct Tag<'a> {
    source: &'a str,
    span: &'a Span,
    pub(crate) out: String,
    /// Line breaks written so far.
    lines: usize,
    /// How many line breaks of the tag stand before a place: most arguments are written in order.
    counted: (usize, usize),
}

type Part = (Range<usize>, bool);

impl<'a> Tag<'a> {
    pub(crate) fn new(source: &'a str, span: &'a Span) -> Self {
        Tag { source, span, out: String::new(), lines: 0, counted: (span.range.start, 0) }
    }

    pub(crate) fn put(&mut self, text: &str) {
        self.out.push_str(text);
    }

    /// Writes line breaks until the output is on the line of `at`.
    fn align(&mut self, at: usize) {
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

    /// The operands of a top-level chain apart, so that the runtime sees each of them.
    fn key_parts(&self, key: &Expr) -> (Part, Vec<Part>) {
        if let Shape::Chain(operands) = &key.shape {
            let mut parts = operands.iter().map(|operand| (operand.range.clone(), operand.simple));
            if let Some(first) = parts.next() {
                return (first, parts.collect());
            }
        }
        ((key.range.clone(), key.shape.is_simple()), Vec::new())
    }

    /// `(if) and not (unless)`, or `true`.
    fn gate(&mut self, when: Option<&Expr>, unless: Option<&Expr>) {
        match (when, unless) {
            (None, None) => self.put("true"),
            (Some(when), None) => self.argument(&when.range, &[], false),
            (None, Some(unless)) => {
                self.put("not ");
                self.argument(&unless.range, &[], false);
            }
            (Some(when), Some(unless)) => {
                self.argument(&when.range, &[], false);
                self.put(" and not ");
                self.argument(&unless.range, &[], false);
            }
        }
    }

    fn optional(&mut self, value: Option<&Expr>, before: &str, after: &str) {
        match value {
            None => self.put("none"),
            Some(value) => {
                self.put(before);
                self.argument(&value.range, &value.guards, false);
                self.put(after);
            }
        }
    }

    /// Writes an expression of the author's, checked where `guards` say so. An operand that is the whole argument is
    /// checked by the run side.
    fn argument(&mut self, range: &Range<usize>, guards: &[Guard], simple: bool) {
        self.align(range.start);
        // A part that comes out of order must not bring its own line breaks.
        let flat = self.lines > self.line_of(range.start);
        if !simple {
            self.put("(");
        }
        let mut at = range.start;
        let first = guards.partition_point(|guard| guard.range.start < range.start);
        let inside = guards[first..].iter().take_while(|guard| guard.range.end <= range.end).inspect(|_| visit());
        for (pos, text) in inserts(self.source, inside.filter(|guard| guard.range != *range)) {
            self.copy(at..pos, flat);
            self.put(&text);
            at = pos;
        }
        self.copy(at..range.end, flat);
        if !simple {
            self.put(")");
        }
    }

    /// Copies a stretch of the source, on one line where it must not bring its own line breaks.
    pub(crate) fn copy(&mut self, range: Range<usize>, flat: bool) {
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
        let Some(string) = next.filter(|token| token.kind == Kind::Str && token.start < at) else {
            self.out.push(' ');
            return;
        };
        let before = &self.source[string.start..at];
        let slashes = before.len() - before.trim_end_matches('\\').len();
        // MiniJinja keeps a backslash before a line break; it needs its own escape here.
        self.out.push_str(if slashes % 2 == 1 { "\\\\n" } else { "\\n" });
    }
}
