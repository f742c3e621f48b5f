//! Rejects cached bodies that assign an attribute of a namespace made outside of them: the assignment would happen on
//! misses only.
//!
//! This is an effect analysis over one file. Each assignment is followed through aliases and macro calls to the place
//! that made the namespace: in the body, before it, or in the caller of a macro. A cached body in between is rejected.

use std::collections::{HashMap, HashSet};

use minijinja::Error;

use crate::compile::calls::MacroCalls;
use crate::compile::lex::{TagToken, text_at};
use crate::compile::scan::{Scan, SourceSpan};
use crate::compile::statement::{assigned_attributes, bound_names, closing, is_set_block, keyword, split, values};
use crate::compile::steps::count_step;
use crate::compile::template::{Outline, Statement};
use crate::compile::validate::syntax_error;

/// Rejects assignments to namespaces made outside of a cached body. Adds the calls of macros that assign to the
/// outline's statements, since bodies depend on them.
pub(super) fn validate_assignments<'s>(scan: &Scan<'s>, outline: &mut Outline<'s>, name: &str) -> Result<(), Error> {
    let assigns = |span: &SourceSpan| {
        keyword(scan.source, span) == Some("set") && !assigned_attributes(scan.source, &span.tokens).is_empty()
    };
    if !scan.spans[..outline.understood].iter().any(assigns) {
        return Ok(());
    }
    let mut namespaces = NamespaceAnalysis::new(scan, outline);
    namespaces.follow_all();
    if let Some(rejected) = namespaces.rejected.into_iter().min_by_key(|rejected| rejected.span) {
        return Err(syntax_error(name, scan.spans[rejected.span].line, &rejected.message));
    }
    let statements = namespaces.assigned;
    outline.statements.extend(statements);
    outline.statements.sort_by_key(|statement| statement.range.start);
    Ok(())
}

/// Text with local names: a macro, a call block or a cached body.
struct Region<'s> {
    parent: Option<usize>,
    kind: RegionKind<'s>,
    /// The origins of the names that are bound in it.
    bound: HashMap<&'s str, Vec<ValueOrigin<'s>>, ahash::RandomState>,
}

enum RegionKind<'s> {
    File,
    Body,
    Macro { name: &'s str, parameters: Vec<&'s str> },
    CallBlock { parameters: Vec<&'s str> },
}

/// The names whose value this value may be; empty for a new value.
struct ValueOrigin<'s>(Vec<&'s str>);

/// The assignment or the call that a report is about.
#[derive(Clone, Copy)]
struct AssignmentCause<'s> {
    span: usize,
    called: Option<&'s str>,
}

struct RejectedAssignment {
    span: usize,
    message: String,
}

/// An assignment that each call of a macro makes.
#[derive(Clone, PartialEq, Eq, Hash)]
enum MacroEffect<'s> {
    /// To the argument of a parameter.
    Parameter(&'s str),
    /// To a namespace made in a region around the macro.
    Around { region: usize, name: &'s str },
}

struct NamespaceAnalysis<'a, 's> {
    scan: &'a Scan<'s>,
    regions: Vec<Region<'s>>,
    /// By span, the innermost region.
    region: Vec<usize>,
    calls: MacroCalls<'s>,
    /// Names whose assignments in a region were followed. Each further one leads to the same place.
    followed: HashSet<(&'s str, usize), ahash::RandomState>,
    known: HashSet<(usize, MacroEffect<'s>), ahash::RandomState>,
    pending: Vec<(usize, MacroEffect<'s>)>,
    rejected: Vec<RejectedAssignment>,
    assigned: Vec<Statement<'s>>,
}

const FILE: usize = 0;

impl<'a, 's> NamespaceAnalysis<'a, 's> {
    fn new(scan: &'a Scan<'s>, outline: &Outline<'s>) -> Self {
        let mut namespaces = NamespaceAnalysis {
            scan,
            regions: vec![Region { parent: None, kind: RegionKind::File, bound: HashMap::default() }],
            region: Vec::with_capacity(outline.understood),
            calls: MacroCalls::new(scan, outline),
            followed: HashSet::default(),
            known: HashSet::default(),
            pending: Vec::new(),
            rejected: Vec::new(),
            assigned: Vec::new(),
        };
        namespaces.find_regions(outline);
        namespaces
    }

    fn find_regions(&mut self, outline: &Outline<'s>) {
        let source = self.scan.source;
        let mut here = FILE;
        for span in &self.scan.spans[..outline.understood] {
            let word = keyword(source, span).unwrap_or_default();
            if matches!(word, "endmacro" | "endcall" | "endcache") {
                here = self.regions[here].parent.unwrap_or(FILE);
            }
            self.region.push(here);
            let names = bound_names(source, span);
            let kind = match word {
                "cache" => RegionKind::Body,
                "call" => RegionKind::CallBlock { parameters: names },
                "macro" => {
                    let name = names.first().copied().unwrap_or_default();
                    RegionKind::Macro { name, parameters: names.get(1..).unwrap_or_default().to_vec() }
                }
                _ => {
                    let origin = origin(source, span);
                    for name in names {
                        self.regions[here].bound.entry(name).or_default().push(ValueOrigin(origin.clone()));
                    }
                    continue;
                }
            };
            self.regions.push(Region { parent: Some(here), kind, bound: HashMap::default() });
            here = self.regions.len() - 1;
        }
    }

    fn follow_all(&mut self) {
        for index in 0..self.region.len() {
            let span = &self.scan.spans[index];
            if keyword(self.scan.source, span) == Some("set") {
                for name in assigned_attributes(self.scan.source, &span.tokens) {
                    self.follow(name, self.region[index], AssignmentCause { span: index, called: None });
                }
            }
        }
        while let Some((region, effect)) = self.pending.pop() {
            count_step();
            let RegionKind::Macro { name, .. } = self.regions[region].kind else { continue };
            for at in self.calls.of(name).to_vec() {
                self.call(at, region, &effect);
            }
        }
    }

    /// Follows an effect of a macro through one of its calls.
    fn call(&mut self, at: usize, of: usize, effect: &MacroEffect<'s>) {
        let call = &self.calls.all[at];
        let (span, branch, range) = (call.span, call.branch, call.range.clone());
        let from = self.region[span];
        let cause = AssignmentCause { span, called: Some(call.name) };
        let names = match effect {
            MacroEffect::Parameter(parameter) => {
                let names = self.argument_names(at, of, parameter);
                names.iter().for_each(|name| self.follow(name, from, cause));
                names
            }
            MacroEffect::Around { region, name } => {
                self.cross_regions(from, *region, name, cause);
                vec![*name]
            }
        };
        self.assigned.push(Statement { range, span, binds: names, inside: branch, in_block: false });
    }

    /// Follows an assignment to an attribute of `name` from a region outwards, to the region that made the namespace.
    fn follow(&mut self, name: &'s str, from: usize, cause: AssignmentCause<'s>) {
        let mut pending = vec![(name, from)];
        while let Some((name, from)) = pending.pop() {
            if !self.followed.insert((name, from)) {
                continue;
            }
            let mut region = from;
            while let Some(parent) = self.outer_region(name, region, &mut pending) {
                region = parent;
            }
            self.cross_regions(from, region, name, cause);
        }
    }

    /// The region around this one if `name` is read from there; `None` if this one made it. Other names that it may stand
    /// for here are added to `pending`.
    fn outer_region(&mut self, name: &'s str, region: usize, pending: &mut Vec<(&'s str, usize)>) -> Option<usize> {
        count_step();
        let here = &self.regions[region];
        let parent = here.parent;
        if let Some(origins) = here.bound.get(name) {
            let others = origins.iter().flat_map(|origin| &origin.0);
            pending.extend(others.filter(|other| **other != name).map(|other| (*other, region)));
            // `{% set n = n %}` in a body reads the name from outside.
            return parent.filter(|_| origins.iter().any(|origin| origin.0.contains(&name)));
        }
        match &here.kind {
            RegionKind::Macro { parameters, .. } if parameters.contains(&name) => {
                self.add_effect(region, MacroEffect::Parameter(name));
                None
            }
            RegionKind::CallBlock { parameters } if parameters.contains(&name) => None,
            _ => parent,
        }
    }

    /// Records an assignment that reaches from one region to an outer one: as an effect of every macro in between, and
    /// as an error for every cached body in between.
    fn cross_regions(&mut self, from: usize, to: usize, name: &'s str, cause: AssignmentCause<'s>) {
        let mut region = from;
        while region != to {
            count_step();
            match self.regions[region].kind {
                RegionKind::Body => {
                    self.rejected.push(RejectedAssignment { span: cause.span, message: message(name, cause.called) });
                }
                RegionKind::Macro { .. } => self.add_effect(region, MacroEffect::Around { region: to, name }),
                RegionKind::File | RegionKind::CallBlock { .. } => {}
            }
            let Some(parent) = self.regions[region].parent else { return };
            region = parent;
        }
    }

    fn add_effect(&mut self, region: usize, effect: MacroEffect<'s>) {
        if self.known.insert((region, effect.clone())) {
            self.pending.push((region, effect));
        }
    }

    /// The names that a call passes for a parameter of a macro.
    fn argument_names(&self, call: usize, of: usize, parameter: &str) -> Vec<&'s str> {
        let RegionKind::Macro { parameters, .. } = &self.regions[of].kind else { return Vec::new() };
        let position = parameters.iter().position(|known| *known == parameter);
        let source = self.scan.source;
        let call = &self.calls.all[call];
        let inside = |token: &&TagToken| call.arguments.start < token.start && token.end < call.arguments.end;
        let tokens: Vec<TagToken> = self.scan.spans[call.span].tokens.iter().filter(inside).copied().collect();
        let mut names = Vec::new();
        for (at, argument) in split(source, &tokens).into_iter().enumerate() {
            let text = |at| text_at(source, argument, at);
            let (value, fits) = match (text(0), text(1)) {
                ("*", _) => (argument, true),
                (name, "=") => (&argument[2..], name == parameter),
                _ => (argument, Some(at) == position),
            };
            if fits {
                names.extend(stands_for(source, value));
            }
        }
        names
    }
}

fn message(name: &str, called: Option<&str>) -> String {
    let outside =
        format!("`{name}` was made outside the cached body, so an attribute set inside would be set on misses only");
    match called {
        None => format!("{outside}; make the namespace inside the body or set it outside"),
        Some(called) => {
            format!("{outside}: `{called}` sets one; call it outside, or make the namespace inside the body")
        }
    }
}

/// The names whose value a tag may bind; empty if the value is new.
fn origin<'s>(source: &'s str, span: &SourceSpan) -> Vec<&'s str> {
    let tokens = &span.tokens[..];
    let after = |word: &str| {
        let at = tokens.iter().position(|token| token.text(source) == word);
        at.map_or(&[][..], |at| &tokens[at + 1..])
    };
    match keyword(source, span) {
        Some("set") if !is_set_block(source, tokens) => stands_for(source, after("=")),
        Some("for") => stands_for(source, after("in")).into_iter().filter(|name| *name != "recursive").collect(),
        Some("with") => split(source, tokens.get(1..).unwrap_or_default())
            .into_iter()
            .flat_map(|part| {
                let at = part.iter().position(|token| token.text(source) == "=").map_or(part.len(), |at| at + 1);
                stands_for(source, &part[at..])
            })
            .collect(),
        _ => Vec::new(),
    }
}

/// The names whose value an expression may have; empty if it makes a namespace.
fn stands_for<'s>(source: &'s str, tokens: &[TagToken]) -> Vec<&'s str> {
    let text = |at| text_at(source, tokens, at);
    let makes = text(0) == "namespace" && text(1) == "(";
    if makes && closing(source, &tokens[1..]) + 2 == tokens.len() { Vec::new() } else { values(source, tokens) }
}
