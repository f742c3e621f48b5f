//! The operands of an expression: literals, names, brackets, calls, filters and tests.
//!
//! The part of the grammar below the operators, which `expr` owns.

use crate::compile::expr::{ExprError, Node, Parsed, Reader, Shape};
use crate::compile::lex::Kind;

impl Reader<'_> {
    pub(crate) fn unary(&mut self) -> Parsed {
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
        let Some(token) = self.peek() else {
            return false;
        };
        let text = token.text(self.source);
        match token.kind {
            Kind::Str | Kind::Number => true,
            Kind::Word if self.strict() && self.at_option() => false,
            Kind::Word => !matches!(text, "and" | "or" | "else" | "is"),
            Kind::Operator => matches!(text, "+" | "-" | "[" | "{"),
        }
    }

    fn primary(&mut self) -> Parsed {
        let Some(token) = self.peek() else {
            return self.error("an expression");
        };
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
        while shape == Shape::Str && !self.strict() && self.peek().is_some_and(|t| t.kind == Kind::Str) {
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
