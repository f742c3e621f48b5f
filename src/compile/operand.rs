//! The operands of an expression: literals, names, brackets, calls, filters and tests.
//!
//! The part of the grammar below the operators, which `expr` owns.

use crate::compile::expr::{ExprError, Node, Parsed, Shape, Wanted};
use crate::compile::guard::{Filter, Mark, Taken};
use crate::compile::lex::Kind;
use crate::compile::reader::Reader;

impl Reader<'_> {
    pub(crate) fn unary(&mut self) -> Parsed {
        let mark = self.found.mark();
        let node = self.negated()?;
        let node = self.postfix(node, mark)?;
        self.filters(node, mark)
    }

    fn negated(&mut self) -> Parsed {
        let mark = self.found.mark();
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
        let shape = match node.shape {
            Shape::Number if signs == 1 => Shape::Number,
            _ => Shape::Made,
        };
        Ok(Node { range: start..node.range.end, shape })
    }

    fn postfix(&mut self, mut node: Node, mark: Mark) -> Parsed {
        let mut attribute = None;
        loop {
            let start = node.range.start;
            if self.skip(".") {
                attribute = match self.advance() {
                    Some(token) if matches!(token.kind, Kind::Word | Kind::Number) => Some(token),
                    _ => {
                        self.pos = self.pos.saturating_sub(1);
                        return self.error("a name or an integer");
                    }
                };
                let path = node.shape == Shape::Path;
                node = self.other(start);
                if path {
                    node.shape = Shape::Path;
                    self.found.lengthen_path(node.range.end);
                }
                continue;
            }
            if !self.at("[") && !self.at("(") {
                return Ok(node);
            }
            self.refuse_gap(start)?;
            if self.at("[") {
                self.subscript(&node, mark)?;
            } else {
                let method = attribute.map_or("", |token| token.text(self.source));
                self.call_arguments(Taken::by_method(method))?;
            }
            attribute = None;
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

    fn subscript(&mut self, node: &Node, mark: Mark) -> Result<(), ExprError> {
        self.expect("[")?;
        self.brackets += 1;
        if self.at("]") {
            return self.error("an expression");
        }
        let mut slice = false;
        while !self.at("]") {
            if self.skip(":") {
                if !slice {
                    // A slice of what is undefined is empty.
                    self.found.filtered(node, Filter::Keeps, mark);
                }
                slice = true;
                continue;
            }
            let mark = self.found.mark();
            let index = self.conditional()?;
            if slice || self.at(":") {
                self.found.argument(&index, Taken::Checked(Wanted::Defined), mark);
            }
            if !self.at(":") {
                break;
            }
        }
        self.brackets -= 1;
        self.expect("]")
    }

    fn call_arguments(&mut self, taken: Taken) -> Result<(), ExprError> {
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
            let mark = self.found.mark();
            let mut argument = self.conditional()?;
            if argument.shape == Shape::Path && self.skip("=") {
                self.found.forget(mark);
                argument = self.conditional()?;
            }
            self.found.argument(&argument, taken, mark);
        }
        self.brackets -= 1;
        self.expect(")")
    }

    fn filters(&mut self, mut node: Node, mark: Mark) -> Parsed {
        loop {
            let start = node.range.start;
            if self.skip("|") {
                let filter = Filter::of(self.dotted_name()?);
                self.found.filtered(&node, filter, mark);
                if self.at("(") {
                    self.refuse_gap(start)?;
                    self.call_arguments(Taken::by_filter(filter))?;
                }
                node = if filter.makes_text() { self.made(start) } else { self.other(start) };
            } else if self.skip("is") {
                self.skip("not");
                self.test(start)?;
                self.found.tested(mark);
                node = self.made(start);
            } else {
                return Ok(node);
            }
        }
    }

    fn test(&mut self, start: usize) -> Result<(), ExprError> {
        self.dotted_name()?;
        if self.at("(") {
            self.refuse_gap(start)?;
            return self.call_arguments(Taken::Free);
        }
        if !self.at_test_argument() {
            return Ok(());
        }
        if let (true, Some(token)) = (self.strict(), self.peek()) {
            return self.doubt(start, token.end);
        }
        let mark = self.found.mark();
        let argument = self.negated()?;
        self.postfix(argument, mark).map(drop)
    }

    fn dotted_name(&mut self) -> Result<&str, ExprError> {
        let start = self.peek().map_or(0, |token| token.start);
        loop {
            match self.peek() {
                Some(token) if token.kind == Kind::Word => self.pos += 1,
                _ => return self.error("a name"),
            }
            if !self.skip(".") {
                return Ok(&self.source[start..self.end()]);
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
        if shape == Shape::Path {
            self.found.paths.push(token.start..token.end);
        }
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
            let noted = self.found.item(&item);
            count += 1;
            only = (count == 1).then_some((item, noted));
        }
        self.brackets -= 1;
        self.expect(close)?;
        let range = start..self.end();
        let Some((item, noted)) = only.filter(|_| close == ")") else {
            return Ok(Node { range, shape: Shape::List });
        };
        if noted {
            self.found.no_item();
        }
        let shape = match item.shape {
            Shape::Optional => Shape::Optional,
            Shape::List => Shape::List,
            Shape::Path | Shape::Other => Shape::Other,
            Shape::Str | Shape::Number | Shape::Const | Shape::Chain(_) | Shape::Made => Shape::Made,
        };
        Ok(Node { range, shape })
    }
}
