//! The model of a template: its cache tags, its statements, and the branches around them.
//!
//! `structure` fills it, `foreign` and `namespaces` validate it, `body_digest` and `layout` take digests of it.

use std::ops::Range;

use crate::compile::names::{NOTE_EXTENDS, NOTE_IMPORT};
use crate::compile::tag::CacheTagHead;

/// A branch, as an index into [`Outline::branches`].
pub(super) type BranchId = usize;

/// The outline of a template.
#[derive(Debug)]
pub(super) struct Outline<'s> {
    pub(super) cache_tags: Vec<CacheTag<'s>>,
    /// In source order.
    pub(super) statements: Vec<Statement<'s>>,
    /// In source order.
    pub(super) branches: Vec<Branch<'s>>,
    /// In source order.
    pub(super) blocks: Vec<TemplateBlock<'s>>,
    /// By span, the innermost branch around it.
    pub(super) branch_of: Vec<Option<BranchId>>,
    pub(super) extends: Extends,
    /// The name expressions of `import`, `from` and `extends`, in source order.
    pub(super) loads: Vec<LoadTag>,
    /// The number of spans that were understood. MiniJinja rejects the template after them.
    pub(super) understood: usize,
}

/// The parent of a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Extends {
    /// It extends no template.
    None,
    /// It always extends the template of this name.
    Literal(String),
    /// The name is computed, the `extends` is conditional, or there are several.
    Dynamic,
}

impl Extends {
    /// The name of the parent, if it is known.
    pub(super) fn literal(&self) -> Option<&str> {
        match self {
            Extends::Literal(name) => Some(name),
            Extends::None | Extends::Dynamic => None,
        }
    }
}

/// A cache block, for reports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CacheBlock {
    /// The digest of the body and of everything it depends on in the file.
    pub(crate) digest: u128,
    pub(crate) line: usize,
    /// The value of `name=`, if that is a literal.
    pub(crate) name: Option<String>,
}

/// A cache tag and its body.
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
    /// The key or `vary` contains `caller()`.
    pub(super) keyed_by_caller: bool,
}

/// A statement that cached bodies depend on through the names it binds.
#[derive(Debug)]
pub(super) struct Statement<'s> {
    /// The text that determines its meaning: a tag, or an opening tag up to its closing tag.
    pub(super) range: Range<usize>,
    /// Index of its first span.
    pub(super) span: usize,
    pub(super) binds: Vec<&'s str>,
    /// The branch that its names are looked up in: for a macro its own, else the one around it.
    pub(super) inside: Option<BranchId>,
    pub(super) in_block: bool,
}

/// A tag that decides whether, how often or with which values its text runs: `if`, `elif`, `else`, `for`, `with`,
/// `autoescape`, `macro` and `call`.
#[derive(Debug)]
pub(super) struct Branch<'s> {
    pub(super) word: &'s str,
    /// Index of its tag.
    pub(super) span: usize,
    /// The branch around it; for `elif` and `else` the previous branch of the same statement.
    pub(super) parent: Option<BranchId>,
    /// The innermost macro or call block around its text, or itself. Names set there are local to it.
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
    pub(super) is_extends: bool,
}

impl LoadTag {
    /// The name, passed through the filter that records the template.
    pub(super) fn noted(&self, source: &str) -> String {
        format!("({})|{}", &source[self.name.clone()], if self.is_extends { NOTE_EXTENDS } else { NOTE_IMPORT })
    }
}

impl Outline<'_> {
    /// The macro or call block in which the text of `branch` runs.
    pub(super) fn owner(&self, branch: Option<BranchId>) -> Option<BranchId> {
        branch.and_then(|branch| self.branches[branch].owner)
    }

    /// The macros and call blocks around a branch, innermost first, then `None` for the file.
    pub(super) fn owners(&self, branch: Option<BranchId>) -> impl Iterator<Item = Option<BranchId>> + '_ {
        let outer = |owner: &Option<BranchId>| owner.map(|owner| self.owner(self.branches[owner].parent));
        std::iter::successors(Some(self.owner(branch)), outer)
    }

    /// The name expression within `range`.
    pub(super) fn load_in(&self, range: &Range<usize>) -> Option<&LoadTag> {
        let at = self.loads.partition_point(|load| load.name.start < range.start);
        self.loads.get(at).filter(|load| load.name.end <= range.end)
    }
}

impl Statement<'_> {
    /// The branch around it.
    pub(super) fn parent(&self, outline: &Outline<'_>) -> Option<BranchId> {
        match self.inside.map(|inside| &outline.branches[inside]) {
            Some(branch) if branch.span == self.span => branch.parent,
            _ => self.inside,
        }
    }
}
