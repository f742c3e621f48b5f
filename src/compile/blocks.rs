//! The structure of a template: which cache tags belong together and what stands around them.
//!
//! Owns the stack of open blocks and every refusal that needs it. Where MiniJinja would reject the
//! template, the walk stops and leaves the error to it. Text is written by `lower`.

use std::ops::Range;

use minijinja::Error;

use crate::compile::analyze::{Statement, bound_names, keyword, reachable_names};
use crate::compile::expr::{Reader, Shape};
use crate::compile::lex::newlines;
use crate::compile::lower::literal_str;
use crate::compile::refuse::{assigned_attributes, calls_super, in_body, is_set_block, refusal, reserved};
use crate::compile::rewrite::Extends;
use crate::compile::scan::{Scan, Span};
use crate::compile::tag::{Head, parse_head};

/// A cache tag and what belongs to it.
#[derive(Debug)]
pub(crate) struct Cached<'s> {
    /// Index of the opening span.
    pub(crate) open: usize,
    /// Index of the closing span, unless the walk stopped before it.
    pub(crate) close: Option<usize>,
    pub(crate) head: Head,
    /// The `{% block %}` around it.
    pub(crate) block: Option<&'s str>,
    pub(crate) calls_super: bool,
}

/// What a template consists of.
#[derive(Debug)]
pub(crate) struct Structure<'s> {
    pub(crate) cached: Vec<Cached<'s>>,
    /// In source order.
    pub(crate) statements: Vec<Statement<'s>>,
    pub(crate) extends: Extends,
    /// The name expressions of `import`, `from` and `extends`.
    pub(crate) loads: Vec<Range<usize>>,
    /// How many spans were understood; MiniJinja rejects what follows.
    pub(crate) understood: usize,
}

/// Finds the structure of `scan`, the template called `name`.
pub(crate) fn structure<'s>(scan: &Scan<'s>, name: &str) -> Result<Structure<'s>, Error> {
    let mut walk = Walk {
        scan,
        name,
        stack: Vec::new(),
        cached: Vec::new(),
        statements: Vec::new(),
        extends: Vec::new(),
        loads: Vec::new(),
        unplaced: None,
        first_super: None,
    };
    let mut understood = scan.spans.len();
    for index in 0..scan.spans.len() {
        if walk.span(index)?.is_break() {
            understood = index;
            break;
        }
    }
    walk.finish(understood)
}

type Flow = std::ops::ControlFlow<()>;
const ON: Flow = Flow::Continue(());
/// MiniJinja rejects the template here.
const STOP: Flow = Flow::Break(());

struct Frame<'s> {
    word: &'s str,
    line: usize,
    span: usize,
    bound: Vec<&'s str>,
    cached: Option<usize>,
    /// Past the `else` of a loop, where `break` belongs to the loop outside.
    in_else: bool,
}

struct Found {
    line: usize,
    unconditional: bool,
    literal: Option<String>,
}

struct Walk<'a, 's> {
    scan: &'a Scan<'s>,
    name: &'a str,
    stack: Vec<Frame<'s>>,
    cached: Vec<Cached<'s>>,
    statements: Vec<Statement<'s>>,
    extends: Vec<Found>,
    loads: Vec<Range<usize>>,
    /// Line of the first cache tag that only a layout may have.
    unplaced: Option<usize>,
    /// Line of the first `super()` in a cached body.
    first_super: Option<usize>,
}

impl<'a, 's> Walk<'a, 's> {
    fn span(&mut self, index: usize) -> Result<Flow, Error> {
        let span = &self.scan.spans[index];
        let ours = matches!(keyword(self.scan.source, span), Some("cache" | "endcache"));
        if ours || self.in_cached() {
            self.check_names(span)?;
        }
        if !span.is_statement() {
            return Ok(ON);
        }
        match keyword(self.scan.source, span) {
            Some(word) => self.statement(word, index, span),
            None => Ok(STOP),
        }
    }

    fn check_names(&mut self, span: &Span) -> Result<(), Error> {
        let source = self.scan.source;
        if let Some((at, why)) = reserved(source, &span.tokens) {
            return Err(self.fail_at(span, at, &why));
        }
        if !self.in_cached() {
            return Ok(());
        }
        if let Some((at, why)) = in_body(source, &span.tokens) {
            return Err(self.fail_at(span, at, &why));
        }
        if calls_super(source, &span.tokens) {
            self.first_super.get_or_insert(span.line);
            for cached in self.stack.iter().filter_map(|frame| frame.cached) {
                self.cached[cached].calls_super = true;
            }
        }
        Ok(())
    }

    fn statement(&mut self, word: &'s str, index: usize, span: &'a Span) -> Result<Flow, Error> {
        match word {
            "cache" => self.open_cache(index, span),
            "endcache" => self.close_cache(index, span),
            "set" => self.set(index, span),
            "block" | "extends" if self.in_cached() => Err(self.refuse_inheritance(word, span)),
            "if" | "for" | "with" | "autoescape" | "filter" | "block" | "macro" | "call" => {
                if word == "with" {
                    self.note(span.range.clone(), span);
                }
                self.push(word, index, span);
                Ok(ON)
            }
            "else" | "elif" => self.otherwise(word, span),
            "import" | "from" | "extends" => Ok(self.load(word, span)),
            "break" | "continue" => self.leave_loop(word, span),
            "include" | "do" => Ok(ON),
            _ => match word.strip_prefix("end") {
                Some(opener) if OPENERS.contains(&opener) => self.close(opener, span),
                _ => Ok(STOP),
            },
        }
    }

    fn open_cache(&mut self, index: usize, span: &'a Span) -> Result<Flow, Error> {
        let source = self.scan.source;
        let head =
            parse_head(source, &span.tokens[1..]).map_err(|error| self.fail_at(span, error.at, &error.message))?;
        let placed = ["block", "macro", "call", "set"];
        if !self.stack.iter().any(|frame| placed.contains(&frame.word)) {
            self.unplaced.get_or_insert(span.line);
        }
        let block = self.stack.iter().rev().find(|frame| frame.word == "block");
        let block = block.and_then(|frame| self.scan.spans[frame.span].tokens.get(1));
        self.cached.push(Cached {
            open: index,
            close: None,
            head,
            block: block.map(|token| token.text(source)),
            calls_super: false,
        });
        self.push("cache", index, span);
        if let Some(frame) = self.stack.last_mut() {
            frame.cached = Some(self.cached.len() - 1);
        }
        Ok(ON)
    }

    fn close_cache(&mut self, index: usize, span: &Span) -> Result<Flow, Error> {
        if let Some(extra) = span.tokens.get(1) {
            let text = extra.text(self.scan.source);
            return Err(self.fail_at(span, extra.start, &format!("unexpected `{text}` in endcache")));
        }
        match self.stack.pop() {
            Some(Frame { cached: Some(cached), .. }) => {
                self.cached[cached].close = Some(index);
                Ok(ON)
            }
            Some(frame) if self.in_cached() => {
                let message = format!(
                    "`{}`, opened on line {}, is not closed before `endcache`; close it inside the \
                     cached body",
                    frame.word, frame.line
                );
                Err(self.fail(span.line, &message))
            }
            _ => Err(self.fail(span.line, "`endcache` closes no cache tag; open one before it or remove it")),
        }
    }

    fn set(&mut self, index: usize, span: &'a Span) -> Result<Flow, Error> {
        let source = self.scan.source;
        for attribute in assigned_attributes(source, &span.tokens) {
            if self.in_cached() && !self.bound_in_body(attribute) {
                let message = format!(
                    "`{attribute}` was made outside the cached body, so an attribute set inside would \
                     be set on misses only; make the namespace inside the body or set it outside"
                );
                return Err(self.fail(span.line, &message));
            }
        }
        if is_set_block(source, &span.tokens) {
            self.bind(span);
            self.push("set", index, span);
        } else {
            self.note(span.range.clone(), span);
            self.bind(span);
        }
        Ok(ON)
    }

    fn refuse_inheritance(&self, word: &str, span: &Span) -> Error {
        let instead = match word {
            "block" => {
                "put the cache tag inside the block, as what it shows depends on the template \
                        that extends this one"
            }
            _ => "put it outside, at the top of the template",
        };
        self.fail(span.line, &format!("`{word}` cannot stand inside a cached body; {instead}"))
    }

    fn otherwise(&mut self, word: &str, span: &Span) -> Result<Flow, Error> {
        match self.stack.last_mut() {
            Some(frame) if matches!(frame.word, "if" | "for") => {
                frame.in_else |= word == "else";
                frame.bound.clear();
                Ok(ON)
            }
            Some(frame) if frame.cached.is_some() => {
                let line = frame.line;
                let outer = self.stack.iter().rev().find(|f| matches!(f.word, "if" | "for"));
                Err(match outer {
                    Some(outer) => self.crossing(word, outer.word, outer.line, line, span),
                    None => self.fail(
                        span.line,
                        &format!("`{word}` belongs to nothing inside the cached body opened on line {line}"),
                    ),
                })
            }
            _ => Ok(STOP),
        }
    }

    fn crossing(&self, tag: &str, word: &str, outer: usize, cache: usize, span: &Span) -> Error {
        let message = format!(
            "the cached body opened on line {cache} is not closed before the `{tag}` of the `{word}` \
             on line {outer}; put `endcache` before it"
        );
        self.fail(span.line, &message)
    }

    fn load(&mut self, word: &'s str, span: &'a Span) -> Flow {
        let source = self.scan.source;
        let tokens = &span.tokens[1..];
        let Ok(expr) = Reader::statement(source, tokens).expr() else {
            return STOP;
        };
        if word == "extends" {
            let literal = match expr.shape {
                Shape::Str => literal_str(&source[expr.range.clone()]),
                _ => None,
            };
            let unconditional = self.stack.is_empty();
            self.extends.push(Found { line: span.line, unconditional, literal });
        } else {
            self.note(span.range.clone(), span);
            self.bind(span);
        }
        self.loads.push(expr.range);
        ON
    }

    fn leave_loop(&self, word: &str, span: &Span) -> Result<Flow, Error> {
        for frame in self.stack.iter().rev() {
            match frame.word {
                "for" if !frame.in_else => return Ok(ON),
                "macro" | "call" | "block" => return Ok(ON),
                "cache" => {
                    let message = format!(
                        "`{word}` would leave the cached body opened on line {}; put the whole loop \
                         inside it, or the condition outside",
                        frame.line
                    );
                    return Err(self.fail(span.line, &message));
                }
                _ => {}
            }
        }
        Ok(ON)
    }

    fn close(&mut self, opener: &str, span: &Span) -> Result<Flow, Error> {
        let Some(frame) = self.stack.last() else {
            return Ok(STOP);
        };
        if frame.word == opener {
            if matches!(opener, "set" | "macro" | "call") {
                let open = &self.scan.spans[frame.span];
                self.note(open.range.start..span.range.end, open);
            }
            self.stack.pop();
            return Ok(ON);
        }
        if frame.cached.is_none() {
            return Ok(STOP);
        }
        let line = frame.line;
        let tag = format!("end{opener}");
        Err(match self.stack.iter().rev().find(|f| f.word == opener) {
            Some(outer) => self.crossing(&tag, outer.word, outer.line, line, span),
            None => {
                let message = format!("`{tag}` closes nothing inside the cached body opened on line {line}");
                self.fail(span.line, &message)
            }
        })
    }

    fn finish(mut self, understood: usize) -> Result<Structure<'s>, Error> {
        let complete = understood == self.scan.spans.len();
        if let Some(unread) = self.scan.unreadable.as_ref().filter(|_| complete) {
            let word = unread.tokens.first().map(|t| t.text(self.scan.source));
            if let Some(word @ ("cache" | "endcache")) = word {
                let head = &self.scan.source[unread.start..unread.at];
                let line = unread.line + newlines(head);
                return Err(self.fail(line, &format!("the `{word}` tag cannot be read: {}", unread.why)));
            }
        } else if let Some(frame) = self.stack.iter().rev().find(|f| complete && f.cached.is_some()) {
            let message = "the cache tag opened here is never closed; add `endcache`";
            return Err(self.fail(frame.line, message));
        }
        let unconditional = self.extends.iter().find(|found| found.unconditional);
        if let (Some(line), Some(found)) = (self.unplaced, unconditional) {
            let message = format!(
                "a template that extends another (line {}) shows only its blocks; put the cache tag \
                 inside a block",
                found.line
            );
            return Err(self.fail(line, &message));
        }
        let extends = own_extends(&mut self.extends);
        if let (Some(line), false) = (self.first_super, matches!(extends, Extends::Literal(_))) {
            let message = "`super()` inside a cached body needs one unconditional `extends` with a \
                           literal name, as it is part of what the fragment shows; call it outside";
            return Err(self.fail(line, message));
        }
        self.statements.sort_by_key(|statement| statement.range.start);
        Ok(Structure { cached: self.cached, statements: self.statements, extends, loads: self.loads, understood })
    }

    fn push(&mut self, word: &'s str, span_index: usize, span: &Span) {
        let bound = match word {
            "set" => Vec::new(),
            _ => bound_names(self.scan.source, span),
        };
        self.stack.push(Frame { word, line: span.line, span: span_index, bound, cached: None, in_else: false });
    }

    fn note(&mut self, range: Range<usize>, span: &Span) {
        let binds = reachable_names(self.scan.source, span);
        self.statements.push(Statement { range, binds });
    }

    fn bind(&mut self, span: &Span) {
        let names = bound_names(self.scan.source, span);
        if let Some(frame) = self.stack.last_mut() {
            frame.bound.extend(names);
        }
    }

    fn in_cached(&self) -> bool {
        self.stack.iter().any(|frame| frame.cached.is_some())
    }

    /// Whether `name` is bound between here and the innermost cache tag.
    fn bound_in_body(&self, name: &str) -> bool {
        for frame in self.stack.iter().rev() {
            if frame.bound.contains(&name) {
                return true;
            }
            if frame.cached.is_some() {
                return false;
            }
        }
        false
    }

    fn fail(&self, line: usize, message: &str) -> Error {
        refusal(self.name, line, message)
    }

    fn fail_at(&self, span: &Span, at: usize, message: &str) -> Error {
        let before = self.scan.source.get(span.range.start..at).unwrap_or("");
        self.fail(span.line + newlines(before), message)
    }
}

const OPENERS: [&str; 9] = ["if", "for", "with", "set", "autoescape", "filter", "block", "macro", "call"];

fn own_extends(found: &mut Vec<Found>) -> Extends {
    match (found.pop(), found.is_empty()) {
        (None, _) => Extends::None,
        (Some(Found { unconditional: true, literal: Some(name), .. }), true) => Extends::Literal(name),
        _ => Extends::Dynamic,
    }
}
