//! What is counted for each fragment, as applications read it.

use std::fmt;
use std::time::Duration;

use serde::Serialize;

/// What a result is.
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
    /// In one word: `block`, `partial`, `text`, `value` or `page`.
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

/// What one fragment did, over all its keys; see
/// [`FragmentCache::fragment_stats`](crate::FragmentCache::fragment_stats).
///
/// `hits + stale_hits + joined + shared_hits + misses + bypasses` is the number of look-ups.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FragmentStats {
    /// Where it comes from: `template:line` of a block or its `name=`, the template of a partial, the place of the call
    /// or the [`label`](crate::Options::label) of what a handler caches, the route of a page. `(others)` for what came
    /// after 512 others.
    pub label: String,
    /// What it is.
    pub kind: FragmentKind,
    /// Look-ups answered from memory.
    pub hits: u64,
    /// Answered with an expired entry within its grace.
    pub stale_hits: u64,
    /// Answered by somebody else's computation that was under way.
    pub joined: u64,
    /// Answered by the shared tier.
    pub shared_hits: u64,
    /// Computed, because nothing else answered.
    pub misses: u64,
    /// Those of them that asked for a key or a variant for the first time, as far as is remembered: the reasons `cold`
    /// and `other-variant`. No cache could have answered these.
    pub first_misses: u64,
    /// Computed without asking the cache.
    pub bypasses: u64,
    /// Computations that ended with an error or a panic.
    pub errors: u64,
    /// Results that were not stored: uncacheable, invalidated meanwhile, too large, or of somebody who had not waited.
    pub rejected: u64,
    /// Entries that left memory because there was no room.
    pub evicted: u64,
    /// Those of them that were never hit.
    pub evicted_unused: u64,
    /// The mean age of an entry when it was evicted.
    pub age_at_eviction: Option<Duration>,
    /// Entries in memory, as of the last maintenance.
    pub entries: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Bytes of all results computed.
    pub rendered_bytes: u64,
    /// Results computed.
    pub renders: u64,
    /// Hits that were computed again by [`Builder::shadow`](crate::Builder::shadow).
    pub verified: u64,
    /// Those of them that were something else.
    pub differing: u64,
    /// Time spent computing, what is inside included.
    pub render_time: Duration,
    /// Time not spent computing, by what each entry cost when it was computed.
    pub render_time_saved: Duration,
}

impl FragmentStats {
    /// Look-ups.
    pub fn lookups(&self) -> u64 {
        self.answered() + self.misses + self.bypasses
    }

    /// Look-ups that were spared the work.
    pub(crate) fn answered(&self) -> u64 {
        self.hits + self.stale_hits + self.joined + self.shared_hits
    }

    /// The share of look-ups that were spared the work, from 0 to 1; 0 before the first one.
    pub fn hit_ratio(&self) -> f64 {
        match self.lookups() {
            0 => 0.0,
            lookups => self.answered() as f64 / lookups as f64,
        }
    }
}
