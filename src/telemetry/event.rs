//! Events of the cache. Subscriptions to them are in `subscription.rs`.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde::Serialize;

use super::difference::Difference;
use super::fragment_ref::{About, KeyHash};
use super::outcome::Outcome;
use super::reason::{MissReason, Rejection};
use crate::error::ErrorKind;

/// Something that happened, and when.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Event {
    /// When.
    pub at: SystemTime,
    /// What.
    pub what: Happened,
}

/// What happened. The first three are told to
/// [`subscribe_to_lookups`](crate::FragmentCache::subscribe_to_lookups) only.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Happened {
    /// A look-up, and how it was answered.
    LookedUp {
        /// What was looked up.
        about: About,
        /// What came of it.
        outcome: Outcome,
    },
    /// Something was computed.
    Computed {
        /// What.
        about: About,
        /// How long it took.
        took: Duration,
        /// The size of the result.
        bytes: usize,
        /// Why it is not stored, if so.
        rejected: Option<Rejection>,
    },
    /// Something was computed and stored that was not there before.
    Stored {
        /// What.
        about: About,
    },
    /// Something was computed and stored in place of what was no longer of use.
    Refreshed {
        /// What.
        about: About,
        /// Why what was there was of no use.
        reason: MissReason,
        /// How long it took.
        took: Duration,
    },
    /// Computing ended with an error or a panic.
    Failed {
        /// What was computed.
        about: About,
    },
    /// Something was invalidated.
    Invalidated {
        /// What.
        what: Target,
        /// By whom.
        by: By,
    },
    /// An entry left memory because there was no room.
    Evicted {
        /// Of what.
        about: About,
        /// How old it was.
        age: Duration,
        /// Its size in memory.
        bytes: u32,
        /// Whether it was ever hit.
        used: bool,
    },
    /// A hit is not what computing it again gives; see [`Builder::shadow`](crate::Builder::shadow).
    Differed(Difference),
    /// A failure of the cache itself, which failed no page; see [`Builder::on_error`](crate::Builder::on_error).
    Error {
        /// What kind of failure.
        kind: ErrorKind,
        /// The failure in words.
        message: String,
    },
}

/// What was invalidated.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Target {
    /// A key.
    Key(KeyHash),
    /// A tag, by its name.
    Tag(Arc<str>),
    /// The pages of a path.
    Page(Arc<str>),
    /// What was made with the templates of a name.
    Template(Arc<str>),
    /// Everything in a namespace, by its own name.
    Namespace(Arc<str>),
    /// Everything.
    Everything,
    /// So many tags, keys or templates, of which only the hashes are known here.
    Hashes(usize),
}

/// Who invalidated.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum By {
    /// A call of the application's code on this node.
    Call,
    /// A signal of the application, by its name.
    Signal(Arc<str>),
    /// A request that may have changed something at its address: one of an unsafe method, through `http::CacheLayer`.
    Request,
    /// An operator, on a page of the `Dashboard`.
    Dashboard,
    /// A watcher that saw a file change.
    Watch,
    /// Another node, through the shared tier.
    Node,
}

impl Target {
    /// What sort of thing it is, in one word: `key`, `tag`, `page`, `template`, `namespace`, `everything` or `hashes`.
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
    /// In one word: `call`, `signal`, `request`, `dashboard`, `watch` or `node`.
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
