//! The floor table: the one mechanism that decides whether an earlier result may still be used.
//!
//! Owns the sequence, the floors and their protocol. Leaves to its callers what a slot stands for: `declared_tags.rs`
//! and `key/identity.rs` have the hashes of tags, `templates.rs` the floors of templates.
//!
//! A computation reads the sequence when it begins: its *stamp*. An invalidation raises the floor of a slot above every
//! stamp that was given out before. A result is valid while its stamp is below none of its floors. A computation that
//! began before an invalidation is therefore invalid the moment it is stored, and no invalidation has to search for
//! entries.
//!
//! The protocol is three steps under one mutex: read `seq`, raise the floor to `seq + 1`, publish `seq + 1`. Two other
//! orders look as good and are wrong:
//!
//! 1. *Publish first.* (1) the invalidator publishes 6; (2) an outer computation begins with stamp 6; (3) it reads an
//!    inner hit with stamp 5, because the inner floor is still 5; (4) the invalidator raises the floor to 6: the outer
//!    result (6) is valid with old content inside.
//! 2. *No mutex, plain store.* (1) A and B reserve 6 and 7 for one slot; (2) B stores 7; (3) A stores 6; (4) a
//!    computation with stamp 6, which began before B returned, is valid again.

use std::sync::OnceLock;

use crate::util::sync::{AtomicU64, Mutex, Ordering, lock};

/// Floors in one lazily allocated chunk (8 KiB).
const CHUNK: usize = 1024;

/// When a computation or render began, in the order of invalidations.
pub(crate) type Stamp = u64;

/// The hash of a tag. Cut to the table's size, it is the slot of a floor. The whole hash is what nodes publish to each
/// other.
pub(crate) type TagHash = u64;

/// Stands for everything in a list of tags.
pub(crate) const EVERYTHING: TagHash = TagHash::MAX;

/// A floor outside of the table, for an object that must not share a slot: a template, everything.
#[derive(Debug, Default)]
pub(crate) struct Floor(AtomicU64);

impl Floor {
    pub(crate) fn admits(&self, stamp: Stamp) -> bool {
        stamp >= self.0.load(Ordering::Acquire)
    }
}

pub(crate) struct Floors {
    seq: AtomicU64,
    raising: Mutex<()>,
    everything: Floor,
    /// A chunk is allocated when a floor in it is first raised. Until then all its floors are 0.
    chunks: Box<[OnceLock<Box<[AtomicU64]>>]>,
}

impl Floors {
    /// A table of `slots` floors, rounded up to a power of two and a whole chunk.
    pub(crate) fn new(slots: usize) -> Floors {
        let chunks = slots.div_ceil(CHUNK).next_power_of_two();
        Floors {
            seq: AtomicU64::new(1),
            raising: Mutex::new(()),
            everything: Floor::default(),
            chunks: (0..chunks).map(|_| OnceLock::new()).collect(),
        }
    }

    /// The stamp of a computation that begins at this call. The computation must read its data afterwards.
    pub(crate) fn stamp(&self) -> Stamp {
        self.seq.load(Ordering::Acquire)
    }

    /// Whether no invalidation of `tags` or of everything came after this stamp.
    pub(crate) fn admit(&self, stamp: Stamp, tags: impl IntoIterator<Item = TagHash>) -> bool {
        self.everything.admits(stamp) && tags.into_iter().all(|tag| stamp >= self.floor(tag))
    }

    pub(crate) fn raise(&self, tag: TagHash) {
        self.raise_to_next([self.allocated(tag)]);
    }

    /// Raises the floors of several tags in one step. No computation can begin between two of them, use content that
    /// the second one invalidates, and count as begun after the first. Another node's invalidations are applied this
    /// way, because their order is not known.
    #[cfg_attr(not(feature = "shared"), expect(dead_code, reason = "only a shared tier asks"))]
    pub(crate) fn raise_all(&self, tags: &[TagHash]) {
        self.raise_to_next(tags.iter().map(|tag| self.allocated(*tag)));
    }

    pub(crate) fn raise_floor(&self, floor: &Floor) {
        self.raise_to_next([&floor.0]);
    }

    /// Raises a floor to the value of another one: computations that began since the other floor was raised stay valid.
    /// The sequence advances too, so that thread caches check the floors of their entries again.
    pub(crate) fn raise_floor_to(&self, floor: &Floor, other: &Floor) {
        let _raising = lock(&self.raising);
        floor.0.fetch_max(other.0.load(Ordering::Acquire), Ordering::AcqRel);
        self.seq.fetch_add(1, Ordering::AcqRel);
    }

    pub(crate) fn raise_everything(&self) {
        self.raise_to_next([&self.everything.0]);
    }

    /// Raises a floor to a given number, unless the floor is higher.
    #[cfg(feature = "shared")]
    pub(crate) fn raise_to(&self, tag: TagHash, number: u64) {
        self.allocated(tag).fetch_max(number, Ordering::AcqRel);
    }

    /// Raises the floor of everything to a given number, unless it is higher.
    #[cfg(feature = "shared")]
    pub(crate) fn raise_everything_to(&self, number: u64) {
        self.everything.0.fetch_max(number, Ordering::AcqRel);
    }

    fn raise_to_next<'a>(&self, floors: impl IntoIterator<Item = &'a AtomicU64>) {
        let _raising = lock(&self.raising);
        let next = self.seq.load(Ordering::Relaxed) + 1;
        // The mutex makes `next` larger than every earlier floor, so a plain store has the effect of taking the
        // maximum.
        floors.into_iter().for_each(|floor| floor.store(next, Ordering::Release));
        self.seq.store(next, Ordering::Release);
    }

    fn floor(&self, tag: TagHash) -> u64 {
        let slot = self.slot(tag);
        match self.chunks[slot / CHUNK].get() {
            Some(chunk) => chunk[slot % CHUNK].load(Ordering::Acquire),
            None => 0,
        }
    }

    fn allocated(&self, tag: TagHash) -> &AtomicU64 {
        let slot = self.slot(tag);
        let chunk = self.chunks[slot / CHUNK].get_or_init(|| (0..CHUNK).map(|_| AtomicU64::new(0)).collect());
        &chunk[slot % CHUNK]
    }

    fn slot(&self, tag: TagHash) -> usize {
        tag as usize & (self.chunks.len() * CHUNK - 1)
    }
}

#[cfg(all(test, not(shuttle)))]
mod tests {
    use super::*;

    #[test]
    fn work_begun_before_an_invalidation_is_refused_and_later_work_admitted() {
        let floors = Floors::new(1 << 12);
        let before = floors.stamp();
        assert!(floors.admit(before, [7, 9]));
        floors.raise(7);
        let after = floors.stamp();
        assert!(!floors.admit(before, [7, 9]));
        assert!(floors.admit(before, [9]));
        assert!(floors.admit(after, [7, 9]));
    }

    #[test]
    fn a_floor_raised_to_another_one_refuses_what_began_before_that() {
        let floors = Floors::new(1);
        let (changed, used) = (Floor::default(), Floor::default());
        let before = floors.stamp();
        floors.raise_floor(&changed);
        let after = floors.stamp();
        assert!(used.admits(before));
        floors.raise_floor_to(&used, &changed);
        assert!(!used.admits(before) && used.admits(after));
        assert!(floors.stamp() > after, "those who checked before must check again");
    }

    #[test]
    fn everything_reaches_every_slot() {
        let floors = Floors::new(1);
        let before = floors.stamp();
        floors.raise_everything();
        assert!(!floors.admit(before, []));
        assert!(floors.admit(floors.stamp(), []));
    }

    #[test]
    fn slots_stay_inside_the_table_whatever_the_hash() {
        let floors = Floors::new(5000);
        for hash in [0, 1, 4999, 8191, 8192, u64::MAX] {
            floors.raise(hash);
            assert!(!floors.admit(1, [hash]));
        }
    }
}
