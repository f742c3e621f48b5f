//! The digest of each cached body and of everything that it depends on in its own file.
//!
//! A body depends on the statements that bind the names it mentions, on the branches around them, on the calls of the
//! macro that contains it, and on the dependencies of these. Names are resolved by name and macro, not by scope: a
//! dependency too many costs one render, a missing one would serve an outdated fragment.
//!
//! The dependencies are a graph. Its digests are computed together and each node once, so the work is linear in the
//! size of the file. The nodes of a cycle share one digest.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use minijinja::syntax::SyntaxConfig;

use crate::compile::calls::MacroCalls;
use crate::compile::components::{Edge, NodeId, strong_components};
use crate::compile::digest::{Digest, syntax_digest};
use crate::compile::lex::{TokenKind, text_at};
use crate::compile::scan::{Scan, SourceSpan, SpanKind};
use crate::compile::statement::keyword;
use crate::compile::steps::count_step;
use crate::compile::template::{BranchId, CacheTag, Outline, Statement};

/// The dependency graph of a file, with the digest of each node.
pub(super) struct BodyDigests<'a, 's> {
    scan: &'a Scan<'s>,
    outline: &'a Outline<'s>,
    names: BoundNames<'s>,
    /// By node: first the statements, then the branches, the calls and the names.
    digests: Vec<u128>,
    /// By node, whether a template is included there. An included template sees every statement.
    includes: Vec<bool>,
    /// The digest of all statements.
    everything: u128,
    syntax: u128,
}

/// The names that statements bind, each with the macro or call block that it is local to.
struct BoundNames<'s> {
    ids: HashMap<(Option<BranchId>, &'s str), usize, ahash::RandomState>,
    /// By name, the statements that bind it, in source order.
    bound: Vec<Vec<NodeId>>,
    /// The node of the first name.
    first: NodeId,
}

impl<'a, 's> BodyDigests<'a, 's> {
    pub(super) fn new(scan: &'a Scan<'s>, outline: &'a Outline<'s>, syntax: &SyntaxConfig) -> Self {
        let calls = MacroCalls::new(scan, outline);
        let first = outline.statements.len() + outline.branches.len() + calls.all.len();
        let names = BoundNames::new(outline, first);
        let syntax = syntax_digest(syntax);
        let (digests, includes) = (Vec::new(), Vec::new());
        let mut reach = BodyDigests { scan, outline, names, digests, includes, everything: 0, syntax };
        let nodes = reach.nodes(&calls);
        reach.compute_digests(&nodes);
        reach
    }

    /// A digest that changes with a cached body and with everything it depends on. Below 2^127.
    pub(super) fn digest_of(&self, cached: &CacheTag<'_>, template: &str) -> u128 {
        let open = &self.scan.spans[cached.open];
        let close = cached.close.map(|close| &self.scan.spans[close]);
        let body = open.range.end..close.map_or(self.scan.source.len(), |close| close.range.start);
        let parent = self.outline.branch_of[cached.open];
        let mut digest = Digest::default();
        digest.text(template);
        digest.text(cached.block.filter(|_| cached.calls_super).unwrap_or_default());
        digest.number(self.syntax);
        digest.number(edge(open.kind, open.closing));
        digest.number(close.map_or(0, |close| edge(close.kind, close.opening)));
        digest.text(&self.scan.source[body.clone()]);
        let mentions = self.mentions(&body, parent, open.range.start);
        // `super()` shows text of another template, which sees every statement.
        let mut everything = cached.calls_super || self.includes_in(&body);
        for edge in mentions.into_iter().chain(parent.map(|branch| self.to_branch(branch))) {
            digest.number(edge.before as u128);
            digest.number(self.digests[edge.to]);
            everything |= self.includes[edge.to];
        }
        if everything {
            let before = self.outline.statements.partition_point(|s| s.range.start < body.start);
            digest.number(before as u128);
            digest.number(self.everything);
        }
        digest.finish() >> 1
    }

    /// The text and the outgoing edges of every node.
    fn nodes(&self, calls: &MacroCalls<'s>) -> Vec<(&'s str, Vec<Edge>)> {
        let source = self.scan.source;
        let mut nodes = Vec::with_capacity(self.names.first + self.names.bound.len());
        for statement in &self.outline.statements {
            let mut edges = self.mentions(&statement.range, statement.inside, statement.range.start);
            edges.extend(statement.parent(self.outline).map(|branch| self.to_branch(branch)));
            nodes.push((&source[statement.range.clone()], edges));
        }
        for (id, branch) in self.outline.branches.iter().enumerate() {
            let span = &self.scan.spans[branch.span];
            let mut edges = self.mentions(&span.range, Some(id), span.range.start);
            edges.extend(branch.parent.map(|parent| self.to_branch(parent)));
            if branch.word == "macro" {
                let name = text_at(source, &span.tokens, 1);
                edges.extend(calls.of(name).iter().map(|&call| self.to_call(call)));
            }
            nodes.push((&source[span.range.clone()], edges));
        }
        for call in &calls.all {
            let mut edges = self.mentions(&call.arguments, call.branch, call.arguments.start);
            edges.extend(call.branch.map(|branch| self.to_branch(branch)));
            nodes.push((&source[call.arguments.clone()], edges));
        }
        for bound in &self.names.bound {
            nodes.push(("", bound.iter().map(|&to| Edge { to, before: 0 }).collect()));
        }
        nodes
    }

    fn compute_digests(&mut self, nodes: &[(&'s str, Vec<Edge>)]) {
        let (digests, includes) = (vec![0; nodes.len()], vec![false; nodes.len()]);
        (self.digests, self.includes) = (digests, includes);
        // By node, its component and its place in it.
        let mut places = vec![(usize::MAX, 0); nodes.len()];
        for (id, group) in strong_components(nodes, |(_, edges)| edges).into_iter().enumerate() {
            group.iter().enumerate().for_each(|(at, node)| places[*node] = (id, at));
            let mut digest = Digest::default();
            let mut includes = false;
            for &node in &group {
                let (text, edges) = &nodes[node];
                digest.text(text);
                includes |= self.statement(node).is_some_and(|statement| self.includes_in(&statement.range));
                for edge in edges {
                    count_step();
                    digest.number(edge.before as u128);
                    digest.number(match places[edge.to] {
                        (group, at) if group == id => at as u128,
                        _ => self.digests[edge.to],
                    });
                    includes |= self.includes[edge.to];
                }
            }
            let whole = digest.finish();
            for (at, &node) in group.iter().enumerate() {
                self.digests[node] = whole.wrapping_add(at as u128);
                self.includes[node] = includes;
            }
        }
        let mut everything = Digest::default();
        self.digests[..self.outline.statements.len()].iter().for_each(|digest| everything.number(*digest));
        self.everything = everything.finish();
    }

    fn statement(&self, node: NodeId) -> Option<&'a Statement<'s>> {
        self.outline.statements.get(node)
    }

    fn to_branch(&self, branch: BranchId) -> Edge {
        Edge { to: self.outline.statements.len() + branch, before: 0 }
    }

    fn to_call(&self, call: usize) -> Edge {
        Edge { to: self.outline.statements.len() + self.outline.branches.len() + call, before: 0 }
    }

    /// The edges for the names that `range` mentions. Names are resolved from inside the branch `inside`; statements
    /// count as earlier if they begin before `at`.
    fn mentions(&self, range: &Range<usize>, inside: Option<BranchId>, at: usize) -> Vec<Edge> {
        let mut edges = Vec::new();
        let mut known: HashSet<&str, ahash::RandomState> = HashSet::default();
        let tokens = self.spans_in(range).iter().flat_map(|span| &span.tokens);
        for token in tokens.filter(|t| t.kind == TokenKind::Word && range.start <= t.start && t.end <= range.end) {
            count_step();
            let name = token.text(self.scan.source);
            if !known.insert(name) {
                continue;
            }
            for owner in self.outline.owners(inside) {
                let Some(&id) = self.names.ids.get(&(owner, name)) else { continue };
                let begins = |statement: &NodeId| self.outline.statements[*statement].range.start;
                let before = self.names.bound[id].partition_point(|statement| begins(statement) < at);
                edges.push(Edge { to: self.names.first + id, before });
            }
        }
        edges
    }

    fn includes_in(&self, range: &Range<usize>) -> bool {
        self.spans_in(range).iter().any(|span| keyword(self.scan.source, span) == Some("include"))
    }

    /// The spans that overlap `range`.
    fn spans_in(&self, range: &Range<usize>) -> &'a [SourceSpan] {
        let spans = &self.scan.spans;
        let from = spans.partition_point(|span| span.range.end <= range.start);
        let to = spans.partition_point(|span| span.range.start < range.end);
        spans.get(from..to).unwrap_or(&[])
    }
}

impl<'s> BoundNames<'s> {
    fn new(outline: &Outline<'s>, first: NodeId) -> Self {
        let mut names = BoundNames { ids: HashMap::default(), bound: Vec::new(), first };
        for (node, statement) in outline.statements.iter().enumerate() {
            let owner = outline.owner(statement.parent(outline));
            for name in &statement.binds {
                let id = *names.ids.entry((owner, name)).or_insert(names.bound.len());
                if id == names.bound.len() {
                    names.bound.push(Vec::new());
                }
                names.bound[id].push(node);
            }
        }
        names
    }
}

/// How a tag trims the white space of the body beside it.
fn edge(kind: SpanKind, control: Option<char>) -> u128 {
    match kind {
        SpanKind::LineStatement => 1,
        _ => control.map_or(0, |control| control as u128),
    }
}
