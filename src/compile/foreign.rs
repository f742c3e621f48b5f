//! Rejects cached bodies that would show text of another template or caller on the wrong page.
//!
//! Foreign text is text that another template or a caller supplies: `caller()`, `self.name()`, `super()` and
//! `{% block %}`. A name that is bound to foreign text is tainted: by a `set`, a `with`, a loop, or a macro that shows
//! it. This file follows tainted names through one template and rejects a body that mentions one.
//!
//! Other cases are rejected at render: through the marks that `lower` writes for call blocks and for the macros found
//! here, and by the chain of parents (`layout.rs`).

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use minijinja::Error;

use crate::compile::lex::{TagToken, text_at};
use crate::compile::scan::{Scan, SourceSpan};
use crate::compile::statement::{bound_names, calls_super, closing, keyword, variables};
use crate::compile::steps::count_step;
use crate::compile::tag::CacheTagHead;
use crate::compile::template::{BranchId, CacheTag, Extends, Outline};
use crate::compile::validate::syntax_error;

/// Tainted names, each with the macro or call block that it is local to.
pub(super) type TaintedNames<'s> = HashSet<(Option<BranchId>, &'s str), ahash::RandomState>;

/// The bindings of a file and the names that each of them mentions.
pub(super) struct ForeignText<'a, 's> {
    scan: &'a Scan<'s>,
    outline: &'a Outline<'s>,
    bindings: Vec<NameBinding<'s>>,
    /// By name, the bindings that mention it.
    mentioned: HashMap<&'s str, Vec<usize>, ahash::RandomState>,
}

/// A statement, a `with` or a loop that binds names.
struct NameBinding<'s> {
    names: Vec<&'s str>,
    owner: Option<BranchId>,
    spans: Range<usize>,
    is_macro: bool,
}

impl<'a, 's> ForeignText<'a, 's> {
    pub(super) fn new(scan: &'a Scan<'s>, outline: &'a Outline<'s>) -> Self {
        let mut foreign = ForeignText { scan, outline, bindings: Vec::new(), mentioned: HashMap::default() };
        for statement in &outline.statements {
            let end = scan.spans.partition_point(|span| span.range.start < statement.range.end);
            let is_macro = keyword(scan.source, &scan.spans[statement.span]) == Some("macro");
            let owner = outline.owner(statement.parent(outline));
            foreign.bind(NameBinding { names: statement.binds.clone(), owner, spans: statement.span..end, is_macro });
        }
        for branch in outline.branches.iter().filter(|branch| matches!(branch.word, "with" | "for")) {
            let names = bound_names(scan.source, &scan.spans[branch.span]);
            let spans = branch.span..branch.span + 1;
            foreign.bind(NameBinding { names, owner: branch.owner, spans, is_macro: false });
        }
        foreign
    }

    fn bind(&mut self, binding: NameBinding<'s>) {
        for span in &self.scan.spans[binding.spans.clone()] {
            for (_, name) in variables(self.scan.source, &span.tokens) {
                count_step();
                let mentioned = self.mentioned.entry(name).or_default();
                if mentioned.last() != Some(&self.bindings.len()) {
                    mentioned.push(self.bindings.len());
                }
            }
        }
        self.bindings.push(binding);
    }

    /// The names tainted by the spans for which `is_source` is true.
    fn tainted_names(&self, is_source: impl Fn(&NameBinding<'s>, usize) -> bool) -> TaintedNames<'s> {
        let mut tainted_names = TaintedNames::default();
        let carries = |binding: &&NameBinding<'s>| binding.spans.clone().any(|span| is_source(binding, span));
        let mut pending: Vec<&NameBinding<'s>> = self.bindings.iter().filter(carries).collect();
        while let Some(binding) = pending.pop() {
            count_step();
            for name in &binding.names {
                if !tainted_names.insert((binding.owner, name)) {
                    continue;
                }
                let mentioning = self.mentioned.get(name).into_iter().flatten().map(|&at| &self.bindings[at]);
                let sees =
                    |other: &&NameBinding<'s>| self.outline.owners(other.owner).any(|owner| owner == binding.owner);
                pending.extend(mentioning.filter(sees));
            }
        }
        tainted_names
    }

    /// The names tainted by the text of a `{% block %}`, and the macros that show one.
    pub(super) fn tainted_by_blocks(&self) -> TaintedNames<'s> {
        self.tainted_names(|_, span| self.shows_block(span))
    }

    /// Whether a span shows a `{% block %}`.
    pub(super) fn shows_block(&self, span: usize) -> bool {
        let span = &self.scan.spans[span];
        keyword(self.scan.source, span) == Some("block") || shows_own_block(self.scan.source, &span.tokens)
    }

    /// The first tainted name that `spans` mention, as seen from `branch`, with its span. Names for which `keyed` is
    /// true are part of the key and are allowed.
    pub(super) fn tainted_use_in(
        &self,
        spans: &Range<usize>,
        branch: Option<BranchId>,
        tainted_names: &TaintedNames<'s>,
        keyed: impl Fn(&str) -> bool,
    ) -> Option<(&'s str, &'a SourceSpan)> {
        if tainted_names.is_empty() {
            return None;
        }
        let own = self.bound_in(spans);
        let spans = self.scan.spans[spans.clone()].iter();
        let mut named = spans.flat_map(|span| variables(self.scan.source, &span.tokens).map(move |(_, n)| (n, span)));
        named.find(|(name, _)| {
            let mut owners = self.outline.owners(branch);
            !own.contains(name) && owners.any(|owner| tainted_names.contains(&(owner, name))) && !keyed(name)
        })
    }

    /// The names that are bound within `spans`.
    fn bound_in(&self, spans: &Range<usize>) -> HashSet<&'s str, ahash::RandomState> {
        let (statements, branches) = self.bindings.split_at(self.outline.statements.len());
        let mut names = HashSet::default();
        for bindings in [statements, branches] {
            let from = bindings.partition_point(|binding| binding.spans.start < spans.start);
            let inside = bindings[from..].iter().take_while(|binding| binding.spans.start < spans.end);
            names.extend(inside.flat_map(|binding| binding.names.iter().copied()));
        }
        names
    }

    /// The tokens of a span that mention the `caller` of the enclosing macro. Each call of the macro has another one.
    fn mentions_caller(&self, span: usize) -> Vec<usize> {
        let (source, tokens) = (self.scan.source, &self.scan.spans[span].tokens);
        let bare = |at: usize| !matches!(tokens.get(at + 1).map(|t| t.text(source)), Some("." | "["));
        let named = variables(source, tokens).filter(|(at, name)| *name == "caller" && bare(*at));
        let named: Vec<usize> = named.map(|(at, _)| at).collect();
        let owner = self.outline.owner(self.outline.branch_of[span]).filter(|_| !named.is_empty());
        let in_macro = owner.is_some_and(|owner| {
            let branch = &self.outline.branches[owner];
            branch.word == "macro" && !bound_names(source, &self.scan.spans[branch.span]).contains(&"caller")
        });
        if in_macro { named } else { Vec::new() }
    }

    fn tainted_by_callers(&self) -> TaintedNames<'s> {
        self.tainted_names(|binding, span| {
            let here = self.outline.owner(self.outline.branch_of[span]) == binding.owner;
            !binding.is_macro && here && !self.mentions_caller(span).is_empty()
        })
    }

    /// The first span of a cached body that mentions the enclosing macro's `caller`, unless the key contains the same
    /// call.
    fn calls_caller(&self, cached: &CacheTag<'_>, body: &Range<usize>) -> Option<&'a SourceSpan> {
        let source = self.scan.source;
        let owner = self.outline.owner(self.outline.branch_of[cached.open]);
        let here = |index: &usize| self.outline.owner(self.outline.branch_of[*index]) == owner;
        let known = caller_calls(source, &self.scan.spans[cached.open], &cached.head);
        let foreign = |index: &usize| {
            let tokens = &self.scan.spans[*index].tokens;
            let keyed = |at: usize| call_text(source, &tokens[at..]).is_some_and(|call| known.contains(&call));
            self.mentions_caller(*index).into_iter().any(|at| !keyed(at))
        };
        let found = body.clone().filter(here).find(foreign)?;
        let bound = self.bound_in(body).contains("caller") || self.bound_around(cached);
        (!bound).then(|| &self.scan.spans[found])
    }

    /// Whether a loop or a `with` around the body binds `caller`.
    fn bound_around(&self, cached: &CacheTag<'_>) -> bool {
        let outer = |branch: &BranchId| self.outline.branches[*branch].parent;
        let branches = std::iter::successors(self.outline.branch_of[cached.open], outer);
        let mut heads = branches.map(|branch| &self.outline.branches[branch]);
        heads.any(|branch| bound_names(self.scan.source, &self.scan.spans[branch.span]).contains(&"caller"))
    }
}

/// Rejects cached bodies that show foreign text, and records which bodies show `super()`.
pub(super) fn validate_foreign_text(scan: &Scan<'_>, outline: &mut Outline<'_>, name: &str) -> Result<(), Error> {
    if outline.cache_tags.is_empty() {
        return Ok(());
    }
    let foreign = ForeignText::new(scan, outline);
    let callers = foreign.tainted_by_callers();
    let blocks = foreign.tainted_by_blocks();
    let supers = foreign.tainted_names(|_, span| calls_super(scan.source, &scan.spans[span].tokens));
    let mut shows_super = Vec::with_capacity(outline.cache_tags.len());
    for cached in &outline.cache_tags {
        let body = cached.open + 1..cached.close.unwrap_or(outline.understood);
        let keyed = |name: &str| head_holds(scan.source, &scan.spans[cached.open], &cached.head, name);
        let carried =
            |tainted_names| foreign.tainted_use_in(&body, outline.branch_of[cached.open], tainted_names, keyed);
        if let Some(span) = foreign.calls_caller(cached, &body) {
            return Err(syntax_error(name, span.line, CALLER_REJECTED));
        }
        if let Some((tainted, span)) = carried(&callers) {
            return Err(syntax_error(
                name,
                span.line,
                &format!("`{tainted}` holds the caller's text: {CALLER_REJECTED}"),
            ));
        }
        if let Some((tainted, span)) = carried(&blocks) {
            return Err(syntax_error(name, span.line, &format!("`{tainted}` {BLOCK_REJECTED}")));
        }
        let calls = scan.spans[body.clone()].iter().find(|span| calls_super(scan.source, &span.tokens));
        let shown = calls.or_else(|| carried(&supers).map(|(_, span)| span));
        if let Some(span) = shown.filter(|_| !matches!(outline.extends, Extends::Literal(_))) {
            return Err(syntax_error(name, span.line, SUPER_REJECTED));
        }
        shows_super.push(shown.is_some());
    }
    outline.cache_tags.iter_mut().zip(shows_super).for_each(|(cached, shows)| cached.calls_super = shows);
    Ok(())
}

const CALLER_REJECTED: &str = "`caller()` in a cached body would show the text of one call block in the place of \
                              another; put the cache tag inside the call block, or add `caller()` to the key";

const BLOCK_REJECTED: &str = "shows a block, whose text depends on the template that extends this one; put the \
                             cache tag inside the block";

const SUPER_REJECTED: &str = "`super()` inside a cached body needs one unconditional `extends` with a literal name, as \
                             it is part of what the fragment shows; call it outside";

/// Whether `tokens` show a block of the template through `self`.
pub(super) fn shows_own_block(source: &str, tokens: &[TagToken]) -> bool {
    variables(source, tokens).any(|(at, name)| name == "self" && text_at(source, tokens, at + 1) == ".")
}

/// The calls of `caller` in the key and in `vary`, as [`call_text`] writes them.
pub(super) fn caller_calls(source: &str, span: &SourceSpan, head: &CacheTagHead) -> Vec<String> {
    let tokens = identifying(span, head);
    let called = (0..tokens.len()).filter(|at| tokens[*at].text(source) == "caller");
    called.filter_map(|at| call_text(source, &tokens[at..])).collect()
}

/// The tokens of the key and of `vary`.
fn identifying(span: &SourceSpan, head: &CacheTagHead) -> Vec<TagToken> {
    let stretches = [Some(&head.key), head.options.vary.as_ref()];
    let inside = |token: &TagToken| {
        stretches.iter().flatten().any(|expr| expr.range.start <= token.start && token.end <= expr.range.end)
    };
    span.tokens.iter().copied().filter(inside).collect()
}

/// Whether the key or `vary` contains the value of a name.
fn head_holds(source: &str, span: &SourceSpan, head: &CacheTagHead, name: &str) -> bool {
    let tokens = identifying(span, head);
    let mut named = variables(source, &tokens);
    named.any(|(at, known)| known == name && text_at(source, &tokens, at + 1) != "(")
}

/// A call with its arguments as text, if the name at the start of `tokens` is called.
fn call_text(source: &str, tokens: &[TagToken]) -> Option<String> {
    let brackets = tokens.get(1..).filter(|rest| text_at(source, rest, 0) == "(")?;
    let texts = brackets.get(..=closing(source, brackets))?.iter().map(|token| token.text(source));
    Some(texts.collect::<Vec<_>>().join(" "))
}
