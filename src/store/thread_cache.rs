//! The thread cache: a few entries per thread, so that the hottest hits touch no structure that threads share.
//!
//! Owns the slots. Leaves to `cache/lookup/memory.rs` whether an entry is usable: identity, lifetime and floors are
//! checked as for any entry. If nothing was invalidated since the last check, one load of the sequence replaces the
//! check of all floors.
//!
//! The memory store does not see hits in a thread cache. One of several hits is reported to it, so that the hottest
//! entries are not its least recently used ones.

use std::borrow::Cow;
use std::cell::RefCell;
use std::sync::{Arc, Weak};

use crate::invalidation::floors::Stamp;
use crate::store::entry::Entry;

/// Entries per thread and cache.
const SLOTS: usize = 256;

/// Caches for which a thread has slots.
const CACHES: usize = 4;

/// The largest entry that a slot owns, in bytes: 2 MiB per thread at most. For a larger entry the slot has a weak
/// reference, which lasts as long as the memory store has the entry.
const LARGEST: u32 = 8 << 10;

/// Hits in a slot for each one that is reported to the memory store.
const HITS_PER_TOUCH: u8 = 64;

thread_local! {
    static FRONTS: RefCell<Vec<Front>> = const { RefCell::new(Vec::new()) };
}

struct Front {
    cache: u64,
    slots: Box<[Option<CacheSlot>]>,
}

/// An entry in a thread cache, and the sequence at which its floors last admitted it.
struct CacheSlot {
    hash: u128,
    entry: Held,
    admitted_at: Stamp,
    hits: u8,
}

enum Held {
    Here(Arc<Entry>),
    InStore(Weak<Entry>),
}

impl Held {
    fn get(&self) -> Option<Cow<'_, Arc<Entry>>> {
        match self {
            Held::Here(entry) => Some(Cow::Borrowed(entry)),
            Held::InStore(entry) => entry.upgrade().map(Cow::Owned),
        }
    }
}

/// Looks up an entry on this thread. `use_it` receives the entry and the sequence at which its floors last admitted it.
/// It returns the result, or `None` to clear the slot. The flag beside the result is true if the hit is to be reported
/// to the memory store.
#[inline]
pub(crate) fn look<R>(
    cache: u64,
    hash: u128,
    use_it: impl FnOnce(&Arc<Entry>, &mut Stamp) -> Option<R>,
) -> Option<(R, bool)> {
    let looked = FRONTS.try_with(|fronts| {
        let mut fronts = fronts.borrow_mut();
        let front = fronts.iter_mut().find(|front| front.cache == cache)?;
        let place = &mut front.slots[hash as usize % SLOTS];
        let slot = place.as_mut().filter(|slot| slot.hash == hash)?;
        let found = slot.entry.get().and_then(|entry| use_it(&entry, &mut slot.admitted_at));
        let Some(found) = found else {
            *place = None;
            return None;
        };
        slot.hits = (slot.hits + 1) % HITS_PER_TOUCH;
        Some((found, slot.hits == 0))
    });
    looked.ok().flatten()
}

/// Stores an entry that was admitted when the sequence was `admitted_at`.
pub(crate) fn keep(cache: u64, hash: u128, entry: &Arc<Entry>, admitted_at: Stamp) {
    // A `Vary` index can grow while it is valid, and other threads would not see that.
    if entry.is_direction() {
        return;
    }
    // The thread may be ending. Then there is nothing to store for.
    let _ = FRONTS.try_with(|fronts| {
        let mut fronts = fronts.borrow_mut();
        let at = fronts.iter().position(|front| front.cache == cache).unwrap_or_else(|| {
            if fronts.len() == CACHES {
                fronts.remove(0);
            }
            fronts.push(Front { cache, slots: (0..SLOTS).map(|_| None).collect() });
            fronts.len() - 1
        });
        let small = entry.weight() <= LARGEST;
        let entry = if small { Held::Here(Arc::clone(entry)) } else { Held::InStore(Arc::downgrade(entry)) };
        let slot = CacheSlot { hash, entry, admitted_at, hits: 0 };
        fronts[at].slots[hash as usize % SLOTS] = Some(slot);
    });
}
