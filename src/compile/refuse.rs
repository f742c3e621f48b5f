//! What may not stand inside a cached body, tag by tag, and how errors are worded.
//!
//! Owns the messages about single tags. The structure of blocks is left to `blocks`.

use minijinja::{Error, ErrorKind};

use crate::compile::lex::{Kind, Token};
use crate::names::{CALLER, TICKET};

/// An error about the template `name`, at `line`.
pub(crate) fn refusal(name: &str, line: usize, message: &str) -> Error {
    Error::new(ErrorKind::SyntaxError, format!("cache: {message} (in {name}:{line})"))
}

/// Why the tokens of one tag may not stand in a cached body, and where.
pub(crate) fn in_body(source: &str, tokens: &[Token]) -> Option<(usize, String)> {
    tokens.iter().enumerate().find_map(|(index, token)| {
        let why = match names_variable(source, tokens, index)? {
            "self" => {
                "`self` cannot be used inside a cached body: which block it shows depends on the \
                 template that extends this one; put the cache tag inside the block"
            }
            _ => return None,
        };
        Some((token.start, why.to_owned()))
    })
}

/// A use of a reserved variable.
pub(crate) fn reserved(source: &str, tokens: &[Token]) -> Option<(usize, String)> {
    let token = tokens.iter().find(|t| t.kind == Kind::Word && [TICKET, CALLER].contains(&t.text(source)))?;
    Some((token.start, format!("the name `{}` is reserved; choose another one", token.text(source))))
}

/// Whether the tag calls `super()`.
pub(crate) fn calls_super(source: &str, tokens: &[Token]) -> bool {
    (0..tokens.len()).any(|index| {
        names_variable(source, tokens, index) == Some("super")
            && tokens.get(index + 1).is_some_and(|t| t.text(source) == "(")
    })
}

/// The name at `index`, unless it is an attribute, a filter, a test or the name of an argument.
pub(crate) fn names_variable<'s>(source: &'s str, tokens: &[Token], index: usize) -> Option<&'s str> {
    let token = tokens.get(index).filter(|t| t.kind == Kind::Word)?;
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
pub(crate) fn assigned_attributes<'s>(source: &'s str, tokens: &[Token]) -> Vec<&'s str> {
    let target = set_target(source, tokens);
    target
        .windows(2)
        .enumerate()
        .filter(|(index, pair)| {
            let attribute = *index > 0 && target[index - 1].text(source) == ".";
            pair[0].kind == Kind::Word && pair[1].text(source) == "." && !attribute
        })
        .map(|(_, pair)| pair[0].text(source))
        .collect()
}

/// The names a `set` tag binds.
pub(crate) fn assigned_names<'s>(source: &'s str, tokens: &[Token]) -> Vec<&'s str> {
    let target = set_target(source, tokens);
    (0..target.len())
        .filter(|&index| {
            let near = |i: Option<usize>| i.and_then(|i| target.get(i)).map(|t| t.text(source));
            target[index].kind == Kind::Word
                && near(Some(index + 1)) != Some(".")
                && near(index.checked_sub(1)) != Some(".")
        })
        .map(|index| target[index].text(source))
        .collect()
}

/// Whether a `set` tag opens a block instead of assigning an expression.
pub(crate) fn is_set_block(source: &str, tokens: &[Token]) -> bool {
    let target = set_target(source, tokens);
    tokens.get(1 + target.len()).is_none_or(|t| t.text(source) != "=")
}

/// The tokens between `set` and `=`, `|` or the end.
fn set_target<'t>(source: &str, tokens: &'t [Token]) -> &'t [Token] {
    let tokens = tokens.get(1..).unwrap_or(&[]);
    let end = tokens.iter().position(|t| matches!(t.text(source), "=" | "|")).unwrap_or(tokens.len());
    &tokens[..end]
}
