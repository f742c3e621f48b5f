//! The pipeline: lowers the cache tags of a template to plain MiniJinja.
//!
//! Owns the order of the steps and the assembly of the text. The files of the steps are listed in `compile.rs`.

use minijinja::Error;
use minijinja::syntax::SyntaxConfig;

use crate::compile::body_digest::BodyDigests;
use crate::compile::defer::defer_lookups;
use crate::compile::expr::ExprError;
use crate::compile::foreign::{mentions_self, validate_foreign_text};
use crate::compile::key_flow::{InsertsBySpan, checks};
use crate::compile::layout::Layout;
use crate::compile::lex::newlines;
use crate::compile::literal::literal_str;
use crate::compile::lower::{Lowering, before_line_statement};
use crate::compile::namespaces::validate_assignments;
use crate::compile::scan::{Scan, SourceSpan, SpanKind, first_marker, scan};
use crate::compile::structure::outline;
use crate::compile::template::{Branch, CacheBlock, Extends, Outline};
use crate::compile::validate::syntax_error;

/// A template after its cache tags were lowered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LoweredTemplate {
    /// The text for MiniJinja; `None` if the source is used unchanged.
    pub(crate) text: Option<String>,
    /// The template as other templates see it.
    pub(crate) layout: Layout,
    /// Its cache blocks, in source order.
    pub(crate) blocks: Vec<CacheBlock>,
}

/// Lowers a template for use: lazy values stay lazy, and cache tags are lowered.
///
/// # Errors
///
/// As [`rewrite`].
pub(crate) fn lower(source: &str, name: &str, syntax: &SyntaxConfig) -> Result<LoweredTemplate, Error> {
    let Some(text) = defer_lookups(source, syntax) else { return rewrite(source, name, syntax) };
    let mut rewritten = rewrite(&text, name, syntax)?;
    rewritten.text.get_or_insert(text);
    Ok(rewritten)
}

/// Lowers the cache tags of `source`, the template called `name`.
///
/// In a template without cache tags only `import`, `from` and `extends` are changed: their names pass through a filter
/// that records the template.
///
/// # Errors
///
/// A `SyntaxError` with template and line for an invalid or forbidden cache tag. Errors that MiniJinja finds by itself
/// are left to MiniJinja.
pub(crate) fn rewrite(source: &str, name: &str, syntax: &SyntaxConfig) -> Result<LoweredTemplate, Error> {
    rewrite_with(source, name, syntax, |_, _, _| Vec::new())
}

/// Finds further tags to replace: the span of each and its replacement.
pub(super) type ExtraEdits = fn(&Lowering<'_, '_>, &Outline<'_>, &str) -> Vec<(usize, String)>;

/// As [`rewrite`], with further tags replaced.
///
/// # Errors
///
/// As [`rewrite`].
pub(super) fn rewrite_with(
    source: &str,
    name: &str,
    syntax: &SyntaxConfig,
    probes: ExtraEdits,
) -> Result<LoweredTemplate, Error> {
    let scan = scan(source, syntax);
    let mut outline = outline(&scan, name)?;
    validate_foreign_text(&scan, &mut outline, name)?;
    validate_assignments(&scan, &mut outline, name)?;
    let checks = checks(&scan, &outline).map_err(|(index, error)| error_in_span(&scan, name, index, &error))?;
    let layout = Layout::of(&scan, &outline);
    let parent = match &outline.extends {
        Extends::Literal(parent) => Some(parent.as_str()),
        Extends::None | Extends::Dynamic => None,
    };
    let lowering = Lowering { scan: &scan, syntax, parent };
    let more = OtherEdits {
        probed: probes(&lowering, &outline, name),
        foreign_text_marks: foreign_text_marks(&scan, &outline),
        checks,
    };
    if outline.cache_tags.is_empty() && outline.loads.is_empty() && more.is_empty() {
        return Ok(LoweredTemplate { text: None, layout, blocks: Vec::new() });
    }
    let (text, blocks) = assemble(&lowering, &outline, more, name)?;
    Ok(LoweredTemplate { text: Some(text), layout, blocks })
}

/// The opening tags of call blocks, and of macros that show a `{% block %}`. A test behind each of them tells the
/// runtime that foreign text begins.
fn foreign_text_marks(scan: &Scan<'_>, outline: &Outline<'_>) -> Vec<usize> {
    let mut shows = vec![false; outline.branches.len()];
    for (index, span) in scan.spans[..outline.understood].iter().enumerate() {
        if mentions_self(scan.source, &span.tokens).is_some() {
            outline.owners(outline.within[index]).flatten().for_each(|owner| shows[owner] = true);
        }
    }
    let foreign_text_marks = |(branch, shows): &(&Branch<'_>, bool)| branch.word == "call" || *shows;
    outline.branches.iter().zip(shows).filter(foreign_text_marks).map(|(branch, _)| branch.span).collect()
}

/// The changes besides the cache tags.
struct OtherEdits {
    probed: Vec<(usize, String)>,
    foreign_text_marks: Vec<usize>,
    checks: InsertsBySpan,
}

impl OtherEdits {
    fn is_empty(&self) -> bool {
        self.probed.is_empty() && self.foreign_text_marks.is_empty() && self.checks.is_empty()
    }
}

/// Turns an error in a span into an error about the template.
fn error_in_span(scan: &Scan<'_>, name: &str, index: usize, error: &ExprError) -> Error {
    let span = &scan.spans[index];
    syntax_error(name, span.line + newlines(&scan.source[span.range.start..error.at]), &error.message)
}

/// The lowered text and the cache blocks.
fn assemble(
    lowering: &Lowering<'_, '_>,
    outline: &Outline<'_>,
    more: OtherEdits,
    name: &str,
) -> Result<(String, Vec<CacheBlock>), Error> {
    let &Lowering { scan, syntax, .. } = lowering;
    let reach = (!outline.cache_tags.is_empty()).then(|| BodyDigests::new(scan, outline, syntax));
    let mut replaced: Vec<(usize, String)> = Vec::new();
    let mut blocks = Vec::with_capacity(outline.cache_tags.len());
    for cached in &outline.cache_tags {
        let span = &scan.spans[cached.open];
        let digest = reach.as_ref().map_or(0, |reach| reach.digest_of(cached, name));
        let called = cached.head.options.name.as_ref().and_then(|name| literal_str(&scan.source[name.range.clone()]));
        blocks.push(CacheBlock { digest, line: span.line, name: called });
        let opening =
            lowering.opening(cached, digest).map_err(|error| error_in_span(scan, name, cached.open, &error))?;
        replaced.push((cached.open, opening));
        replaced.extend(cached.close.map(|index| (index, lowering.closing(index))));
    }
    let checks = |index| more.checks.get(&index).map_or(&[][..], Vec::as_slice);
    replaced.extend(more.foreign_text_marks.iter().map(|&index| (index, lowering.marked(index, checks(index)))));
    replaced.extend(more.probed);
    replaced.sort();

    let mut writer = SourceCopier { scan, outline, checks: &more.checks, out: String::new() };
    let mut replaced = replaced.into_iter().peekable();
    for (index, span) in scan.spans[..outline.understood].iter().enumerate() {
        let next = replaced.next_if(|(at, _)| *at == index);
        let ours_next = replaced.peek().is_some_and(|(at, _)| *at == index + 1);
        match next {
            Some((_, text)) => {
                check_junction(scan, index, syntax).map_err(|m| syntax_error(name, span.line, &m))?;
                writer.out.push_str(&text);
            }
            None => writer.copy(index, span, ours_next.then(|| &scan.spans[index + 1])),
        }
    }
    let rest = scan.spans[..outline.understood].last().map_or(0, |span| span.range.end);
    writer.out.push_str(&scan.source[rest..]);
    writer.out.push_str(scan.tail);
    Ok((writer.out, blocks))
}

/// A literal tag `<% … %>` becomes a block tag. Together with the text before it, the delimiter must not read as
/// another tag.
fn check_junction(scan: &Scan<'_>, index: usize, syntax: &SyntaxConfig) -> Result<(), String> {
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
    Err(format!("`{before}` right before `<%` would read as another tag; put a space between them"))
}

struct SourceCopier<'a, 's> {
    scan: &'a Scan<'s>,
    outline: &'a Outline<'s>,
    checks: &'a InsertsBySpan,
    out: String,
}

impl SourceCopier<'_, '_> {
    /// Copies a span; `next` is the following span if that is replaced.
    fn copy(&mut self, index: usize, span: &SourceSpan, next: Option<&SourceSpan>) {
        let source = self.scan.source;
        if let Some(checks) = self.checks.get(&index) {
            let mut from = span.range.start;
            for (at, check) in checks {
                self.out.push_str(&source[from..*at]);
                self.out.push_str(check);
                from = *at;
            }
            self.out.push_str(&source[from..span.range.end]);
            return;
        }
        let text = &source[span.range.clone()];
        let line_statement = next.is_some_and(|next| next.kind == SpanKind::LineStatement);
        if span.kind == SpanKind::Text && line_statement {
            self.out.push_str(before_line_statement(text));
            return;
        }
        let Some(load) = self.outline.load_in(&span.range).filter(|_| span.is_statement()) else {
            self.out.push_str(text);
            return;
        };
        self.out.push_str(&source[span.range.start..load.name.start]);
        self.out.push_str(&load.noted(source));
        self.out.push_str(&source[load.name.end..span.range.end]);
    }
}
