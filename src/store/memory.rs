//! The first tier: moka as a bounded map. What is valid and fresh is the cache's to decide; this one only keeps
//! what was used last within its bound, and forgets what has expired.
//!
//! The policy is LRU: with fragment-sized entries TinyLFU refuses new keys in a warm full cache, and a hot one is
//! rendered again at every maintenance run. Inserts wait for the listener: it only counts, and must not panic, which would
//! disable it.

use std::hash::BuildHasherDefault;
use std::sync::Arc;
use std::time::{Duration, Instant};

use moka::Expiry;
use moka::notification::RemovalCause;
use moka::policy::EvictionPolicy;
use moka::sync::Cache;

use crate::key::identity::Passthrough;
use crate::store::entry::Entry;
use crate::util::clock::Clock;

pub(crate) struct Memory {
    entries: Cache<u128, Arc<Entry>, BuildHasherDefault<Passthrough>>,
    /// Heavier entries are made room for at once.
    large: u32,
}

/// Insertions that moka lets come together before it makes room for them.
const PENDING: u64 = 64;

/// What may be over the bound until then: a 32nd of it.
const MOST_PENDING_SHARE: u64 = 32;

/// Why an entry left memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Removal {
    NoRoom,
    Expired,
    Replaced,
    Removed,
}

impl Memory {
    pub(crate) fn new(
        max_bytes: u64,
        clock: Clock,
        departed: impl Fn(u128, &Entry, Removal) + Send + Sync + 'static,
    ) -> Memory {
        let entries = Cache::builder()
            .eviction_listener(move |hash: Arc<u128>, entry: Arc<Entry>, cause| {
                let departure = match cause {
                    RemovalCause::Size => Removal::NoRoom,
                    RemovalCause::Expired => Removal::Expired,
                    RemovalCause::Replaced => Removal::Replaced,
                    RemovalCause::Explicit => Removal::Removed,
                };
                departed(*hash, &entry, departure);
            })
            .max_capacity(max_bytes)
            .weigher(|_, entry: &Arc<Entry>| entry.weight())
            .eviction_policy(EvictionPolicy::lru())
            .expire_after(UntilUseless(clock))
            .build_with_hasher(BuildHasherDefault::default());
        let large = u32::try_from(max_bytes / (PENDING * MOST_PENDING_SHARE)).unwrap_or(u32::MAX);
        Memory { entries, large }
    }

    pub(crate) fn get(&self, hash: u128) -> Option<Arc<Entry>> {
        self.entries.get(&hash)
    }

    pub(crate) fn put(&self, hash: u128, entry: Arc<Entry>) {
        let weight = entry.weight();
        entry.label.entered(weight);
        self.entries.insert(hash, entry);
        if weight > self.large {
            self.maintain();
        }
    }

    pub(crate) fn remove(&self, hash: u128) {
        self.entries.invalidate(&hash);
    }

    pub(crate) fn clear(&self) {
        self.entries.invalidate_all();
    }

    /// All entries, without counting as a use of them. An iteration waits for nobody and nobody waits for it; what is
    /// put or removed meanwhile may or may not be in it.
    #[cfg(feature = "dashboard")]
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u128, Arc<Entry>)> {
        self.entries.iter().map(|(hash, entry)| (*hash, entry))
    }

    /// Frees what has expired or been cleared; nothing else does without traffic.
    pub(crate) fn maintain(&self) {
        self.entries.run_pending_tasks();
    }

    /// Entries kept, as of the last maintenance.
    pub(crate) fn len(&self) -> u64 {
        self.entries.entry_count()
    }

    /// Bytes kept, as of the last maintenance.
    pub(crate) fn bytes(&self) -> u64 {
        self.entries.weighted_size()
    }
}

/// An entry is kept until it could not even be served stale. Only memory depends on this: a clock that is moved
/// by hand says nothing about moka's own, so under one everything is kept.
struct UntilUseless(Clock);

impl Expiry<u128, Arc<Entry>> for UntilUseless {
    fn expire_after_create(&self, _: &u128, entry: &Arc<Entry>, _: Instant) -> Option<Duration> {
        self.left(entry)
    }

    fn expire_after_update(&self, _: &u128, entry: &Arc<Entry>, _: Instant, _: Option<Duration>) -> Option<Duration> {
        self.left(entry)
    }
}

impl UntilUseless {
    fn left(&self, entry: &Entry) -> Option<Duration> {
        if self.0.is_manual() || entry.record.expires == u64::MAX {
            return None;
        }
        let until = entry.record.expires.saturating_add(entry.kept);
        Some(Duration::from_nanos(until.saturating_sub(self.0.now())))
    }
}
