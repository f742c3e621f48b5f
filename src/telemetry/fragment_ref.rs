//! What a report calls a fragment: its label, its kind and the hash of its key.

use std::fmt;
use std::sync::Arc;

use serde::{Serialize, Serializer};
use xxhash_rust::xxh3::xxh3_64;

use super::fragment_stats::FragmentKind;
use super::label::FragmentCounters;

/// A key, hashed: tells results apart in reports without showing what the key says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyHash(pub(crate) u64);

impl Serialize for KeyHash {
    /// As it is displayed.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl fmt::Display for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// Which result something is about.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct About {
    /// Where it comes from; see [`FragmentStats::label`](crate::FragmentStats::label).
    pub label: Arc<str>,
    /// What it is.
    pub kind: FragmentKind,
    /// Its key.
    pub key: KeyHash,
}

impl About {
    pub(crate) fn new(label: &FragmentCounters, key: KeyHash) -> About {
        About { label: Arc::clone(&label.name), kind: label.kind, key }
    }
}

/// How a key is told apart in reports.
pub(crate) fn key_hash(key: &[u8]) -> KeyHash {
    KeyHash(xxh3_64(key))
}
