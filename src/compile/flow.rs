//! Which values go into keys by another way than the head of a tag: as arguments of `cache_partial` and `cache_tag`,
//! and through names that the template itself binds.
//!
//! Owns the search for the expressions behind a name. Only a binding that can be seen where the name is used counts:
//! an expression that goes into no key may work with undefined values as it likes.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::ops::Range;

use crate::compile::expr::{Expr, ExprError, Guard, Shape};
use crate::compile::guard::inserts;
use crate::compile::lex::Token;
use crate::compile::reader::Reader;
use crate::compile::scan::{Scan, Span, SpanKind};
use crate::compile::scopes::{Binding, Bindings, Bound, Order};
use crate::compile::statement::{called, keyword};
use crate::compile::tag::{check_order, unquoted_duration};
use crate::compile::template::Outline;
use crate::spelling::Form;

/// What to insert into spans, and where.
pub(crate) type Inserts = BTreeMap<usize, Vec<(usize, String)>>;

/// An error, and the span it is in.
type Refused = (usize, ExprError);

/// Finds what has to be checked outside of the heads of cache tags.
pub(crate) fn checks(scan: &Scan<'_>, outline: &Outline<'_>) -> Result<Inserts, Refused> {
    let spans = &scan.spans[..outline.understood];
    let calls = calls(scan.source, spans);
    if outline.cached.is_empty() && !TAKERS.iter().any(|name| calls.contains_key(name)) {
        return Ok(Inserts::new());
    }
    let mut flow = Flow {
        source: scan.source,
        spans,
        bindings: Bindings::of(scan.source, spans),
        calls: &calls,
        guards: BTreeMap::new(),
        seen: HashSet::new(),
        pending: VecDeque::new(),
    };
    for cached in &outline.cached {
        let options = &cached.head.options;
        let values = [Some(&cached.head.key), options.vary.as_ref(), options.version.as_ref(), options.tags.as_ref()];
        for value in values.into_iter().flatten() {
            flow.paths(value, (cached.open, 0));
        }
    }
    flow.calls()?;
    flow.trace();
    Ok(flow.guards.iter().map(|(span, guards)| (*span, inserts(scan.source, guards))).collect())
}

/// The functions that take keys, tags and lifetimes.
const TAKERS: [&str; 3] = ["cache_partial", "cache_tag", "cache_ttl"];

/// Where each function is called: the span, and the token after the bracket.
type Calls<'s> = HashMap<&'s str, Vec<(usize, usize)>>;

fn calls<'s>(source: &'s str, spans: &[Span]) -> Calls<'s> {
    let mut calls = Calls::new();
    for (index, span) in spans.iter().enumerate() {
        if keyword(source, span) == Some("cache") {
            continue;
        }
        for (at, name) in called(source, span) {
            if at == 0 || !matches!(span.tokens[at - 1].text(source), "." | "|" | "is") {
                calls.entry(name).or_default().push((index, at + 2));
            }
        }
    }
    calls
}

struct Argument<'s> {
    name: Option<&'s str>,
    value: Expr,
    /// What follows it.
    next: Option<Token>,
}

struct Flow<'a, 's> {
    source: &'s str,
    spans: &'a [Span],
    bindings: Bindings<'s>,
    calls: &'a Calls<'s>,
    /// By span.
    guards: BTreeMap<usize, Vec<Guard>>,
    /// The bindings that were followed.
    seen: HashSet<usize>,
    /// Names that go into keys, and where they are used.
    pending: VecDeque<(Range<usize>, Order)>,
}

impl<'s> Flow<'_, 's> {
    /// A value that goes into a key: checks it, and follows its names.
    fn value(&mut self, value: &Expr, at: Order) {
        if !value.guards.is_empty() {
            self.guards.entry(at.0).or_default().extend(value.guards.iter().cloned());
        }
        self.paths(value, at);
    }

    fn paths(&mut self, value: &Expr, at: Order) {
        self.pending.extend(value.paths.iter().map(|path| (path.clone(), at)));
    }

    fn calls(&mut self) -> Result<(), Refused> {
        for (name, index, start) in self.called() {
            let Some(arguments) = self.arguments(index, start) else { continue };
            for Argument { value, next, .. } in &arguments {
                if let Some(error) = next.and_then(|next| unquoted_duration(self.source, value, next)) {
                    return Err((index, error));
                }
            }
            if name == "cache_partial" {
                self.check_order(index, &arguments)?;
            }
            for (place, Argument { name: option, value, .. }) in arguments.iter().enumerate() {
                let taken = match (name, option) {
                    ("cache_partial", None) => place == 1,
                    ("cache_partial", Some(option)) => matches!(*option, "vary" | "version" | "tags"),
                    (name, _) => name == "cache_tag",
                };
                if taken {
                    self.value(value, (index, 0));
                }
            }
        }
        Ok(())
    }

    fn check_order(&self, index: usize, arguments: &[Argument<'_>]) -> Result<(), Refused> {
        let [_, Argument { name: None, value: key, .. }, Argument { name: None, value: ttl, .. }, ..] = arguments
        else {
            return Ok(());
        };
        let tokens = &self.spans[index].tokens;
        check_order(self.source, tokens, Form::Partial, key, ttl).map_err(|error| (index, error))
    }

    /// Where the takers are called, in source order.
    fn called(&self) -> Vec<(&'static str, usize, usize)> {
        let mut called = Vec::new();
        for name in TAKERS {
            let places = self.calls.get(name).into_iter().flatten();
            called.extend(places.map(|(index, start)| (name, *index, *start)));
        }
        called.sort_by_key(|(_, index, start)| (*index, *start));
        called
    }

    /// The arguments of a call; `None` where MiniJinja will refuse them.
    fn arguments(&self, index: usize, start: usize) -> Option<Vec<Argument<'s>>> {
        let mut reader = Reader::statement(self.source, &self.spans[index].tokens[start..]);
        let mut arguments = Vec::new();
        while !reader.at(")") {
            if !arguments.is_empty() && !reader.skip(",") {
                return arguments.last().is_some_and(|last: &Argument<'_>| last.next.is_some()).then_some(arguments);
            }
            if reader.at(")") {
                break;
            }
            if !reader.skip("**") {
                reader.skip("*");
            }
            let name = reader.at_option().then(|| reader.advance()).flatten().map(|name| name.text(self.source));
            if name.is_some() {
                reader.advance();
            }
            let value = reader.expr().ok()?;
            arguments.push(Argument { name, value, next: reader.peek() });
        }
        Some(arguments)
    }

    /// Follows the names to what they are bound to.
    fn trace(&mut self) {
        while let Some((path, at)) = self.pending.pop_front() {
            for id in self.bindings.of_path(&self.source[path], at) {
                if self.seen.insert(id) {
                    self.follow(id);
                }
            }
        }
    }

    fn follow(&mut self, id: usize) {
        let Binding { order, bound, .. } = self.bindings.get(id).clone();
        match bound {
            Bound::Value(tokens) => {
                let mut reader = Reader::statement(self.source, &self.spans[order.0].tokens[tokens..]);
                while let Ok(value) = reader.expr() {
                    self.value(&value, order);
                    if !reader.skip(",") {
                        break;
                    }
                }
            }
            Bound::Text(body) => body.for_each(|index| self.printed(index)),
            Bound::Parameter { of, place, name } => {
                let places = self.calls.get(of).cloned().unwrap_or_default();
                for (index, start) in places {
                    let arguments = self.arguments(index, start).unwrap_or_default();
                    let given = arguments.iter().enumerate().find(|(at, argument)| match argument.name {
                        Some(given) => given == name,
                        None => *at == place,
                    });
                    if let Some((_, Argument { value, .. })) = given {
                        self.value(value, (index, 0));
                    }
                }
            }
        }
    }

    /// What a text prints is a part of it.
    fn printed(&mut self, index: usize) {
        let span = &self.spans[index];
        if span.kind != SpanKind::Variable {
            return;
        }
        let Ok(value) = Reader::statement(self.source, &span.tokens).expr() else { return };
        // MiniJinja knows these calls by what stands around them; they are texts.
        let text = |at: usize| span.tokens.get(at).map_or("", |token| token.text(self.source));
        let own = matches!(text(0), "super" | "loop" | "caller") && text(1) == "(";
        if matches!(value.shape, Shape::Path | Shape::Other) && !own {
            self.guards.entry(index).or_default().push(Guard::printed(value.range.clone()));
        }
        self.value(&value, (index, 0));
    }
}
