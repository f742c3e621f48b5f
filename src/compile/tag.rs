//! The head of a cache tag: key, lifetime and options, as stretches of the source.
//!
//! Owns the one reading of the argument list and its errors. Expressions are measured by `expr`;
//! what becomes of the parts is left to `lower`.

use crate::compile::expr::{Expr, ExprError, Reader, Shape};
use crate::compile::lex::{Kind, Token};

/// The options a tag may name, for error messages.
const KNOWN: &str = "ttl, tags, vary, stale, if, unless, version, name";

/// The arguments of a cache tag.
#[derive(Debug, Clone)]
pub(crate) struct Head {
    pub(crate) key: Expr,
    pub(crate) ttl: Option<Expr>,
    pub(crate) options: Options,
}

/// The named arguments other than `ttl=`.
#[derive(Debug, Clone, Default)]
pub(crate) struct Options {
    pub(crate) tags: Option<Expr>,
    pub(crate) vary: Option<Expr>,
    pub(crate) stale: Option<Expr>,
    pub(crate) when: Option<Expr>,
    pub(crate) unless: Option<Expr>,
    pub(crate) version: Option<Expr>,
    pub(crate) name: Option<Expr>,
}

/// Reads the tokens after the word `cache`.
pub(crate) fn parse_head(source: &str, tokens: &[Token]) -> Result<Head, ExprError> {
    let mut reader = Reader::arguments(source, tokens);
    let end = tokens.last().map_or(0, |t| t.end);
    if reader.peek().is_none() || reader.at_option() {
        return Err(fail(end, "missing key; write `cache KEY` or `cache KEY TTL`"));
    }
    let key = reader.expr()?;
    let mut arguments =
        Arguments { source, reader, key: &key, last: key.clone(), ttl: None, options: Options::default() };
    arguments.read_all()?;
    let Arguments { ttl, options, .. } = arguments;
    if key.shape == Shape::Number && ttl.as_ref().is_some_and(|ttl| ttl.shape == Shape::Str) {
        return Err(wrong_order(source, &key));
    }
    Ok(Head { key, ttl, options })
}

fn wrong_order(source: &str, key: &Expr) -> ExprError {
    let message = format!(
        "the order is key, then ttl: `{}` stands where the key belongs (Django and Flask put the lifetime first)",
        &source[key.range.clone()]
    );
    fail(key.range.start, message)
}

struct Arguments<'s> {
    source: &'s str,
    reader: Reader<'s>,
    key: &'s Expr,
    last: Expr,
    ttl: Option<Expr>,
    options: Options,
}

impl Arguments<'_> {
    fn read_all(&mut self) -> Result<(), ExprError> {
        let mut named = false;
        loop {
            let comma = self.reader.skip(",");
            let Some(token) = self.reader.peek() else {
                return if comma {
                    Err(fail(self.last.range.end, "an argument is missing after the last comma"))
                } else {
                    Ok(())
                };
            };
            if !comma {
                self.check_separation(token)?;
            }
            if self.reader.at_option() {
                named = true;
                self.option(token)?;
            } else {
                self.positional(token, named)?;
            }
        }
    }

    /// Without a comma, white space must separate, and nothing that could belong to the argument
    /// before may follow.
    fn check_separation(&self, token: Token) -> Result<(), ExprError> {
        let text = token.text(self.source);
        let starts_argument = token.kind != Kind::Operator || matches!(text, "(" | "[" | "{" | "-");
        if !starts_argument {
            return Err(fail(token.start, format!("unexpected `{text}`")));
        }
        if token.start > self.last.range.end && !matches!(text, "(" | "[" | "-") {
            return Ok(());
        }
        let both = &self.source[self.last.range.start..token.end];
        Err(fail(
            token.start,
            format!(
                "`{both}` can be read as one argument or two; put a comma between two arguments, \
                 or parentheses around one"
            ),
        ))
    }

    fn positional(&mut self, token: Token, named: bool) -> Result<(), ExprError> {
        let value = self.reader.expr()?;
        let text = &self.source[value.range.clone()];
        if named {
            let message = format!("`{text}` follows an option; key and ttl come first, or name it `ttl={text}`");
            return Err(fail(token.start, message));
        }
        if self.ttl.is_some() {
            // Who also names what it varies by, as Django and Flask do, has the order from there.
            if self.key.shape == Shape::Number {
                return Err(wrong_order(self.source, self.key));
            }
            let message =
                format!("`{text}` is one argument too many: key, ttl, then options ({KNOWN}) as `name=value`");
            return Err(fail(token.start, message));
        }
        self.last = value.clone();
        self.ttl = Some(value);
        Ok(())
    }

    fn option(&mut self, name: Token) -> Result<(), ExprError> {
        let text = name.text(self.source);
        self.reader.advance();
        self.reader.advance();
        if self.reader.peek().is_none() || self.reader.at_option() {
            return Err(fail(name.start, format!("the option `{text}=` has no value")));
        }
        let value = self.reader.expr()?;
        let slot = match text {
            "ttl" => &mut self.ttl,
            "tags" => &mut self.options.tags,
            "vary" => &mut self.options.vary,
            "stale" => &mut self.options.stale,
            "if" => &mut self.options.when,
            "unless" => &mut self.options.unless,
            "version" => &mut self.options.version,
            "name" => &mut self.options.name,
            _ => {
                return Err(fail(name.start, format!("unknown option `{text}`; the options are {KNOWN}")));
            }
        };
        if slot.is_some() {
            return Err(fail(name.start, format!("`{text}` is given twice; the options are {KNOWN}")));
        }
        self.last = value.clone();
        *slot = Some(value);
        Ok(())
    }
}

fn fail(at: usize, message: impl Into<String>) -> ExprError {
    ExprError { at, message: message.into() }
}
