//! Puts the lowered text together: replaced tags, inserted guards, and the unchanged source between them.

use minijinja::syntax::SyntaxConfig;

use crate::compile::expr::ExprError;
use crate::compile::key_flow::{InsertsBySpan, SpanError};
use crate::compile::lower::{Lowering, before_line_statement};
use crate::compile::scan::{Scan, SourceSpan, SpanKind, first_marker};
use crate::compile::template::Outline;

/// The lowered text. `replaced` has the span and the replacement of each replaced tag.
pub(super) fn assemble(
    lowering: &Lowering<'_, '_>,
    outline: &Outline<'_>,
    guards: &InsertsBySpan,
    mut replaced: Vec<(usize, String)>,
) -> Result<String, SpanError> {
    replaced.sort();
    let &Lowering { scan, syntax, .. } = lowering;
    let mut replaced = replaced.into_iter().peekable();
    let mut out = String::new();
    for (index, span) in scan.spans[..outline.understood].iter().enumerate() {
        if let Some((_, text)) = replaced.next_if(|(at, _)| *at == index) {
            check_junction(scan, index, syntax).map_err(|error| (index, error))?;
            out.push_str(&text);
            continue;
        }
        let next_replaced = replaced.peek().filter(|(at, _)| *at == index + 1).map(|(at, _)| &scan.spans[*at]);
        match guards.get(&index) {
            Some(guards) => insert(scan.source, span, guards, &mut out),
            None => copy(scan.source, span, outline, next_replaced, &mut out),
        }
    }
    let rest = scan.spans[..outline.understood].last().map_or(0, |span| span.range.end);
    out.push_str(&scan.source[rest..]);
    out.push_str(scan.tail);
    Ok(out)
}

/// Copies a span with its guards.
fn insert(source: &str, span: &SourceSpan, guards: &[(usize, String)], out: &mut String) {
    let mut from = span.range.start;
    for (at, guard) in guards {
        out.push_str(&source[from..*at]);
        out.push_str(guard);
        from = *at;
    }
    out.push_str(&source[from..span.range.end]);
}

/// Copies a span without guards. `next_replaced` is the following span, if that is replaced.
fn copy(source: &str, span: &SourceSpan, outline: &Outline<'_>, next_replaced: Option<&SourceSpan>, out: &mut String) {
    let text = &source[span.range.clone()];
    if span.kind == SpanKind::Text && next_replaced.is_some_and(|next| next.kind == SpanKind::LineStatement) {
        out.push_str(before_line_statement(text));
        return;
    }
    let Some(load) = outline.load_in(&span.range).filter(|_| span.is_statement()) else {
        out.push_str(text);
        return;
    };
    out.push_str(&source[span.range.start..load.name.start]);
    out.push_str(&load.noted(source));
    out.push_str(&source[load.name.end..span.range.end]);
}

/// A literal tag `<% … %>` becomes a block tag. Together with the text before it, the delimiter must not read as
/// another tag.
fn check_junction(scan: &Scan<'_>, index: usize, syntax: &SyntaxConfig) -> Result<(), ExprError> {
    let span = &scan.spans[index];
    let Some(text) = index.checked_sub(1).map(|i| &scan.spans[i]) else {
        return Ok(());
    };
    if span.kind != SpanKind::Literal || text.kind != SpanKind::Text {
        return Ok(());
    }
    let start = syntax.block_delimiters().0;
    let text = &scan.source[text.range.clone()];
    let joined = format!("{text}{start} ");
    if first_marker(&joined, 0, syntax) == Some((text.len(), start.len())) {
        return Ok(());
    }
    let before = text.chars().next_back().unwrap_or(' ');
    let message = format!("`{before}` right before `<%` would read as another tag; put a space between them");
    Err(ExprError::new(span.range.start, message))
}
