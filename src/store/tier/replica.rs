//! This node's copy of the floors that all nodes share: its position, the invalidations of this node that the store has
//! not confirmed, and the time until which the copy may be trusted.
//!
//! Owns the shared numbers. Leaves to `store/host.rs` raising this node's own floors, which decide about entries in
//! memory, and to `backplane.rs` calling the store.
//!
//! There are two sequences. The local one (`invalidation/floors.rs`) orders events on this node. The shared number is
//! given by the store, and a node only ever *receives* it: the shared stamp of a computation is the highest number
//! received when it began. Advancing it locally would let an entry with stamp 15 survive a remote floor of 11.
//!
//! Numbers start over when the store lost its floors. A node counts each such *epoch*. A stamp is the count and the
//! number in one integer, so that every stamp of an older epoch is below every floor of a newer one.
//!
//! Orders that matter:
//!
//! 1. *Receiving.* Floors are raised (here, then locally), then the stamp is published. In the other order, a
//!    computation could begin with the new stamp and use a fragment whose floor is not raised yet.
//! 2. *Invalidating here.* (1) the tag becomes pending; (2) the local floor is raised; (3) the call returns. An entry
//!    that a later caller reads from the store is checked against the pending tags, and a tag stops being pending only
//!    after its floor was received. So a reader checks the pending tags first and the floors second.
//! 3. *Trusting.* The copy is trusted until one staleness bound after the last answered synchronisation was *sent*: the
//!    reply holds every invalidation from before that.
//!
//! The address of a store may lead to another server, and back: a failover, two databases that were swapped, a key that
//! was renamed, connections of one pool to two servers. A node therefore never re-enters an epoch that it left:
//!
//! 1. Node A is in epoch E; the address leads to another server, and A enters its epoch F.
//! 2. A invalidates a tag. The store confirms it: F has the floor.
//! 3. The address leads to the first server again. Its entries are of E, and its floors do not have the tag: in E, the
//!    entries that A invalidated would be valid on A itself, for the rest of their lifetime.
//!
//! There is no list of epochs that were left, because it would have to be bounded. Epochs have generations instead, and
//! a node enters only later ones ([`SyncPosition::accepts`]). A store without a later epoch starts one whose generation
//! is beyond the caller's ([`SyncPosition::next_epoch`]). If two nodes have started one each, the node in the earlier
//! one enters the later one.
//!
//! An invalidation must not be lost with the epoch whose store confirmed it either:
//!
//! 1. Node B enters F, and computes an entry.
//! 2. Node A, still in E, invalidates a tag of the entry, and E's store confirms.
//! 3. A enters F, whose floors do not have the tag: the entry would stay valid on both nodes.
//!
//! So a node that has an invalidation confirmed by any store invalidates everything in each epoch that it enters later,
//! unless its own call started the epoch: then no other node was in it before. It does so also if only the store of an
//! earlier epoch confirmed an invalidation, because other nodes may have left that epoch first.

use std::collections::{BTreeMap, HashMap};
use std::task::Waker;
use std::time::{Duration, Instant};

use crate::invalidation::floors::{EVERYTHING, Floors, Stamp, TagHash};
use crate::store::host::FloorSink;
use crate::store::{FloorUpdate, SyncPosition};
use crate::util::clock::{Clock, Nanos};
use crate::util::sync::{AtomicU64, Condvar, Mutex, MutexGuard, Ordering, lock, unpoisoned};

/// Bits of a stamp that count within an epoch: 55 years at 10,000 invalidations a second.
const SEQ_BITS: u32 = 44;

/// Invalidations that are stored while the store is not reachable. Above that number, one invalidation of everything
/// replaces them.
const MOST_PENDING: usize = 4096;

/// How far the clocks of nodes may differ, in nanoseconds, if the store has no clock of its own.
const SKEW: Nanos = 1_000_000_000;

/// The number of an invalidation made on this node, in the order of this process.
pub(crate) type Ticket = u64;

pub(crate) struct Replica {
    floors: Floors,
    /// The highest number received, in the current epoch.
    stamp: AtomicU64,
    epoch: Mutex<Epoch>,
    pending: Mutex<Pending>,
    confirmed: Condvar,
    /// On the system's clock, even if the cache has another one.
    believed_until: AtomicU64,
    /// The offset from this node's clock to the store's, in nanoseconds: the least and the greatest possible.
    ahead: [AtomicU64; 2],
}

#[derive(Debug, Clone, Copy, Default)]
struct Epoch {
    known: SyncPosition,
    count: u64,
}

#[derive(Debug, Default)]
struct Pending {
    tags: HashMap<TagHash, Ticket, ahash::RandomState>,
    /// Whether the store of any epoch confirmed an invalidation of this node.
    told: bool,
    last: Ticket,
    confirmed: Ticket,
    wakers: BTreeMap<Ticket, Waker>,
}

impl Replica {
    pub(crate) fn new(slots: usize) -> Replica {
        Replica {
            floors: Floors::new(slots),
            stamp: AtomicU64::new(0),
            epoch: Mutex::default(),
            pending: Mutex::default(),
            confirmed: Condvar::new(),
            believed_until: AtomicU64::new(0),
            ahead: [AtomicU64::new(0), AtomicU64::new(0)],
        }
    }

    /// The shared stamp of a computation that begins at this call.
    pub(crate) fn stamp(&self) -> Stamp {
        self.stamp.load(Ordering::Acquire)
    }

    /// The epoch and number of a stamp, for an entry that leaves the process; `None` if it is of an older epoch.
    pub(crate) fn sent(&self, stamp: Stamp) -> Option<SyncPosition> {
        let epoch = *self.epoch();
        let current = epoch.known.epoch != 0 && stamp >> SEQ_BITS == epoch.count;
        current.then_some(SyncPosition { epoch: epoch.known.epoch, seq: stamp & ((1 << SEQ_BITS) - 1) })
    }

    /// The stamp of an entry that came from the store; `None` if it is of another epoch.
    pub(crate) fn received(&self, of: SyncPosition) -> Option<Stamp> {
        let epoch = *self.epoch();
        (of.epoch == epoch.known.epoch && of.epoch != 0).then(|| pack(epoch.count, of.seq))
    }

    /// Whether no invalidation known on this node came after an entry from the store, including those that only this
    /// node has.
    pub(crate) fn admits(&self, stamp: Stamp, tags: impl IntoIterator<Item = TagHash> + Clone) -> bool {
        // Pending tags first; see order 2 in the header.
        let pending = {
            let pending = self.pending();
            let is_pending = |tag: TagHash| pending.tags.contains_key(&tag);
            !pending.tags.is_empty() && (is_pending(EVERYTHING) || tags.clone().into_iter().any(is_pending))
        };
        !pending && self.floors.admit(stamp, tags)
    }

    /// Whether this copy may be trusted; `latest` is a time of the system's clock.
    pub(crate) fn believed(&self, latest: Nanos) -> bool {
        latest < self.believed_until()
    }

    pub(crate) fn believed_until(&self) -> Nanos {
        self.believed_until.load(Ordering::Acquire)
    }

    pub(crate) fn believe_until(&self, until: Nanos) {
        self.believed_until.store(until, Ordering::Release);
    }

    pub(crate) fn known(&self) -> SyncPosition {
        self.epoch().known
    }

    /// Records an invalidation made on this node, before its local floor is raised.
    pub(crate) fn invalidate(&self, tag: TagHash) -> Ticket {
        self.pending().note(tag)
    }

    /// The tags of the pending invalidations, and the number of the last one.
    pub(crate) fn untold(&self) -> (Vec<TagHash>, Ticket) {
        let pending = self.pending();
        (pending.tags.keys().copied().collect(), pending.last)
    }

    /// Whether an invalidation made on this node is not confirmed, so that the store may return it to this node.
    pub(crate) fn is_pending(&self, tag: TagHash) -> bool {
        self.pending().tags.contains_key(&tag)
    }

    /// How many invalidations the store has not confirmed.
    pub(crate) fn pending_count(&self) -> usize {
        self.pending().tags.len()
    }

    /// Applies floors from the store. Returns false and applies nothing if they are of an epoch that this node left, or
    /// end before this node's position.
    pub(crate) fn receive(&self, news: &FloorUpdate, sink: &(impl FloorSink + ?Sized)) -> bool {
        let mut epoch = self.epoch();
        if !epoch.known.accepts(news.epoch, news.seq) {
            return false;
        }
        let same = news.epoch == epoch.known.epoch;
        let everything = news.floors.iter().any(|(tag, _)| *tag == EVERYTHING);
        let missed = !same || news.base > epoch.known.seq;
        if !same {
            epoch.count += 1;
            let mut pending = self.pending();
            if pending.told && !news.begun {
                pending.note(EVERYTHING);
            }
        }
        let count = epoch.count;
        if missed {
            self.floors.raise_everything_to(pack(count, news.base));
        }
        for (tag, seq) in &news.floors {
            match *tag {
                EVERYTHING => self.floors.raise_everything_to(pack(count, *seq)),
                tag => self.floors.raise_to(tag, pack(count, *seq)),
            }
        }
        if missed || everything {
            sink.raise_everything();
        } else if !news.floors.is_empty() {
            let tags: Vec<TagHash> = news.floors.iter().map(|(tag, _)| *tag).collect();
            sink.raise(&tags);
        }
        epoch.known = SyncPosition { epoch: news.epoch, seq: news.seq };
        self.stamp.store(pack(count, news.seq), Ordering::Release);
        true
    }

    /// Records that the store has all invalidations up to `up_to`, and that their floors were received.
    pub(crate) fn confirm(&self, up_to: Ticket) {
        let mut pending = self.pending();
        let kept = pending.tags.len();
        pending.tags.retain(|_, ticket| *ticket > up_to);
        pending.told |= pending.tags.len() < kept;
        pending.confirmed = pending.confirmed.max(up_to);
        let waiting = pending.wakers.split_off(&(up_to + 1));
        let ready = std::mem::replace(&mut pending.wakers, waiting);
        drop(pending);
        self.confirmed.notify_all();
        ready.into_values().for_each(Waker::wake);
    }

    /// Blocks until an invalidation is confirmed, or until the deadline. Returns whether it is confirmed.
    pub(crate) fn wait(&self, ticket: Ticket, deadline: Instant) -> bool {
        let mut pending = self.pending();
        loop {
            if pending.confirmed >= ticket {
                return true;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left == Duration::ZERO {
                return false;
            }
            pending = unpoisoned(self.confirmed.wait_timeout(pending, left)).0;
        }
    }

    /// Whether an invalidation is confirmed. If not, the waker is called when it is.
    pub(crate) fn poll(&self, ticket: Ticket, waker: &Waker) -> bool {
        let mut pending = self.pending();
        if pending.confirmed >= ticket {
            return true;
        }
        match pending.wakers.get_mut(&ticket) {
            Some(known) => known.clone_from(waker),
            None => drop(pending.wakers.insert(ticket, waker.clone())),
        }
        false
    }

    /// Removes the waker of a caller that stopped waiting.
    pub(crate) fn forget(&self, ticket: Ticket) {
        self.pending().wakers.remove(&ticket);
    }

    /// Records the time of the store's clock at some moment between `sent` and `received` on this node's clock.
    pub(crate) fn set_clock(&self, store: u64, sent: Nanos, received: Nanos) {
        // Wrapping: the store's clock may be behind this node's, which counts from a moment of its own.
        self.ahead[0].store(store.wrapping_sub(received), Ordering::Release);
        self.ahead[1].store(store.wrapping_sub(sent), Ordering::Release);
    }

    /// The earliest possible time on the store's clock for a time of this node. A creation time is thereby rather too
    /// early than too late.
    pub(crate) fn to_store(&self, here: Nanos) -> u64 {
        here.wrapping_add(self.ahead[0].load(Ordering::Acquire))
    }

    /// The greatest possible age of an entry from the store, at a time of this node. `None` if it was made in the
    /// future by more than clocks may differ: a clock was set back, and the age is not known.
    pub(crate) fn age(&self, born: u64, here: Nanos) -> Option<Nanos> {
        let there = here.wrapping_add(self.ahead[1].load(Ordering::Acquire));
        (born <= there.saturating_add(SKEW)).then(|| there.saturating_sub(born))
    }

    fn epoch(&self) -> MutexGuard<'_, Epoch> {
        lock(&self.epoch)
    }

    fn pending(&self) -> MutexGuard<'_, Pending> {
        lock(&self.pending)
    }
}

/// The clock for trusting the copy: the system's, also where a test moves the cache's own.
pub(crate) fn now() -> Nanos {
    Clock::System.now()
}

impl Pending {
    /// Adds an invalidation to be published to the store.
    fn note(&mut self, tag: TagHash) -> Ticket {
        self.last += 1;
        if self.tags.len() >= MOST_PENDING && !self.tags.contains_key(&tag) {
            self.tags.clear();
            self.tags.insert(EVERYTHING, self.last);
        } else {
            self.tags.insert(tag, self.last);
        }
        self.last
    }
}

fn pack(epoch: u64, seq: u64) -> Stamp {
    epoch << SEQ_BITS | seq.min((1 << SEQ_BITS) - 1)
}

#[cfg(all(test, shuttle))]
mod model;
#[cfg(all(test, not(shuttle)))]
mod tests;
