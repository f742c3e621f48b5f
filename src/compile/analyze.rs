//! What a cached body references in its own file, and the digest of it.
//!
//! Owns names: which ones a stretch of the template mentions, which statements bind them, and how
//! far that reaches. It resolves by name alone, not by scope: reaching too much costs a render,
//! reaching too little would serve an old fragment.

use std::collections::HashSet;
use std::ops::Range;

use xxhash_rust::xxh3::Xxh3;

use crate::compile::lex::{Kind, Token};
use crate::compile::refuse::assigned_names;
use crate::compile::scan::{Span, SpanKind};

/// A statement of the file that a body can reach by a name it binds.
#[derive(Debug)]
pub(crate) struct Statement<'s> {
    /// What changes the statement's meaning: a tag, or a block from tag to tag.
    pub(crate) range: Range<usize>,
    pub(crate) binds: Vec<&'s str>,
}

/// What identifies the text of a fragment, keys and lifetimes aside.
pub(crate) struct Site<'s> {
    pub(crate) template: &'s str,
    /// The block around a body that calls `super()`.
    pub(crate) block: Option<&'s str>,
    pub(crate) body: Range<usize>,
}

/// The spans of a file and the statements in it.
pub(crate) struct Analysis<'a, 's> {
    source: &'s str,
    spans: &'a [Span],
    statements: &'a [Statement<'s>],
}

impl<'a, 's> Analysis<'a, 's> {
    pub(crate) fn new(source: &'s str, spans: &'a [Span], statements: &'a [Statement<'s>]) -> Self {
        Analysis { source, spans, statements }
    }

    /// A digest that changes with the body and with all it reaches, below 2^127.
    pub(crate) fn site(&self, site: &Site<'_>) -> u128 {
        let mut hash = Xxh3::new();
        let mut part = |text: &str| {
            hash.update(&(text.len() as u64).to_le_bytes());
            hash.update(text.as_bytes());
        };
        part(site.template);
        part(if site.block.is_some() { "block" } else { "" });
        part(site.block.unwrap_or(""));
        part(&self.source[site.body.clone()]);
        for statement in self.reached(&site.body) {
            part(&self.source[statement.range.clone()]);
        }
        hash.digest128() >> 1
    }

    /// The statements outside `body` that it can reach, in source order.
    fn reached(&self, body: &Range<usize>) -> Vec<&'a Statement<'s>> {
        let outside = |s: &Statement<'_>| !(body.start <= s.range.start && s.range.end <= body.end);
        let mut reached = vec![false; self.statements.len()];
        let mut names = HashSet::new();
        let mut pending = vec![body.clone()];
        while let Some(range) = pending.pop() {
            if self.mentions(&range, &mut names) {
                return self.statements.iter().filter(|s| outside(s)).collect();
            }
            for (done, statement) in reached.iter_mut().zip(self.statements) {
                if !*done && statement.binds.iter().any(|name| names.contains(name)) {
                    *done = true;
                    pending.push(statement.range.clone());
                }
            }
        }
        let found = reached.iter().zip(self.statements);
        found.filter(|(done, s)| **done && outside(s)).map(|(_, s)| s).collect()
    }

    /// Adds the names mentioned in `range`; true if a template is included there.
    fn mentions(&self, range: &Range<usize>, names: &mut HashSet<&'s str>) -> bool {
        let mut includes = false;
        for span in self.spans_in(range) {
            includes |= keyword(self.source, span) == Some("include");
            let words = span.tokens.iter().filter(|t| t.kind == Kind::Word);
            names.extend(words.map(|t| t.text(self.source)));
        }
        includes
    }

    fn spans_in(&self, range: &Range<usize>) -> &'a [Span] {
        let from = self.spans.partition_point(|s| s.range.start < range.start);
        let to = self.spans.partition_point(|s| s.range.start < range.end);
        self.spans.get(from..to).unwrap_or(&[])
    }
}

/// The first word of a statement.
pub(crate) fn keyword<'s>(source: &'s str, span: &Span) -> Option<&'s str> {
    let first = span.tokens.first().filter(|t| span.is_statement() && t.kind == Kind::Word)?;
    Some(first.text(source))
}

/// The names a statement binds for what follows it or stands in it.
pub(crate) fn bound_names<'s>(source: &'s str, span: &Span) -> Vec<&'s str> {
    let tokens = span.tokens.get(1..).unwrap_or(&[]);
    match keyword(source, span) {
        Some("set") => assigned_names(source, &span.tokens),
        Some("for") => words(source, before(source, tokens, "in")),
        Some("with") => assignments(source, tokens, true),
        Some("macro") => {
            let mut names = words(source, tokens.get(..1).unwrap_or(&[]));
            names.extend(parameters(source, tokens.get(1..).unwrap_or(&[])));
            names
        }
        Some("call") => parameters(source, tokens),
        Some("import") => after(source, tokens, "as").into_iter().take(1).collect(),
        Some("from") => imported(source, tokens),
        _ => Vec::new(),
    }
}

/// The names by which the statement that `span` opens can be reached from elsewhere in the file.
pub(crate) fn reachable_names<'s>(source: &'s str, span: &Span) -> Vec<&'s str> {
    debug_assert!(!matches!(span.kind, SpanKind::Text));
    match keyword(source, span) {
        Some("macro") => words(source, span.tokens.get(1..2).unwrap_or(&[])),
        // What `caller()` shows is the text of a call block.
        Some("call") => vec!["caller"],
        Some("set" | "with" | "import" | "from") => bound_names(source, span),
        _ => Vec::new(),
    }
}

fn words<'s>(source: &'s str, tokens: &[Token]) -> Vec<&'s str> {
    tokens.iter().filter(|t| t.kind == Kind::Word).map(|t| t.text(source)).collect()
}

fn before<'t>(source: &str, tokens: &'t [Token], word: &str) -> &'t [Token] {
    let end = tokens.iter().position(|t| t.text(source) == word).unwrap_or(tokens.len());
    &tokens[..end]
}

fn after<'s>(source: &'s str, tokens: &[Token], word: &str) -> Vec<&'s str> {
    let start = tokens.iter().rposition(|t| t.text(source) == word);
    start.map_or_else(Vec::new, |start| words(source, &tokens[start + 1..]))
}

fn imported<'s>(source: &'s str, tokens: &[Token]) -> Vec<&'s str> {
    let mut names: Vec<&str> = Vec::new();
    let mut alias = false;
    for word in after(source, tokens, "import") {
        match word {
            "as" => alias = true,
            "with" | "without" => break,
            _ => {
                if alias {
                    names.pop();
                }
                names.push(word);
                alias = false;
            }
        }
    }
    names
}

fn parameters<'s>(source: &'s str, tokens: &[Token]) -> Vec<&'s str> {
    match tokens.first() {
        Some(token) if token.text(source) == "(" => assignments(source, &tokens[1..], false),
        _ => Vec::new(),
    }
}

/// The targets of `a=1, (b, c)=2`; for parameters, up to the closing bracket and with bare names.
fn assignments<'s>(source: &'s str, tokens: &[Token], tuples: bool) -> Vec<&'s str> {
    let mut names = Vec::new();
    let mut depth = 0_isize;
    let mut target = true;
    for token in tokens {
        match token.text(source) {
            "=" if depth == 0 => target = false,
            "," if depth == 0 => target = true,
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" if depth == 0 => break,
            ")" | "]" | "}" => depth -= 1,
            name if token.kind == Kind::Word && target && (tuples || depth == 0) => names.push(name),
            _ => {}
        }
    }
    names
}
