//! Classes of inputs: how an input fits into a cache key, and why an input cannot be compared. Imports nothing of the
//! crate, so that plans, statistics and the reader of inputs can all use it.

use std::fmt;
use std::sync::Arc;

/// How an input fits into a cache key, from the best case to the worst. [`Ord`] is used to keep the worst case seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum InputKind {
    /// A function or a macro. A key leaves it out.
    Code,
    Data,
    /// The attribute is undefined. A key needs a default for it.
    MissingAttribute,
    /// The name itself is undefined, and its attributes with it.
    Missing,
    /// A lazy value. As a part of a key it would be computed on hits too.
    Lazy,
    /// Not available as a value where the tag would be: `caller()`, or `loop` and `self` outside of a loop or a block.
    NoValue,
}

/// Why an input cannot be compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum UnreadableReason {
    /// Its content can be read only once, or changes.
    Kind(&'static str),
    /// An object of the application, of a type that was not declared as readable.
    Object(&'static str),
}

impl fmt::Display for UnreadableReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            UnreadableReason::Kind(kind) => f.write_str(kind),
            UnreadableReason::Object(name) => write!(f, "an object of type {name}"),
        }
    }
}

/// An input that cannot be compared.
#[derive(Debug, Clone)]
pub(super) struct UnreadableInput {
    /// The path as the template's author wrote it.
    pub(super) name: Arc<str>,
    pub(super) reason: UnreadableReason,
}

impl fmt::Display for UnreadableInput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, self.reason)
    }
}
