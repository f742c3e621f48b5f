//! What a template consists of, as far as caching cares: its cache tags, its statements, and what stands around them.
//!
//! Owns the model. `blocks` fills it, `foreign` judges it, `reach` and `layout` take digests of it.

use std::ops::Range;

use crate::compile::tag::CacheTagHead;
use crate::names::{NOTE_EXTENDS, NOTE_IMPORT};

/// A branch, by its place in [`Outline::branches`].
pub(super) type BranchId = usize;

/// What a template consists of.
#[derive(Debug)]
pub(super) struct Outline<'s> {
    pub(super) cached: Vec<CacheTag<'s>>,
    /// In source order.
    pub(super) statements: Vec<Statement<'s>>,
    /// In source order.
    pub(super) branches: Vec<Branch<'s>>,
    /// In source order.
    pub(super) blocks: Vec<TemplateBlock<'s>>,
    /// By span, the innermost branch around it.
    pub(super) within: Vec<Option<BranchId>>,
    pub(super) extends: Extends,
    /// The name expressions of `import`, `from` and `extends`, in source order.
    pub(super) loads: Vec<LoadTag>,
    /// How many spans were understood; MiniJinja rejects what follows.
    pub(super) understood: usize,
}

/// What a template extends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Extends {
    /// Nothing.
    None,
    /// Always the template of this name.
    Literal(String),
    /// A computed name, or a condition decides, or there are several.
    Dynamic,
}

/// A cache block, as reports call it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CacheBlock {
    /// The digest of its text, and of what that reaches.
    pub(crate) site: u128,
    pub(crate) line: usize,
    /// Its `name=`, where that is a literal.
    pub(crate) name: Option<String>,
}

/// A cache tag and what belongs to it.
#[derive(Debug)]
pub(super) struct CacheTag<'s> {
    /// Index of the opening span.
    pub(super) open: usize,
    /// Index of the closing span, unless the walk stopped before it.
    pub(super) close: Option<usize>,
    pub(super) head: CacheTagHead,
    /// The `{% block %}` around it.
    pub(super) block: Option<&'s str>,
    pub(super) calls_super: bool,
    /// The key or `vary` holds what `caller()` shows.
    pub(super) keyed_by_caller: bool,
}

/// A statement that a body can reach by a name it binds.
#[derive(Debug)]
pub(super) struct Statement<'s> {
    /// What changes the statement's meaning: a tag, or a block from tag to tag.
    pub(super) range: Range<usize>,
    /// Index of its first span.
    pub(super) span: usize,
    pub(super) binds: Vec<&'s str>,
    /// The branch that its names are looked up in: for a macro its own, else the one around it.
    pub(super) inside: Option<BranchId>,
    pub(super) in_block: bool,
}

/// A tag that decides whether, how often or with which values the text in it runs: `if`, `elif` and `else`, `for`,
/// `with`, `autoescape`, `macro` and `call`.
#[derive(Debug)]
pub(super) struct Branch<'s> {
    pub(super) word: &'s str,
    /// Index of its tag.
    pub(super) span: usize,
    /// The branch around it; for `elif` and `else` the one before it.
    pub(super) around: Option<BranchId>,
    /// The macro or call block in which its text runs, itself included: names set there are seen nowhere else.
    pub(super) owner: Option<BranchId>,
}

/// A `{% block %}`, by the indices of its tags.
#[derive(Debug)]
pub(super) struct TemplateBlock<'s> {
    pub(super) name: &'s str,
    pub(super) open: usize,
    pub(super) close: usize,
}

/// The name expression of a tag that loads a template.
#[derive(Debug)]
pub(super) struct LoadTag {
    pub(super) name: Range<usize>,
    pub(super) extends: bool,
}

impl LoadTag {
    /// The name, by way of the filter that notes what is loaded.
    pub(super) fn noted(&self, source: &str) -> String {
        format!("({})|{}", &source[self.name.clone()], if self.extends { NOTE_EXTENDS } else { NOTE_IMPORT })
    }
}

impl Outline<'_> {
    /// The macro or call block in which the text of `branch` runs.
    pub(super) fn owner(&self, branch: Option<BranchId>) -> Option<BranchId> {
        branch.and_then(|branch| self.branches[branch].owner)
    }

    /// The macros and call blocks around a place, innermost first, then the file.
    pub(super) fn owners(&self, branch: Option<BranchId>) -> impl Iterator<Item = Option<BranchId>> + '_ {
        let outer = |owner: &Option<BranchId>| owner.map(|owner| self.owner(self.branches[owner].around));
        std::iter::successors(Some(self.owner(branch)), outer)
    }

    /// The load whose name stands in `range`.
    pub(super) fn load_in(&self, range: &Range<usize>) -> Option<&LoadTag> {
        let at = self.loads.partition_point(|load| load.name.start < range.start);
        self.loads.get(at).filter(|load| load.name.end <= range.end)
    }
}

impl Statement<'_> {
    /// The branch around it.
    pub(super) fn around(&self, outline: &Outline<'_>) -> Option<BranchId> {
        match self.inside.map(|inside| &outline.branches[inside]) {
            Some(branch) if branch.span == self.span => branch.around,
            _ => self.inside,
        }
    }
}
