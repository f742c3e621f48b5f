//! The error for a value that cannot be a key: the reason, and the part of the value that causes it.
//!
//! The encoders in `key/handler.rs` and the template room create it. Their callers turn it into an error for the
//! application.

use std::error::Error as _;
use std::fmt;

use super::format::{MAX_DEPTH, NONE, TEXT};

/// Why a value cannot be a key. It names the invalid part by its position, because the content of a key may be private.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KeyError(Box<KeyRefusal>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct KeyRefusal {
    reason: RefusalReason,
    /// The position of the invalid part, from the inside out. Empty if the whole value is invalid.
    place: Vec<KeyPlace>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum RefusalReason {
    Undefined,
    /// The whole key is `none`.
    None,
    /// The whole key is `""`.
    Empty,
    /// A function, a macro, a one-shot iterator or another object that has no value to encode.
    Kind(String),
    /// A lazy value whose closure returned an error.
    Failed(String),
    /// Nested deeper than [`MAX_DEPTH`].
    Depth,
}

/// The position of a part in the value that contains it, counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KeyPlace {
    /// An operand of `~`.
    Operand(usize),
    /// An item of a list.
    Item(usize),
    /// An entry of a map, in the map's order.
    Entry(usize),
}

impl KeyError {
    pub(crate) fn undefined() -> KeyError {
        KeyError::of(RefusalReason::Undefined)
    }

    pub(crate) fn none() -> KeyError {
        KeyError::of(RefusalReason::None)
    }

    pub(crate) fn empty() -> KeyError {
        KeyError::of(RefusalReason::Empty)
    }

    pub(crate) fn kind(kind: impl Into<String>) -> KeyError {
        KeyError::of(RefusalReason::Kind(kind.into()))
    }

    pub(crate) fn failed(error: &minijinja::Error) -> KeyError {
        let why = error.source().map_or_else(|| error.to_string(), ToString::to_string);
        KeyError::of(RefusalReason::Failed(why))
    }

    pub(crate) fn depth() -> KeyError {
        KeyError::of(RefusalReason::Depth)
    }

    #[cold]
    fn of(reason: RefusalReason) -> KeyError {
        KeyError(Box::new(KeyRefusal { reason, place: Vec::new() }))
    }

    /// Adds the position of the part in the value that contains it.
    pub(crate) fn within(mut self, place: KeyPlace) -> KeyError {
        self.0.place.push(place);
        self
    }

    /// True if the reason is an undefined value.
    pub(crate) fn is_undefined(&self) -> bool {
        self.0.reason == RefusalReason::Undefined
    }
}

/// Refuses an encoded key that is only `none` or only `""`.
pub(crate) fn refuse_nothing(encoded: &[u8]) -> Result<(), KeyError> {
    match encoded {
        [NONE] => Err(KeyError::none()),
        [TEXT, 0, 0, 0, 0, 0, 0, 0, 0] => Err(KeyError::empty()),
        _ => Ok(()),
    }
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let KeyRefusal { reason, place } = &*self.0;
        let verb = match place.last() {
            None => "is",
            Some(KeyPlace::Operand(_)) => "joins",
            Some(_) => "holds",
        };
        match reason {
            RefusalReason::Undefined if place.is_empty() => f.write_str("is undefined")?,
            RefusalReason::Undefined => write!(f, "{verb} something undefined")?,
            RefusalReason::None => f.write_str("is none")?,
            RefusalReason::Empty => f.write_str("is empty")?,
            RefusalReason::Kind(kind) => write!(f, "{verb} {kind}")?,
            RefusalReason::Failed(_) => write!(f, "{verb} a lazy value that failed")?,
            RefusalReason::Depth => write!(f, "nests deeper than {MAX_DEPTH} levels")?,
        }
        let named = !place.is_empty() && *reason != RefusalReason::Depth;
        for (at, place) in place.iter().enumerate().filter(|_| named) {
            f.write_str(if at == 0 { " (" } else { " of " })?;
            place.fmt(f)?;
        }
        f.write_str(if named { ")" } else { "" })?;
        match reason {
            RefusalReason::Kind(_) => f.write_str("; a key is a string, number, boolean, or a list or map of these"),
            RefusalReason::Failed(why) => write!(f, ": {why}"),
            _ => Ok(()),
        }
    }
}

impl fmt::Display for KeyPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            KeyPlace::Operand(at) => write!(f, "operand {at} of `~`"),
            KeyPlace::Item(at) => write!(f, "item {at}"),
            KeyPlace::Entry(at) => write!(f, "entry {at} of the map"),
        }
    }
}
