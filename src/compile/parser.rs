//! Parses expressions by MiniJinja's grammar, to find where they end.
//!
//! Owns the operators; `operand` owns what is between them. There is no syntax tree and no evaluation. Two modes:
//! MiniJinja's own grammar, and that of a cache tag's arguments, where white space separates arguments and ambiguous
//! forms are errors.

use crate::compile::expr::{ChainOperand, Expr, ExprError, ExprKind, GuardKind, ParseResult, ParsedExpr};
use crate::compile::guard::{ExprFindings, FindingsMark};
use crate::compile::lex::{TagToken, TokenKind};

/// MiniJinja's own limit is 150.
const MAX_DEPTH: usize = 140;

/// Parses expressions from the front of a list of tokens.
pub(super) struct ExprParser<'t> {
    pub(super) source: &'t str,
    tokens: &'t [TagToken],
    pub(super) pos: usize,
    depth: usize,
    /// Number of open brackets. The argument rules of a cache tag hold where there are none.
    pub(super) brackets: usize,
    arguments: bool,
    pub(super) findings: ExprFindings,
}

impl<'t> ExprParser<'t> {
    /// A parser with MiniJinja's own grammar.
    pub(super) fn statement(source: &'t str, tokens: &'t [TagToken]) -> Self {
        ExprParser {
            source,
            tokens,
            pos: 0,
            depth: 0,
            brackets: 0,
            arguments: false,
            findings: ExprFindings::default(),
        }
    }

    /// A parser for the arguments of a cache tag.
    pub(super) fn arguments(source: &'t str, tokens: &'t [TagToken]) -> Self {
        ExprParser { arguments: true, ..Self::statement(source, tokens) }
    }

    pub(super) fn peek(&self) -> Option<TagToken> {
        self.tokens.get(self.pos).copied()
    }

    /// Whether the token after the next one is `text`.
    pub(super) fn second_is(&self, text: &str) -> bool {
        self.tokens.get(self.pos + 1).is_some_and(|t| t.text(self.source) == text)
    }

    /// Consumes the next token.
    pub(super) fn advance(&mut self) -> Option<TagToken> {
        let token = self.peek();
        self.pos += usize::from(token.is_some());
        token
    }

    /// Consumes the next token if it is `text`.
    pub(super) fn skip(&mut self, text: &str) -> bool {
        let findings = self.at(text);
        self.pos += usize::from(findings);
        findings
    }

    /// Whether the next token is a name followed by `=`.
    pub(super) fn at_option(&self) -> bool {
        self.peek().is_some_and(|t| t.kind == TokenKind::Word) && self.second_is("=")
    }

    /// Parses one expression.
    pub(super) fn expr(&mut self) -> Result<Expr, ExprError> {
        self.findings = ExprFindings::default();
        let node = self.conditional()?;
        let ExprFindings { mut guards, paths, .. } = std::mem::take(&mut self.findings);
        guards.sort_by_key(|guard| guard.range.start);
        Ok(Expr { range: node.range, kind: node.kind, guards, paths })
    }

    pub(super) fn at(&self, text: &str) -> bool {
        let Some(token) = self.peek() else {
            return false;
        };
        token.text(self.source) == text && !(token.kind == TokenKind::Word && self.strict() && self.second_is("="))
    }

    pub(super) fn strict(&self) -> bool {
        self.arguments && self.brackets == 0
    }

    pub(super) fn end(&self) -> usize {
        self.pos.checked_sub(1).and_then(|i| self.tokens.get(i)).map_or(0, |t| t.end)
    }

    pub(super) fn error<T>(&self, expected: &str) -> Result<T, ExprError> {
        let (at, findings) = match self.peek() {
            Some(token) => (token.start, format!("`{}`", token.text(self.source))),
            None => (self.end(), "end of the tag".to_owned()),
        };
        Err(ExprError::new(at, format!("unexpected {findings}, expected {expected}")))
    }

    pub(super) fn doubt<T>(&self, from: usize, to: usize) -> Result<T, ExprError> {
        Err(ExprError::doubt(to, self.source.get(from..to).unwrap_or("")))
    }

    pub(super) fn expect(&mut self, text: &str) -> Result<(), ExprError> {
        if self.skip(text) { Ok(()) } else { self.error(&format!("`{text}`")) }
    }

    pub(super) fn conditional(&mut self) -> ParseResult {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(ExprError::new(self.end(), "the expression is nested too deeply"));
        }
        let mut node = self.or()?;
        while self.skip("if") {
            let mark = self.findings.mark();
            self.or()?;
            self.findings.tested(mark);
            let mut kind = ExprKind::Optional;
            if self.skip("else") {
                self.conditional()?;
                kind = ExprKind::Other;
            }
            node = ParsedExpr { range: node.range.start..self.end(), kind };
        }
        self.depth -= 1;
        Ok(node)
    }

    /// The expression since `start`, whose value is never undefined.
    pub(super) fn made(&self, start: usize) -> ParsedExpr {
        ParsedExpr { range: start..self.end(), kind: ExprKind::Made }
    }

    pub(super) fn other(&self, start: usize) -> ParsedExpr {
        ParsedExpr { range: start..self.end(), kind: ExprKind::Other }
    }

    fn or(&mut self) -> ParseResult {
        let mut mark = self.findings.mark();
        let mut node = self.and()?;
        while self.skip("or") {
            self.findings.replaced(mark);
            mark = self.findings.mark();
            self.and()?;
            node = self.other(node.range.start);
        }
        Ok(node)
    }

    fn and(&mut self) -> ParseResult {
        let mut node = self.not()?;
        while self.skip("and") {
            self.not()?;
            node = self.other(node.range.start);
        }
        Ok(node)
    }

    fn not(&mut self) -> ParseResult {
        let Some(start) = self.peek().map(|t| t.start) else {
            return self.error("an expression");
        };
        let mut negations = 0_usize;
        while self.skip("not") {
            negations += 1;
        }
        let mark = self.findings.mark();
        let node = self.compare()?;
        if negations == 0 {
            return Ok(node);
        }
        self.findings.tested(mark);
        Ok(self.made(start))
    }

    fn compare(&mut self) -> ParseResult {
        let mark = self.findings.mark();
        let mut node = self.sum()?;
        loop {
            if self.skip("not") {
                self.expect("in")?;
            } else if !["==", "!=", "<", "<=", ">", ">=", "in"].iter().any(|op| self.skip(op)) {
                return Ok(node);
            }
            self.sum()?;
            self.findings.tested(mark);
            node = self.made(node.range.start);
        }
    }

    fn sum(&mut self) -> ParseResult {
        let mut mark = self.findings.mark();
        let mut node = self.concat()?;
        let mut first = true;
        while self.at("+") || self.at("-") {
            let plus = self.at("+");
            let operator = self.operator_with_doubt(node.range.start)?;
            // A left operand built here is a sum, which is never undefined.
            if plus && first {
                self.findings.operand(&node, GuardKind::Defined, mark);
            }
            mark = self.findings.mark();
            let right = self.concat()?;
            if plus && operator {
                self.findings.operand(&right, GuardKind::Defined, mark);
            }
            node = self.other(node.range.start);
            first = false;
        }
        Ok(node)
    }

    /// Consumes `+` or `-`, unless it could be read as the sign of a new argument.
    fn operator_with_doubt(&mut self, start: usize) -> Result<bool, ExprError> {
        let before = self.end();
        let Some(token) = self.advance() else {
            return Ok(false);
        };
        let next = self.peek().map_or(token.end, |t| t.start);
        if self.strict() && before < token.start && token.end == next {
            let to = self.peek().map_or(token.end, |t| t.end);
            return self.doubt(start, to);
        }
        Ok(true)
    }

    fn concat(&mut self) -> ParseResult {
        let mark = self.findings.mark();
        let node = self.product()?;
        if !self.at("~") {
            return Ok(node);
        }
        let start = node.range.start;
        let mut operands = Vec::new();
        self.operand(node, mark, &mut operands);
        while self.skip("~") {
            let mark = self.findings.mark();
            let node = self.product()?;
            self.operand(node, mark, &mut operands);
        }
        Ok(ParsedExpr { range: start..self.end(), kind: ExprKind::Chain(operands) })
    }

    fn operand(&mut self, node: ParsedExpr, mark: FindingsMark, operands: &mut Vec<ChainOperand>) {
        self.findings.operand(&node, GuardKind::Part, mark);
        operands.push(ChainOperand { simple: node.kind.is_simple(), range: node.range });
    }

    fn product(&mut self) -> ParseResult {
        let mut node = self.power()?;
        while ["*", "/", "//", "%"].iter().any(|op| self.skip(op)) {
            self.power()?;
            node = self.made(node.range.start);
        }
        Ok(node)
    }

    fn power(&mut self) -> ParseResult {
        let mut node = self.unary()?;
        while self.skip("**") {
            self.unary()?;
            node = self.made(node.range.start);
        }
        Ok(node)
    }
}
