//! Builds the outline of a template: pairs its tags and finds what encloses them.
//!
//! Owns the stack of open tags and every error that needs it. Where MiniJinja would reject the template, the walk stops
//! and leaves the error to MiniJinja.

use std::ops::Range;

use minijinja::Error;

use crate::compile::expr::{ExprError, ExprKind};
use crate::compile::foreign::caller_calls;
use crate::compile::lex::newlines;
use crate::compile::literal::literal_str;
use crate::compile::parser::ExprParser;
use crate::compile::scan::{Scan, SourceSpan};
use crate::compile::statement::{closes_block, is_set_block, keyword, reachable_names, values};
use crate::compile::tag::parse_head;
use crate::compile::template::{Branch, BranchId, CacheTag, Extends, LoadTag, Outline, Statement, TemplateBlock};
use crate::compile::validate::{error_in_span, forbidden_in_body, reserved_name, syntax_error};

/// Builds the outline of `scan`, the template called `name`.
pub(super) fn outline<'s>(scan: &Scan<'s>, name: &str) -> Result<Outline<'s>, Error> {
    let mut walk = StructureWalk {
        scan,
        name,
        stack: Vec::new(),
        cache_tags: Vec::new(),
        statements: Vec::new(),
        branches: Vec::new(),
        blocks: Vec::new(),
        branch_of: Vec::with_capacity(scan.spans.len()),
        extends: Vec::new(),
        loads: Vec::new(),
        outside_blocks: None,
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

type WalkStep = std::ops::ControlFlow<()>;
const CONTINUE: WalkStep = WalkStep::Continue(());
/// MiniJinja rejects the template here.
const STOP: WalkStep = WalkStep::Break(());

struct OpenTag<'s> {
    word: &'s str,
    line: usize,
    span: usize,
    /// The branch that encloses its text.
    branch: Option<BranchId>,
    cached: Option<usize>,
    /// After the `else` of a loop, where `break` belongs to the outer loop.
    in_else: bool,
}

struct FoundExtends {
    line: usize,
    unconditional: bool,
    literal: Option<String>,
}

struct StructureWalk<'a, 's> {
    scan: &'a Scan<'s>,
    name: &'a str,
    stack: Vec<OpenTag<'s>>,
    cache_tags: Vec<CacheTag<'s>>,
    statements: Vec<Statement<'s>>,
    branches: Vec<Branch<'s>>,
    blocks: Vec<TemplateBlock<'s>>,
    branch_of: Vec<Option<BranchId>>,
    extends: Vec<FoundExtends>,
    loads: Vec<LoadTag>,
    /// Line of the first cache tag outside of every block, macro, call block and `set` block. A child template discards
    /// such output.
    outside_blocks: Option<usize>,
}

impl<'a, 's> StructureWalk<'a, 's> {
    fn span(&mut self, index: usize) -> Result<WalkStep, Error> {
        let span = &self.scan.spans[index];
        self.branch_of.push(self.branch());
        let ours = matches!(keyword(self.scan.source, span), Some("cache" | "endcache"));
        if ours || self.in_cached() {
            self.check_names(span)?;
        }
        if !span.is_statement() {
            return Ok(CONTINUE);
        }
        match keyword(self.scan.source, span) {
            Some(word) => self.statement(word, index, span),
            None => Ok(STOP),
        }
    }

    fn check_names(&self, span: &SourceSpan) -> Result<(), Error> {
        let source = self.scan.source;
        let forbidden = || forbidden_in_body(source, &span.tokens).filter(|_| self.in_cached());
        match reserved_name(source, &span.tokens).or_else(forbidden) {
            Some(error) => Err(self.fail_at(span, &error)),
            None => Ok(()),
        }
    }

    fn statement(&mut self, word: &'s str, index: usize, span: &'a SourceSpan) -> Result<WalkStep, Error> {
        match word {
            "cache" => self.open_cache(index, span),
            "endcache" => self.close_cache(index, span),
            "set" => Ok(self.set(index, span)),
            "block" | "extends" if self.in_cached() => Err(self.inheritance_error(word, span)),
            "if" | "for" | "with" | "autoescape" | "filter" | "block" | "macro" | "call" => {
                self.push(word, index, span);
                Ok(CONTINUE)
            }
            "else" | "elif" => self.else_branch(word, index, span),
            "import" | "from" | "extends" => Ok(self.load(word, index, span)),
            "break" | "continue" => self.leave_loop(word, span),
            "do" => {
                // A call may change its arguments.
                self.add_statement(index, span.range.clone(), values(self.scan.source, &span.tokens[1..]));
                Ok(CONTINUE)
            }
            "include" => Ok(CONTINUE),
            _ => match closes_block(word) {
                Some(opener) => self.close(opener, index, span),
                None => Ok(STOP),
            },
        }
    }

    fn open_cache(&mut self, index: usize, span: &'a SourceSpan) -> Result<WalkStep, Error> {
        let source = self.scan.source;
        let head = parse_head(source, &span.tokens[1..]).map_err(|error| self.fail_at(span, &error))?;
        let placed = ["block", "macro", "call", "set"];
        if !self.stack.iter().any(|frame| placed.contains(&frame.word)) {
            self.outside_blocks.get_or_insert(span.line);
        }
        let block = self.stack.iter().rev().find(|frame| frame.word == "block");
        let block = block.and_then(|frame| self.scan.spans[frame.span].tokens.get(1));
        let keyed_by_caller = !caller_calls(source, span, &head).is_empty();
        self.cache_tags.push(CacheTag {
            open: index,
            close: None,
            head,
            block: block.map(|token| token.text(source)),
            calls_super: false,
            keyed_by_caller,
        });
        self.push("cache", index, span);
        if let Some(frame) = self.stack.last_mut() {
            frame.cached = Some(self.cache_tags.len() - 1);
        }
        Ok(CONTINUE)
    }

    fn close_cache(&mut self, index: usize, span: &SourceSpan) -> Result<WalkStep, Error> {
        if let Some(extra) = span.tokens.get(1) {
            let text = extra.text(self.scan.source);
            let error = ExprError::new(extra.start, format!("unexpected `{text}` in endcache"));
            return Err(self.fail_at(span, &error));
        }
        match self.stack.pop() {
            Some(OpenTag { cached: Some(cached), .. }) => {
                self.cache_tags[cached].close = Some(index);
                Ok(CONTINUE)
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

    fn set(&mut self, index: usize, span: &'a SourceSpan) -> WalkStep {
        if is_set_block(self.scan.source, &span.tokens) {
            self.push("set", index, span);
        } else {
            self.add_statement(index, span.range.clone(), reachable_names(self.scan.source, span));
        }
        CONTINUE
    }

    fn inheritance_error(&self, word: &str, span: &SourceSpan) -> Error {
        let instead = match word {
            "block" => {
                "put the cache tag inside the block, as what it shows depends on the template \
                        that extends this one"
            }
            _ => "put it outside, at the top of the template",
        };
        self.fail(span.line, &format!("`{word}` cannot stand inside a cached body; {instead}"))
    }

    fn else_branch(&mut self, word: &'s str, index: usize, span: &SourceSpan) -> Result<WalkStep, Error> {
        let before = self.branch();
        match self.stack.last_mut() {
            Some(frame) if matches!(frame.word, "if" | "for") => {
                frame.in_else |= word == "else";
                frame.branch = Some(self.branches.len());
                let owner = before.and_then(|before| self.branches[before].owner);
                self.branches.push(Branch { word, span: index, parent: before, owner });
                Ok(CONTINUE)
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

    fn crossing(&self, tag: &str, word: &str, outer: usize, cache: usize, span: &SourceSpan) -> Error {
        let message = format!(
            "the cached body opened on line {cache} is not closed before the `{tag}` of the `{word}` \
             on line {outer}; put `endcache` before it"
        );
        self.fail(span.line, &message)
    }

    fn load(&mut self, word: &'s str, index: usize, span: &'a SourceSpan) -> WalkStep {
        let source = self.scan.source;
        let tokens = &span.tokens[1..];
        let Ok(expr) = ExprParser::statement(source, tokens).expr() else {
            return STOP;
        };
        let extends = word == "extends";
        if extends {
            let literal = match expr.kind {
                ExprKind::Str => literal_str(&source[expr.range.clone()]),
                _ => None,
            };
            let unconditional = self.stack.is_empty();
            self.extends.push(FoundExtends { line: span.line, unconditional, literal });
        } else {
            self.add_statement(index, span.range.clone(), reachable_names(source, span));
        }
        self.loads.push(LoadTag { name: expr.range, is_extends: extends });
        CONTINUE
    }

    fn leave_loop(&self, word: &str, span: &SourceSpan) -> Result<WalkStep, Error> {
        for frame in self.stack.iter().rev() {
            match frame.word {
                "for" if !frame.in_else => return Ok(CONTINUE),
                "macro" | "call" | "block" => return Ok(CONTINUE),
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
        Ok(CONTINUE)
    }

    fn close(&mut self, opener: &str, index: usize, span: &SourceSpan) -> Result<WalkStep, Error> {
        let Some(frame) = self.stack.last() else {
            return Ok(STOP);
        };
        if frame.word == opener {
            let (opened, open) = (frame.span, &self.scan.spans[frame.span]);
            if matches!(opener, "set" | "macro") {
                let binds = reachable_names(self.scan.source, open);
                self.add_statement(opened, open.range.start..span.range.end, binds);
            }
            self.stack.pop();
            if let (true, Some(name)) = (opener == "block", open.tokens.get(1)) {
                let name = name.text(self.scan.source);
                self.blocks.push(TemplateBlock { name, open: opened, close: index });
            }
            return Ok(CONTINUE);
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

    fn finish(mut self, understood: usize) -> Result<Outline<'s>, Error> {
        let complete = understood == self.scan.spans.len();
        if let Some(unread) = self.scan.error.as_ref().filter(|_| complete) {
            let word = unread.tokens.first().map(|t| t.text(self.scan.source));
            if let Some(word @ ("cache" | "endcache")) = word {
                let head = &self.scan.source[unread.start..unread.at];
                let line = unread.line + newlines(head);
                return Err(self.fail(line, &format!("the `{word}` tag cannot be read: {}", unread.message)));
            }
        } else if let Some(frame) = self.stack.iter().rev().find(|f| complete && f.cached.is_some()) {
            let message = "the cache tag opened here is never closed; add `endcache`";
            return Err(self.fail(frame.line, message));
        }
        let unconditional = self.extends.iter().find(|found| found.unconditional);
        if let (Some(line), Some(found)) = (self.outside_blocks, unconditional) {
            let message = format!(
                "a template that extends another (line {}) shows only its blocks; put the cache tag \
                 inside a block",
                found.line
            );
            return Err(self.fail(line, &message));
        }
        let extends = own_extends(&mut self.extends);
        self.statements.sort_by_key(|statement| statement.range.start);
        self.blocks.sort_by_key(|block| block.open);
        Ok(Outline {
            cache_tags: self.cache_tags,
            statements: self.statements,
            branches: self.branches,
            blocks: self.blocks,
            branch_of: self.branch_of,
            extends,
            loads: self.loads,
            understood,
        })
    }

    fn push(&mut self, word: &'s str, index: usize, span: &SourceSpan) {
        let parent = self.branch();
        let own = BRANCHES.contains(&word).then_some(self.branches.len());
        if own.is_some() {
            let runs_apart = matches!(word, "macro" | "call");
            let owner = if runs_apart { own } else { parent.and_then(|parent| self.branches[parent].owner) };
            self.branches.push(Branch { word, span: index, parent, owner });
        }
        let branch = own.or(parent);
        self.stack.push(OpenTag { word, line: span.line, span: index, branch, cached: None, in_else: false });
    }

    /// The innermost branch at the current tag.
    fn branch(&self) -> Option<BranchId> {
        self.stack.last().and_then(|frame| frame.branch)
    }

    /// Adds a statement that begins at the span `index`. Called right after its tag was read, or before its open tag is
    /// popped.
    fn add_statement(&mut self, index: usize, range: Range<usize>, binds: Vec<&'s str>) {
        let in_block = self.stack.iter().any(|frame| frame.word == "block");
        self.statements.push(Statement { range, span: index, binds, inside: self.branch(), in_block });
    }

    fn in_cached(&self) -> bool {
        self.stack.iter().any(|frame| frame.cached.is_some())
    }

    fn fail(&self, line: usize, message: &str) -> Error {
        syntax_error(self.name, line, message)
    }

    fn fail_at(&self, span: &SourceSpan, error: &ExprError) -> Error {
        error_in_span(self.scan.source, self.name, span, error)
    }
}

/// Statements whose text runs conditionally, repeatedly, with other values, or on its own.
const BRANCHES: [&str; 6] = ["if", "for", "with", "autoescape", "macro", "call"];

fn own_extends(found: &mut Vec<FoundExtends>) -> Extends {
    match (found.pop(), found.is_empty()) {
        (None, _) => Extends::None,
        (Some(FoundExtends { unconditional: true, literal: Some(name), .. }), true) => Extends::Literal(name),
        _ => Extends::Dynamic,
    }
}
