//! Where an expression loses sight of an undefined value, so that a key made of it would be everybody's.
//!
//! The cache sees what is undefined in the value that it is given, at any depth. It cannot see what became a text
//! before: `'u_' ~ nme`, `nme|lower`, `['u', nme]|join`. Owns which operands are checked where that happens, and the
//! text that checks them. Which expressions go into keys is left to `lower` and `flow`.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::compile::expr::{Guard, Node, Shape, Wanted};
use crate::compile::literal::quote;
use crate::names::{DEFINED, WANT_DEFINED, WANT_ITEMS, WANT_PART};

/// Longest stretch of source quoted in a lowered tag, in characters.
pub(crate) const QUOTED: usize = 80;

/// What a filter does with an undefined value, and with one inside of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Filter {
    /// Puts another one in its place.
    Replaces,
    /// Loses it, but keeps those in a list.
    Keeps,
    /// Makes a text of the list and all in it.
    Writes,
    /// Not known: an item of a list may be lost.
    Other,
}

impl Filter {
    pub(crate) fn of(name: &str) -> Filter {
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
            "default" | "d" => Filter::Replaces,
            _ if KEEPS.contains(&name) => Filter::Keeps,
            _ if WRITES.contains(&name) => Filter::Writes,
            _ => Filter::Other,
        }
    }

    /// Whether the result is a text, whatever the operand was.
    pub(crate) fn makes_text(self) -> bool {
        self == Filter::Writes
    }
}

/// What becomes of the arguments of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Taken {
    /// The function knows what it is given.
    Free,
    /// They are the result, if it is not another.
    Kept,
    /// They are checked.
    Checked(Wanted),
}

impl Taken {
    pub(crate) fn by_filter(filter: Filter) -> Taken {
        match filter {
            Filter::Replaces => Taken::Kept,
            Filter::Writes => Taken::Checked(Wanted::Items),
            Filter::Keeps | Filter::Other => Taken::Checked(Wanted::Defined),
        }
    }

    /// Python's methods of strings that write what they are given.
    pub(crate) fn by_method(name: &str) -> Taken {
        if matches!(name, "format" | "join" | "replace") { Taken::Checked(Wanted::Items) } else { Taken::Free }
    }
}

/// What is found in an expression while it is read.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) guards: Vec<Guard>,
    /// The names, with attributes, whose values reach the expression's value.
    pub(crate) paths: Vec<Range<usize>>,
    /// Items of lists, tuples and maps that are seen in the value so far.
    items: Vec<Range<usize>>,
}

/// A place in what was found.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mark {
    guards: usize,
    paths: usize,
    items: usize,
}

impl Found {
    pub(crate) fn mark(&self) -> Mark {
        Mark { guards: self.guards.len(), paths: self.paths.len(), items: self.items.len() }
    }

    /// Attributes follow the name that was read last.
    pub(crate) fn lengthen_path(&mut self, end: usize) {
        if let Some(path) = self.paths.last_mut() {
            path.end = end;
        }
    }

    /// What was read since then names an argument.
    pub(crate) fn forget(&mut self, since: Mark) {
        self.paths.truncate(since.paths);
    }

    /// What was read since then is only tested: it decides, and is no part of the value.
    pub(crate) fn tested(&mut self, since: Mark) {
        self.replaced(since);
        self.paths.truncate(since.paths);
        self.items.truncate(since.items);
    }

    /// What was read since then is replaced if it is empty.
    pub(crate) fn replaced(&mut self, since: Mark) {
        if self.guards[since.guards..].iter().any(|guard| guard.lenient) {
            let kept = self.guards.split_off(since.guards);
            self.guards.extend(kept.into_iter().filter(|guard| !guard.lenient));
        }
    }

    /// An item of a list, tuple or map. Returns whether it was noted.
    pub(crate) fn item(&mut self, node: &Node) -> bool {
        let noted = may_be_undefined(&node.shape);
        if noted {
            self.items.push(node.range.clone());
        }
        noted
    }

    /// The brackets around the last item were no list's.
    pub(crate) fn no_item(&mut self) {
        self.items.pop();
    }

    /// An operand of `~` or `+`.
    pub(crate) fn operand(&mut self, node: &Node, wanted: Wanted, since: Mark) {
        self.check(node, wanted, since, false);
    }

    /// What a filter or a slice is made of.
    pub(crate) fn filtered(&mut self, node: &Node, filter: Filter, since: Mark) {
        match filter {
            Filter::Replaces => {}
            Filter::Keeps => self.check(node, Wanted::Defined, since, true),
            Filter::Writes => self.check(node, Wanted::Items, since, node.shape != Shape::List),
            Filter::Other => {
                self.check(node, Wanted::Defined, since, true);
                let items = self.items.split_off(since.items);
                let guard = |range| Guard { range, wanted: Wanted::Defined, lenient: false };
                self.guards.extend(items.into_iter().map(guard));
            }
        }
    }

    /// An argument of a call.
    pub(crate) fn argument(&mut self, node: &Node, taken: Taken, since: Mark) {
        match taken {
            Taken::Kept => {}
            Taken::Free => self.items.truncate(since.items),
            Taken::Checked(wanted) => self.check(node, wanted, since, false),
        }
    }

    fn check(&mut self, node: &Node, wanted: Wanted, since: Mark, lenient: bool) {
        let holds = self.items.len() > since.items;
        if may_be_undefined(&node.shape) || (wanted != Wanted::Defined && holds) {
            self.guards.push(Guard { range: node.range.clone(), wanted, lenient });
        }
        if wanted != Wanted::Defined {
            self.items.truncate(since.items);
        }
    }
}

fn may_be_undefined(shape: &Shape) -> bool {
    match shape {
        Shape::Path | Shape::Optional | Shape::Other => true,
        Shape::Str | Shape::Number | Shape::Const | Shape::Chain(_) | Shape::List | Shape::Made => false,
    }
}

/// What to insert where, so that the operands of `guards` are checked; sorted.
pub(crate) fn inserts<'g>(source: &str, guards: impl IntoIterator<Item = &'g Guard>) -> Vec<(usize, String)> {
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

impl Wanted {
    fn number(self) -> u32 {
        match self {
            Wanted::Defined => WANT_DEFINED,
            Wanted::Part => WANT_PART,
            Wanted::Items => WANT_ITEMS,
        }
    }
}
