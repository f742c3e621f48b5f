//! The public figures of each fragment.
//!
//! They are counted in `label.rs`.

use std::fmt;
use std::time::Duration;

use serde::Serialize;

/// The kind of a fragment.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum FragmentKind {
    /// A cache block in a template.
    Block,
    /// A template rendered as a whole: `cache_partial`, [`FragmentCache::render`](crate::FragmentCache::render).
    Partial,
    /// A text from a handler: [`FragmentCache::get_or_set`](crate::FragmentCache::get_or_set).
    Text,
    /// A value from a handler: [`FragmentCache::get_or_set_value`](crate::FragmentCache::get_or_set_value).
    Value,
    /// A whole response.
    Page,
}

pub(super) const KINDS: [FragmentKind; 5] =
    [FragmentKind::Block, FragmentKind::Partial, FragmentKind::Text, FragmentKind::Value, FragmentKind::Page];

impl FragmentKind {
    /// The kind in one word: `block`, `partial`, `text`, `value` or `page`.
    pub fn name(self) -> &'static str {
        match self {
            FragmentKind::Block => "block",
            FragmentKind::Partial => "partial",
            FragmentKind::Text => "text",
            FragmentKind::Value => "value",
            FragmentKind::Page => "page",
        }
    }
}

impl fmt::Display for FragmentKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// The counts of one fragment over all its keys; see
/// [`FragmentCache::fragment_stats`](crate::FragmentCache::fragment_stats).
///
/// `hits + stale_hits + joined + shared_hits + misses + bypasses` is the number of look-ups.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FragmentStats {
    /// The source of the fragment: `template:line` or the `name=` of a block, the template of a partial, the source
    /// position of the call or the [`label`](crate::Options::label) of a handler's fragment, the route of a page.
    /// `(others)` for the fragments after the first 512.
    pub label: String,
    /// The kind of the fragment.
    pub kind: FragmentKind,
    /// Look-ups answered from memory.
    pub hits: u64,
    /// Look-ups answered with an expired entry within its grace time.
    pub stale_hits: u64,
    /// Look-ups answered by the running computation of another caller.
    pub joined: u64,
    /// Look-ups answered by the shared tier.
    pub shared_hits: u64,
    /// Look-ups that computed the fragment, because neither memory, another computation nor the shared tier answered.
    pub misses: u64,
    /// Misses that were the first look-up of a key or a variant, as far as is remembered: the reasons `cold` and
    /// `other-variant`. No cache could have answered these.
    pub first_misses: u64,
    /// Computations without a look-up.
    pub bypasses: u64,
    /// Computations that ended with an error or a panic.
    pub errors: u64,
    /// Results that were not stored: uncacheable, invalidated during the computation, too large, or computed by a
    /// caller that did not wait for the leader.
    pub rejected: u64,
    /// Entries evicted from memory for lack of room.
    pub evicted: u64,
    /// Evicted entries that were never hit.
    pub evicted_unused: u64,
    /// The mean age of an evicted entry. `None` if no entry was evicted.
    pub age_at_eviction: Option<Duration>,
    /// Entries in memory, as of the last maintenance.
    pub entries: u64,
    /// Bytes of these entries.
    pub bytes: u64,
    /// Bytes of all results computed.
    pub rendered_bytes: u64,
    /// Results computed.
    pub renders: u64,
    /// Hits that were computed again by [`Builder::shadow`](crate::Builder::shadow).
    pub verified: u64,
    /// Verified hits that differed from the new computation.
    pub differing: u64,
    /// Computation time, including that of fragments inside.
    pub render_time: Duration,
    /// Computation time that was saved: the sum of the durations of the computations of the returned entries.
    pub render_time_saved: Duration,
}

impl FragmentStats {
    /// The number of look-ups.
    pub fn lookups(&self) -> u64 {
        self.answered() + self.misses + self.bypasses
    }

    /// The number of look-ups that did not compute the fragment.
    pub(crate) fn answered(&self) -> u64 {
        self.hits + self.stale_hits + self.joined + self.shared_hits
    }

    /// The share of look-ups that did not compute the fragment, from 0 to 1. It is 0 before the first look-up.
    pub fn hit_ratio(&self) -> f64 {
        match self.lookups() {
            0 => 0.0,
            lookups => self.answered() as f64 / lookups as f64,
        }
    }
}
