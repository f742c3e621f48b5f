//! What may not stand inside a cached body, tag by tag, and how errors are worded.
//!
//! Owns the messages about single tags. The structure of blocks is left to `blocks`.

use minijinja::{Error, ErrorKind};

use crate::compile::lex::{TagToken, TokenKind};
use crate::compile::statement::variables;
use crate::names::{CALL_VARIABLE, FRAGMENT_VARIABLE};

/// An error about the template `name`, at `line`.
pub(super) fn syntax_error(name: &str, line: usize, message: &str) -> Error {
    Error::new(ErrorKind::SyntaxError, format!("cache: {message} (in {name}:{line})"))
}

/// Why the tokens of one tag may not stand in a cached body, and where.
pub(super) fn forbidden_in_body(source: &str, tokens: &[TagToken]) -> Option<(usize, String)> {
    let (at, _) = variables(source, tokens).find(|(_, name)| *name == "self")?;
    let why = "`self` cannot be used inside a cached body: which block it shows depends on the template that extends \
               this one; put the cache tag inside the block";
    Some((tokens[at].start, why.to_owned()))
}

/// A use of a reserved variable.
pub(super) fn reserved_name(source: &str, tokens: &[TagToken]) -> Option<(usize, String)> {
    let token = tokens
        .iter()
        .find(|t| t.kind == TokenKind::Word && [FRAGMENT_VARIABLE, CALL_VARIABLE].contains(&t.text(source)))?;
    Some((token.start, format!("the name `{}` is reserved; choose another one", token.text(source))))
}
