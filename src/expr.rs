//! Where an expression ends, by MiniJinja's grammar.
//!
//! Owns the extent of expressions, what keeps a key's parts apart (`~`), and which operands must
//! not be undefined. It builds no tree and evaluates nothing. Two readings: MiniJinja's own, and
//! the one of a cache tag's arguments, where white space separates and doubtful forms are errors.

use std::ops::Range;

use crate::lex::{Kind, Token};

/// An expression in the source.
#[derive(Debug, Clone)]
pub(crate) struct Expr {
    pub(crate) range: Range<usize>,
    pub(crate) shape: Shape,
    /// Operands of `~` and `+` at any depth, except literals and the top-level chain of `shape`.
    pub(crate) joined: Vec<Range<usize>>,
}

/// What an expression is made of, as far as lowering cares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Shape {
    Str,
    /// Possibly with a minus sign.
    Number,
    /// `none`, `true` or `false`.
    Const,
    /// A name with attributes.
    Path,
    /// A top-level `a ~ b ~ c`.
    Chain(Vec<Operand>),
    Other,
}

/// One operand of a chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Operand {
    pub(crate) range: Range<usize>,
    pub(crate) simple: bool,
}

/// Why a stretch of source is no expression, and where.
#[derive(Debug)]
pub(crate) struct ExprError {
    pub(crate) at: usize,
    pub(crate) message: String,
}

impl Shape {
    pub(crate) fn is_literal(&self) -> bool {
        matches!(self, Shape::Str | Shape::Number | Shape::Const)
    }

    pub(crate) fn is_simple(&self) -> bool {
        matches!(self, Shape::Str | Shape::Const | Shape::Path)
    }
}

/// MiniJinja's own bound is 150.
const MAX_DEPTH: usize = 140;

/// Reads expressions off the front of a list of tokens.
pub(crate) struct Reader<'t> {
    source: &'t str,
    tokens: &'t [Token],
    pos: usize,
    depth: usize,
    /// Open brackets; in a cache tag the argument rules hold where there are none.
    brackets: usize,
    arguments: bool,
    joined: Vec<Range<usize>>,
}

struct Node {
    range: Range<usize>,
    shape: Shape,
}

type Parsed = Result<Node, ExprError>;

impl<'t> Reader<'t> {
    /// Reads as MiniJinja does.
    pub(crate) fn statement(source: &'t str, tokens: &'t [Token]) -> Self {
        Reader { source, tokens, pos: 0, depth: 0, brackets: 0, arguments: false, joined: Vec::new() }
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
        self.joined.clear();
        let node = self.conditional()?;
        let mut joined = std::mem::take(&mut self.joined);
        if let Shape::Chain(operands) = &node.shape {
            joined.retain(|range| operands.iter().all(|operand| operand.range != *range));
        }
        Ok(Expr { range: node.range, shape: node.shape, joined })
    }

    fn at(&self, text: &str) -> bool {
        let Some(token) = self.peek() else { return false };
        token.text(self.source) == text
            && !(token.kind == Kind::Word && self.strict() && self.second_is("="))
    }

    fn strict(&self) -> bool {
        self.arguments && self.brackets == 0
    }

    fn end(&self) -> usize {
        self.pos.checked_sub(1).and_then(|i| self.tokens.get(i)).map_or(0, |t| t.end)
    }

    fn error<T>(&self, expected: &str) -> Result<T, ExprError> {
        match self.peek() {
            Some(token) => Err(ExprError {
                at: token.start,
                message: format!("unexpected `{}`, expected {expected}", token.text(self.source)),
            }),
            None => Err(ExprError {
                at: self.end(),
                message: format!("unexpected end of the tag, expected {expected}"),
            }),
        }
    }

    fn doubt<T>(&self, from: usize, to: usize) -> Result<T, ExprError> {
        let text = self.source.get(from..to).unwrap_or("");
        Err(ExprError {
            at: to,
            message: format!(
                "`{text}` can be read as one argument or two; put a comma between two arguments, \
                 or parentheses around one"
            ),
        })
    }

    fn expect(&mut self, text: &str) -> Result<(), ExprError> {
        if self.skip(text) { Ok(()) } else { self.error(&format!("`{text}`")) }
    }

    fn conditional(&mut self) -> Parsed {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(ExprError { at: self.end(), message: "the expression is nested too deeply".into() });
        }
        let mut node = self.or()?;
        while self.skip("if") {
            self.or()?;
            if self.skip("else") {
                self.conditional()?;
            }
            node = self.other(node.range.start);
        }
        self.depth -= 1;
        Ok(node)
    }

    fn other(&self, start: usize) -> Node {
        Node { range: start..self.end(), shape: Shape::Other }
    }

    fn or(&mut self) -> Parsed {
        let mut node = self.and()?;
        while self.skip("or") {
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
        let Some(start) = self.peek().map(|t| t.start) else { return self.error("an expression") };
        let mut negations = 0_usize;
        while self.skip("not") {
            negations += 1;
        }
        let node = self.compare()?;
        Ok(if negations > 0 { self.other(start) } else { node })
    }

    fn compare(&mut self) -> Parsed {
        let mut node = self.sum()?;
        loop {
            if self.skip("not") {
                self.expect("in")?;
            } else if !["==", "!=", "<", "<=", ">", ">=", "in"].iter().any(|op| self.skip(op)) {
                return Ok(node);
            }
            self.sum()?;
            node = self.other(node.range.start);
        }
    }

    fn sum(&mut self) -> Parsed {
        let mut node = self.concat()?;
        let mut first = true;
        while self.at("+") || self.at("-") {
            let plus = self.at("+");
            let operator = self.operator_with_doubt(node.range.start)?;
            // A left side built here is a sum, which is never undefined.
            if plus && first {
                self.join(&node);
            }
            let right = self.concat()?;
            if plus && operator {
                self.join(&right);
            }
            node = self.other(node.range.start);
            first = false;
        }
        Ok(node)
    }

    /// Skips `+` or `-`, unless a reader could take it for the sign of a new argument.
    fn operator_with_doubt(&mut self, start: usize) -> Result<bool, ExprError> {
        let before = self.end();
        let Some(token) = self.advance() else { return Ok(false) };
        let next = self.peek().map_or(token.end, |t| t.start);
        if self.strict() && before < token.start && token.end == next {
            let to = self.peek().map_or(token.end, |t| t.end);
            return self.doubt(start, to);
        }
        Ok(true)
    }

    fn join(&mut self, node: &Node) {
        if !node.shape.is_literal() && !matches!(node.shape, Shape::Chain(_)) {
            self.joined.push(node.range.clone());
        }
    }

    fn concat(&mut self) -> Parsed {
        let node = self.product()?;
        if !self.at("~") {
            return Ok(node);
        }
        let start = node.range.start;
        let mut operands = Vec::new();
        self.operand(node, &mut operands);
        while self.skip("~") {
            let node = self.product()?;
            self.operand(node, &mut operands);
        }
        Ok(Node { range: start..self.end(), shape: Shape::Chain(operands) })
    }

    fn operand(&mut self, node: Node, operands: &mut Vec<Operand>) {
        self.join(&node);
        operands.push(Operand { simple: node.shape.is_simple(), range: node.range });
    }

    fn product(&mut self) -> Parsed {
        let mut node = self.power()?;
        while ["*", "/", "//", "%"].iter().any(|op| self.skip(op)) {
            self.power()?;
            node = self.other(node.range.start);
        }
        Ok(node)
    }

    fn power(&mut self) -> Parsed {
        let mut node = self.unary()?;
        while self.skip("**") {
            self.unary()?;
            node = self.other(node.range.start);
        }
        Ok(node)
    }

    fn unary(&mut self) -> Parsed {
        let node = self.negated()?;
        let node = self.postfix(node)?;
        self.filters(node)
    }

    fn negated(&mut self) -> Parsed {
        let start = self.peek().map_or(0, |t| t.start);
        let mut signs = 0_usize;
        while self.skip("-") {
            signs += 1;
        }
        let node = self.primary()?;
        if signs == 0 {
            return Ok(node);
        }
        let node = self.postfix(node)?;
        let shape = match node.shape {
            Shape::Number if signs == 1 => Shape::Number,
            _ => Shape::Other,
        };
        Ok(Node { range: start..node.range.end, shape })
    }

    fn postfix(&mut self, mut node: Node) -> Parsed {
        loop {
            let start = node.range.start;
            if self.skip(".") {
                match self.advance() {
                    Some(token) if token.kind == Kind::Word => {}
                    Some(token) if token.kind == Kind::Number => {}
                    _ => {
                        self.pos = self.pos.saturating_sub(1);
                        return self.error("a name or an integer");
                    }
                }
                let path = node.shape == Shape::Path;
                node = self.other(start);
                if path {
                    node.shape = Shape::Path;
                }
                continue;
            }
            if !self.at("[") && !self.at("(") {
                return Ok(node);
            }
            self.refuse_gap(start)?;
            if self.at("[") {
                self.subscript()?;
            } else {
                self.call_arguments()?;
            }
            node = self.other(start);
        }
    }

    /// `user.id (60)` and `xs [0]` are doubtful between arguments.
    fn refuse_gap(&self, start: usize) -> Result<(), ExprError> {
        match self.peek() {
            Some(token) if self.strict() && self.end() < token.start => self.doubt(start, token.end),
            _ => Ok(()),
        }
    }

    fn subscript(&mut self) -> Result<(), ExprError> {
        self.expect("[")?;
        self.brackets += 1;
        if !self.at(":") {
            self.conditional()?;
        }
        if self.skip(":") {
            if !self.at("]") && !self.at(":") {
                self.conditional()?;
            }
            if self.skip(":") && !self.at("]") {
                self.conditional()?;
            }
        }
        self.brackets -= 1;
        self.expect("]")
    }

    fn call_arguments(&mut self) -> Result<(), ExprError> {
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
            let argument = self.conditional()?;
            if argument.shape == Shape::Path && self.skip("=") {
                self.conditional()?;
            }
        }
        self.brackets -= 1;
        self.expect(")")
    }

    fn filters(&mut self, mut node: Node) -> Parsed {
        loop {
            let start = node.range.start;
            let test = if self.skip("|") {
                false
            } else if self.skip("is") {
                self.skip("not");
                true
            } else {
                return Ok(node);
            };
            self.dotted_name()?;
            if self.at("(") {
                self.refuse_gap(start)?;
                self.call_arguments()?;
            } else if test && self.at_test_argument() {
                if let (true, Some(token)) = (self.strict(), self.peek()) {
                    return self.doubt(start, token.end);
                }
                let argument = self.negated()?;
                self.postfix(argument)?;
            }
            node = self.other(start);
        }
    }

    fn dotted_name(&mut self) -> Result<(), ExprError> {
        loop {
            match self.peek() {
                Some(token) if token.kind == Kind::Word => self.pos += 1,
                _ => return self.error("a name"),
            }
            if !self.skip(".") {
                return Ok(());
            }
        }
    }

    /// Whether the next token would be the unparenthesised argument of a test.
    fn at_test_argument(&self) -> bool {
        let Some(token) = self.peek() else { return false };
        let text = token.text(self.source);
        match token.kind {
            Kind::Str | Kind::Number => true,
            Kind::Word if self.strict() && self.at_option() => false,
            Kind::Word => !matches!(text, "and" | "or" | "else" | "is"),
            Kind::Operator => matches!(text, "+" | "-" | "[" | "{"),
        }
    }

    fn primary(&mut self) -> Parsed {
        let Some(token) = self.peek() else { return self.error("an expression") };
        let text = token.text(self.source);
        let shape = match (token.kind, text) {
            (Kind::Word, _) if self.strict() && self.at_option() => {
                return self.error("an expression");
            }
            (Kind::Word, "if" | "else" | "and" | "or" | "is" | "in") if self.strict() => {
                return self.error("an expression");
            }
            (Kind::Word, "true" | "True" | "false" | "False" | "none" | "None") => Shape::Const,
            (Kind::Word, _) => Shape::Path,
            (Kind::Number, _) => Shape::Number,
            (Kind::Str, _) => Shape::Str,
            (Kind::Operator, "(") => return self.group(token.start, ")", false),
            (Kind::Operator, "[") => return self.group(token.start, "]", false),
            (Kind::Operator, "{") => return self.group(token.start, "}", true),
            (Kind::Operator, _) => return self.error("an expression"),
        };
        self.pos += 1;
        // MiniJinja joins strings side by side; between arguments they are two.
        while shape == Shape::Str
            && !self.strict()
            && self.peek().is_some_and(|t| t.kind == Kind::Str)
        {
            self.pos += 1;
        }
        Ok(Node { range: token.start..self.end(), shape })
    }

    /// A list, a map, a tuple or an expression in parentheses.
    fn group(&mut self, start: usize, close: &str, map: bool) -> Parsed {
        self.pos += 1;
        self.brackets += 1;
        let mut first = true;
        while !self.at(close) {
            if !first {
                self.expect(",")?;
                if self.at(close) {
                    break;
                }
            }
            first = false;
            self.conditional()?;
            if map {
                self.expect(":")?;
                self.conditional()?;
            }
        }
        self.brackets -= 1;
        self.expect(close)?;
        Ok(self.other(start))
    }
}
