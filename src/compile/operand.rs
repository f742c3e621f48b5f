//! Parses the operands of an expression: literals, names, brackets, calls, filters and tests.
//!
//! `parser` owns the operators above them.

use crate::compile::expr::{ExprError, ExprKind, GuardKind, ParseResult, ParsedExpr};
use crate::compile::guard::{ArgumentUse, FilterEffect, FindingsMark};
use crate::compile::lex::TokenKind;
use crate::compile::parser::ExprParser;

impl ExprParser<'_> {
    pub(super) fn unary(&mut self) -> ParseResult {
        let mark = self.findings.mark();
        let node = self.negated()?;
        let node = self.postfix(node, mark)?;
        self.filters(node, mark)
    }

    fn negated(&mut self) -> ParseResult {
        let mark = self.findings.mark();
        let start = self.peek().map_or(0, |t| t.start);
        let mut signs = 0_usize;
        while self.skip("-") {
            signs += 1;
        }
        let node = self.primary()?;
        if signs == 0 {
            return Ok(node);
        }
        let node = self.postfix(node, mark)?;
        let kind = match node.kind {
            ExprKind::Number if signs == 1 => ExprKind::Number,
            _ => ExprKind::Made,
        };
        Ok(ParsedExpr { range: start..node.range.end, kind })
    }

    fn postfix(&mut self, mut node: ParsedExpr, mark: FindingsMark) -> ParseResult {
        let mut attribute = None;
        loop {
            let start = node.range.start;
            if self.skip(".") {
                attribute = match self.advance() {
                    Some(token) if matches!(token.kind, TokenKind::Word | TokenKind::Number) => Some(token),
                    _ => {
                        self.pos = self.pos.saturating_sub(1);
                        return self.error("a name or an integer");
                    }
                };
                let path = node.kind == ExprKind::Path;
                node = self.other(start);
                if path {
                    node.kind = ExprKind::Path;
                    self.findings.lengthen_path(node.range.end);
                }
                continue;
            }
            if !self.at("[") && !self.at("(") {
                return Ok(node);
            }
            self.reject_gap(start)?;
            if self.at("[") {
                self.subscript(&node, mark)?;
            } else {
                let method = attribute.map_or("", |token| token.text(self.source));
                self.call_arguments(ArgumentUse::by_method(method))?;
            }
            attribute = None;
            node = self.other(start);
        }
    }

    /// `user.id (60)` and `xs [0]` are ambiguous between arguments.
    fn reject_gap(&self, start: usize) -> Result<(), ExprError> {
        match self.peek() {
            Some(token) if self.strict() && self.end() < token.start => self.doubt(start, token.end),
            _ => Ok(()),
        }
    }

    fn subscript(&mut self, node: &ParsedExpr, mark: FindingsMark) -> Result<(), ExprError> {
        self.expect("[")?;
        self.brackets += 1;
        if self.at("]") {
            return self.error("an expression");
        }
        let mut slice = false;
        while !self.at("]") {
            if self.skip(":") {
                if !slice {
                    // A slice of an undefined value is empty.
                    self.findings.filtered(node, FilterEffect::KeepsItems, mark);
                }
                slice = true;
                continue;
            }
            let mark = self.findings.mark();
            let index = self.conditional()?;
            if slice || self.at(":") {
                self.findings.argument(&index, ArgumentUse::Checked(GuardKind::Defined), mark);
            }
            if !self.at(":") {
                break;
            }
        }
        self.brackets -= 1;
        self.expect("]")
    }

    fn call_arguments(&mut self, taken: ArgumentUse) -> Result<(), ExprError> {
        self.expect("(")?;
        self.brackets += 1;
        let mut first = true;
        while !self.at(")") {
            if !first {
                self.expect(",")?;
                if self.at(")") {
                    break;
                }
            }
            first = false;
            if !self.skip("**") {
                self.skip("*");
            }
            let mark = self.findings.mark();
            let mut argument = self.conditional()?;
            if argument.kind == ExprKind::Path && self.skip("=") {
                self.findings.forget(mark);
                argument = self.conditional()?;
            }
            self.findings.argument(&argument, taken, mark);
        }
        self.brackets -= 1;
        self.expect(")")
    }

    fn filters(&mut self, mut node: ParsedExpr, mark: FindingsMark) -> ParseResult {
        loop {
            let start = node.range.start;
            if self.skip("|") {
                let filter = FilterEffect::of(self.dotted_name()?);
                self.findings.filtered(&node, filter, mark);
                if self.at("(") {
                    self.reject_gap(start)?;
                    self.call_arguments(ArgumentUse::by_filter(filter))?;
                }
                node = if filter.makes_text() { self.made(start) } else { self.other(start) };
            } else if self.skip("is") {
                self.skip("not");
                self.test(start)?;
                self.findings.tested(mark);
                node = self.made(start);
            } else {
                return Ok(node);
            }
        }
    }

    fn test(&mut self, start: usize) -> Result<(), ExprError> {
        self.dotted_name()?;
        if self.at("(") {
            self.reject_gap(start)?;
            return self.call_arguments(ArgumentUse::Unchecked);
        }
        if !self.at_test_argument() {
            return Ok(());
        }
        if let (true, Some(token)) = (self.strict(), self.peek()) {
            return self.doubt(start, token.end);
        }
        let mark = self.findings.mark();
        let argument = self.negated()?;
        self.postfix(argument, mark).map(drop)
    }

    fn dotted_name(&mut self) -> Result<&str, ExprError> {
        let start = self.peek().map_or(0, |token| token.start);
        loop {
            match self.peek() {
                Some(token) if token.kind == TokenKind::Word => self.pos += 1,
                _ => return self.error("a name"),
            }
            if !self.skip(".") {
                return Ok(&self.source[start..self.end()]);
            }
        }
    }

    /// Whether the next token would be the argument of a test without parentheses.
    fn at_test_argument(&self) -> bool {
        let Some(token) = self.peek() else {
            return false;
        };
        let text = token.text(self.source);
        match token.kind {
            TokenKind::Str | TokenKind::Number => true,
            TokenKind::Word if self.strict() && self.at_option() => false,
            TokenKind::Word => !matches!(text, "and" | "or" | "else" | "is"),
            TokenKind::Operator => matches!(text, "+" | "-" | "[" | "{"),
        }
    }

    fn primary(&mut self) -> ParseResult {
        let Some(token) = self.peek() else {
            return self.error("an expression");
        };
        let text = token.text(self.source);
        let kind = match (token.kind, text) {
            (TokenKind::Word, _) if self.strict() && self.at_option() => {
                return self.error("an expression");
            }
            (TokenKind::Word, "if" | "else" | "and" | "or" | "is" | "in") if self.strict() => {
                return self.error("an expression");
            }
            (TokenKind::Word, "true" | "True" | "false" | "False" | "none" | "None") => ExprKind::Const,
            (TokenKind::Word, _) => ExprKind::Path,
            (TokenKind::Number, _) => ExprKind::Number,
            (TokenKind::Str, _) => ExprKind::Str,
            (TokenKind::Operator, "(") => return self.group(token.start, ")", false),
            (TokenKind::Operator, "[") => return self.group(token.start, "]", false),
            (TokenKind::Operator, "{") => return self.group(token.start, "}", true),
            (TokenKind::Operator, _) => return self.error("an expression"),
        };
        self.pos += 1;
        if kind == ExprKind::Path {
            self.findings.paths.push(token.start..token.end);
        }
        // MiniJinja joins adjacent strings. Between the arguments of a cache tag they are two.
        while kind == ExprKind::Str && !self.strict() && self.peek().is_some_and(|t| t.kind == TokenKind::Str) {
            self.pos += 1;
        }
        Ok(ParsedExpr { range: token.start..self.end(), kind })
    }

    /// Parses a list, a map, a tuple or an expression in parentheses.
    fn group(&mut self, start: usize, close: &str, map: bool) -> ParseResult {
        self.pos += 1;
        self.brackets += 1;
        let mut only = None;
        let mut count = 0;
        while !self.at(close) {
            if count > 0 {
                self.expect(",")?;
                only = None;
                if self.at(close) {
                    break;
                }
            }
            let mut item = self.conditional()?;
            if map {
                self.expect(":")?;
                item = self.conditional()?;
            }
            let noted = self.findings.item(&item);
            count += 1;
            only = (count == 1).then_some((item, noted));
        }
        self.brackets -= 1;
        self.expect(close)?;
        let range = start..self.end();
        let Some((item, noted)) = only.filter(|_| close == ")") else {
            return Ok(ParsedExpr { range, kind: ExprKind::List });
        };
        if noted {
            self.findings.no_item();
        }
        let kind = match item.kind {
            ExprKind::Optional => ExprKind::Optional,
            ExprKind::List => ExprKind::List,
            ExprKind::Path | ExprKind::Other => ExprKind::Other,
            ExprKind::Str | ExprKind::Number | ExprKind::Const | ExprKind::Chain(_) | ExprKind::Made => ExprKind::Made,
        };
        Ok(ParsedExpr { range, kind })
    }
}
