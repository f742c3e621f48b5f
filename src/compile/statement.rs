//! Reads one statement: its keyword, the names that it binds and mentions, and its calls.
//!
//! By name alone, without scopes: `scopes`, `foreign`, `namespaces` and `body_digest` resolve the names.

use crate::compile::lex::{TagToken, TokenKind, text_at};
use crate::compile::scan::{SourceSpan, SpanKind};

/// Words of the language that can stand where a variable can.
const WORDS: [&str; 20] = [
    "and", "as", "context", "else", "false", "False", "if", "ignore", "import", "in", "is", "missing", "none", "None",
    "not", "or", "true", "True", "with", "without",
];

/// The first word of a statement.
pub(super) fn keyword<'s>(source: &'s str, span: &SourceSpan) -> Option<&'s str> {
    let first = span.tokens.first().filter(|t| span.is_statement() && t.kind == TokenKind::Word)?;
    Some(first.text(source))
}

/// Statements that enclose text up to an `end…` tag. A `set` with a value encloses none.
const BLOCKS: [&str; 10] = ["autoescape", "block", "cache", "call", "filter", "for", "if", "macro", "set", "with"];

/// The keyword of a statement that encloses text.
pub(super) fn opens_block<'s>(source: &'s str, span: &SourceSpan) -> Option<&'s str> {
    let word = keyword(source, span).filter(|word| BLOCKS.contains(word))?;
    (word != "set" || is_set_block(source, &span.tokens)).then_some(word)
}

/// The keyword of the statement that `word` closes.
pub(super) fn closes_block(word: &str) -> Option<&str> {
    word.strip_prefix("end").filter(|opener| BLOCKS.contains(opener))
}

/// The names that a statement binds, inside of it or after it.
pub(super) fn bound_names<'s>(source: &'s str, span: &SourceSpan) -> Vec<&'s str> {
    let tokens = span.tokens.get(1..).unwrap_or(&[]);
    match keyword(source, span) {
        Some("set") => assigned_names(source, &span.tokens),
        Some("for") => words(source, before(source, tokens, "in")),
        Some("with") => targets(source, tokens),
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

/// The names by which other places of the file can reach the statement.
pub(super) fn reachable_names<'s>(source: &'s str, span: &SourceSpan) -> Vec<&'s str> {
    debug_assert!(!matches!(span.kind, SpanKind::Text));
    let mut names = bound_names(source, span);
    match keyword(source, span) {
        Some("macro") => names.truncate(1),
        // An attribute is reached through the name of its namespace.
        Some("set") => names.extend(assigned_attributes(source, &span.tokens)),
        _ => {}
    }
    names
}

/// The variables that `tokens` mention, with their indices.
pub(super) fn variables<'s, 't>(source: &'s str, tokens: &'t [TagToken]) -> impl Iterator<Item = (usize, &'s str)> + 't
where
    's: 't,
{
    let named = (0..tokens.len()).filter_map(move |at| Some((at, names_variable(source, tokens, at)?)));
    named.filter(|(_, name)| !WORDS.contains(name))
}

/// The variables whose values `tokens` mention; not those that are only called.
pub(super) fn values<'s>(source: &'s str, tokens: &[TagToken]) -> Vec<&'s str> {
    let called = |at: usize| text_at(source, tokens, at + 1) == "(";
    variables(source, tokens).filter(|(at, _)| !called(*at)).map(|(_, name)| name).collect()
}

/// The index of the bracket that closes the first token; the number of tokens if there is none.
pub(super) fn closing(source: &str, tokens: &[TagToken]) -> usize {
    let mut depth = 0_usize;
    let closes = |token: &TagToken| {
        match token.text(source) {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => depth = depth.saturating_sub(1),
            _ => {}
        }
        depth == 0
    };
    tokens.iter().position(closes).unwrap_or(tokens.len())
}

/// The tokens inside the brackets that `tokens` begin with.
pub(super) fn inside<'t>(source: &str, tokens: &'t [TagToken]) -> &'t [TagToken] {
    tokens.get(1..closing(source, tokens)).unwrap_or_default()
}

/// The parts between the commas outside of brackets.
pub(super) fn split<'t>(source: &str, tokens: &'t [TagToken]) -> Vec<&'t [TagToken]> {
    let mut depth = 0_usize;
    let comma = |token: &TagToken| {
        match token.text(source) {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => depth = depth.saturating_sub(1),
            "," => return depth == 0,
            _ => {}
        }
        false
    };
    tokens.split(comma).collect()
}

/// The names that a tag calls, with their indices. The name in a macro's own head is not a call.
pub(super) fn called<'s, 't>(source: &'s str, span: &'t SourceSpan) -> impl Iterator<Item = (usize, &'s str)> + 't
where
    's: 't,
{
    let first = if keyword(source, span) == Some("macro") { 2 } else { 0 };
    let pairs = span.tokens.windows(2).enumerate().skip(first);
    let called = pairs.filter(|(_, pair)| pair[0].kind == TokenKind::Word && pair[1].text(source) == "(");
    called.map(|(at, pair)| (at, pair[0].text(source)))
}

/// The words among `tokens`.
pub(super) fn words<'s>(source: &'s str, tokens: &[TagToken]) -> Vec<&'s str> {
    tokens.iter().filter(|t| t.kind == TokenKind::Word).map(|t| t.text(source)).collect()
}

fn before<'t>(source: &str, tokens: &'t [TagToken], word: &str) -> &'t [TagToken] {
    let end = tokens.iter().position(|t| t.text(source) == word).unwrap_or(tokens.len());
    &tokens[..end]
}

fn after<'s>(source: &'s str, tokens: &[TagToken], word: &str) -> Vec<&'s str> {
    let start = tokens.iter().rposition(|t| t.text(source) == word);
    start.map_or_else(Vec::new, |start| words(source, &tokens[start + 1..]))
}

fn imported<'s>(source: &'s str, tokens: &[TagToken]) -> Vec<&'s str> {
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

fn parameters<'s>(source: &'s str, tokens: &[TagToken]) -> Vec<&'s str> {
    if text_at(source, tokens, 0) == "(" { targets(source, inside(source, tokens)) } else { Vec::new() }
}

/// The targets of `a=1, (b, c)=2, d`.
fn targets<'s>(source: &'s str, tokens: &[TagToken]) -> Vec<&'s str> {
    split(source, tokens).into_iter().flat_map(|part| words(source, before(source, part, "="))).collect()
}

/// Whether the tag calls `super()`.
pub(super) fn calls_super(source: &str, tokens: &[TagToken]) -> bool {
    variables(source, tokens).any(|(at, name)| name == "super" && text_at(source, tokens, at + 1) == "(")
}

/// The name at `index`, unless it is an attribute, a filter, a test or the name of an argument.
fn names_variable<'s>(source: &'s str, tokens: &[TagToken], index: usize) -> Option<&'s str> {
    let token = tokens.get(index).filter(|t| t.kind == TokenKind::Word)?;
    let before = index.checked_sub(1).and_then(|i| tokens.get(i)).map(|t| t.text(source));
    let after = tokens.get(index + 1).map(|t| t.text(source));
    if matches!(before, Some("." | "|" | "is")) {
        return None;
    }
    // `f(name=1)`, but not the target of `{% set name = 1 %}`.
    let argument = after == Some("=") && matches!(before, Some("(" | ","));
    (!argument).then(|| token.text(source))
}

/// The names whose attributes a `set` tag assigns.
pub(super) fn assigned_attributes<'s>(source: &'s str, tokens: &[TagToken]) -> Vec<&'s str> {
    let target = set_target(source, tokens);
    target
        .windows(2)
        .enumerate()
        .filter(|(index, pair)| {
            let attribute = *index > 0 && target[index - 1].text(source) == ".";
            pair[0].kind == TokenKind::Word && pair[1].text(source) == "." && !attribute
        })
        .map(|(_, pair)| pair[0].text(source))
        .collect()
}

/// The names that a `set` tag binds.
pub(super) fn assigned_names<'s>(source: &'s str, tokens: &[TagToken]) -> Vec<&'s str> {
    let target = set_target(source, tokens);
    (0..target.len())
        .filter(|&index| {
            let near = |i: Option<usize>| i.and_then(|i| target.get(i)).map(|t| t.text(source));
            target[index].kind == TokenKind::Word
                && near(Some(index + 1)) != Some(".")
                && near(index.checked_sub(1)) != Some(".")
        })
        .map(|index| target[index].text(source))
        .collect()
}

/// Whether a `set` tag captures text instead of assigning an expression.
pub(super) fn is_set_block(source: &str, tokens: &[TagToken]) -> bool {
    let target = set_target(source, tokens);
    text_at(source, tokens, 1 + target.len()) != "="
}

/// The tokens between `set` and `=`, `|` or the end.
fn set_target<'t>(source: &str, tokens: &'t [TagToken]) -> &'t [TagToken] {
    let tokens = tokens.get(1..).unwrap_or(&[]);
    let end = tokens.iter().position(|t| matches!(t.text(source), "=" | "|")).unwrap_or(tokens.len());
    &tokens[..end]
}
