//! The bindings of a template and the scope in which each is visible.
//!
//! Follows MiniJinja's scopes: loops, `with`, macros, call blocks, blocks and cached bodies are scopes of their own. A
//! branch of a condition does not see the bindings of the other branches.

use std::collections::HashMap;
use std::ops::Range;

use crate::compile::lex::TagToken;
use crate::compile::scan::SourceSpan;
use crate::compile::statement::{bound_names, is_set_block, keyword, opens_block, split, words};

/// A position in the order of evaluation: the span, and the binding within it.
pub(super) type EvalPosition = (usize, usize);

/// A name's binding.
#[derive(Debug, Clone)]
pub(super) struct ScopedBinding<'s> {
    pub(super) order: EvalPosition,
    pub(super) bound: BindingValue<'s>,
    scope: usize,
}

#[derive(Debug, Clone)]
pub(super) enum BindingValue<'s> {
    /// The expressions that begin at this token of the span.
    Value(usize),
    /// The output of these spans.
    Text(Range<usize>),
    /// An argument of the macro `of`.
    Parameter { of: &'s str, place: usize, name: &'s str },
}

/// A scope: one branch of an open statement. The first is the template itself.
#[derive(Debug)]
struct NameScope {
    parent: usize,
    /// The span that opens the statement.
    open: usize,
    isolates: bool,
}

/// All bindings of a template.
#[derive(Debug)]
pub(super) struct ScopedBindings<'s> {
    scopes: Vec<NameScope>,
    /// The scope of each span. An opening tag is in the scope that it opens, except for a cache tag.
    of_spans: Vec<usize>,
    bindings: Vec<ScopedBinding<'s>>,
    /// In source order.
    by_name: HashMap<&'s str, Vec<usize>>,
    /// Bindings of attributes, by the name before the first dot.
    attributes: HashMap<&'s str, Vec<(String, usize)>>,
    /// By name and scope, how many bindings earlier look-ups have examined.
    searched: HashMap<(&'s str, usize), usize>,
}

const ISOLATING: [&str; 6] = ["block", "cache", "call", "for", "macro", "with"];

impl<'s> ScopedBindings<'s> {
    pub(super) fn of(source: &'s str, spans: &[SourceSpan]) -> ScopedBindings<'s> {
        let mut bindings = ScopedBindings {
            scopes: vec![NameScope { parent: 0, open: usize::MAX, isolates: true }],
            of_spans: Vec::with_capacity(spans.len()),
            bindings: Vec::new(),
            by_name: HashMap::new(),
            attributes: HashMap::new(),
            searched: HashMap::new(),
        };
        let mut open: Vec<(&str, usize)> = Vec::new();
        let mut scope = 0;
        for (index, span) in spans.iter().enumerate() {
            let word = keyword(source, span).unwrap_or("");
            let outer = scope;
            if opens_block(source, span).is_some() {
                open.push((word, index));
                scope = bindings.enter(scope, index, ISOLATING.contains(&word));
            } else if matches!(word, "else" | "elif") && scope != 0 {
                let &NameScope { parent, open, isolates } = &bindings.scopes[scope];
                scope = bindings.enter(parent, open, isolates);
            }
            // The head of a cache tag is outside of its body.
            bindings.of_spans.push(if word == "cache" { outer } else { scope });
            bindings.statement(source, span, index);
            if let Some((_, start)) = open.pop_if(|(opener, _)| word.strip_prefix("end") == Some(*opener)) {
                scope = bindings.scopes[scope].parent;
                if word == "endset" {
                    bindings.bind_text(source, &spans[start], start + 1..index);
                }
            }
        }
        bindings
    }

    pub(super) fn get(&self, id: usize) -> &ScopedBinding<'s> {
        &self.bindings[id]
    }

    /// The bindings that a name with attributes may have at a use. Bindings that an earlier look-up from the same scope
    /// returned are left out.
    pub(super) fn of_path(&mut self, path: &'s str, at: EvalPosition) -> Vec<usize> {
        let name = path.split('.').next().unwrap_or(path).trim_end();
        // An assignment to a namespace is visible wherever the namespace was passed.
        let attributes = self.attributes.get(name).into_iter().flatten();
        let mut found: Vec<usize> =
            attributes.filter(|(target, _)| overlaps(target, path)).map(|(_, binding)| *binding).collect();
        let scope = self.of_spans[at.0];
        let named = self.by_name.get(name).map_or(&[][..], |named| named);
        let earlier = named.partition_point(|id| self.bindings[*id].order < at);
        let searched = self.searched.get(&(name, scope)).copied().unwrap_or(0);
        let from = if searched <= earlier { searched } else { 0 };
        for id in named[from..earlier].iter().rev() {
            let binding = &self.bindings[*id];
            if self.sees(scope, binding.scope) {
                found.push(*id);
                // A binding hides earlier ones of the name. A parameter does not hide its default.
                let parameter = matches!(binding.bound, BindingValue::Parameter { .. });
                if !parameter && self.encloses(binding.scope, scope) {
                    break;
                }
            }
        }
        self.searched.insert((name, scope), searched.max(earlier));
        found
    }

    fn enter(&mut self, parent: usize, open: usize, isolates: bool) -> usize {
        self.scopes.push(NameScope { parent, open, isolates });
        self.scopes.len() - 1
    }

    fn statement(&mut self, source: &'s str, span: &SourceSpan, index: usize) {
        let tokens = &span.tokens;
        let after = |word: &str| tokens.iter().position(|token| token.text(source) == word).map(|at| at + 1);
        match keyword(source, span) {
            Some("set") => {
                let Some(value) = after("=").filter(|_| !is_set_block(source, tokens)) else { return };
                let target = &tokens[1..value - 1];
                if target.iter().any(|token| token.text(source) == ".") {
                    let attribute: String = target.iter().map(|token| token.text(source)).collect();
                    let targets = self.attributes.entry(target[0].text(source)).or_default();
                    targets.push((attribute, self.bindings.len()));
                    let scope = self.of_spans[index];
                    self.bindings.push(ScopedBinding { order: (index, 1), bound: BindingValue::Value(value), scope });
                } else {
                    let names = bound_names(source, span).into_iter();
                    names.for_each(|name| self.bind(name, (index, 1), BindingValue::Value(value)));
                }
            }
            Some("for") => {
                let Some(value) = after("in") else { return };
                let names = bound_names(source, span).into_iter();
                names.for_each(|name| self.bind(name, (index, 1), BindingValue::Value(value)));
            }
            Some("with") => self.assignments(source, tokens, 1, index),
            Some("macro") => {
                self.assignments(source, tokens, 3, index);
                let names = bound_names(source, span);
                let Some((of, parameters)) = names.split_first() else { return };
                for (place, name) in parameters.iter().enumerate() {
                    self.bind(name, (index, usize::MAX), BindingValue::Parameter { of, place, name });
                }
            }
            _ => {}
        }
    }

    /// Binds the names of `a=1, b=2`, from the token `from` on.
    fn assignments(&mut self, source: &'s str, tokens: &[TagToken], from: usize, index: usize) {
        let mut start = from;
        for part in split(source, tokens.get(from..).unwrap_or_default()) {
            if let Some(at) = part.iter().position(|token| token.text(source) == "=") {
                for name in words(source, &part[..at]) {
                    self.bind(name, (index, start + at), BindingValue::Value(start + at + 1));
                }
            }
            start += part.len() + 1;
        }
    }

    fn bind_text(&mut self, source: &'s str, opening: &SourceSpan, body: Range<usize>) {
        let order = (body.end, 1);
        for name in bound_names(source, opening) {
            self.bind(name, order, BindingValue::Text(body.clone()));
        }
    }

    fn bind(&mut self, name: &'s str, order: EvalPosition, bound: BindingValue<'s>) {
        // A `set` block binds its names at its end and outside of itself.
        let scope = match &bound {
            BindingValue::Text(body) => self.scopes[self.of_spans[body.end]].parent,
            BindingValue::Value(_) | BindingValue::Parameter { .. } => self.of_spans[order.0],
        };
        self.by_name.entry(name).or_default().push(self.bindings.len());
        self.bindings.push(ScopedBinding { order, bound, scope });
    }

    /// Whether a use in one scope sees an earlier binding in another.
    fn sees(&self, from: usize, mut bound: usize) -> bool {
        while bound != 0 && !self.encloses(bound, from) {
            let scope = &self.scopes[bound];
            if scope.isolates || self.is_inside(from, scope.open) {
                return false;
            }
            bound = scope.parent;
        }
        true
    }

    /// Whether a scope is another one or encloses it.
    fn encloses(&self, outer: usize, mut scope: usize) -> bool {
        while scope != outer && scope != 0 {
            scope = self.scopes[scope].parent;
        }
        scope == outer
    }

    /// Whether a scope is in any branch of the statement that a span opens.
    fn is_inside(&self, mut scope: usize, open: usize) -> bool {
        while scope != 0 && self.scopes[scope].open != open {
            scope = self.scopes[scope].parent;
        }
        scope != 0
    }
}

/// Whether one of two paths equals the other or is inside of it.
fn overlaps(a: &str, b: &str) -> bool {
    let (short, long) = if a.len() < b.len() { (a, b) } else { (b, a) };
    long.strip_prefix(short).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}
