//! Parses the head of a cache tag: key, lifetime and options.
//!
//! Owns the grammar of the argument list and its errors. `parser` finds the extent of expressions, `lower` writes them.

use crate::compile::expr::{Expr, ExprError, ExprKind};
use crate::compile::lex::{TagToken, TokenKind};
use crate::compile::literal::literal_str;
use crate::compile::parser::ExprParser;
use crate::compile::spelling::Form;
use crate::util::duration::{is_duration, parse_ttl_str};

/// The arguments of a cache tag.
#[derive(Debug, Clone)]
pub(super) struct CacheTagHead {
    pub(super) key: Expr,
    pub(super) ttl: Option<Expr>,
    pub(super) options: TagOptions,
}

/// The named arguments other than `ttl=`.
#[derive(Debug, Clone, Default)]
pub(super) struct TagOptions {
    pub(super) tags: Option<Expr>,
    pub(super) vary: Option<Expr>,
    pub(super) stale: Option<Expr>,
    pub(super) when: Option<Expr>,
    pub(super) unless: Option<Expr>,
    pub(super) version: Option<Expr>,
    pub(super) name: Option<Expr>,
}

/// Parses the tokens after the word `cache`.
pub(super) fn parse_head(source: &str, tokens: &[TagToken]) -> Result<CacheTagHead, ExprError> {
    let mut reader = ExprParser::arguments(source, tokens);
    let end = tokens.last().map_or(0, |t| t.end);
    if reader.peek().is_none() || reader.at_option() {
        let named = tokens.windows(2).find(|pair| pair[0].text(source) == "key" && pair[1].text(source) == "=");
        return Err(match named {
            Some(pair) => ExprError::new(pair[0].start, Form::Tag.unknown("key")),
            None => ExprError::new(end, "missing key; write `cache KEY` or `cache KEY TTL`"),
        });
    }
    let key = reader.expr()?;
    let mut arguments =
        HeadParser { source, tokens, reader, key: &key, last: key.clone(), ttl: None, options: TagOptions::default() };
    arguments.read_all()?;
    let HeadParser { ttl, options, .. } = arguments;
    Ok(CacheTagHead { key, ttl, options })
}

/// Rejects the argument order of Django and Flask: a lifetime in place of the key, and no lifetime after it.
pub(super) fn check_order(
    source: &str,
    tokens: &[TagToken],
    form: Form,
    key: &Expr,
    ttl: &Expr,
) -> Result<(), ExprError> {
    if says_lifetime(source, tokens, key) && !is_lifetime(source, tokens, ttl) {
        return Err(wrong_order(source, form, key));
    }
    Ok(())
}

fn wrong_order(source: &str, form: Form, key: &Expr) -> ExprError {
    ExprError::new(
        key.range.start,
        form.order(&format!("`{}` stands where the key belongs", &source[key.range.clone()])),
    )
}

/// Whether an expression looks like a lifetime: a duration, or numbers and names such as `timeout`.
fn says_lifetime(source: &str, tokens: &[TagToken], expr: &Expr) -> bool {
    match expr.kind {
        ExprKind::Str => {
            source[expr.range.clone()].as_bytes().get(1).is_some_and(u8::is_ascii_digit)
                && literal_str(&source[expr.range.clone()]).is_some_and(|text| is_duration(&text))
        }
        _ => is_arithmetic(source, tokens, expr, says_timeout),
    }
}

/// Whether an expression is certainly a lifetime.
fn is_lifetime(source: &str, tokens: &[TagToken], expr: &Expr) -> bool {
    let text = &source[expr.range.clone()];
    match expr.kind {
        ExprKind::Str => literal_str(text).is_some_and(|text| parse_ttl_str(&text).is_ok()),
        ExprKind::Const => matches!(text, "none" | "None"),
        _ => is_arithmetic(source, tokens, expr, |_| false),
    }
}

/// Whether an expression consists of numbers and of names whose last part passes `named`.
fn is_arithmetic(source: &str, tokens: &[TagToken], expr: &Expr, named: fn(&str) -> bool) -> bool {
    let inside = |token: &&TagToken| expr.range.start <= token.start && token.end <= expr.range.end;
    let mut tokens = tokens.iter().filter(inside).peekable();
    let mut operands = 0;
    while let Some(token) = tokens.next() {
        let text = token.text(source);
        match token.kind {
            TokenKind::Number => operands += 1,
            TokenKind::Word if tokens.peek().is_some_and(|next| next.text(source) == ".") => {}
            TokenKind::Word if named(text) => operands += 1,
            TokenKind::Operator if matches!(text, "+" | "-" | "*" | "/" | "//" | "%" | "**" | "(" | ")" | ".") => {}
            TokenKind::Word | TokenKind::Str | TokenKind::Operator => return false,
        }
    }
    operands > 0
}

fn says_timeout(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    ["timeout", "ttl", "expires", "expiry", "max_age"].iter().any(|word| name.ends_with(word))
}

/// The error for `10m`, which is read as a number and a name.
pub(super) fn unquoted_duration(source: &str, number: &Expr, next: TagToken) -> Option<ExprError> {
    let joined = number.kind == ExprKind::Number && next.kind == TokenKind::Word && next.start == number.range.end;
    joined.then(|| {
        let text = &source[number.range.start..next.end];
        ExprError::new(
            number.range.start,
            format!("`{text}` is no number; a duration is a string, as in \"10m\" or \"1h 30m\""),
        )
    })
}

struct HeadParser<'s> {
    source: &'s str,
    tokens: &'s [TagToken],
    reader: ExprParser<'s>,
    key: &'s Expr,
    last: Expr,
    ttl: Option<Expr>,
    options: TagOptions,
}

impl HeadParser<'_> {
    fn read_all(&mut self) -> Result<(), ExprError> {
        let mut named = false;
        loop {
            let comma = self.reader.skip(",");
            let Some(token) = self.reader.peek() else {
                return if comma {
                    Err(ExprError::new(self.last.range.end, "an argument is missing after the last comma"))
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

    /// Without a comma, white space must separate two arguments, and the second must not be readable as a continuation
    /// of the first.
    fn check_separation(&self, token: TagToken) -> Result<(), ExprError> {
        if let Some(error) = unquoted_duration(self.source, &self.last, token) {
            return Err(error);
        }
        let text = token.text(self.source);
        let starts_argument = token.kind != TokenKind::Operator || matches!(text, "(" | "[" | "{" | "-");
        if !starts_argument {
            return Err(ExprError::new(token.start, format!("unexpected `{text}`")));
        }
        if token.start > self.last.range.end && !matches!(text, "(" | "[" | "-") {
            return Ok(());
        }
        Err(ExprError::doubt(token.start, &self.source[self.last.range.start..token.end]))
    }

    fn positional(&mut self, token: TagToken, named: bool) -> Result<(), ExprError> {
        let value = self.reader.expr()?;
        let text = &self.source[value.range.clone()];
        if named {
            let message = format!("`{text}` follows an option; key and ttl come first, or name it `ttl={text}`");
            return Err(ExprError::new(token.start, message));
        }
        if self.ttl.is_some() {
            // Three arguments with a lifetime first are the order of Django and Flask with a `vary` list.
            if says_lifetime(self.source, self.tokens, self.key) {
                return Err(wrong_order(self.source, Form::Tag, self.key));
            }
            let options = Form::Tag.options();
            let message =
                format!("`{text}` is one argument too many: key, ttl, then options ({options}) as `name=value`");
            return Err(ExprError::new(token.start, message));
        }
        check_order(self.source, self.tokens, Form::Tag, self.key, &value)?;
        self.last = value.clone();
        self.ttl = Some(value);
        Ok(())
    }

    fn option(&mut self, name: TagToken) -> Result<(), ExprError> {
        let text = name.text(self.source);
        self.reader.advance();
        self.reader.advance();
        if self.reader.peek().is_none() || self.reader.at_option() {
            return Err(ExprError::new(name.start, format!("the option `{text}=` has no value")));
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
                return Err(ExprError::new(name.start, Form::Tag.unknown(text)));
            }
        };
        if slot.is_some() {
            return Err(ExprError::new(
                name.start,
                format!("`{text}` is given twice; the options are {}", Form::Tag.options()),
            ));
        }
        self.last = value.clone();
        *slot = Some(value);
        Ok(())
    }
}
