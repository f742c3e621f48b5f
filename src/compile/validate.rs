//! Rejects single tags that a cached body must not contain, and words the syntax errors of the crate.
//!
//! `structure` checks the nesting of tags.

use minijinja::{Error, ErrorKind};

use crate::compile::expr::ExprError;
use crate::compile::lex::{TagToken, TokenKind, newlines};
use crate::compile::names::{CALL_VARIABLE, FRAGMENT_VARIABLE};
use crate::compile::scan::SourceSpan;
use crate::compile::statement::variables;

/// A syntax error in the template `name`, at `line`.
pub(super) fn syntax_error(name: &str, line: usize, message: &str) -> Error {
    Error::new(ErrorKind::SyntaxError, format!("cache: {message} (in {name}:{line})"))
}

/// A syntax error in a span of the template `name`, at the line of the error.
pub(super) fn error_in_span(source: &str, name: &str, span: &SourceSpan, error: &ExprError) -> Error {
    let before = source.get(span.range.start..error.at).unwrap_or("");
    syntax_error(name, span.line + newlines(before), &error.message)
}

/// The error of a tag that must not be in a cached body.
pub(super) fn forbidden_in_body(source: &str, tokens: &[TagToken]) -> Option<ExprError> {
    let (at, _) = variables(source, tokens).find(|(_, name)| *name == "self")?;
    let why = "`self` cannot be used inside a cached body: which block it shows depends on the template that extends \
               this one; put the cache tag inside the block";
    Some(ExprError::new(tokens[at].start, why))
}

/// The error of a tag that uses a reserved variable.
pub(super) fn reserved_name(source: &str, tokens: &[TagToken]) -> Option<ExprError> {
    let reserved = [FRAGMENT_VARIABLE, CALL_VARIABLE];
    let token = tokens.iter().find(|t| t.kind == TokenKind::Word && reserved.contains(&t.text(source)))?;
    let message = format!("the name `{}` is reserved; choose another one", token.text(source));
    Some(ExprError::new(token.start, message))
}
