//! Single flight: when several callers miss one identity, one of them (the leader) computes and the others (the
//! followers) wait for the result.
//!
//! Owns who leads, who follows, and how a wait ends. Leaves to `lookup.rs` and `computation.rs` what is computed,
//! whether the result is still valid, and what a follower does without a result.
//!
//! The leader holds a guard. Dropping a [`Lead`] without an outcome (after an error, a panic, or a cancelled future)
//! wakes the followers, and one of them can become the leader. So no key can stay blocked.
//!
//! A wait that could deadlock is refused when the caller joins: the caller gets [`Join::Alone`]. There are two cases. A
//! leader does not wait for another flight of its kind: if A waited for B inside A's flight, and B for A inside B's,
//! neither would end (`stack::in_flight` decides who may wait). A synchronous caller never waits for an asynchronous
//! leader, because it may block the thread that should poll the leader.
//!
//! Interleavings that must stay correct:
//!
//! 1. *Late joiner.* (1) A leads; (2) A stores its result; (3) B misses the store just before 2; (4) A ends its flight,
//!    which leaves the map; (5) B joins and becomes the leader. B looks up again after it became the leader, and finds
//!    A's entry.
//! 2. *Invalidated flight.* (1) A leads with stamp 5; (2) the key is invalidated; (3) B arrives: A's stamp is under the
//!    floor, so B starts its own flight in the place of A's; (4) A ends its flight: it removes only its own flight from
//!    the map, and its followers check the floor when they wake.
//! 3. *Lost wake-up.* A follower registers its waker under the same lock under which the outcome is set.

use std::collections::HashMap;
use std::future::Future;
use std::hash::BuildHasherDefault;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use crate::invalidation::dependencies::StartStamp;
use crate::key::identity::{Identity, Passthrough};
use crate::util::sync::{Arc, AtomicU64, Condvar, Mutex, Ordering, lock, unpoisoned};

const SHARDS: usize = 16;

struct FlightShard<T> {
    flights: Mutex<HashMap<u128, Arc<Flight<T>>, BuildHasherDefault<Passthrough>>>,
    /// Number of ended flights. Incremented after the result was stored and before the flight leaves the map.
    ended: AtomicU64,
}

/// All running flights.
pub(crate) struct Flights<T> {
    shards: Box<[FlightShard<T>]>,
}

/// How a follower's wait ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum FlightOutcome<T> {
    /// The result of the leader. The follower must check whether it is still valid.
    Shared(T),
    /// Only the leader may use the result (it may not be stored). Each follower computes, and does not wait again.
    Private,
    /// The leader gave up. The next caller may lead.
    Aborted,
    /// The wait timed out.
    TimedOut,
    /// The leader is still waiting for the shared store, and the follower's wait budget is used up.
    StillAsking,
}

/// A caller that joins a flight: its identity, and whether it may wait.
pub(crate) struct JoinRequest<'a> {
    pub(crate) identity: Identity<'a>,
    pub(crate) version: Option<u128>,
    /// When the caller's computation began.
    pub(crate) begin: StartStamp,
    pub(crate) asynchronous: bool,
    /// Whether the caller may wait; `false` if it already leads a flight.
    pub(crate) waits: bool,
    /// Whether the caller, as a leader, reads the shared store before it computes, for no longer than a budget.
    pub(crate) asks: bool,
}

pub(crate) enum Join<T: Clone> {
    Lead(Lead<T>),
    Follow(Follower<T>),
    /// Compute without storing and without followers.
    Alone,
}

struct Flight<T> {
    hash: u128,
    identity: Arc<[u8]>,
    version: Option<u128>,
    begin: StartStamp,
    asynchronous: bool,
    progress: Mutex<Progress<T>>,
    ended: Condvar,
}

struct Progress<T> {
    outcome: Option<FlightOutcome<T>>,
    /// Whether the leader is still reading the shared store.
    asking: bool,
    /// The wakers of the followers that wait as futures, by follower id.
    wakers: Vec<(u64, Waker)>,
    followers: u64,
}

impl<T: Clone> Flights<T> {
    pub(crate) fn new() -> Flights<T> {
        Flights {
            shards: (0..SHARDS).map(|_| FlightShard { flights: Mutex::default(), ended: AtomicU64::new(0) }).collect(),
        }
    }

    /// Number of ended flights in the shard of this identity. Read it before the store and again as the leader: if the
    /// number is the same, no other leader can have stored a result in between.
    pub(crate) fn ended(&self, hash: u128) -> u64 {
        self.shard(hash).ended.load(Ordering::Acquire)
    }

    /// Joins the flight of an identity, or starts one. `admits` says whether a computation with this start stamp could
    /// still be valid for this caller.
    pub(crate) fn join(self: &Arc<Self>, caller: &JoinRequest<'_>, admits: impl Fn(StartStamp) -> bool) -> Join<T> {
        let shard = self.shard(caller.identity.hash);
        let mut flights = lock(&shard.flights);
        match flights.get(&caller.identity.hash) {
            // Two identities with the same hash: neither caller may wait for the other.
            Some(flight) if *flight.identity != *caller.identity.bytes => return Join::Alone,
            Some(flight) if flight.version == caller.version && admits(flight.begin) => {
                if !caller.waits || (flight.asynchronous && !caller.asynchronous) {
                    return Join::Alone;
                }
                return Join::Follow(Follower { flight: Arc::clone(flight), id: None });
            }
            _ => {}
        }
        if !admits(caller.begin) {
            return Join::Alone;
        }
        let flight = Arc::new(Flight {
            hash: caller.identity.hash,
            identity: caller.identity.bytes.into(),
            version: caller.version,
            begin: caller.begin,
            asynchronous: caller.asynchronous,
            progress: Mutex::new(Progress { outcome: None, asking: caller.asks, wakers: Vec::new(), followers: 0 }),
            ended: Condvar::new(),
        });
        flights.insert(flight.hash, Arc::clone(&flight));
        Join::Lead(Lead { flights: Arc::clone(self), flight })
    }

    fn shard(&self, hash: u128) -> &FlightShard<T> {
        &self.shards[hash as usize % SHARDS]
    }

    fn remove(&self, flight: &Arc<Flight<T>>) {
        let shard = self.shard(flight.hash);
        shard.ended.fetch_add(1, Ordering::Release);
        let mut flights = lock(&shard.flights);
        if flights.get(&flight.hash).is_some_and(|current| Arc::ptr_eq(current, flight)) {
            flights.remove(&flight.hash);
        }
    }
}

/// The right and the duty to compute.
pub(crate) struct Lead<T: Clone> {
    flights: Arc<Flights<T>>,
    flight: Arc<Flight<T>>,
}

impl<T: Clone> Lead<T> {
    /// Gives the result to all followers. Store the result first: otherwise a caller that arrives in between computes
    /// it again.
    pub(crate) fn publish(self, result: T) {
        self.end(FlightOutcome::Shared(result));
    }

    /// Notes that the leader has finished reading the shared store, and computes.
    pub(crate) fn computes(&self) {
        if std::mem::take(&mut lock(&self.flight.progress).asking) {
            self.flight.ended.notify_all();
        }
    }

    /// The canonical bytes of the identity that is computed.
    pub(crate) fn identity(&self) -> Arc<[u8]> {
        Arc::clone(&self.flight.identity)
    }

    /// Ends the flight without a shared result: each follower computes.
    pub(crate) fn release(self) {
        self.end(FlightOutcome::Private);
    }

    fn end(&self, outcome: FlightOutcome<T>) {
        self.flights.remove(&self.flight);
        let wakers = {
            let mut progress = lock(&self.flight.progress);
            if progress.outcome.is_some() {
                return;
            }
            progress.outcome = Some(outcome);
            std::mem::take(&mut progress.wakers)
        };
        self.flight.ended.notify_all();
        wakers.into_iter().for_each(|(_, waker)| waker.wake());
    }
}

impl<T: Clone> Drop for Lead<T> {
    fn drop(&mut self) {
        self.end(FlightOutcome::Aborted);
    }
}

/// A caller that waits in another caller's flight, as a future or blocking.
pub(crate) struct Follower<T> {
    flight: Arc<Flight<T>>,
    /// The follower's id among the wakers, once it was polled.
    id: Option<u64>,
}

impl<T: Clone> Follower<T> {
    /// Blocks until the flight ends or the deadline passes. While the leader reads the shared store, blocks at most for
    /// `patience`, and leaves the unused part in it.
    pub(crate) fn wait(self, deadline: Instant, patience: &mut Duration) -> FlightOutcome<T> {
        let impatient = Instant::now() + *patience;
        let mut asking = true;
        let mut progress = lock(&self.flight.progress);
        loop {
            let now = Instant::now();
            if asking {
                *patience = impatient.saturating_duration_since(now);
                asking = progress.asking;
            }
            if let Some(outcome) = &progress.outcome {
                return outcome.clone();
            }
            if now >= deadline {
                return FlightOutcome::TimedOut;
            }
            if asking && patience.is_zero() {
                return FlightOutcome::StillAsking;
            }
            let until = if asking { deadline.min(impatient) } else { deadline };
            let left = until.saturating_duration_since(now);
            progress = unpoisoned(self.flight.ended.wait_timeout(progress, left)).0;
        }
    }
}

impl<T: Clone> Future for Follower<T> {
    type Output = FlightOutcome<T>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<FlightOutcome<T>> {
        let flight = Arc::clone(&self.flight);
        let mut progress = lock(&flight.progress);
        if let Some(outcome) = &progress.outcome {
            return Poll::Ready(outcome.clone());
        }
        let id = *self.id.get_or_insert_with(|| {
            progress.followers += 1;
            progress.followers
        });
        match progress.wakers.iter_mut().find(|(of, _)| *of == id) {
            Some((_, waker)) => waker.clone_from(context.waker()),
            None => progress.wakers.push((id, context.waker().clone())),
        }
        Poll::Pending
    }
}

impl<T> Drop for Follower<T> {
    /// Removes the follower's waker, which would otherwise be kept until the flight ends.
    fn drop(&mut self) {
        if let Some(id) = self.id {
            lock(&self.flight.progress).wakers.retain(|(of, _)| *of != id);
        }
    }
}

#[cfg(all(test, shuttle))]
mod model;
