//! The first tier: moka as a bounded map. Owns the bound and the eviction of entries: the least recently used and the
//! expired ones. Leaves to `cache/lookup/memory.rs` whether an entry is valid and fresh.
//!
//! The policy is LRU. With entries of the size of fragments, TinyLFU refuses new keys in a full warm cache, and a hot
//! key would be rendered again after every maintenance run. Inserts wait for the eviction listener. It only counts. It
//! must not panic, because moka disables a listener that panics.

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
    /// Heavier entries have room made for them at once.
    large: u32,
}

/// Insertions that moka collects before it makes room for them.
const PENDING: u64 = 64;

/// The share of the bound that may be exceeded until then: a 32nd.
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

    /// All entries, without counting as a use of them. The iteration takes no lock that blocks others. Entries that are
    /// inserted or removed during it may or may not be returned.
    #[cfg(feature = "dashboard")]
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u128, Arc<Entry>)> {
        self.entries.iter().map(|(hash, entry)| (*hash, entry))
    }

    /// Frees expired and cleared entries. Without traffic, no other call does.
    pub(crate) fn maintain(&self) {
        self.entries.run_pending_tasks();
    }

    /// Entries in memory, as of the last maintenance.
    pub(crate) fn len(&self) -> u64 {
        self.entries.entry_count()
    }

    /// Bytes in memory, as of the last maintenance.
    pub(crate) fn bytes(&self) -> u64 {
        self.entries.weighted_size()
    }
}

/// Removes an entry when it could not even be served stale. Only memory use depends on this. A clock that is moved by
/// hand has no relation to moka's own, so under such a clock no entry expires.
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
