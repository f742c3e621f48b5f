//! A template as other templates see it.
//!
//! - A block of a template that extends this one sees the statements outside of this template's blocks, and nothing
//!   else of the file: `statements` is their digest.
//! - A template that is included sees everything that is bound at the include: `all_statements` is the digest of all
//!   statements.
//! - `super()` in a child shows a block of this template: each block says whether its text comes from yet another
//!   template.

use std::ops::Range;

use crate::compile::digest::Digest;
use crate::compile::foreign::{ForeignText, shows_own_block};
use crate::compile::scan::{Scan, SourceSpan};
use crate::compile::statement::{calls_super, keyword};
use crate::compile::template::{Branch, Extends, Outline, TemplateBlock};

/// A template as the templates that extend it, or that it includes, see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Layout {
    /// The parent of this template.
    extends: Extends,
    /// The digest of the statements outside of its blocks.
    statements: u128,
    /// The digest of all its statements, if it includes or extends another template and binds a name; then an included
    /// template can read these.
    all_statements: Option<u128>,
    blocks: Vec<LayoutBlock>,
}

/// A block, as `super()` shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LayoutBlock {
    name: Box<str>,
    /// The first line on which the block shows text that a child can replace.
    filled_line: Option<usize>,
    calls_super: bool,
}

impl Layout {
    pub(super) fn of(scan: &Scan<'_>, outline: &Outline<'_>) -> Layout {
        let branches = branches(scan, outline);
        let statements = statements(scan, outline, &branches);
        let all_statements = all_statements(scan, outline, &branches);
        let blocks = if outline.blocks.is_empty() { Vec::new() } else { blocks(scan, outline) };
        Layout { extends: outline.extends.clone(), statements, all_statements, blocks }
    }

    /// The layout of a template that does not exist.
    pub(crate) fn missing() -> Layout {
        Layout { extends: Extends::None, statements: 0, all_statements: None, blocks: Vec::new() }
    }

    pub(crate) fn extends(&self) -> &Extends {
        &self.extends
    }

    pub(crate) fn statements(&self) -> u128 {
        self.statements
    }

    pub(crate) fn all_statements(&self) -> Option<u128> {
        self.all_statements
    }

    /// The template's own block of this name.
    pub(crate) fn block(&self, name: &str) -> Option<&LayoutBlock> {
        self.blocks.iter().find(|block| &*block.name == name)
    }
}

impl LayoutBlock {
    pub(crate) fn filled_line(&self) -> Option<usize> {
        self.filled_line
    }

    pub(crate) fn calls_super(&self) -> bool {
        self.calls_super
    }
}

fn blocks(scan: &Scan<'_>, outline: &Outline<'_>) -> Vec<LayoutBlock> {
    let foreign = ForeignText::new(scan, outline);
    let tainted = foreign.tainted_by_blocks();
    let block = |block: &TemplateBlock<'_>| {
        let body = block.open + 1..block.close;
        let shown = body.clone().find(|span| foreign.shows_block(*span)).map(|span| &scan.spans[span]);
        let carried = || foreign.tainted_use_in(&body, outline.branch_of[block.open], &tainted, |_| false);
        LayoutBlock {
            name: block.name.into(),
            filled_line: shown.or_else(|| carried().map(|(_, span)| span)).map(|span| span.line),
            calls_super: scan.spans[body.clone()].iter().any(|span| calls_super(scan.source, &span.tokens)),
        }
    };
    outline.blocks.iter().map(block).collect()
}

/// The digest of each branch and of the branches around it.
fn branches(scan: &Scan<'_>, outline: &Outline<'_>) -> Vec<u128> {
    let mut branches: Vec<u128> = Vec::with_capacity(outline.branches.len());
    for branch in &outline.branches {
        let mut digest = Digest::default();
        digest.number(branch.parent.map_or(0, |parent| branches[parent]));
        digest.text(&scan.source[scan.spans[branch.span].range.clone()]);
        branches.push(digest.finish());
    }
    branches
}

/// The digest of all statements, includes and blocks in source order, each with the branches around it. `None` if no
/// name is bound, or if nothing is included or extended.
fn all_statements(scan: &Scan<'_>, outline: &Outline<'_>, branches: &[u128]) -> Option<u128> {
    let spans = &scan.spans[..outline.understood];
    let includes = |span: &SourceSpan| keyword(scan.source, span) == Some("include");
    let binds = |branch: &Branch<'_>| matches!(branch.word, "for" | "with");
    let is_included = spans.iter().any(includes) || outline.extends != Extends::None;
    if !is_included || outline.statements.is_empty() && !outline.branches.iter().any(binds) {
        return None;
    }
    let mut statements = outline.statements.iter().peekable();
    let mut digest = Digest::default();
    let mut add = |parent: Option<usize>, range: &Range<usize>| {
        digest.number(parent.map_or(0, |branch| branches[branch]));
        digest.text(&scan.source[range.clone()]);
    };
    for (index, span) in spans.iter().enumerate() {
        while let Some(statement) = statements.next_if(|statement| statement.span == index) {
            add(statement.parent(outline), &statement.range);
        }
        if matches!(keyword(scan.source, span), Some("include" | "block")) || shows_own_block(scan.source, &span.tokens)
        {
            add(outline.branch_of[index], &span.range);
        }
    }
    Some(digest.finish())
}

/// The digest of the statements outside of every block and macro, with the branches around them, and of the positions
/// of the blocks among them. An include before a block counts as a statement, since the block sees what the included
/// template sets.
fn statements(scan: &Scan<'_>, outline: &Outline<'_>, branches: &[u128]) -> u128 {
    let source = scan.source;
    let parent = |branch: Option<usize>| branch.map_or(0, |branch| branches[branch]);
    let mut statements = outline.statements.iter().peekable();
    let mut includes: Vec<usize> = Vec::new();
    let mut digest = Digest::default();
    let mut end = 0;
    for (index, span) in scan.spans[..outline.understood].iter().enumerate() {
        while let Some(statement) = statements.next_if(|statement| statement.span == index) {
            let branch = statement.parent(outline);
            if !statement.in_block && outline.owner(branch).is_none() {
                digest.number(parent(branch));
                digest.text(&source[statement.range.clone()]);
            }
        }
        if index < end {
            continue;
        }
        let block = outline.blocks.get(outline.blocks.partition_point(|block| block.open < index));
        let opened = block.filter(|block| block.open == index);
        if opened.is_some() || shows_own_block(source, &span.tokens) {
            for include in includes.drain(..) {
                digest.number(parent(outline.branch_of[include]));
                digest.text(&source[scan.spans[include].range.clone()]);
            }
            digest.text(opened.map_or("self", |block| block.name));
            end = opened.map_or(end, |block| block.close);
        } else if keyword(source, span) == Some("include") {
            includes.push(index);
        }
    }
    digest.finish()
}
