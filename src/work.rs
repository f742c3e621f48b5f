//! One look-up from question to stored result: hit, wait, or work to be done and finished.
//!
//! Owns the order in which store, flights, floors and frames are asked. Template blocks, closures and futures all
//! go through here; they differ in how the body runs in between.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use minijinja::Value;

use crate::cache::{FragmentCache, Inner};
use crate::clock::{Clock, Nanos, nanos};
use crate::context::{self, Frame, FrameId};
use crate::entry::{Body, Entry, Fragment};
use crate::flight::{Boarding, Follower, Landing, Lead, Passenger};
use crate::floors::{Slot, Stamp};
use crate::front;
use crate::identity::Identity;
use crate::record::{Begin, FOREVER, Record, Tag};
use crate::stats::Counter;

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
struct Origin {
    begin: Begin,
    slots: Vec<Slot>,
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
    pub(crate) fn replace(&self, wanted: &Wanted<'_>) -> Work {
        self.inner.memory.remove(wanted.identity.hash);
        let ended = self.inner.flights.ended(wanted.identity.hash);
        let origin = self.origin(wanted, || self.inner.scope_begin(), ended);
        match self.board(wanted, &origin, false) {
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
                        inner.joined(&entry)
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
            Landing::Shared(entry) if self.inner.usable(&entry, wanted) => Some(self.inner.joined(&entry)),
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
            gather_from(&entry.record);
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
                gather_from(&entry.record);
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
    fn joined(&self, entry: &Entry) -> Lookup {
        self.counters.count(Counter::waits);
        gather_from(&entry.record);
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

/// Tells what encloses this place what is inside.
fn gather_from(inner: &Record) {
    context::gather(|record| record.absorb(inner));
}

/// A computation under way. While it runs its frame gathers what the result depends on; dropped unfinished, it
/// leaves nothing behind and wakes those who wait.
pub(crate) struct Work {
    inner: Arc<Inner>,
    frame: FrameId,
    /// The frame, while it stands on no thread: between polls of a future.
    parked: Option<Frame>,
    identity: Arc<[u8]>,
    hash: u128,
    version: Option<u128>,
    ttl: Nanos,
    stale: Nanos,
    started: Instant,
    lead: Option<Lead<Arc<Entry>>>,
    finished: bool,
}

impl Work {
    fn new(inner: &Arc<Inner>, wanted: &Wanted<'_>, origin: &Origin, lead: Option<Lead<Arc<Entry>>>) -> Work {
        let mut record = Record::new(inner.id, origin.begin);
        origin.slots.iter().for_each(|slot| record.tag(Tag { slot: *slot, name: None }));
        let frame = Frame::new(record, lead.is_some());
        Work {
            inner: Arc::clone(inner),
            frame: frame.id(),
            parked: Some(frame),
            identity: lead.as_ref().map_or_else(|| wanted.identity.bytes.into(), Lead::identity),
            hash: wanted.identity.hash,
            version: wanted.version,
            ttl: wanted.ttl,
            stale: 0,
            started: Instant::now(),
            lead,
            finished: false,
        }
    }

    pub(crate) fn set_stale(&mut self, grace: Nanos) {
        self.stale = grace;
    }

    /// Puts the frame on this thread: what runs here from now on is inside.
    pub(crate) fn enter(&mut self) {
        if let Some(frame) = self.parked.take() {
            context::push(frame);
        }
    }

    /// Takes the frame along, off this thread.
    pub(crate) fn leave(&mut self) {
        if self.parked.is_none() {
            self.parked = context::pop(self.frame);
        }
    }

    /// Adds to what the result depends on, entered or not.
    pub(crate) fn note(&mut self, f: impl FnOnce(&mut Record)) {
        match &mut self.parked {
            Some(frame) => frame.with(f),
            None => context::gather(f),
        }
    }

    /// Finishes with a text.
    pub(crate) fn finish_text(self, text: Value) -> Fragment {
        self.finish(Body::Text(text.clone()));
        Fragment::new(text)
    }

    /// The result: stored if it may be, handed to those who wait if they may have it, and told to what encloses.
    pub(crate) fn finish(mut self, body: Body) {
        self.finished = true;
        let inner = Arc::clone(&self.inner);
        inner.counters.count(Counter::renders);
        let mut record = self.take_record();
        record.expires = record.expires.min(self.expiry(record.begin));
        let entry = Arc::new(Entry {
            identity: Arc::clone(&self.identity),
            version: self.version,
            body,
            record,
            stale: self.stale,
            cost: nanos(self.started.elapsed()),
        });
        gather_from(&entry.record);
        self.publish(&entry);
    }

    /// Stores, unless it must not be. What is expired when it is done (its scope began long ago) is as good as
    /// uncacheable: those who wait would find it expired, and must not queue up to find so one after another.
    fn publish(&mut self, entry: &Arc<Entry>) {
        let inner = &self.inner;
        let Some(lead) = self.lead.take() else {
            inner.counters.count(Counter::unstored);
            return;
        };
        if entry.record.uncacheable || !entry.fresh(inner.clock.latest(), self.ttl) {
            inner.counters.count(Counter::unstored);
            lead.release();
        } else if !entry.record.templates_current() || !entry.record.admitted(&inner.floors) {
            // Dropping the lead lets the next one try: this result began before an invalidation.
            inner.counters.count(Counter::unstored);
        } else if u64::from(entry.weight()) > inner.settings.max_entry_bytes {
            inner.counters.count(Counter::unstored);
            lead.land(Arc::clone(entry));
        } else {
            inner.counters.count(Counter::stores);
            inner.memory.put(self.hash, Arc::clone(entry));
            lead.land(Arc::clone(entry));
        }
    }

    fn take_record(&mut self) -> Record {
        self.leave();
        let record = self.parked.take().and_then(Frame::into_record);
        record.unwrap_or_else(|| {
            // The frame is gone: something below it was taken off first, so what was inside is unknown.
            let mut lost = Record::new(self.inner.id, self.inner.begin());
            lost.uncacheable = true;
            lost
        })
    }

    fn expiry(&self, begin: Begin) -> Nanos {
        if self.ttl == FOREVER {
            return FOREVER;
        }
        let shortened = self.inner.jitter.shorten(self.ttl);
        begin.at.saturating_add(shortened)
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        if self.finished {
            return;
        }
        // An error or a panic inside. If somebody outside swallows it, what he makes of it is not stored: an
        // outage must not be served for a lifetime.
        let mut record = self.take_record();
        record.uncacheable = true;
        gather_from(&record);
    }
}

/// Spreads expiries, so that what was stored together does not expire together.
#[derive(Debug)]
pub(crate) struct Jitter {
    fraction: f64,
    seed: ahash::RandomState,
    draws: std::sync::atomic::AtomicU64,
}

impl Jitter {
    pub(crate) fn new(fraction: f64) -> Jitter {
        Jitter { fraction, seed: ahash::RandomState::new(), draws: std::sync::atomic::AtomicU64::new(0) }
    }

    /// A lifetime between `(1 - fraction) × ttl` and `ttl`.
    fn shorten(&self, ttl: Nanos) -> Nanos {
        if self.fraction == 0.0 {
            return ttl;
        }
        let draw = self.draws.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let uniform = self.seed.hash_one(draw) as f64 / u64::MAX as f64;
        let cut = Duration::from_nanos(ttl).mul_f64(self.fraction * uniform);
        ttl.saturating_sub(nanos(cut))
    }
}
