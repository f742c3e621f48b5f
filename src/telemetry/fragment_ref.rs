//! References to fragments in reports: label, kind and hash of the key.
//!
//! The labels are registered in `label.rs`.

use std::fmt;
use std::sync::Arc;

use serde::{Serialize, Serializer};
use xxhash_rust::xxh3::xxh3_64;

use super::fragment_stats::FragmentKind;
use super::label::FragmentCounters;

/// The hash of a key. It distinguishes keys in reports without showing their content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyHash(pub(crate) u64);

impl Serialize for KeyHash {
    /// Serializes the hash as its `Display` text.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl fmt::Display for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// The fragment and the key that an event or a report refers to.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct About {
    /// The source of the fragment; see [`FragmentStats::label`](crate::FragmentStats::label).
    pub label: Arc<str>,
    /// The kind of the fragment.
    pub kind: FragmentKind,
    /// The hash of the key.
    pub key: KeyHash,
}

impl About {
    pub(crate) fn new(label: &FragmentCounters, key: KeyHash) -> About {
        About { label: Arc::clone(&label.name), kind: label.kind, key }
    }
}

/// The hash of an encoded key, for reports.
pub(crate) fn key_hash(key: &[u8]) -> KeyHash {
    KeyHash(xxh3_64(key))
}
