//! The head of a cache tag: key, lifetime and options, as stretches of the source.
//!
//! Owns the one reading of the argument list and its errors. Expressions are measured by `expr`;
//! what becomes of the parts is left to `lower`.

use crate::compile::expr::{Expr, ExprError, Reader, Shape};
use crate::compile::lex::{Kind, Token};
use crate::compile::lower::literal_str;
use crate::duration::{is_duration, parse_ttl_str};
use crate::spelling::Form;

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
        let named = tokens.windows(2).find(|pair| pair[0].text(source) == "key" && pair[1].text(source) == "=");
        return Err(match named {
            Some(pair) => fail(pair[0].start, Form::Tag.unknown("key")),
            None => fail(end, "missing key; write `cache KEY` or `cache KEY TTL`"),
        });
    }
    let key = reader.expr()?;
    let mut arguments =
        Arguments { source, tokens, reader, key: &key, last: key.clone(), ttl: None, options: Options::default() };
    arguments.read_all()?;
    let Arguments { ttl, options, .. } = arguments;
    Ok(Head { key, ttl, options })
}

/// Refuses the order of Django and Flask: a lifetime where the key belongs, and no lifetime after it.
pub(crate) fn check_order(source: &str, tokens: &[Token], form: Form, key: &Expr, ttl: &Expr) -> Result<(), ExprError> {
    if says_lifetime(source, tokens, key) && !is_lifetime(source, tokens, ttl) {
        return Err(wrong_order(source, form, key));
    }
    Ok(())
}

fn wrong_order(source: &str, form: Form, key: &Expr) -> ExprError {
    fail(key.range.start, form.order(&format!("`{}` stands where the key belongs", &source[key.range.clone()])))
}

/// Whether an expression is a lifetime by its looks: a duration, or numbers and names like `timeout`.
fn says_lifetime(source: &str, tokens: &[Token], expr: &Expr) -> bool {
    match expr.shape {
        Shape::Str => {
            source[expr.range.clone()].as_bytes().get(1).is_some_and(u8::is_ascii_digit)
                && literal_str(&source[expr.range.clone()]).is_some_and(|text| is_duration(&text))
        }
        _ => is_arithmetic(source, tokens, expr, says_timeout),
    }
}

/// Whether an expression is a lifetime by what it says.
fn is_lifetime(source: &str, tokens: &[Token], expr: &Expr) -> bool {
    let text = &source[expr.range.clone()];
    match expr.shape {
        Shape::Str => literal_str(text).is_some_and(|text| parse_ttl_str(&text).is_ok()),
        Shape::Const => matches!(text, "none" | "None"),
        _ => is_arithmetic(source, tokens, expr, |_| false),
    }
}

/// Whether an expression is made of numbers and of names whose last part passes.
fn is_arithmetic(source: &str, tokens: &[Token], expr: &Expr, named: fn(&str) -> bool) -> bool {
    let inside = |token: &&Token| expr.range.start <= token.start && token.end <= expr.range.end;
    let mut tokens = tokens.iter().filter(inside).peekable();
    let mut operands = 0;
    while let Some(token) = tokens.next() {
        let text = token.text(source);
        match token.kind {
            Kind::Number => operands += 1,
            Kind::Word if tokens.peek().is_some_and(|next| next.text(source) == ".") => {}
            Kind::Word if named(text) => operands += 1,
            Kind::Operator if matches!(text, "+" | "-" | "*" | "/" | "//" | "%" | "**" | "(" | ")" | ".") => {}
            Kind::Word | Kind::Str | Kind::Operator => return false,
        }
    }
    operands > 0
}

fn says_timeout(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    ["timeout", "ttl", "expires", "expiry", "max_age"].iter().any(|word| name.ends_with(word))
}

/// An error for `10m`, which is read as a number and a name.
pub(crate) fn unquoted_duration(source: &str, number: &Expr, next: Token) -> Option<ExprError> {
    let joined = number.shape == Shape::Number && next.kind == Kind::Word && next.start == number.range.end;
    joined.then(|| {
        let text = &source[number.range.start..next.end];
        fail(number.range.start, format!("`{text}` is no number; a duration is a string, as in \"10m\" or \"1h 30m\""))
    })
}

struct Arguments<'s> {
    source: &'s str,
    tokens: &'s [Token],
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
        if let Some(error) = unquoted_duration(self.source, &self.last, token) {
            return Err(error);
        }
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
            if says_lifetime(self.source, self.tokens, self.key) {
                return Err(wrong_order(self.source, Form::Tag, self.key));
            }
            let options = Form::Tag.options();
            let message =
                format!("`{text}` is one argument too many: key, ttl, then options ({options}) as `name=value`");
            return Err(fail(token.start, message));
        }
        check_order(self.source, self.tokens, Form::Tag, self.key, &value)?;
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
                return Err(fail(name.start, Form::Tag.unknown(text)));
            }
        };
        if slot.is_some() {
            return Err(fail(name.start, format!("`{text}` is given twice; the options are {}", Form::Tag.options())));
        }
        self.last = value.clone();
        *slot = Some(value);
        Ok(())
    }
}

fn fail(at: usize, message: impl Into<String>) -> ExprError {
    ExprError { at, message: message.into() }
}
