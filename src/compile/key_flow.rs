//! Finds the values that reach keys in other ways than by the head of a cache tag: as arguments of `cache_partial` and
//! `cache_tag`, and through names that the template binds.
//!
//! This is a backward data-flow analysis over the bindings of `scopes`. Only bindings that are visible at the use of a
//! name count: an expression that reaches no key may use undefined values.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::ops::Range;

use crate::compile::expr::{Expr, ExprError, ExprKind, Guard};
use crate::compile::guard::inserts;
use crate::compile::lex::{TagToken, text_at};
use crate::compile::parser::ExprParser;
use crate::compile::scan::{Scan, SourceSpan, SpanKind};
use crate::compile::scopes::{BindingValue, EvalPosition, ScopedBinding, ScopedBindings};
use crate::compile::spelling::Form;
use crate::compile::statement::{called, keyword};
use crate::compile::tag::{check_order, unquoted_duration};
use crate::compile::template::Outline;

/// By span, the text to insert and its positions.
pub(super) type InsertsBySpan = BTreeMap<usize, Vec<(usize, String)>>;

/// An error and the index of its span.
pub(super) type SpanError = (usize, ExprError);

/// The guards to insert outside of the heads of cache tags.
pub(super) fn checks(scan: &Scan<'_>, outline: &Outline<'_>) -> Result<InsertsBySpan, SpanError> {
    let spans = &scan.spans[..outline.understood];
    let call_places = call_places(scan.source, spans);
    if outline.cache_tags.is_empty() && !KEY_FUNCTIONS.iter().any(|name| call_places.contains_key(name)) {
        return Ok(InsertsBySpan::new());
    }
    let mut flow = KeyFlow {
        source: scan.source,
        spans,
        bindings: ScopedBindings::of(scan.source, spans),
        call_places: &call_places,
        guards: BTreeMap::new(),
        followed: HashSet::new(),
        pending: VecDeque::new(),
    };
    for cached in &outline.cache_tags {
        let options = &cached.head.options;
        let values = [Some(&cached.head.key), options.vary.as_ref(), options.version.as_ref(), options.tags.as_ref()];
        for value in values.into_iter().flatten() {
            flow.paths(value, (cached.open, 0));
        }
    }
    flow.call_places()?;
    flow.follow_names();
    Ok(flow.guards.iter().map(|(span, guards)| (*span, inserts(scan.source, guards))).collect())
}

/// The functions that take keys, tags and lifetimes.
const KEY_FUNCTIONS: [&str; 3] = ["cache_partial", "cache_tag", "cache_ttl"];

/// The calls of each function: the span, and the token after the opening bracket.
type CallPlaces<'s> = HashMap<&'s str, Vec<(usize, usize)>>;

fn call_places<'s>(source: &'s str, spans: &[SourceSpan]) -> CallPlaces<'s> {
    let mut call_places = CallPlaces::new();
    for (index, span) in spans.iter().enumerate() {
        if keyword(source, span) == Some("cache") {
            continue;
        }
        for (at, name) in called(source, span) {
            if at == 0 || !matches!(span.tokens[at - 1].text(source), "." | "|" | "is") {
                call_places.entry(name).or_default().push((index, at + 2));
            }
        }
    }
    call_places
}

struct CallArgument<'s> {
    name: Option<&'s str>,
    value: Expr,
    /// The token after the value.
    next: Option<TagToken>,
}

struct KeyFlow<'a, 's> {
    source: &'s str,
    spans: &'a [SourceSpan],
    bindings: ScopedBindings<'s>,
    call_places: &'a CallPlaces<'s>,
    /// By span.
    guards: BTreeMap<usize, Vec<Guard>>,
    /// The bindings that were followed.
    followed: HashSet<usize>,
    /// Names that reach keys, with the position of their use.
    pending: VecDeque<(Range<usize>, EvalPosition)>,
}

impl<'s> KeyFlow<'_, 's> {
    /// Guards a value that reaches a key, and queues the names in it.
    fn value(&mut self, value: &Expr, at: EvalPosition) {
        if !value.guards.is_empty() {
            self.guards.entry(at.0).or_default().extend(value.guards.iter().cloned());
        }
        self.paths(value, at);
    }

    fn paths(&mut self, value: &Expr, at: EvalPosition) {
        self.pending.extend(value.paths.iter().map(|path| (path.clone(), at)));
    }

    fn call_places(&mut self) -> Result<(), SpanError> {
        for (name, index, start) in self.called() {
            let Some(arguments) = self.arguments(index, start) else { continue };
            for CallArgument { value, next, .. } in &arguments {
                if let Some(error) = next.and_then(|next| unquoted_duration(self.source, value, next)) {
                    return Err((index, error));
                }
            }
            if name == "cache_partial" {
                self.check_order(index, &arguments)?;
            }
            for (place, CallArgument { name: option, value, .. }) in arguments.iter().enumerate() {
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

    fn check_order(&self, index: usize, arguments: &[CallArgument<'_>]) -> Result<(), SpanError> {
        let [_, CallArgument { name: None, value: key, .. }, CallArgument { name: None, value: ttl, .. }, ..] =
            arguments
        else {
            return Ok(());
        };
        let tokens = &self.spans[index].tokens;
        check_order(self.source, tokens, Form::Partial, key, ttl).map_err(|error| (index, error))
    }

    /// The calls of [`KEY_FUNCTIONS`], in source order.
    fn called(&self) -> Vec<(&'static str, usize, usize)> {
        let mut called = Vec::new();
        for name in KEY_FUNCTIONS {
            let places = self.call_places.get(name).into_iter().flatten();
            called.extend(places.map(|(index, start)| (name, *index, *start)));
        }
        called.sort_by_key(|(_, index, start)| (*index, *start));
        called
    }

    /// The arguments of a call; `None` where MiniJinja will reject them.
    fn arguments(&self, index: usize, start: usize) -> Option<Vec<CallArgument<'s>>> {
        let mut reader = ExprParser::statement(self.source, &self.spans[index].tokens[start..]);
        let mut arguments = Vec::new();
        while !reader.at(")") {
            if !arguments.is_empty() && !reader.skip(",") {
                return arguments
                    .last()
                    .is_some_and(|last: &CallArgument<'_>| last.next.is_some())
                    .then_some(arguments);
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
            arguments.push(CallArgument { name, value, next: reader.peek() });
        }
        Some(arguments)
    }

    /// Follows the queued names to their bindings.
    fn follow_names(&mut self) {
        while let Some((path, at)) = self.pending.pop_front() {
            for id in self.bindings.of_path(&self.source[path], at) {
                if self.followed.insert(id) {
                    self.follow(id);
                }
            }
        }
    }

    fn follow(&mut self, id: usize) {
        let ScopedBinding { order, bound, .. } = self.bindings.get(id).clone();
        match bound {
            BindingValue::Value(tokens) => {
                let mut reader = ExprParser::statement(self.source, &self.spans[order.0].tokens[tokens..]);
                while let Ok(value) = reader.expr() {
                    self.value(&value, order);
                    if !reader.skip(",") {
                        break;
                    }
                }
            }
            BindingValue::Text(body) => body.for_each(|index| self.check_printed(index)),
            BindingValue::Parameter { of, place, name } => {
                let places = self.call_places.get(of).cloned().unwrap_or_default();
                for (index, start) in places {
                    let arguments = self.arguments(index, start).unwrap_or_default();
                    let given = arguments.iter().enumerate().find(|(at, argument)| match argument.name {
                        Some(given) => given == name,
                        None => *at == place,
                    });
                    if let Some((_, CallArgument { value, .. })) = given {
                        self.value(value, (index, 0));
                    }
                }
            }
        }
    }

    /// Guards an expression that is printed into a text: the text becomes part of a key.
    fn check_printed(&mut self, index: usize) {
        let span = &self.spans[index];
        if span.kind != SpanKind::Variable {
            return;
        }
        let Ok(value) = ExprParser::statement(self.source, &span.tokens).expr() else { return };
        // MiniJinja treats these calls specially by their context; they return text.
        let text = |at| text_at(self.source, &span.tokens, at);
        let own = matches!(text(0), "super" | "loop" | "caller") && text(1) == "(";
        if matches!(value.kind, ExprKind::Path | ExprKind::Other) && !own {
            self.guards.entry(index).or_default().push(Guard::printed(value.range.clone()));
        }
        self.value(&value, (index, 0));
    }
}
