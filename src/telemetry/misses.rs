//! The last misses and bypasses of a cache, with their reasons.
//!
//! The reasons are in `reason.rs`; `recorder.rs` adds the misses.

use std::fmt;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use serde::Serialize;

use super::fragment_ref::About;
use super::reason::MissReason;
use crate::key::readable;
use crate::util::sync::lock;

/// Misses stored.
const KEPT: usize = 256;

/// Bytes stored of a key.
const LONGEST: usize = 1024;

/// A miss or a bypass and its reason; see [`FragmentCache::recent_misses`](crate::FragmentCache::recent_misses).
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Miss {
    /// The time of the look-up.
    pub at: SystemTime,
    /// The fragment that was looked up.
    pub about: About,
    /// Why the fragment had to be computed.
    pub reason: MissReason,
    #[serde(skip)]
    key: Key,
}

/// An encoded key, or the beginning of a long one. `Debug` does not show it, because it may be private.
#[derive(Clone, PartialEq, Eq)]
struct Key(Box<[u8]>);

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

impl Miss {
    /// The key as the caller gave it, in readable form; for a page also the query. `None` if there was no key. A `?`
    /// stands for the truncated part of a long key. The text may contain private data, such as an e-mail address.
    pub fn key_text(&self) -> Option<String> {
        let Key(bytes) = &self.key;
        (!bytes.is_empty()).then(|| readable(bytes))
    }
}

/// A ring of slots. Each slot has its own lock, so that threads that record misses seldom wait for each other.
#[derive(Debug)]
pub(crate) struct Recent {
    places: Box<[MissSlot]>,
    next: AtomicU64,
}

/// A slot of the ring: the number of a miss, and the miss.
type MissSlot = Mutex<Option<(u64, Miss)>>;

impl Recent {
    pub(crate) fn new() -> Recent {
        Recent { places: (0..KEPT).map(|_| Mutex::new(None)).collect(), next: AtomicU64::new(0) }
    }

    pub(crate) fn note(&self, about: About, reason: MissReason, key: &[u8]) {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let key = Key(key[..key.len().min(LONGEST)].into());
        let miss = Miss { at: SystemTime::now(), about, reason, key };
        let mut place = lock(&self.places[number as usize % KEPT]);
        // The slot may already hold a later miss, if other threads have filled the ring since the number was taken.
        if place.as_ref().is_none_or(|(known, _)| *known < number) {
            *place = Some((number, miss));
        }
    }

    /// The misses, newest first.
    pub(crate) fn read(&self) -> Vec<Miss> {
        let mut misses: Vec<(u64, Miss)> = self.places.iter().filter_map(|place| lock(place).clone()).collect();
        misses.sort_unstable_by_key(|(number, _)| std::cmp::Reverse(*number));
        misses.into_iter().map(|(_, miss)| miss).collect()
    }
}
