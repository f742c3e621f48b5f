//! The removal history: the last outcome of each result (stored, removed or rejected), in tables of fixed size.
//!
//! The history is approximate, because two hashes in one slot replace each other. Only reports depend on it: the
//! reasons of misses, which `cache/miss_reason.rs` finds.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use super::reason::Rejection;

/// Results remembered (256 KiB, allocated with the first one stored).
const RESULTS: usize = 1 << 15;

/// Keys remembered (128 KiB).
const KEYS: usize = 1 << 14;

/// The last outcome of a result: stored, removed, or rejected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LastOutcome {
    Stored,
    Evicted,
    Expired,
    Cleared,
    Unreadable,
    Rejected(Rejection),
}

/// All outcomes. A slot contains the index of one of them, plus 1.
const FATES: [LastOutcome; 11] = [
    LastOutcome::Stored,
    LastOutcome::Evicted,
    LastOutcome::Expired,
    LastOutcome::Cleared,
    LastOutcome::Unreadable,
    LastOutcome::Rejected(Rejection::Uncacheable),
    LastOutcome::Rejected(Rejection::Invalidated),
    LastOutcome::Rejected(Rejection::TooLarge),
    LastOutcome::Rejected(Rejection::Expired),
    LastOutcome::Rejected(Rejection::Apart),
    LastOutcome::Rejected(Rejection::StartUnseen),
];

#[derive(Debug, Default)]
pub(crate) struct RemovalHistory {
    tables: OnceLock<Tables>,
    /// The number of times the whole cache was cleared. A result that was stored before the last one counts as cleared.
    clears: AtomicU64,
}

#[derive(Debug)]
struct Tables {
    /// The upper bits of an identity's hash. The lowest byte contains the outcome and the low four bits of `clears`.
    results: Box<[AtomicU64]>,
    keys: Box<[AtomicU64]>,
}

impl RemovalHistory {
    pub(crate) fn note(&self, hash: u128, fate: LastOutcome) {
        let at = FATES.iter().position(|known| *known == fate).unwrap_or(0) as u64 + 1;
        self.tables().results[hash as usize % RESULTS].store(mark(hash) | self.age() | at, Ordering::Relaxed);
    }

    /// Records that a variant of a key is stored.
    pub(crate) fn note_key(&self, key: u64) {
        self.tables().keys[key as usize % KEYS].store(key, Ordering::Relaxed);
    }

    pub(crate) fn fate(&self, hash: u128) -> Option<LastOutcome> {
        let slot = self.tables.get()?.results[hash as usize % RESULTS].load(Ordering::Relaxed);
        let at = ((slot & 0xf) as usize).checked_sub(1)?;
        let fate = FATES.get(at).copied().filter(|_| slot & !0xff == mark(hash))?;
        let before = slot & 0xf0 != self.age();
        Some(if before && fate == LastOutcome::Stored { LastOutcome::Cleared } else { fate })
    }

    pub(crate) fn knows_key(&self, key: u64) -> bool {
        self.tables.get().is_some_and(|tables| tables.keys[key as usize % KEYS].load(Ordering::Relaxed) == key)
    }

    pub(crate) fn note_clear(&self) {
        self.clears.fetch_add(1, Ordering::Relaxed);
    }

    fn age(&self) -> u64 {
        (self.clears.load(Ordering::Relaxed) & 0xf) << 4
    }

    fn tables(&self) -> &Tables {
        let table = |slots| (0..slots).map(|_| AtomicU64::new(0)).collect();
        self.tables.get_or_init(|| Tables { results: table(RESULTS), keys: table(KEYS) })
    }
}

/// The bits of a hash that a slot contains. They differ from the bits that choose the slot.
fn mark(hash: u128) -> u64 {
    (hash >> 64) as u64 & !0xff
}

#[cfg(all(test, not(shuttle)))]
mod tests {
    use super::*;

    #[test]
    fn the_last_fate_is_remembered_until_another_takes_its_slot() {
        let past = RemovalHistory::default();
        let (one, other) = ((7 << 80) | 5, (9 << 80) | 5);
        assert_eq!(past.fate(one), None);
        past.note(one, LastOutcome::Stored);
        past.note(one, LastOutcome::Evicted);
        assert_eq!((past.fate(one), past.fate(other)), (Some(LastOutcome::Evicted), None));
        past.note(other, LastOutcome::Stored);
        assert_eq!((past.fate(one), past.fate(other)), (None, Some(LastOutcome::Stored)));
        past.note_clear();
        assert_eq!((past.fate(one), past.fate(other)), (None, Some(LastOutcome::Cleared)));
        past.note_key(11);
        assert!(past.knows_key(11) && !past.knows_key(11 + KEYS as u64));
    }
}
