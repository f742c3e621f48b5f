//! Model tests of the interleavings in `flight.rs`: the checker runs each under random schedules.

use shuttle::sync::{Arc, Mutex, atomic::AtomicU64};
use shuttle::{check_random, thread};

use super::*;
use crate::invalidation::floors::{Floors, Stamp};

const SCHEDULES: usize = 5_000;
const DAY: Duration = Duration::from_secs(24 * 3600);

/// A minimal cache: one key, the real flights and floors, a store with one slot.
struct Miniature {
    floors: Floors,
    flights: Arc<Flights<(Stamp, u64)>>,
    store: Mutex<Option<(Stamp, u64)>>,
    /// The source of the results; it only grows.
    source: AtomicU64,
    renders: AtomicU64,
}

impl Miniature {
    fn new() -> Arc<Miniature> {
        Arc::new(Miniature {
            floors: Floors::new(1),
            flights: Arc::new(Flights::new()),
            store: Mutex::new(None),
            source: AtomicU64::new(0),
            renders: AtomicU64::new(0),
        })
    }

    fn find(&self) -> Option<(Stamp, u64)> {
        lock(&self.store).filter(|(stamp, _)| self.floors.admit(*stamp, [0]))
    }

    /// One look-up, with the steps of `lookup.rs` and `computation.rs`.
    fn get(&self) -> u64 {
        let identity = Identity::new(b"k");
        let ended = self.flights.ended(identity.hash);
        if let Some((_, value)) = self.find() {
            return value;
        }
        let stamp = self.floors.stamp();
        loop {
            let caller = passenger(identity, stamp);
            match self.flights.join(&caller, |begin| self.floors.admit(begin.stamp, [0])) {
                Join::Alone => return self.render(),
                Join::Lead(lead) => {
                    if let Some(found) = (self.flights.ended(identity.hash) != ended).then(|| self.find()).flatten() {
                        lead.publish(found);
                        return found.1;
                    }
                    let value = self.render();
                    if self.floors.admit(stamp, [0]) {
                        *lock(&self.store) = Some((stamp, value));
                        lead.publish((stamp, value));
                    }
                    return value;
                }
                Join::Follow(follower) => match follower.wait(Instant::now() + DAY, &mut { DAY }) {
                    FlightOutcome::Shared((stamp, value)) if self.floors.admit(stamp, [0]) => return value,
                    FlightOutcome::Private => return self.render(),
                    _ => {}
                },
            }
        }
    }

    fn render(&self) -> u64 {
        self.renders.fetch_add(1, Ordering::SeqCst);
        let seen = self.source.load(Ordering::SeqCst);
        thread::yield_now();
        seen
    }
}

fn passenger(identity: Identity<'_>, stamp: Stamp) -> JoinRequest<'_> {
    let begin = StartStamp { stamp, shared: 0, at: 0 };
    JoinRequest { identity, version: None, begin, asynchronous: false, waits: true, asks: false }
}

#[test]
fn nothing_from_before_an_invalidation_is_returned_after_it() {
    check_random(
        || {
            let cache = Miniature::new();
            let readers: Vec<_> = (0..2)
                .map(|_| {
                    let cache = Arc::clone(&cache);
                    thread::spawn(move || cache.get())
                })
                .collect();
            cache.source.store(1, Ordering::SeqCst);
            cache.floors.raise(0);
            assert_eq!(cache.get(), 1, "a caller who arrives after the invalidation");
            readers.into_iter().for_each(|reader| drop(reader.join()));
            assert_eq!(cache.get(), 1, "what was stored in the end");
        },
        SCHEDULES,
    );
}

#[test]
fn a_cold_key_is_computed_once() {
    check_random(
        || {
            let cache = Miniature::new();
            let callers: Vec<_> = (0..3)
                .map(|_| {
                    let cache = Arc::clone(&cache);
                    thread::spawn(move || cache.get())
                })
                .collect();
            callers.into_iter().for_each(|caller| drop(caller.join()));
            assert_eq!(cache.renders.load(Ordering::SeqCst), 1);
        },
        SCHEDULES,
    );
}

#[test]
fn two_invalidators_of_one_slot_lose_neither() {
    check_random(
        || {
            let floors = Arc::new(Floors::new(1));
            let raisers: Vec<_> = (0..2)
                .map(|_| {
                    let floors = Arc::clone(&floors);
                    thread::spawn(move || {
                        let before = floors.stamp();
                        floors.raise(0);
                        assert!(!floors.admit(before, [0]));
                    })
                })
                .collect();
            let before = floors.stamp();
            raisers.into_iter().for_each(|raiser| drop(raiser.join()));
            assert!(before >= floors.stamp() || !floors.admit(before, [0]));
            assert!(floors.admit(floors.stamp(), [0]));
        },
        SCHEDULES,
    );
}

#[test]
fn followers_of_an_aborted_flight_take_over() {
    check_random(
        || {
            let cache = Miniature::new();
            let identity = Identity::new(b"k");
            let caller = passenger(identity, 1);
            let Join::Lead(lead) = cache.flights.join(&caller, |_| true) else { panic!("nobody else is here") };
            let callers: Vec<_> = (0..2)
                .map(|_| {
                    let cache = Arc::clone(&cache);
                    thread::spawn(move || cache.get())
                })
                .collect();
            drop(lead);
            callers.into_iter().for_each(|caller| drop(caller.join()));
            assert_eq!(cache.renders.load(Ordering::SeqCst), 1);
        },
        SCHEDULES,
    );
}
