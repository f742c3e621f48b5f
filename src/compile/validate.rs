//! Rejects single tags that a cached body must not contain, and words the syntax errors of the crate.
//!
//! `structure` checks the nesting of tags.

use minijinja::{Error, ErrorKind};

use crate::compile::lex::{TagToken, TokenKind};
use crate::compile::statement::variables;
use crate::names::{CALL_VARIABLE, FRAGMENT_VARIABLE};

/// A syntax error in the template `name`, at `line`.
pub(super) fn syntax_error(name: &str, line: usize, message: &str) -> Error {
    Error::new(ErrorKind::SyntaxError, format!("cache: {message} (in {name}:{line})"))
}

/// The position and the reason if a tag must not be in a cached body.
pub(super) fn forbidden_in_body(source: &str, tokens: &[TagToken]) -> Option<(usize, String)> {
    let (at, _) = variables(source, tokens).find(|(_, name)| *name == "self")?;
    let why = "`self` cannot be used inside a cached body: which block it shows depends on the template that extends \
               this one; put the cache tag inside the block";
    Some((tokens[at].start, why.to_owned()))
}

/// The first use of a reserved variable.
pub(super) fn reserved_name(source: &str, tokens: &[TagToken]) -> Option<(usize, String)> {
    let token = tokens
        .iter()
        .find(|t| t.kind == TokenKind::Word && [FRAGMENT_VARIABLE, CALL_VARIABLE].contains(&t.text(source)))?;
    Some((token.start, format!("the name `{}` is reserved; choose another one", token.text(source))))
}
