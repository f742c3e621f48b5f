//! The error type of the crate: an opaque type with a kind, a message and a source.
//!
//! A message names the operation and its object. Errors that fail no page are reported by `telemetry/report.rs`; why a
//! value is no key is `key/error.rs`.

use std::fmt;

use serde::Serialize;

/// The category of an [`Error`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum ErrorKind {
    /// An invalid setting.
    Config,
    /// A key that is empty or undefined, or a value that cannot be a key.
    Key,
    /// A template folder or a watched file that is missing, unreadable, or cannot be watched.
    Templates,
    /// A value that could not be encoded for storage, or decoded from a stored entry.
    Codec,
    /// The shared store: it is not reachable, is too slow, refuses a call, or holds a value that does not belong to
    /// this cache.
    Store,
    /// A hit that differs from a new computation of the fragment; see [`Builder::shadow`](crate::Builder::shadow).
    Difference,
    /// A callback of the application panicked.
    Callback,
}

impl ErrorKind {
    /// The kind in one word, for metrics: `config`, `key`, `templates`, `codec`, `store`, `callback` or `difference`.
    pub fn name(self) -> &'static str {
        match self {
            ErrorKind::Config => "config",
            ErrorKind::Key => "key",
            ErrorKind::Templates => "templates",
            ErrorKind::Codec => "codec",
            ErrorKind::Store => "store",
            ErrorKind::Callback => "callback",
            ErrorKind::Difference => "difference",
        }
    }
}

/// An error of the cache.
///
/// A failure of the cache never fails a page: such errors are counted in [`Stats`](crate::Stats) and passed to
/// [`Builder::on_error`](crate::Builder::on_error). Functions return errors for incorrect use of the cache. No message
/// contains the text of a key; it contains the key's hash instead.
pub struct Error {
    kind: ErrorKind,
    message: String,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Error {
        Error { kind, message: message.into(), source: None }
    }

    pub(crate) fn with_source(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
        self.source = Some(source.into());
        self
    }

    /// The category of the error.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error")
            .field("kind", &self.kind)
            .field("message", &self.message)
            .field("source", &self.source)
            .finish()
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}
