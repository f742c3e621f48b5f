//! Finds the calls of a file's own macros.
//!
//! A macro is called by its name or by a name that a `set` gives to it. `statement` finds calls of any function in one
//! tag.

use std::collections::HashMap;
use std::ops::Range;

use crate::compile::lex::text_at;
use crate::compile::scan::Scan;
use crate::compile::statement::{called, closing, keyword};
use crate::compile::template::{BranchId, Outline};

/// A call of a macro of the same file.
#[derive(Debug)]
pub(super) struct MacroCall<'s> {
    /// The name of the macro's declaration, even if the call uses an alias (`{% set m = macro %}`).
    pub(super) name: &'s str,
    /// The name and the arguments.
    pub(super) range: Range<usize>,
    /// The arguments with their brackets.
    pub(super) arguments: Range<usize>,
    /// Index of the span that contains the call.
    pub(super) span: usize,
    /// The innermost branch around the call.
    pub(super) branch: Option<BranchId>,
}

/// All calls of the file's macros.
pub(super) struct MacroCalls<'s> {
    /// In source order.
    pub(super) all: Vec<MacroCall<'s>>,
    by_macro: HashMap<&'s str, Vec<usize>, ahash::RandomState>,
}

impl<'s> MacroCalls<'s> {
    pub(super) fn new(scan: &Scan<'s>, outline: &Outline<'s>) -> Self {
        let all = macro_calls(scan, outline);
        let mut by_macro: HashMap<&str, Vec<usize>, ahash::RandomState> = HashMap::default();
        all.iter().enumerate().for_each(|(at, call)| by_macro.entry(call.name).or_default().push(at));
        MacroCalls { all, by_macro }
    }

    /// The calls of one macro, as indices into `all`.
    pub(super) fn of(&self, name: &str) -> &[usize] {
        self.by_macro.get(name).map_or(&[], Vec::as_slice)
    }
}

fn macro_calls<'s>(scan: &Scan<'s>, outline: &Outline<'s>) -> Vec<MacroCall<'s>> {
    let source = scan.source;
    let names = macro_names(scan, outline);
    let mut macro_calls = Vec::new();
    if names.is_empty() {
        return macro_calls;
    }
    for (index, span) in scan.spans[..outline.understood].iter().enumerate() {
        let tokens = &span.tokens;
        for (at, name) in called(source, span) {
            let Some(&name) = names.get(name) else { continue };
            let end = closing(source, &tokens[at + 1..]);
            let arguments = tokens[at + 1].start..tokens[(at + 1 + end).min(tokens.len() - 1)].end;
            let range = tokens[at].start..arguments.end;
            macro_calls.push(MacroCall { name, range, arguments, span: index, branch: outline.branch_of[index] });
        }
    }
    macro_calls
}

/// The macros by name and by the aliases that a `set` gives to them.
fn macro_names<'s>(scan: &Scan<'s>, outline: &Outline<'s>) -> HashMap<&'s str, &'s str, ahash::RandomState> {
    let mut names = HashMap::default();
    for statement in &outline.statements {
        let span = &scan.spans[statement.span];
        let text = |at| text_at(scan.source, &span.tokens, at);
        match keyword(scan.source, span) {
            Some("macro") => drop(names.insert(text(1), text(1))),
            Some("set") if span.tokens.len() == 4 => {
                if let Some(&known) = names.get(text(3)) {
                    names.insert(text(1), known);
                }
            }
            _ => {}
        }
    }
    names
}
