//! Single flight: of all who miss one identity at once, one computes and the others wait for it.
//!
//! Owns who leads, who follows and how waiting ends. Leaves to the cache what is computed, whether the result is
//! still valid, and what to do when there is none.
//!
//! A flight is a guard one holds: dropping a [`Lead`] without outcome it (an error, a panic, a cancelled future) wakes
//! the followers to try for themselves, so no key can stay wedged. Waits that could deadlock are refused at boarding
//! (the caller goes [`Join::Alone`]): one who leads a flight does not wait on another of its kind, since A waiting
//! for B inside A's flight while B waits for A inside B's would never end (`context::in_flight` says who may wait); a
//! synchronous caller never waits for an asynchronous leader, since it may be standing on the thread that should poll
//! it.
//!
//! Interleavings this must survive:
//!
//! 1. *Late joiner.* (1) A leads; (2) A stores its result; (3) B misses the store just before 2; (4) A lands and
//!    leaves the map; (5) B boards and leads. B looks again after winning and finds A's entry.
//! 2. *Invalidated flight.* (1) A leads with stamp 5; (2) the key is invalidated; (3) B arrives: A's stamp is under
//!    the floor, so B starts a flight of its own in A's place; (4) A lands: it removes only its own entry of the
//!    map, and its followers see the floor when they wake.
//! 3. *Lost wake-up.* A follower registers its waker under the lock under which outcome is decided.

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
    /// Flights ended; counted after their result was stored and before they leave the map.
    ended: AtomicU64,
}

/// All flights under way.
pub(crate) struct Flights<T> {
    shards: Box<[FlightShard<T>]>,
}

/// How a follower's wait ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum FlightOutcome<T> {
    /// The leader's result. Whether it is still valid is the follower's to check.
    Shared(T),
    /// The result is the leader's alone (it may not be stored): everybody computes, and nobody waits again.
    Private,
    /// The leader gave up: the next one may try.
    Aborted,
    /// The wait took too long.
    TimedOut,
    /// The leader still asks elsewhere whether there is anything to compute, for longer than the follower has patience.
    StillAsking,
}

/// What is request, by whom.
pub(crate) struct JoinRequest<'a> {
    pub(crate) identity: Identity<'a>,
    pub(crate) version: Option<u128>,
    /// When the caller's work began.
    pub(crate) begin: StartStamp,
    pub(crate) asynchronous: bool,
    /// Whether the caller may wait: one who leads a flight already may not.
    pub(crate) waits: bool,
    /// Whether it asks elsewhere before it computes.
    pub(crate) asks: bool,
}

pub(crate) enum Join<T: Clone> {
    Lead(Lead<T>),
    Follow(Follower<T>),
    /// Compute without storing, and without anybody waiting.
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
    /// Whether the leader asks elsewhere before it computes.
    asking: bool,
    /// Of the futures that wait, by follower.
    wakers: Vec<(u64, Waker)>,
    followers: u64,
}

impl<T: Clone> Flights<T> {
    pub(crate) fn new() -> Flights<T> {
        Flights {
            shards: (0..SHARDS).map(|_| FlightShard { flights: Mutex::default(), ended: AtomicU64::new(0) }).collect(),
        }
    }

    /// How many flights near this identity have ended. If the number is the same after winning a lead as it was
    /// before the look into the store that missed, nobody can have stored in between.
    pub(crate) fn ended(&self, hash: u128) -> u64 {
        self.shard(hash).ended.load(Ordering::Acquire)
    }

    /// Joins the flight of an identity or starts one. `admits` tells whether work that began then could
    /// still be valid for this caller.
    pub(crate) fn join(self: &Arc<Self>, caller: &JoinRequest<'_>, admits: impl Fn(StartStamp) -> bool) -> Join<T> {
        let shard = self.shard(caller.identity.hash);
        let mut flights = lock(&shard.flights);
        match flights.get(&caller.identity.hash) {
            // Two identities with one hash: neither may wait for the other.
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

/// The right, and the duty, to compute.
pub(crate) struct Lead<T: Clone> {
    flights: Arc<Flights<T>>,
    flight: Arc<Flight<T>>,
}

impl<T: Clone> Lead<T> {
    /// Hands the result to all who wait. Store it first, or a newcomer in between computes again.
    pub(crate) fn publish(self, result: T) {
        self.end(FlightOutcome::Shared(result));
    }

    /// Says that the leader has asked, and computes.
    pub(crate) fn computes(&self) {
        if std::mem::take(&mut lock(&self.flight.progress).asking) {
            self.flight.ended.notify_all();
        }
    }

    /// The canonical bytes of what is computed.
    pub(crate) fn identity(&self) -> Arc<[u8]> {
        Arc::clone(&self.flight.identity)
    }

    /// Releases all who wait, each to compute for himself.
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

/// A place in somebody else's flight; as a future, or waited for.
pub(crate) struct Follower<T> {
    flight: Arc<Flight<T>>,
    /// Its name among those that wait, as a future.
    id: Option<u64>,
}

impl<T: Clone> Follower<T> {
    /// Blocks until the flight ends, or until the deadline; while the leader only asks elsewhere, for no longer than
    /// `patience`, of which what is left remains.
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
    /// One who gave up waiting is not kept alive by his waker until the flight ends.
    fn drop(&mut self) {
        if let Some(id) = self.id {
            lock(&self.flight.progress).wakers.retain(|(of, _)| *of != id);
        }
    }
}

#[cfg(all(test, shuttle))]
mod model;
