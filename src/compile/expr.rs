//! An expression as far as lowering cares: where it stands, what it is made of, and what has to be checked in it.
//!
//! Owns the model. `reader` and `operand` fill it, `guard` finds the checks.

use std::ops::Range;

/// An expression in the source.
#[derive(Debug, Clone)]
pub(super) struct Expr {
    pub(super) range: Range<usize>,
    pub(super) shape: ExprKind,
    /// Operands to check where the expression is part of a key, by where they start.
    pub(super) guards: Vec<Guard>,
    /// The names, with attributes, whose values reach its value.
    pub(super) paths: Vec<Range<usize>>,
}

/// What an expression is made of, as far as lowering cares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ExprKind {
    Str,
    /// Possibly with a minus sign.
    Number,
    /// `none`, `true` or `false`.
    Const,
    /// A name with attributes.
    Path,
    /// A top-level `a ~ b ~ c`.
    Chain(Vec<ChainOperand>),
    /// A list, a tuple or a map.
    List,
    /// A value that the expression makes, which is never undefined.
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

/// Why a stretch of source is no expression, and where.
#[derive(Debug)]
pub(super) struct ExprError {
    pub(super) at: usize,
    pub(super) message: String,
}

impl ExprError {
    pub(super) fn new(at: usize, message: impl Into<String>) -> ExprError {
        ExprError { at, message: message.into() }
    }

    /// Of a `text` that a reader could take for one argument or for two.
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
    pub(super) shape: ExprKind,
}

pub(super) type ParseResult = Result<ParsedExpr, ExprError>;

/// An operand to check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Guard {
    pub(super) range: Range<usize>,
    pub(super) wanted: GuardKind,
    /// Whether it may be undefined where the result is only tested, or replaced if it is empty: `nme|trim or 'none'`.
    pub(super) lenient: bool,
}

/// What an operand must be; see the constants of the same names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum GuardKind {
    Defined,
    Part,
    Items,
}

impl Guard {
    /// Of what a text prints that goes into a key.
    pub(super) fn printed(range: Range<usize>) -> Guard {
        Guard { range, wanted: GuardKind::Part, lenient: false }
    }
}
