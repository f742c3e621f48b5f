//! The crate's error: one opaque type with a kind, a message that names the operation and its object, and the
//! cause as `source()`.

use std::fmt;

use serde::Serialize;

/// What went wrong, in the large.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum ErrorKind {
    /// A setting that makes no sense.
    Config,
    /// A key that is empty, undefined, or no key at all.
    Key,
    /// A template folder or a watched file that is missing, unreadable, or cannot be watched.
    Templates,
    /// A value that could not be encoded for the cache, or decoded from it.
    Codec,
    /// The store that several processes share: not reachable, too slow, refusing, or holding what is not ours.
    Store,
    /// A hit that is not what computing it again gives; see [`Builder::shadow`](crate::Builder::shadow).
    Difference,
    /// Something the cache was told by an application's own code failed (a panic in a callback).
    Callback,
}

impl ErrorKind {
    /// In one word, for counting.
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
/// Pages never fail because the cache did: errors of that sort are counted in [`Stats`](crate::Stats) and handed
/// to [`Builder::on_error`](crate::Builder::on_error). What is returned is wrong use. Neither holds the text of a
/// key: a hash stands for it.
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

    /// What went wrong, in the large.
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
