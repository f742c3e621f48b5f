//! Where an expression ends, by MiniJinja's grammar.
//!
//! Owns the extent of expressions and what keeps a key's parts apart (`~`); `guard` keeps what must
//! not be undefined. It builds no tree and evaluates nothing. Two readings: MiniJinja's own, and
//! the one of a cache tag's arguments, where white space separates and doubtful forms are errors.

use crate::compile::expr::{Expr, ExprError, Node, Operand, Parsed, Shape, Wanted};
use crate::compile::guard::{Found, Mark};
use crate::compile::lex::{Kind, Token};

/// MiniJinja's own bound is 150.
const MAX_DEPTH: usize = 140;

/// Reads expressions off the front of a list of tokens.
pub(crate) struct Reader<'t> {
    pub(crate) source: &'t str,
    tokens: &'t [Token],
    pub(crate) pos: usize,
    depth: usize,
    /// Open brackets; in a cache tag the argument rules hold where there are none.
    pub(crate) brackets: usize,
    arguments: bool,
    pub(crate) found: Found,
}

impl<'t> Reader<'t> {
    /// Reads as MiniJinja does.
    pub(crate) fn statement(source: &'t str, tokens: &'t [Token]) -> Self {
        Reader { source, tokens, pos: 0, depth: 0, brackets: 0, arguments: false, found: Found::default() }
    }

    /// Reads the arguments of a cache tag.
    pub(crate) fn arguments(source: &'t str, tokens: &'t [Token]) -> Self {
        Reader { arguments: true, ..Self::statement(source, tokens) }
    }

    /// The next token.
    pub(crate) fn peek(&self) -> Option<Token> {
        self.tokens.get(self.pos).copied()
    }

    /// The token after the next one is `text`.
    pub(crate) fn second_is(&self, text: &str) -> bool {
        self.tokens.get(self.pos + 1).is_some_and(|t| t.text(self.source) == text)
    }

    /// Skips a token.
    pub(crate) fn advance(&mut self) -> Option<Token> {
        let token = self.peek();
        self.pos += usize::from(token.is_some());
        token
    }

    /// Skips the next token if it is `text`.
    pub(crate) fn skip(&mut self, text: &str) -> bool {
        let found = self.at(text);
        self.pos += usize::from(found);
        found
    }

    /// Whether the next token is a name followed by `=`.
    pub(crate) fn at_option(&self) -> bool {
        self.peek().is_some_and(|t| t.kind == Kind::Word) && self.second_is("=")
    }

    /// Reads one expression.
    pub(crate) fn expr(&mut self) -> Result<Expr, ExprError> {
        self.found = Found::default();
        let node = self.conditional()?;
        let Found { mut guards, paths, .. } = std::mem::take(&mut self.found);
        guards.sort_by_key(|guard| guard.range.start);
        Ok(Expr { range: node.range, shape: node.shape, guards, paths })
    }

    pub(crate) fn at(&self, text: &str) -> bool {
        let Some(token) = self.peek() else {
            return false;
        };
        token.text(self.source) == text && !(token.kind == Kind::Word && self.strict() && self.second_is("="))
    }

    pub(crate) fn strict(&self) -> bool {
        self.arguments && self.brackets == 0
    }

    pub(crate) fn end(&self) -> usize {
        self.pos.checked_sub(1).and_then(|i| self.tokens.get(i)).map_or(0, |t| t.end)
    }

    pub(crate) fn error<T>(&self, expected: &str) -> Result<T, ExprError> {
        let (at, found) = match self.peek() {
            Some(token) => (token.start, format!("`{}`", token.text(self.source))),
            None => (self.end(), "end of the tag".to_owned()),
        };
        Err(ExprError::new(at, format!("unexpected {found}, expected {expected}")))
    }

    pub(crate) fn doubt<T>(&self, from: usize, to: usize) -> Result<T, ExprError> {
        Err(ExprError::doubt(to, self.source.get(from..to).unwrap_or("")))
    }

    pub(crate) fn expect(&mut self, text: &str) -> Result<(), ExprError> {
        if self.skip(text) { Ok(()) } else { self.error(&format!("`{text}`")) }
    }

    pub(crate) fn conditional(&mut self) -> Parsed {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(ExprError::new(self.end(), "the expression is nested too deeply"));
        }
        let mut node = self.or()?;
        while self.skip("if") {
            let mark = self.found.mark();
            self.or()?;
            self.found.tested(mark);
            let mut shape = Shape::Optional;
            if self.skip("else") {
                self.conditional()?;
                shape = Shape::Other;
            }
            node = Node { range: node.range.start..self.end(), shape };
        }
        self.depth -= 1;
        Ok(node)
    }

    /// What was read since `start` makes a value, which is not undefined.
    pub(crate) fn made(&self, start: usize) -> Node {
        Node { range: start..self.end(), shape: Shape::Made }
    }

    pub(crate) fn other(&self, start: usize) -> Node {
        Node { range: start..self.end(), shape: Shape::Other }
    }

    fn or(&mut self) -> Parsed {
        let mut mark = self.found.mark();
        let mut node = self.and()?;
        while self.skip("or") {
            self.found.replaced(mark);
            mark = self.found.mark();
            self.and()?;
            node = self.other(node.range.start);
        }
        Ok(node)
    }

    fn and(&mut self) -> Parsed {
        let mut node = self.not()?;
        while self.skip("and") {
            self.not()?;
            node = self.other(node.range.start);
        }
        Ok(node)
    }

    fn not(&mut self) -> Parsed {
        let Some(start) = self.peek().map(|t| t.start) else {
            return self.error("an expression");
        };
        let mut negations = 0_usize;
        while self.skip("not") {
            negations += 1;
        }
        let mark = self.found.mark();
        let node = self.compare()?;
        if negations == 0 {
            return Ok(node);
        }
        self.found.tested(mark);
        Ok(self.made(start))
    }

    fn compare(&mut self) -> Parsed {
        let mark = self.found.mark();
        let mut node = self.sum()?;
        loop {
            if self.skip("not") {
                self.expect("in")?;
            } else if !["==", "!=", "<", "<=", ">", ">=", "in"].iter().any(|op| self.skip(op)) {
                return Ok(node);
            }
            self.sum()?;
            self.found.tested(mark);
            node = self.made(node.range.start);
        }
    }

    fn sum(&mut self) -> Parsed {
        let mut mark = self.found.mark();
        let mut node = self.concat()?;
        let mut first = true;
        while self.at("+") || self.at("-") {
            let plus = self.at("+");
            let operator = self.operator_with_doubt(node.range.start)?;
            // A left side built here is a sum, which is never undefined.
            if plus && first {
                self.found.operand(&node, Wanted::Defined, mark);
            }
            mark = self.found.mark();
            let right = self.concat()?;
            if plus && operator {
                self.found.operand(&right, Wanted::Defined, mark);
            }
            node = self.other(node.range.start);
            first = false;
        }
        Ok(node)
    }

    /// Skips `+` or `-`, unless a reader could take it for the sign of a new argument.
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

    fn concat(&mut self) -> Parsed {
        let mark = self.found.mark();
        let node = self.product()?;
        if !self.at("~") {
            return Ok(node);
        }
        let start = node.range.start;
        let mut operands = Vec::new();
        self.operand(node, mark, &mut operands);
        while self.skip("~") {
            let mark = self.found.mark();
            let node = self.product()?;
            self.operand(node, mark, &mut operands);
        }
        Ok(Node { range: start..self.end(), shape: Shape::Chain(operands) })
    }

    fn operand(&mut self, node: Node, mark: Mark, operands: &mut Vec<Operand>) {
        self.found.operand(&node, Wanted::Part, mark);
        operands.push(Operand { simple: node.shape.is_simple(), range: node.range });
    }

    fn product(&mut self) -> Parsed {
        let mut node = self.power()?;
        while ["*", "/", "//", "%"].iter().any(|op| self.skip(op)) {
            self.power()?;
            node = self.made(node.range.start);
        }
        Ok(node)
    }

    fn power(&mut self) -> Parsed {
        let mut node = self.unary()?;
        while self.skip("**") {
            self.unary()?;
            node = self.made(node.range.start);
        }
        Ok(node)
    }
}
