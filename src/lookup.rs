//! One look-up, from the question to a hit or to the work there is to do.
//!
//! Owns the order in which front, store, flights and floors are asked. Template blocks, closures and futures all go
//! through here; how the work is done and stored is `work.rs`.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Instant;

use crate::cache::{FragmentCache, Inner};
use crate::clock::{Clock, Nanos};
use crate::context;
use crate::entry::{Body, Entry};
use crate::flight::{Boarding, Follower, Landing, Passenger};
use crate::floors::{Slot, Stamp};
use crate::front;
use crate::identity::Identity;
use crate::record::Begin;
use crate::stats::Counter;
use crate::work::Work;

/// What is asked for.
pub(crate) struct Wanted<'a> {
    pub(crate) identity: Identity<'a>,
    /// The key's encoding, which its floor is found by.
    pub(crate) key: &'a [u8],
    pub(crate) version: Option<u128>,
    /// The oldest the caller accepts.
    pub(crate) ttl: Nanos,
}

pub(crate) enum Lookup {
    Hit(Body),
    Compute(Work),
}

/// What a miss knows before it computes: when its work began, and the floors of its key and namespaces.
pub(crate) struct Origin {
    pub(crate) begin: Begin,
    pub(crate) slots: Vec<Slot>,
    /// Flights ended when the store was last known not to hold it.
    ended: u64,
}

enum Step {
    Done(Lookup),
    Wait(Follower<Arc<Entry>>),
}

impl Wanted<'_> {
    /// Whether an entry is of this identity and version, and young enough.
    fn fits(&self, entry: &Entry, clock: &Clock) -> bool {
        *entry.identity == *self.identity.bytes
            && entry.version == self.version
            && entry.fresh(clock.latest(), self.ttl)
    }

    /// Tells what encloses this place of an entry found: it lives no longer than the entry, nor than is asked for here.
    fn tell_enclosing(&self, entry: &Entry) {
        context::gather(|record| {
            record.absorb(&entry.record);
            record.expires = record.expires.min(entry.record.begin.at.saturating_add(self.ttl));
        });
    }
}

impl FragmentCache {
    /// Finds the entry, waits for whoever computes it, or returns the work to do.
    pub(crate) fn lookup(&self, wanted: &Wanted<'_>, begin: impl FnOnce() -> Begin) -> Lookup {
        let ended = self.inner.flights.ended(wanted.identity.hash);
        match self.inner.hit(wanted) {
            Some(body) => Lookup::Hit(body),
            None => self.join(wanted, begin, ended),
        }
    }

    /// The same without blocking the thread.
    pub(crate) async fn lookup_async(&self, wanted: &Wanted<'_>) -> Lookup {
        let ended = self.inner.flights.ended(wanted.identity.hash);
        match self.inner.hit(wanted) {
            Some(body) => Lookup::Hit(body),
            None => self.join_async(wanted, ended).await,
        }
    }

    /// What a look-up does when the store holds nothing of use; `ended` was read before the store was.
    pub(crate) fn join(&self, wanted: &Wanted<'_>, begin: impl FnOnce() -> Begin, ended: u64) -> Lookup {
        let origin = self.origin(wanted, begin, ended);
        let mut deadline = None;
        loop {
            match self.board(wanted, &origin, false) {
                Step::Done(lookup) => return lookup,
                Step::Wait(follower) => {
                    let deadline = *deadline.get_or_insert_with(|| self.inner.deadline());
                    if let Some(lookup) = self.landed(follower.wait(deadline), wanted, &origin) {
                        return lookup;
                    }
                }
            }
        }
    }

    pub(crate) async fn join_async(&self, wanted: &Wanted<'_>, ended: u64) -> Lookup {
        let origin = self.origin(wanted, || self.inner.scope_begin(), ended);
        let mut deadline = None;
        loop {
            match self.board(wanted, &origin, true) {
                Step::Done(lookup) => return lookup,
                Step::Wait(follower) => {
                    let deadline = *deadline.get_or_insert_with(|| self.inner.deadline());
                    let landing = self.inner.wait_async(follower, deadline).await;
                    if let Some(lookup) = self.landed(landing, wanted, &origin) {
                        return lookup;
                    }
                }
            }
        }
    }

    /// The work of computing an entry anew, the one there being no use; nobody waits for it.
    pub(crate) fn replace(&self, wanted: &Wanted<'_>, asynchronous: bool) -> Work {
        self.inner.memory.remove(wanted.identity.hash);
        let ended = self.inner.flights.ended(wanted.identity.hash);
        let origin = self.origin(wanted, || self.inner.scope_begin(), ended);
        match self.board(wanted, &origin, asynchronous) {
            Step::Done(Lookup::Compute(work)) => work,
            Step::Done(Lookup::Hit(_)) | Step::Wait(_) => Work::new(&self.inner, wanted, &origin, None),
        }
    }

    fn origin(&self, wanted: &Wanted<'_>, begin: impl FnOnce() -> Begin, ended: u64) -> Origin {
        self.inner.counters.count(Counter::misses);
        let mut slots = Vec::with_capacity(self.namespace.slots.len() + 1);
        slots.extend_from_slice(&self.namespace.slots);
        slots.push(self.key_slot(wanted.key));
        Origin { begin: begin(), slots, ended }
    }

    fn board(&self, wanted: &Wanted<'_>, origin: &Origin, asynchronous: bool) -> Step {
        let inner = &self.inner;
        let passenger = Passenger {
            identity: wanted.identity,
            version: wanted.version,
            stamp: origin.begin.stamp,
            asynchronous,
            leads: context::leads(),
        };
        let admits = |stamp: Stamp| inner.floors.admit(stamp, origin.slots.iter().copied());
        match inner.flights.board(&passenger, admits) {
            Boarding::Follow(follower) => Step::Wait(follower),
            Boarding::Apart => Step::Done(Lookup::Compute(Work::new(inner, wanted, origin, None))),
            // Whoever led before may have stored between our look and our winning.
            Boarding::Lead(lead) => {
                let stored = inner.flights.ended(wanted.identity.hash) != origin.ended;
                Step::Done(match stored.then(|| inner.find(wanted)).flatten() {
                    Some(entry) => {
                        lead.land(Arc::clone(&entry));
                        inner.joined(wanted, &entry)
                    }
                    None => Lookup::Compute(Work::new(inner, wanted, origin, Some(lead))),
                })
            }
        }
    }

    /// What the end of a wait means; `None` to board again.
    fn landed(&self, landing: Landing<Arc<Entry>>, wanted: &Wanted<'_>, origin: &Origin) -> Option<Lookup> {
        match landing {
            // The flight's tags are known only now, so only now can they be checked.
            Landing::Shared(entry) if self.inner.usable(&entry, wanted) => Some(self.inner.joined(wanted, &entry)),
            Landing::Shared(_) | Landing::Aborted => None,
            Landing::TimedOut => {
                self.inner.counters.count(Counter::wait_timeouts);
                Some(Lookup::Compute(Work::new(&self.inner, wanted, origin, None)))
            }
            Landing::Private => Some(Lookup::Compute(Work::new(&self.inner, wanted, origin, None))),
        }
    }
}

impl Inner {
    /// Answers from the cache: counts the hit and tells what encloses it.
    fn hit(&self, wanted: &Wanted<'_>) -> Option<Body> {
        let answer = |entry: &Entry| {
            self.counters.hit(entry.cost);
            wanted.tell_enclosing(entry);
            entry.body.clone()
        };
        // Sampled before the floors are read, so an invalidation in between shows as a newer sequence.
        let now = self.floors.stamp();
        let hash = wanted.identity.hash;
        let in_front = front::look(self.id, hash, |slot| {
            let usable = wanted.fits(&slot.entry, &self.clock)
                && (slot.admitted_at == now || slot.entry.record.admitted(&self.floors));
            slot.admitted_at = now;
            usable.then(|| answer(&slot.entry))
        });
        if let Some((body, tell_store)) = in_front {
            if tell_store {
                self.touch(hash);
            }
            return Some(body);
        }
        let entry = self.find(wanted)?;
        front::keep(self.id, hash, &entry, now);
        Some(answer(&entry))
    }

    /// Tells the store of a hit in front; gives the entry back to it, should it have evicted that meanwhile.
    fn touch(&self, hash: u128) {
        if self.memory.get(hash).is_none()
            && let Some((entry, _)) = front::look(self.id, hash, |slot| Some(Arc::clone(&slot.entry)))
        {
            self.memory.put(hash, entry);
        }
    }

    /// A stored value, decoded; what does not decode is no hit, and is removed.
    pub(crate) fn decoded<T>(&self, wanted: &Wanted<'_>, decode: impl FnOnce(&Body) -> Option<T>) -> Option<T> {
        let entry = self.find(wanted)?;
        let value = decode(&entry.body);
        match value {
            Some(_) => {
                self.counters.hit(entry.cost);
                wanted.tell_enclosing(&entry);
            }
            None => self.memory.remove(wanted.identity.hash),
        }
        value
    }

    /// The valid, fresh entry of an identity.
    fn find(&self, wanted: &Wanted<'_>) -> Option<Arc<Entry>> {
        let entry = self.memory.get(wanted.identity.hash)?;
        self.usable(&entry, wanted).then_some(entry)
    }

    fn usable(&self, entry: &Entry, wanted: &Wanted<'_>) -> bool {
        wanted.fits(entry, &self.clock) && entry.record.admitted(&self.floors)
    }

    /// Counts a miss that somebody else's work answered.
    fn joined(&self, wanted: &Wanted<'_>, entry: &Entry) -> Lookup {
        self.counters.count(Counter::waits);
        wanted.tell_enclosing(entry);
        Lookup::Hit(entry.body.clone())
    }

    /// When a wait that begins here has been too long.
    fn deadline(&self) -> Instant {
        Instant::now() + self.settings.wait_timeout
    }

    async fn wait_async(&self, follower: Follower<Arc<Entry>>, deadline: Instant) -> Landing<Arc<Entry>> {
        let Some(janitor) = self.janitor() else { return Landing::TimedOut };
        let mut sleep = pin!(janitor.sleep_until(deadline));
        let mut follower = pin!(follower);
        std::future::poll_fn(|context| match follower.as_mut().poll(context) {
            Poll::Ready(landing) => Poll::Ready(landing),
            Poll::Pending => sleep.as_mut().poll(context).map(|()| Landing::TimedOut),
        })
        .await
    }
}
