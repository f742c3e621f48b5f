//! The model of an expression: its range in the source, its kind, and the operands to guard.
//!
//! There is no syntax tree, because lowering copies expressions unchanged. `parser` and `operand` fill the model,
//! `guard` decides which operands are guarded.

use std::ops::Range;

/// An expression in the source.
#[derive(Debug, Clone)]
pub(super) struct Expr {
    pub(super) range: Range<usize>,
    pub(super) kind: ExprKind,
    /// Operands to guard where the expression is part of a key, ordered by start.
    pub(super) guards: Vec<Guard>,
    /// The names, with attributes, whose values can become the expression's value.
    pub(super) paths: Vec<Range<usize>>,
}

/// The kind of an expression, as far as lowering needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ExprKind {
    Str,
    /// May have a minus sign.
    Number,
    /// `none`, `true` or `false`.
    Const,
    /// A name with attributes.
    Path,
    /// `a ~ b ~ c`, outside of brackets.
    Chain(Vec<ChainOperand>),
    /// A list, a tuple or a map.
    List,
    /// A computed value that is never undefined.
    Made,
    /// An `if` without `else`.
    Optional,
    Other,
}

/// One operand of a chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ChainOperand {
    pub(super) range: Range<usize>,
    pub(super) simple: bool,
}

/// A parse error and its place in the source.
#[derive(Debug)]
pub(super) struct ExprError {
    pub(super) at: usize,
    pub(super) message: String,
}

impl ExprError {
    pub(super) fn new(at: usize, message: impl Into<String>) -> ExprError {
        ExprError { at, message: message.into() }
    }

    /// The error for a `text` that could be read as one argument or as two.
    pub(super) fn doubt(at: usize, text: &str) -> ExprError {
        let advice = "put a comma between two arguments, or parentheses around one";
        ExprError::new(at, format!("`{text}` can be read as one argument or two; {advice}"))
    }
}

impl ExprKind {
    pub(super) fn is_literal(&self) -> bool {
        matches!(self, ExprKind::Str | ExprKind::Number | ExprKind::Const)
    }

    pub(super) fn is_simple(&self) -> bool {
        matches!(self, ExprKind::Str | ExprKind::Const | ExprKind::Path)
    }
}

pub(super) struct ParsedExpr {
    pub(super) range: Range<usize>,
    pub(super) kind: ExprKind,
}

pub(super) type ParseResult = Result<ParsedExpr, ExprError>;

/// An operand whose value is checked at render.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Guard {
    pub(super) range: Range<usize>,
    pub(super) kind: GuardKind,
    /// The operand may be undefined where its result is only tested or has a fallback: `nme|trim or 'none'`.
    pub(super) lenient: bool,
}

/// The requirement on an operand; see the constants in `names.rs`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum GuardKind {
    Defined,
    Part,
    Items,
}

impl Guard {
    /// The guard of an expression that is printed into a text, where that text becomes part of a key.
    pub(super) fn printed(range: Range<usize>) -> Guard {
        Guard { range, kind: GuardKind::Part, lenient: false }
    }
}
