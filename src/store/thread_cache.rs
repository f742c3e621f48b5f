//! A few entries kept per thread, so that the hottest hits touch no structure that threads share.
//!
//! Nothing is decided here: an entry in front is held against identity, lifetime and floors like any other. While
//! nothing at all was invalidated since the last check, one load of the sequence stands for all its floors.
//!
//! The store does not see hits in front; every so often one is to tell it, so that what is hot here is not what was
//! used least there.

use std::borrow::Cow;
use std::cell::RefCell;
use std::sync::{Arc, Weak};

use crate::invalidation::floors::Stamp;
use crate::store::entry::Entry;

/// Entries per thread and cache.
const SLOTS: usize = 256;

/// Caches a thread keeps entries of.
const CACHES: usize = 4;

/// The largest entry that is held on to, in bytes: 2 MiB per thread at the most. Of larger ones is known where they
/// are, for as long as the store keeps them.
const LARGEST: u32 = 8 << 10;

/// Hits in front until the store is told of one.
const HITS_PER_TOUCH: u8 = 64;

thread_local! {
    static FRONTS: RefCell<Vec<Front>> = const { RefCell::new(Vec::new()) };
}

struct Front {
    cache: u64,
    slots: Box<[Option<CacheSlot>]>,
}

/// An entry in front, and the sequence at which its floors last admitted it.
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

/// Looks an entry up on this thread. `use_it` answers from it, and from the sequence at which its floors last admitted
/// it, or gives `None` to have it forgotten; the flag with the answer says that the store is to be told.
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

/// Keeps an entry that was admitted when the sequence stood at `admitted_at`.
pub(crate) fn keep(cache: u64, hash: u128, entry: &Arc<Entry>, admitted_at: Stamp) {
    // What an address varies by can come to be more while it is valid, which other threads would not see.
    if entry.is_direction() {
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
        let small = entry.weight() <= LARGEST;
        let entry = if small { Held::Here(Arc::clone(entry)) } else { Held::InStore(Arc::downgrade(entry)) };
        let slot = CacheSlot { hash, entry, admitted_at, hits: 0 };
        fronts[at].slots[hash as usize % SLOTS] = Some(slot);
    });
}
