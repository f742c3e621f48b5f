//! Keeps lazy values of the context lazy where a template passes them on without reading them.
//!
//! MiniJinja looks a name up when a macro or a call block that mentions it is declared, and it looks up the values of
//! `cache_partial`'s `context=` before the call. Both happen on hits too and would compute a lazy value. So this step,
//! which runs before the cache tags are lowered, writes these look-ups in another form:
//!
//! ```jinja
//! {% set X = none|LAZY_SCOPE("films") %}{% macro list() %}{% for film in X.films %}…{% endmacro %}
//! {{ cache_partial("list.html", "list", context={"films": (none|LAZY_VALUE("films"))}) }}
//! ```
//!
//! Names that the file itself binds are left alone: they are looked up when they are bound. So are expressions that are
//! not certain to read a value of the context; such a value is computed earlier than necessary.

use std::collections::{BTreeSet, HashSet};
use std::ops::Range;

use minijinja::syntax::SyntaxConfig;
use xxhash_rust::xxh3::xxh3_64;

use crate::compile::lex::{TagToken, TokenKind, text_at};
use crate::compile::names::{FRAGMENT_VARIABLE, LAZY_SCOPE, LAZY_VALUE};
use crate::compile::scan::{Scan, SourceSpan, SpanKind, scan};
use crate::compile::statement::{bound_names, called, inside, keyword, split, variables};

const PARTIAL: &str = "cache_partial";

/// Names that are not values of the context, besides the words of the language.
const SPECIAL_NAMES: [&str; 6] = ["loop", "self", "super", "caller", "recursive", FRAGMENT_VARIABLE];

/// Statements that are left alone: MiniJinja does not look their names up in advance, or they do not begin with an
/// expression. Cache tags are left alone too, since their error messages quote the key.
const SKIPPED: [&str; 8] = ["include", "import", "from", "extends", "filter", "block", "cache", "endcache"];

/// The template with its look-ups deferred; `None` if there are none.
pub(super) fn defer_lookups(source: &str, syntax: &SyntaxConfig) -> Option<String> {
    if !(source.contains("cache") && ["macro", "call", PARTIAL].iter().any(|word| source.contains(word))) {
        return None;
    }
    let scan = scan(source, syntax);
    let caches =
        |span: &SourceSpan| keyword(scan.source, span) == Some("cache") || mentions(scan.source, span, PARTIAL);
    if scan.error.is_some() || !scan.spans.iter().any(caches) {
        return None;
    }
    let bound: HashSet<&str> = scan.spans.iter().flat_map(|span| bound_names(scan.source, span)).collect();
    let mut changes = LookupDeferral { scan: &scan, syntax, bound, edits: Vec::new() };
    changes.find()?;
    changes.apply()
}

struct LookupDeferral<'a, 's> {
    scan: &'a Scan<'s>,
    syntax: &'a SyntaxConfig,
    bound: HashSet<&'s str>,
    /// The replaced ranges of the source and their replacements.
    edits: Vec<(Range<usize>, String)>,
}

impl<'s> LookupDeferral<'_, 's> {
    /// Collects the edits; `None` if macros and call blocks are not paired.
    fn find(&mut self) -> Option<()> {
        let mut open: Vec<usize> = Vec::new();
        for (index, span) in self.scan.spans.iter().enumerate() {
            match keyword(self.scan.source, span) {
                Some("macro" | "call") => open.push(index),
                Some("endmacro" | "endcall") => {
                    let opening = open.pop()?;
                    if open.is_empty() {
                        self.declaration(opening, index);
                    }
                }
                _ if open.is_empty() => {
                    let passed_on = self.passed_on(span).into_iter();
                    self.edits.extend(passed_on.map(|token| read_lazily(self.scan.source, token, "none")));
                }
                _ => {}
            }
        }
        open.is_empty().then_some(())
    }

    /// Defers the look-ups of a macro or call block that is in no other one.
    fn declaration(&mut self, open: usize, close: usize) {
        let source = self.scan.source;
        let opening = &self.scan.spans[open];
        if opening.kind != SpanKind::Block {
            return;
        }
        let spans = &self.scan.spans[open..close];
        // What an included template sets is seen after it.
        if spans.iter().any(|span| keyword(source, span) == Some("include")) {
            return;
        }
        let mut read: Vec<TagToken> = Vec::new();
        for (index, span) in spans.iter().enumerate() {
            // MiniJinja captures the names in a macro's defaults, but not those in a call's arguments.
            let skipped = match (index, keyword(source, span)) {
                (0, Some("call")) => continue,
                (0, _) => 2,
                _ => 0,
            };
            read.extend(self.values(span).filter(|at| *at >= skipped).map(|at| span.tokens[at]));
        }
        let names: BTreeSet<&str> = read.iter().map(|token| token.text(source)).collect();
        if names.is_empty() {
            return;
        }
        let names = names.into_iter().collect::<Vec<_>>().join(" ");
        // Named after its contents: two macros of one file that read the same names share a variable.
        let variable = format!("__captured_{:x}", xxh3_64(names.as_bytes()));
        let (start, end) = self.syntax.block_delimiters();
        let edge = start.len() + opening.opening.map_or(0, char::len_utf8);
        let at = opening.range.start..opening.range.start + edge;
        let set = format!("{} set {variable} = none|{LAZY_SCOPE}(\"{names}\") {end}{start}", &source[at.clone()]);
        self.edits.push((at, set));
        let passed_on: HashSet<usize> = spans.iter().flat_map(|span| self.passed_on(span)).map(|at| at.start).collect();
        self.edits.extend(read.into_iter().map(|token| match passed_on.contains(&token.start) {
            true => read_lazily(source, token, &variable),
            false => (token.start..token.end, format!("{variable}.{}", token.text(source))),
        }));
    }

    /// The tokens of a tag that read a value of the context, which may be lazy.
    fn values<'t>(&'t self, span: &'t SourceSpan) -> impl Iterator<Item = usize> + 't {
        let source = self.scan.source;
        let word = keyword(source, span);
        let tokens = &span.tokens;
        let text = move |at: Option<usize>| at.and_then(|at| tokens.get(at)).map_or("", |token| token.text(source));
        let first = match word {
            None => 0,
            Some(word) if SKIPPED.contains(&word) || word.starts_with("end") => tokens.len(),
            // The target comes first.
            Some("set") => (0..tokens.len()).find(|at| text(Some(*at)) == "=").unwrap_or(tokens.len()),
            Some(_) => 1,
        };
        let read = variables(source, tokens).filter(move |(at, name)| {
            let named = matches!(text(Some(at + 1)), "(" | "=");
            let test = text(at.checked_sub(1)) == "not" && text(at.checked_sub(2)) == "is";
            *at >= first && !(named || test || SPECIAL_NAMES.contains(name) || self.bound.contains(name))
        });
        read.map(|(at, _)| at)
    }

    /// The values of `cache_partial`'s `context=` that are plain names.
    fn passed_on(&self, span: &SourceSpan) -> Vec<TagToken> {
        let source = self.scan.source;
        let tokens = &span.tokens;
        let calls = called(source, span).filter(|(_, name)| *name == PARTIAL);
        let passed_on: Vec<TagToken> = calls
            .filter_map(|(at, _)| context(source, tokens, at + 1))
            .flat_map(|value| match value {
                [only] => vec![*only],
                [brace, ..] if brace.text(source) == "{" => entries(source, value).collect(),
                _ => Vec::new(),
            })
            .collect();
        if passed_on.is_empty() {
            return Vec::new();
        }
        let values: HashSet<usize> = self.values(span).map(|at| tokens[at].start).collect();
        passed_on.into_iter().filter(|token| values.contains(&token.start)).collect()
    }

    fn apply(mut self) -> Option<String> {
        if self.edits.is_empty() {
            return None;
        }
        self.edits.sort_by_key(|(range, _)| range.start);
        let (mut out, mut at) = (String::new(), 0);
        for (range, text) in self.edits {
            out.push_str(&self.scan.source[at..range.start]);
            out.push_str(&text);
            at = range.end;
        }
        out.push_str(&self.scan.source[at..]);
        out.push_str(self.scan.tail);
        Some(out)
    }
}

/// Reads a name without computing a lazy value. `from` is the variable of a macro, or `none` for the context.
fn read_lazily(source: &str, token: TagToken, from: &str) -> (Range<usize>, String) {
    (token.start..token.end, format!("({from}|{LAZY_VALUE}(\"{}\"))", token.text(source)))
}

fn mentions(source: &str, span: &SourceSpan, name: &str) -> bool {
    span.tokens.iter().any(|token| token.kind == TokenKind::Word && token.text(source) == name)
}

/// The value of `context=` in the arguments whose opening bracket is at `at`.
fn context<'t>(source: &str, tokens: &'t [TagToken], at: usize) -> Option<&'t [TagToken]> {
    let arguments = inside(source, tokens.get(at..)?);
    let named =
        |argument: &&[TagToken]| text_at(source, argument, 0) == "context" && text_at(source, argument, 1) == "=";
    split(source, arguments).into_iter().find(named).map(|argument| &argument[2..])
}

/// The values of a map's entries that are one token long.
fn entries<'t>(source: &'t str, tokens: &'t [TagToken]) -> impl Iterator<Item = TagToken> + 't {
    split(source, inside(source, tokens)).into_iter().filter_map(move |entry| match entry {
        [.., colon, value] if colon.text(source) == ":" => Some(*value),
        _ => None,
    })
}
