//! A few entries kept per thread, so that the hottest hits touch no structure that threads share.
//!
//! Nothing is decided here: an entry in front is held against identity, lifetime and floors like any other. While
//! nothing at all was invalidated since the last check, one load of the sequence stands for all its floors.
//!
//! What is in front may have left the store; every so often a hit asks the store too, which keeps the store's idea
//! of what is used, and lets go of what it has evicted.

use std::cell::RefCell;
use std::sync::Arc;

use crate::entry::Entry;
use crate::floors::Stamp;

/// Entries per thread and cache.
const SLOTS: usize = 64;

/// Caches a thread keeps entries of.
const CACHES: usize = 4;

/// The largest entry kept, in bytes: 1 MiB per thread at the most.
const LARGEST: u32 = 16 << 10;

/// Hits in front until the store is asked again.
const HITS_PER_TOUCH: u8 = 64;

thread_local! {
    static FRONTS: RefCell<Vec<Front>> = const { RefCell::new(Vec::new()) };
}

struct Front {
    cache: u64,
    slots: Box<[Option<Slot>]>,
}

/// An entry in front, and the sequence at which its floors last admitted it.
pub(crate) struct Slot {
    hash: u128,
    pub(crate) entry: Arc<Entry>,
    pub(crate) admitted_at: Stamp,
    hits: u8,
}

/// What a look in front came to.
pub(crate) enum Looked<R> {
    Found(R),
    /// Nothing there, or nothing of use: the store knows.
    AskStore,
}

/// Looks an entry up on this thread. `use_it` answers from the slot, or `None` to have it forgotten.
pub(crate) fn look<R>(cache: u64, hash: u128, use_it: impl FnOnce(&mut Slot) -> Option<R>) -> Looked<R> {
    FRONTS
        .try_with(|fronts| {
            let mut fronts = fronts.borrow_mut();
            let Some(front) = fronts.iter_mut().find(|front| front.cache == cache) else { return Looked::AskStore };
            let place = &mut front.slots[hash as usize % SLOTS];
            let Some(slot) = place.as_mut().filter(|slot| slot.hash == hash) else { return Looked::AskStore };
            if slot.hits < HITS_PER_TOUCH {
                slot.hits += 1;
                if let Some(found) = use_it(slot) {
                    return Looked::Found(found);
                }
            }
            *place = None;
            Looked::AskStore
        })
        .unwrap_or(Looked::AskStore)
}

/// Keeps an entry that was admitted when the sequence stood at `admitted_at`.
pub(crate) fn keep(cache: u64, hash: u128, entry: &Arc<Entry>, admitted_at: Stamp) {
    if entry.weight() > LARGEST {
        return;
    }
    // The thread may be ending; then there is nothing to keep for.
    let _ = FRONTS.try_with(|fronts| {
        let mut fronts = fronts.borrow_mut();
        let at = fronts.iter().position(|front| front.cache == cache).unwrap_or_else(|| {
            if fronts.len() == CACHES {
                fronts.remove(0);
            }
            fronts.push(Front { cache, slots: (0..SLOTS).map(|_| None).collect() });
            fronts.len() - 1
        });
        let slot = Slot { hash, entry: Arc::clone(entry), admitted_at, hits: 0 };
        fronts[at].slots[hash as usize % SLOTS] = Some(slot);
    });
}
