//! The last misses, each with its reason.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use serde::Serialize;

use super::event::About;
use super::reason::MissReason;

/// Misses kept.
const KEPT: usize = 256;

/// A miss or a bypass, and why; see [`FragmentCache::recent_misses`](crate::FragmentCache::recent_misses).
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Miss {
    /// When.
    pub at: SystemTime,
    /// What was looked up.
    pub about: About,
    /// Why it had to be computed.
    pub reason: MissReason,
}

/// A ring of places, each with a lock of its own, so that two misses seldom wait for one another.
#[derive(Debug)]
pub(crate) struct Recent {
    places: Box<[Slot]>,
    next: AtomicU64,
}

/// A place in the ring: the number of its miss, and the miss.
type Slot = Mutex<Option<(u64, Miss)>>;

impl Recent {
    pub(crate) fn new() -> Recent {
        Recent { places: (0..KEPT).map(|_| Mutex::new(None)).collect(), next: AtomicU64::new(0) }
    }

    pub(crate) fn note(&self, about: About, reason: MissReason) {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let miss = Miss { at: SystemTime::now(), about, reason };
        let mut place = lock(&self.places[number as usize % KEPT]);
        // One that was overtaken by a whole round is too late.
        if place.as_ref().is_none_or(|(known, _)| *known < number) {
            *place = Some((number, miss));
        }
    }

    /// The newest first.
    pub(crate) fn read(&self) -> Vec<Miss> {
        let mut misses: Vec<(u64, Miss)> = self.places.iter().filter_map(|place| lock(place).clone()).collect();
        misses.sort_unstable_by_key(|(number, _)| std::cmp::Reverse(*number));
        misses.into_iter().map(|(_, miss)| miss).collect()
    }
}

fn lock(place: &Slot) -> MutexGuard<'_, Option<(u64, Miss)>> {
    place.lock().unwrap_or_else(PoisonError::into_inner)
}
