//! The pipeline: lowers the cache tags of a template to plain MiniJinja.
//!
//! Owns the order of the steps, which `compile/mod.rs` lists. `assemble` puts the text together.

use minijinja::Error;
use minijinja::syntax::SyntaxConfig;

use crate::compile::assemble::assemble;
use crate::compile::body_digest::BodyDigests;
use crate::compile::defer::defer_lookups;
use crate::compile::foreign::{shows_own_block, validate_foreign_text};
use crate::compile::key_flow::checks;
use crate::compile::layout::Layout;
use crate::compile::literal::literal_str;
use crate::compile::lower::Lowering;
use crate::compile::namespaces::validate_assignments;
use crate::compile::scan::{Scan, scan};
use crate::compile::structure::outline;
use crate::compile::template::{Branch, CacheBlock, Outline};
use crate::compile::validate::error_in_span;

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

impl LoweredTemplate {
    /// The digest, the line and the author's name of each cache block.
    pub(crate) fn block_sites(&self) -> impl DoubleEndedIterator<Item = (u128, usize, Option<&str>)> {
        self.blocks.iter().map(|block| (block.digest, block.line, block.name.as_deref()))
    }
}

/// Lowers a template for use: lazy values stay lazy, and cache tags are lowered.
///
/// # Errors
///
/// As [`rewrite`].
pub(crate) fn lower(source: &str, name: &str, syntax: &SyntaxConfig) -> Result<LoweredTemplate, Error> {
    let Some(text) = defer_lookups(source, syntax) else { return rewrite(source, name, syntax) };
    let mut lowered = rewrite(&text, name, syntax)?;
    lowered.text.get_or_insert(text);
    Ok(lowered)
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
    extra_edits: ExtraEdits,
) -> Result<LoweredTemplate, Error> {
    let scan = scan(source, syntax);
    let mut outline = outline(&scan, name)?;
    validate_foreign_text(&scan, &mut outline, name)?;
    validate_assignments(&scan, &mut outline, name)?;
    let guards = checks(&scan, &outline)
        .map_err(|(index, error)| error_in_span(scan.source, name, &scan.spans[index], &error))?;
    let layout = Layout::of(&scan, &outline);
    let lowering = Lowering { scan: &scan, syntax, parent: outline.extends.literal() };
    let mut replaced = extra_edits(&lowering, &outline, name);
    for index in foreign_text_tags(&scan, &outline) {
        let guards = guards.get(&index).map_or(&[][..], Vec::as_slice);
        replaced.push((index, lowering.marked(index, guards)));
    }
    if outline.cache_tags.is_empty() && outline.loads.is_empty() && replaced.is_empty() && guards.is_empty() {
        return Ok(LoweredTemplate { text: None, layout, blocks: Vec::new() });
    }
    let blocks = lower_cache_tags(&lowering, &outline, name, &mut replaced)?;
    let text = assemble(&lowering, &outline, &guards, replaced)
        .map_err(|(index, error)| error_in_span(scan.source, name, &scan.spans[index], &error))?;
    Ok(LoweredTemplate { text: Some(text), layout, blocks })
}

/// The opening tags of call blocks, and of macros that show a `{% block %}`. A test behind each of them tells the
/// runtime that foreign text begins.
fn foreign_text_tags(scan: &Scan<'_>, outline: &Outline<'_>) -> Vec<usize> {
    let mut shows = vec![false; outline.branches.len()];
    for (index, span) in scan.spans[..outline.understood].iter().enumerate() {
        if shows_own_block(scan.source, &span.tokens) {
            outline.owners(outline.branch_of[index]).flatten().for_each(|owner| shows[owner] = true);
        }
    }
    let is_foreign = |(branch, shows): &(&Branch<'_>, bool)| branch.word == "call" || *shows;
    outline.branches.iter().zip(shows).filter(is_foreign).map(|(branch, _)| branch.span).collect()
}

/// Adds the replacements of all cache tags to `replaced`.
fn lower_cache_tags(
    lowering: &Lowering<'_, '_>,
    outline: &Outline<'_>,
    name: &str,
    replaced: &mut Vec<(usize, String)>,
) -> Result<Vec<CacheBlock>, Error> {
    let mut blocks = Vec::with_capacity(outline.cache_tags.len());
    if outline.cache_tags.is_empty() {
        return Ok(blocks);
    }
    let &Lowering { scan, syntax, .. } = lowering;
    let digests = BodyDigests::new(scan, outline, syntax);
    for cached in &outline.cache_tags {
        let span = &scan.spans[cached.open];
        let digest = digests.digest_of(cached, name);
        let label = cached.head.options.name.as_ref().and_then(|name| literal_str(&scan.source[name.range.clone()]));
        blocks.push(CacheBlock { digest, line: span.line, name: label });
        let opening =
            lowering.opening(cached, digest).map_err(|error| error_in_span(scan.source, name, span, &error))?;
        replaced.push((cached.open, opening));
        replaced.extend(cached.close.map(|index| (index, lowering.closing(index))));
    }
    Ok(blocks)
}
