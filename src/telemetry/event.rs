//! The events of the cache.
//!
//! `recorder.rs` creates most of them. Subscriptions to them are in `subscription.rs`.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde::Serialize;

use super::difference::Difference;
use super::fragment_ref::{About, KeyHash};
use super::outcome::Outcome;
use super::reason::{MissReason, Rejection};
use crate::error::ErrorKind;

/// An event of the cache and its time.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Event {
    /// The time of the event.
    pub at: SystemTime,
    /// The kind of event, with its details.
    pub what: Happened,
}

/// The kind of an event. `LookedUp`, `Computed` and `Stored` are published only to subscriptions of
/// [`subscribe_to_lookups`](crate::FragmentCache::subscribe_to_lookups).
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Happened {
    /// A look-up was answered.
    LookedUp {
        /// The fragment that was looked up.
        about: About,
        /// How the look-up was answered.
        outcome: Outcome,
    },
    /// A fragment was computed.
    Computed {
        /// The fragment that was computed.
        about: About,
        /// How long the computation took.
        took: Duration,
        /// The size of the result, in bytes.
        bytes: usize,
        /// Why the result was not stored; `None` if it was stored.
        rejected: Option<Rejection>,
    },
    /// A fragment was computed and stored, and there was no entry for it before.
    Stored {
        /// The fragment that was stored.
        about: About,
    },
    /// A fragment was computed and stored in place of an entry that could not be used.
    Refreshed {
        /// The fragment that was refreshed.
        about: About,
        /// Why the earlier entry could not be used.
        reason: MissReason,
        /// How long the computation took.
        took: Duration,
    },
    /// A computation ended with an error or a panic.
    Failed {
        /// The fragment whose computation failed.
        about: About,
    },
    /// Entries were invalidated.
    Invalidated {
        /// The target of the invalidation.
        what: Target,
        /// The source of the invalidation.
        by: By,
    },
    /// An entry was evicted from memory for lack of room.
    Evicted {
        /// The fragment of the entry.
        about: About,
        /// The age of the entry, from the start of its computation.
        age: Duration,
        /// The size of the entry in memory, in bytes.
        bytes: u32,
        /// True if the entry was hit at least once.
        used: bool,
    },
    /// A hit differs from a new computation of the fragment; see [`Builder::shadow`](crate::Builder::shadow).
    Differed(Difference),
    /// A failure of the cache itself. It failed no page; see [`Builder::on_error`](crate::Builder::on_error).
    Error {
        /// The kind of the error.
        kind: ErrorKind,
        /// The message of the error.
        message: String,
    },
}

/// The target of an invalidation.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Target {
    /// A key.
    Key(KeyHash),
    /// A tag, by its name.
    Tag(Arc<str>),
    /// The pages with this path.
    Page(Arc<str>),
    /// The entries that used a template of this name.
    Template(Arc<str>),
    /// All entries of a namespace, by its own name.
    Namespace(Arc<str>),
    /// All entries.
    Everything,
    /// A number of tags, keys or templates. This node knows only their hashes.
    Hashes(usize),
}

/// The source of an invalidation.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum By {
    /// A call by the application on this node.
    Call,
    /// A signal of the application, with the name of the signal.
    Signal(Arc<str>),
    /// A request with an unsafe method through `http::CacheLayer`, which may have changed the resource at its address.
    Request,
    /// An operator, on a page of the `Dashboard`.
    Dashboard,
    /// A watcher that saw a file change.
    Watch,
    /// Another node, through the shared tier.
    Node,
}

impl Target {
    /// The kind of target in one word: `key`, `tag`, `page`, `template`, `namespace`, `everything` or `hashes`.
    pub fn name(&self) -> &'static str {
        match self {
            Target::Key(_) => "key",
            Target::Tag(_) => "tag",
            Target::Page(_) => "page",
            Target::Template(_) => "template",
            Target::Namespace(_) => "namespace",
            Target::Everything => "everything",
            Target::Hashes(_) => "hashes",
        }
    }
}

impl By {
    /// The source in one word: `call`, `signal`, `request`, `dashboard`, `watch` or `node`.
    pub fn name(&self) -> &'static str {
        match self {
            By::Call => "call",
            By::Signal(_) => "signal",
            By::Request => "request",
            By::Dashboard => "dashboard",
            By::Watch => "watch",
            By::Node => "node",
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::Key(key) => write!(f, "key {key}"),
            Target::Tag(tag) => write!(f, "tag {tag:?}"),
            Target::Page(path) => write!(f, "page {path:?}"),
            Target::Template(name) => write!(f, "template {name:?}"),
            Target::Namespace(name) => write!(f, "namespace {name:?}"),
            Target::Everything => f.write_str("everything"),
            Target::Hashes(count) => write!(f, "{count} tags"),
        }
    }
}

impl fmt::Display for By {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            By::Signal(name) => write!(f, "signal {name:?}"),
            by => f.write_str(by.name()),
        }
    }
}
