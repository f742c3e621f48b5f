//! Writes cache tags as plain MiniJinja.
//!
//! Owns the text of each replaced tag, including the white space rules of line statements. `tag_writer` keeps the
//! author's lines; `structure` pairs the tags.

use std::ops::Range;

use minijinja::Environment;
use minijinja::syntax::SyntaxConfig;

use crate::compile::expr::{Expr, ExprError, ExprKind};
use crate::compile::guard::QUOTED;
use crate::compile::lex::is_blank;
use crate::compile::literal::quote;
use crate::compile::names::{
    CALL_VARIABLE, FLAG_CALLER, FLAG_SUPER, FRAGMENT_VARIABLE, HIT, MISS, MISS_TAGGED, MISS_WITH, MISS_WITH_TAGGED,
    OPEN, OPEN_AT_CALL, REJECT_BLOCK, REJECT_CALLER, STORE,
};
use crate::compile::scan::{Scan, SpanKind};
use crate::compile::statement::keyword;
use crate::compile::tag_writer::TagWriter;
use crate::compile::template::CacheTag;
use crate::util::duration::{Ttl, parse_ttl_value};

/// The inputs shared by all tags of a template.
pub(super) struct Lowering<'a, 's> {
    pub(super) scan: &'a Scan<'s>,
    pub(super) syntax: &'a SyntaxConfig,
    pub(super) parent: Option<&'a str>,
}

impl Lowering<'_, '_> {
    /// The replacement of a `cache` tag.
    pub(super) fn opening(&self, cached: &CacheTag<'_>, digest: u128) -> Result<String, ExprError> {
        let (start, end) = self.syntax.block_delimiters();
        let mut tag = self.begin(cached.open);
        self.condition(&mut tag, cached, digest)?;
        tag.put(&format!(" {end}{start} with {FRAGMENT_VARIABLE} = none|"));
        self.open_call(&mut tag, cached);
        tag.put(&format!(" {end}{start} filter {STORE}({FRAGMENT_VARIABLE})"));
        Ok(self.finish(tag, cached.open))
    }

    /// The replacement of an `endcache` tag.
    pub(super) fn closing(&self, index: usize) -> String {
        let (start, end) = self.syntax.block_delimiters();
        let (print, printed) = self.syntax.variable_delimiters();
        let mut tag = self.begin(index);
        tag.put(&format!(
            " endfilter {end}{start} endwith {end}{start} else {end}{print} none|{HIT} {printed}{start} endif"
        ));
        self.finish(tag, index)
    }

    /// The opening tag of a call block or a macro, followed by a test that runs with its text. For a call block, a
    /// `set` before it keeps the open fragment: unlike a `with` it opens no scope, so the template cannot see it.
    pub(super) fn marked(&self, index: usize, checks: &[(usize, String)]) -> String {
        let span = &self.scan.spans[index];
        let (start, end) = self.syntax.block_delimiters();
        let mut tag = self.begin(index);
        let is_call = keyword(self.scan.source, span) == Some("call");
        if is_call {
            tag.put(&format!(" set {CALL_VARIABLE} = none|{OPEN_AT_CALL} {end}{start}"));
        }
        tag.put(" ");
        if let (Some(first), Some(last)) = (span.tokens.first(), span.tokens.last()) {
            tag.copy_with(first.start..last.end, checks, false);
        }
        let mark =
            if is_call { format!("{CALL_VARIABLE} is {REJECT_CALLER}") } else { format!("none is {REJECT_BLOCK}") };
        tag.put(&format!(" {end}{start} if {mark} {end}{start} endif"));
        self.finish(tag, index)
    }

    fn condition(&self, tag: &mut TagWriter<'_>, cached: &CacheTag<'_>, digest: u128) -> Result<(), ExprError> {
        let head = &cached.head;
        let options = &head.options;
        let literal = literal_ttl(self.scan.source, head.ttl.as_ref())?;
        if let Some(stale) = &options.stale {
            literal_ttl(self.scan.source, Some(stale))?;
        }
        let (first, rest) = key_parts(&head.key);
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
        tag.put(&format!(" is {name}({digest}, "));
        match (&literal, &head.ttl) {
            (None, Some(ttl)) => tag.argument(&ttl.range, &[], false),
            (literal, _) => tag.put(&literal_text(literal.unwrap_or(Ttl::Default))),
        }
        if all {
            tag.put(&format!(", {}, ", literal.is_some()));
            put_gate(tag, options.when.as_ref(), options.unless.as_ref());
            tag.put(", ");
            put_optional(tag, options.version.as_ref(), "[", "]");
            tag.put(", ");
            put_optional(tag, options.vary.as_ref(), "", "");
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

    fn open_call(&self, tag: &mut TagWriter<'_>, cached: &CacheTag<'_>) {
        let flags = [(cached.calls_super, FLAG_SUPER), (cached.keyed_by_caller, FLAG_CALLER)];
        let flags: u32 = flags.into_iter().filter(|(set, _)| *set).map(|(_, flag)| flag).sum();
        let line = self.scan.spans[cached.open].line;
        let key = quote(&self.scan.source[cached.head.key.range.clone()], QUOTED);
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
    }

    /// Starts the replacement of the tag at `index`.
    pub(super) fn begin(&self, index: usize) -> TagWriter<'_> {
        let span = &self.scan.spans[index];
        let mut tag = TagWriter::new(self.scan.source, span);
        tag.put(self.syntax.block_delimiters().0);
        // A line statement has no `-` or `+`. Its own white space rules are applied to the text around it.
        tag.put_control(if span.kind == SpanKind::LineStatement { Some('+') } else { span.opening });
        tag
    }

    /// Completes the replacement with the author's white space control and line breaks.
    pub(super) fn finish(&self, mut tag: TagWriter<'_>, index: usize) -> String {
        let span = &self.scan.spans[index];
        let end = self.syntax.block_delimiters().1;
        tag.put(" ");
        tag.align(span.inner.end);
        if span.kind != SpanKind::LineStatement {
            tag.put_control(span.closing);
            tag.put(end);
            return tag.into_text();
        }
        let line_break = self.scan.source[span.inner.end..span.range.end].trim_start_matches(is_blank);
        tag.put(&self.line_end(index, line_break));
        tag.into_text()
    }

    /// The end of a tag that replaces a line, with that line's break.
    pub(super) fn line_end(&self, index: usize, line_break: &str) -> String {
        let end = self.syntax.block_delimiters().1;
        if self.next_line_needs_its_start(index) {
            format!("-{end}{line_break}")
        } else {
            format!("{line_break}+{end}")
        }
    }

    /// Whether the next tag depends on standing at the start of a line. Then `-` removes the line break, and only that.
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

/// The text before a line statement, as MiniJinja keeps it: without the blanks at the start of the statement's line.
pub(super) fn before_line_statement(text: &str) -> &str {
    let trimmed = text.trim_end_matches(is_blank);
    if trimmed.is_empty() || trimmed.ends_with('\n') { trimmed } else { text }
}

/// The lifetime, if it is a literal.
fn literal_ttl(source: &str, expr: Option<&Expr>) -> Result<Option<Ttl>, ExprError> {
    let Some(expr) = expr else {
        return Ok(Some(Ttl::Default));
    };
    let text = &source[expr.range.clone()];
    // A list or a map is never a lifetime. It is rejected without evaluation, since its items may be names.
    if text.starts_with(['[', '{']) {
        let message = format!("the lifetime `{text}` is a list or a map; give seconds or a duration");
        return Err(ExprError::new(expr.range.start, message));
    }
    if !expr.kind.is_literal() {
        return Ok(None);
    }
    let value = Environment::empty().compile_expression(text).and_then(|e| e.eval(()));
    let ttl = match value {
        Ok(value) => parse_ttl_value(&value).map_err(|error| error.to_string()),
        Err(error) => Err(format!("the lifetime `{text}` cannot be read: {error}")),
    };
    ttl.map(Some).map_err(|message| ExprError::new(expr.range.start, message))
}

/// A lifetime as the test takes it: nanoseconds, -1 for no expiry, 0 for a bypass, or `none`.
fn literal_text(ttl: Ttl) -> String {
    match ttl {
        Ttl::Default => "none".into(),
        Ttl::Forever => "-1".into(),
        Ttl::Bypass => "0".into(),
        Ttl::For(duration) => duration.as_nanos().to_string(),
    }
}

type KeyPart = (Range<usize>, bool);

/// The operands of a top-level chain, which the runtime receives one by one.
fn key_parts(key: &Expr) -> (KeyPart, Vec<KeyPart>) {
    if let ExprKind::Chain(operands) = &key.kind {
        let mut parts = operands.iter().map(|operand| (operand.range.clone(), operand.simple));
        if let Some(first) = parts.next() {
            return (first, parts.collect());
        }
    }
    ((key.range.clone(), key.kind.is_simple()), Vec::new())
}

/// `(if) and not (unless)`, or `true`.
fn put_gate(tag: &mut TagWriter<'_>, when: Option<&Expr>, unless: Option<&Expr>) {
    match (when, unless) {
        (None, None) => tag.put("true"),
        (Some(when), None) => tag.argument(&when.range, &[], false),
        (None, Some(unless)) => {
            tag.put("not ");
            tag.argument(&unless.range, &[], false);
        }
        (Some(when), Some(unless)) => {
            tag.argument(&when.range, &[], false);
            tag.put(" and not ");
            tag.argument(&unless.range, &[], false);
        }
    }
}

fn put_optional(tag: &mut TagWriter<'_>, value: Option<&Expr>, before: &str, after: &str) {
    match value {
        None => tag.put("none"),
        Some(value) => {
            tag.put(before);
            tag.argument(&value.range, &value.guards, false);
            tag.put(after);
        }
    }
}
