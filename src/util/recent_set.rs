//! A set of page keys that forgets each key after a fixed time.
//!
//! A table of a fixed size without locks. Keys in the same slot replace each other, so the set may forget a key early.
//! A forgotten key costs a wait or a call of the handler, but never a wrong answer.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::util::clock::Nanos;

const SLOTS: usize = 4096;

/// The upper 48 bits of a slot are part of the key's hash, the lower 16 bits the second of its insertion.
#[derive(Debug)]
pub(crate) struct RecentSet {
    /// In seconds.
    lifetime: u16,
    slots: Box<[AtomicU64]>,
}

impl Clone for RecentSet {
    /// An empty set with the same lifetime. The clone belongs to another layer, which has other pages.
    fn clone(&self) -> RecentSet {
        RecentSet::new(self.lifetime)
    }
}

impl RecentSet {
    /// A set that keeps keys for this many seconds.
    pub(crate) fn new(lifetime: u16) -> RecentSet {
        RecentSet { lifetime, slots: (0..SLOTS).map(|_| AtomicU64::new(0)).collect() }
    }

    pub(crate) fn insert(&self, key: u128, now: Nanos) {
        self.slot(key).store(fingerprint(key) | u64::from(second(now)), Ordering::Relaxed);
    }

    pub(crate) fn contains(&self, key: u128, now: Nanos) -> bool {
        let slot = self.slot(key).load(Ordering::Relaxed);
        slot & !0xffff == fingerprint(key) && second(now).wrapping_sub(slot as u16) < self.lifetime
    }

    pub(crate) fn remove(&self, key: u128) {
        let slot = self.slot(key);
        if slot.load(Ordering::Relaxed) & !0xffff == fingerprint(key) {
            slot.store(0, Ordering::Relaxed);
        }
    }

    fn slot(&self, key: u128) -> &AtomicU64 {
        &self.slots[key as usize % SLOTS]
    }
}

fn second(now: Nanos) -> u16 {
    (now / 1_000_000_000) as u16
}

/// The bits of a key that a slot holds. The highest bit is set, so they differ from those of an empty slot.
fn fingerprint(key: u128) -> u64 {
    ((key >> 64) as u64 | 1 << 63) & !0xffff
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Nanos = 1_000_000_000;

    #[test]
    fn a_set_contains_a_key_for_its_lifetime_and_no_other_key() {
        let set = RecentSet::new(60);
        let start = 70_000 * SECOND;
        assert!(!set.contains(0, start));
        set.insert(7 << 80 | 5, start);
        assert!(set.contains(7 << 80 | 5, start + 59 * SECOND));
        assert!(!set.contains(7 << 80 | 5, start + 60 * SECOND));
        assert!(!set.contains(8 << 80 | 5, start));
        assert!(!set.contains(7 << 80 | 6, start));
        set.remove(8 << 80 | 5);
        assert!(set.contains(7 << 80 | 5, start));
        set.remove(7 << 80 | 5);
        assert!(!set.contains(7 << 80 | 5, start));
    }
}
