//! What templates that extend this one can reach of it.
//!
//! Owns two answers. The digest of the statements that stand outside of every block: a child's block sees what they bind,
//! and nothing else of the file. And for each block whether `super()` shows text in it that yet another template fills.

use crate::compile::analyze::keyword;
use crate::compile::digest::Digest;
use crate::compile::foreign::{Foreign, mentions_self};
use crate::compile::outline::{Outline, Section};
use crate::compile::refuse::calls_super;
use crate::compile::rewrite::Extends;
use crate::compile::scan::Scan;

/// A template as those that extend it see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Layout {
    /// What it extends itself.
    pub(crate) extends: Extends,
    /// A digest of the statements outside of its blocks.
    pub(crate) statements: u128,
    blocks: Vec<LayoutBlock>,
}

/// A block, as `super()` shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LayoutBlock {
    name: Box<str>,
    /// The line on which it shows what a template that extends this one can fill.
    pub(crate) filled: Option<usize>,
    pub(crate) calls_super: bool,
}

impl Layout {
    pub(crate) fn of(scan: &Scan<'_>, outline: &Outline<'_>) -> Layout {
        let statements = statements(scan, outline);
        let blocks = if outline.blocks.is_empty() { Vec::new() } else { blocks(scan, outline) };
        Layout { extends: outline.extends.clone(), statements, blocks }
    }

    /// A template that is not there.
    pub(crate) fn missing() -> Layout {
        Layout { extends: Extends::None, statements: 0, blocks: Vec::new() }
    }

    /// Its own block of a name.
    pub(crate) fn block(&self, name: &str) -> Option<&LayoutBlock> {
        self.blocks.iter().find(|block| &*block.name == name)
    }
}

fn blocks(scan: &Scan<'_>, outline: &Outline<'_>) -> Vec<LayoutBlock> {
    let foreign = Foreign::new(scan, outline);
    let carriers = foreign.of_blocks();
    let block = |block: &Section<'_>| {
        let body = block.open + 1..block.close;
        let shown = body.clone().find(|span| foreign.shows_block(*span)).map(|span| &scan.spans[span]);
        let carried = || foreign.carried_into(&body, outline.within[block.open], &carriers, |_| false);
        LayoutBlock {
            name: block.name.into(),
            filled: shown.or_else(|| carried().map(|(_, span)| span)).map(|span| span.line),
            calls_super: scan.spans[body.clone()].iter().any(|span| calls_super(scan.source, &span.tokens)),
        }
    };
    outline.blocks.iter().map(block).collect()
}

/// The statements outside of every block and macro, with the branches around them, and where the blocks stand among
/// them. An include shares what it sets with the blocks after it.
fn statements(scan: &Scan<'_>, outline: &Outline<'_>) -> u128 {
    let source = scan.source;
    let mut branches: Vec<u128> = Vec::with_capacity(outline.branches.len());
    for branch in &outline.branches {
        let mut digest = Digest::default();
        digest.number(branch.around.map_or(0, |around| branches[around]));
        digest.text(&source[scan.spans[branch.span].range.clone()]);
        branches.push(digest.finish());
    }
    let around = |branch: Option<usize>| branch.map_or(0, |branch| branches[branch]);
    let mut statements = outline.statements.iter().peekable();
    let mut includes: Vec<usize> = Vec::new();
    let mut digest = Digest::default();
    let mut end = 0;
    for (index, span) in scan.spans[..outline.understood].iter().enumerate() {
        while let Some(statement) = statements.next_if(|statement| statement.span == index) {
            let branch = statement.around(outline);
            if !statement.in_block && outline.owner(branch).is_none() {
                digest.number(around(branch));
                digest.text(&source[statement.range.clone()]);
            }
        }
        if index < end {
            continue;
        }
        let block = outline.blocks.get(outline.blocks.partition_point(|block| block.open < index));
        let opened = block.filter(|block| block.open == index);
        if opened.is_some() || mentions_self(source, &span.tokens).is_some() {
            for include in includes.drain(..) {
                digest.number(around(outline.within[include]));
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
