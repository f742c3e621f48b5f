//! Where an expression loses sight of an undefined value, so that a key made of it would be everybody's.
//!
//! The cache sees what is undefined in the value that it is given, at any depth. It cannot see what became a text
//! before: `'u_' ~ nme`, `nme|lower`, `['u', nme]|join`. Owns which operands are checked where that happens, and the
//! text that checks them. Which expressions go into keys is left to `lower` and `flow`.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::compile::expr::{ExprKind, Guard, GuardKind, ParsedExpr};
use crate::compile::literal::quote;
use crate::names::{DEFINED, GUARD_DEFINED, GUARD_ITEMS, GUARD_PART};

/// Longest stretch of source quoted in a lowered tag, in characters.
pub(super) const QUOTED: usize = 80;

/// What a filter does with an undefined value, and with one inside of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FilterEffect {
    /// Puts another one in its place.
    ReplacesUndefined,
    /// Loses it, but keeps those in a list.
    KeepsItems,
    /// Makes a text of the list and all in it.
    MakesText,
    /// Not known: an item of a list may be lost.
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

    /// Whether the result is a text, whatever the operand was.
    pub(super) fn makes_text(self) -> bool {
        self == FilterEffect::MakesText
    }
}

/// What becomes of the arguments of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ArgumentUse {
    /// The function knows what it is given.
    Unchecked,
    /// They are the result, if it is not another.
    MayBeResult,
    /// They are checked.
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

    /// Python's methods of strings that write what they are given.
    pub(super) fn by_method(name: &str) -> ArgumentUse {
        if matches!(name, "format" | "join" | "replace") {
            ArgumentUse::Checked(GuardKind::Items)
        } else {
            ArgumentUse::Unchecked
        }
    }
}

/// What is found in an expression while it is read.
#[derive(Debug, Default)]
pub(super) struct ExprFindings {
    pub(super) guards: Vec<Guard>,
    /// The names, with attributes, whose values reach the expression's value.
    pub(super) paths: Vec<Range<usize>>,
    /// Items of lists, tuples and maps that are seen in the value so far.
    items: Vec<Range<usize>>,
}

/// A place in what was found.
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

    /// Attributes follow the name that was read last.
    pub(super) fn lengthen_path(&mut self, end: usize) {
        if let Some(path) = self.paths.last_mut() {
            path.end = end;
        }
    }

    /// What was read since then names an argument.
    pub(super) fn forget(&mut self, since: FindingsMark) {
        self.paths.truncate(since.paths);
    }

    /// What was read since then is only tested: it decides, and is no part of the value.
    pub(super) fn tested(&mut self, since: FindingsMark) {
        self.replaced(since);
        self.paths.truncate(since.paths);
        self.items.truncate(since.items);
    }

    /// What was read since then is replaced if it is empty.
    pub(super) fn replaced(&mut self, since: FindingsMark) {
        if self.guards[since.guards..].iter().any(|guard| guard.lenient) {
            let kept = self.guards.split_off(since.guards);
            self.guards.extend(kept.into_iter().filter(|guard| !guard.lenient));
        }
    }

    /// An item of a list, tuple or map. Returns whether it was noted.
    pub(super) fn item(&mut self, node: &ParsedExpr) -> bool {
        let noted = may_be_undefined(&node.shape);
        if noted {
            self.items.push(node.range.clone());
        }
        noted
    }

    /// The brackets around the last item were no list's.
    pub(super) fn no_item(&mut self) {
        self.items.pop();
    }

    /// An operand of `~` or `+`.
    pub(super) fn operand(&mut self, node: &ParsedExpr, wanted: GuardKind, since: FindingsMark) {
        self.check(node, wanted, since, false);
    }

    /// What a filter or a slice is made of.
    pub(super) fn filtered(&mut self, node: &ParsedExpr, filter: FilterEffect, since: FindingsMark) {
        match filter {
            FilterEffect::ReplacesUndefined => {}
            FilterEffect::KeepsItems => self.check(node, GuardKind::Defined, since, true),
            FilterEffect::MakesText => self.check(node, GuardKind::Items, since, node.shape != ExprKind::List),
            FilterEffect::Other => {
                self.check(node, GuardKind::Defined, since, true);
                let items = self.items.split_off(since.items);
                let guard = |range| Guard { range, wanted: GuardKind::Defined, lenient: false };
                self.guards.extend(items.into_iter().map(guard));
            }
        }
    }

    /// An argument of a call.
    pub(super) fn argument(&mut self, node: &ParsedExpr, taken: ArgumentUse, since: FindingsMark) {
        match taken {
            ArgumentUse::MayBeResult => {}
            ArgumentUse::Unchecked => self.items.truncate(since.items),
            ArgumentUse::Checked(wanted) => self.check(node, wanted, since, false),
        }
    }

    fn check(&mut self, node: &ParsedExpr, wanted: GuardKind, since: FindingsMark, lenient: bool) {
        let holds = self.items.len() > since.items;
        if may_be_undefined(&node.shape) || (wanted != GuardKind::Defined && holds) {
            self.guards.push(Guard { range: node.range.clone(), wanted, lenient });
        }
        if wanted != GuardKind::Defined {
            self.items.truncate(since.items);
        }
    }
}

fn may_be_undefined(shape: &ExprKind) -> bool {
    match shape {
        ExprKind::Path | ExprKind::Optional | ExprKind::Other => true,
        ExprKind::Str | ExprKind::Number | ExprKind::Const | ExprKind::Chain(_) | ExprKind::List | ExprKind::Made => {
            false
        }
    }
}

/// What to insert where, so that the operands of `guards` are checked; sorted.
pub(super) fn inserts<'g>(source: &str, guards: impl IntoIterator<Item = &'g Guard>) -> Vec<(usize, String)> {
    let mut checked = BTreeMap::new();
    for Guard { range, wanted, .. } in guards {
        let strictest = checked.entry((range.start, range.end)).or_insert(*wanted);
        *strictest = (*strictest).max(*wanted);
    }
    // Sort keys: closing before opening at one place, inner closings first.
    let mut inserts = Vec::new();
    for ((start, end), wanted) in checked {
        let name = quote(&source[start..end], QUOTED);
        inserts.push((start, 1, 0, "((".to_owned()));
        inserts.push((end, 0, usize::MAX - start, format!(")|{DEFINED}({name}, {}))", wanted.number())));
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
