//! Finds the operands of a key whose undefined value would be hidden, so that different requests would share a key.
//!
//! The cache rejects an undefined value anywhere inside a key. It cannot see one that became text before: `'u_' ~ nme`,
//! `nme|lower`, `['u', nme]|join`. This file decides which operands are guarded in such an expression and writes the
//! guards. `lower` and `key_flow` decide which expressions are part of a key.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::compile::expr::{ExprKind, Guard, GuardKind, ParsedExpr};
use crate::compile::literal::quote;
use crate::compile::names::{DEFINED, GUARD_DEFINED, GUARD_ITEMS, GUARD_PART};

/// Longest quotation of the source in a lowered tag, in characters.
pub(super) const QUOTED: usize = 80;

/// The effect of a filter on an undefined operand and on an undefined item of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FilterEffect {
    /// Replaces it by another value.
    ReplacesUndefined,
    /// Hides an undefined operand, but keeps the items of a list.
    KeepsItems,
    /// Turns the operand and all its items into text.
    MakesText,
    /// Unknown filter: it may also hide an item of a list.
    Other,
}

impl FilterEffect {
    pub(super) fn of(name: &str) -> FilterEffect {
        const KEEPS: [&str; 26] = [
            "abs",
            "attr",
            "batch",
            "bool",
            "chain",
            "count",
            "dictsort",
            "first",
            "float",
            "groupby",
            "int",
            "items",
            "last",
            "length",
            "list",
            "max",
            "min",
            "reject",
            "rejectattr",
            "reverse",
            "round",
            "select",
            "selectattr",
            "slice",
            "sort",
            "unique",
        ];
        const WRITES: [&str; 17] = [
            "capitalize",
            "e",
            "escape",
            "format",
            "indent",
            "join",
            "lower",
            "pprint",
            "replace",
            "safe",
            "split",
            "string",
            "title",
            "tojson",
            "trim",
            "upper",
            "urlencode",
        ];
        match name {
            "default" | "d" => FilterEffect::ReplacesUndefined,
            _ if KEEPS.contains(&name) => FilterEffect::KeepsItems,
            _ if WRITES.contains(&name) => FilterEffect::MakesText,
            _ => FilterEffect::Other,
        }
    }

    /// Whether the result is text, whatever the operand was.
    pub(super) fn makes_text(self) -> bool {
        self == FilterEffect::MakesText
    }
}

/// What happens to the arguments of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ArgumentUse {
    /// They are not guarded: the function sees undefined values itself.
    Unchecked,
    /// One of them may be the result.
    MayBeResult,
    /// They are guarded.
    Checked(GuardKind),
}

impl ArgumentUse {
    pub(super) fn by_filter(filter: FilterEffect) -> ArgumentUse {
        match filter {
            FilterEffect::ReplacesUndefined => ArgumentUse::MayBeResult,
            FilterEffect::MakesText => ArgumentUse::Checked(GuardKind::Items),
            FilterEffect::KeepsItems | FilterEffect::Other => ArgumentUse::Checked(GuardKind::Defined),
        }
    }

    /// For a method of strings: those that write their arguments into the text.
    pub(super) fn by_method(name: &str) -> ArgumentUse {
        if matches!(name, "format" | "join" | "replace") {
            ArgumentUse::Checked(GuardKind::Items)
        } else {
            ArgumentUse::Unchecked
        }
    }
}

/// Guards, paths and items found while an expression is parsed.
#[derive(Debug, Default)]
pub(super) struct ExprFindings {
    pub(super) guards: Vec<Guard>,
    /// The names, with attributes, whose values can become the expression's value.
    pub(super) paths: Vec<Range<usize>>,
    /// Items of lists, tuples and maps that are still visible in the value.
    items: Vec<Range<usize>>,
}

/// A position in the findings, to revise the later ones.
#[derive(Debug, Clone, Copy)]
pub(super) struct FindingsMark {
    guards: usize,
    paths: usize,
    items: usize,
}

impl ExprFindings {
    pub(super) fn mark(&self) -> FindingsMark {
        FindingsMark { guards: self.guards.len(), paths: self.paths.len(), items: self.items.len() }
    }

    /// Extends the last name by an attribute.
    pub(super) fn lengthen_path(&mut self, end: usize) {
        if let Some(path) = self.paths.last_mut() {
            path.end = end;
        }
    }

    /// The names since the mark are argument names, not values.
    pub(super) fn forget(&mut self, since: FindingsMark) {
        self.paths.truncate(since.paths);
    }

    /// The operand since the mark is only tested: its value does not reach the result.
    pub(super) fn tested(&mut self, since: FindingsMark) {
        self.replaced(since);
        self.paths.truncate(since.paths);
        self.items.truncate(since.items);
    }

    /// The operand since the mark has a fallback for an empty value.
    pub(super) fn replaced(&mut self, since: FindingsMark) {
        if self.guards[since.guards..].iter().any(|guard| guard.lenient) {
            let kept = self.guards.split_off(since.guards);
            self.guards.extend(kept.into_iter().filter(|guard| !guard.lenient));
        }
    }

    /// Adds an item of a list, tuple or map. Returns whether it was recorded.
    pub(super) fn item(&mut self, node: &ParsedExpr) -> bool {
        let noted = may_be_undefined(&node.kind);
        if noted {
            self.items.push(node.range.clone());
        }
        noted
    }

    /// Removes the last item: its brackets were parentheses, not a list.
    pub(super) fn no_item(&mut self) {
        self.items.pop();
    }

    /// Adds an operand of `~` or `+`.
    pub(super) fn operand(&mut self, node: &ParsedExpr, kind: GuardKind, since: FindingsMark) {
        self.check(node, kind, since, false);
    }

    /// Adds the operand of a filter or a slice.
    pub(super) fn filtered(&mut self, node: &ParsedExpr, filter: FilterEffect, since: FindingsMark) {
        match filter {
            FilterEffect::ReplacesUndefined => {}
            FilterEffect::KeepsItems => self.check(node, GuardKind::Defined, since, true),
            FilterEffect::MakesText => self.check(node, GuardKind::Items, since, node.kind != ExprKind::List),
            FilterEffect::Other => {
                self.check(node, GuardKind::Defined, since, true);
                let items = self.items.split_off(since.items);
                let guard = |range| Guard { range, kind: GuardKind::Defined, lenient: false };
                self.guards.extend(items.into_iter().map(guard));
            }
        }
    }

    /// Adds an argument of a call.
    pub(super) fn argument(&mut self, node: &ParsedExpr, taken: ArgumentUse, since: FindingsMark) {
        match taken {
            ArgumentUse::MayBeResult => {}
            ArgumentUse::Unchecked => self.items.truncate(since.items),
            ArgumentUse::Checked(kind) => self.check(node, kind, since, false),
        }
    }

    fn check(&mut self, node: &ParsedExpr, kind: GuardKind, since: FindingsMark, lenient: bool) {
        let holds = self.items.len() > since.items;
        if may_be_undefined(&node.kind) || (kind != GuardKind::Defined && holds) {
            self.guards.push(Guard { range: node.range.clone(), kind, lenient });
        }
        if kind != GuardKind::Defined {
            self.items.truncate(since.items);
        }
    }
}

fn may_be_undefined(kind: &ExprKind) -> bool {
    match kind {
        ExprKind::Path | ExprKind::Optional | ExprKind::Other => true,
        ExprKind::Str | ExprKind::Number | ExprKind::Const | ExprKind::Chain(_) | ExprKind::List | ExprKind::Made => {
            false
        }
    }
}

/// The text to insert for `guards`, ordered by position.
pub(super) fn inserts<'g>(source: &str, guards: impl IntoIterator<Item = &'g Guard>) -> Vec<(usize, String)> {
    let mut checked = BTreeMap::new();
    for Guard { range, kind, .. } in guards {
        let strictest = checked.entry((range.start, range.end)).or_insert(*kind);
        *strictest = (*strictest).max(*kind);
    }
    // Sort keys: at one position closing before opening text, and inner closing text first.
    let mut inserts = Vec::new();
    for ((start, end), kind) in checked {
        let name = quote(&source[start..end], QUOTED);
        inserts.push((start, 1, 0, "((".to_owned()));
        inserts.push((end, 0, usize::MAX - start, format!(")|{DEFINED}({name}, {}))", kind.number())));
    }
    inserts.sort();
    inserts.into_iter().map(|(at, _, _, text)| (at, text)).collect()
}

impl GuardKind {
    fn number(self) -> u32 {
        match self {
            GuardKind::Defined => GUARD_DEFINED,
            GuardKind::Part => GUARD_PART,
            GuardKind::Items => GUARD_ITEMS,
        }
    }
}
