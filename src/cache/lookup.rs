//! One look-up, from the question to a hit or to the work there is to do.
//!
//! Owns the order in which front, memory, flights, the shared tier and floors are asked. Template blocks, closures and
//! futures all go through here; how the work is done and stored is `work.rs`.

mod memory;
mod origin;

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Instant;

pub(crate) use self::origin::Origin;
use crate::cache::computation::Work;
use crate::cache::flight::{Boarding, Follower, Landing, Lead, Passenger};
use crate::cache::{FragmentCache, Inner};
use crate::invalidation::dependencies::Begin;
use crate::invalidation::stack;
use crate::store::caller::Asker;
use crate::store::entry::{Entry, Found};
use crate::store::request::Wanted;
use crate::store::tier::{Fetched, WriteTarget};
use crate::telemetry::stats::Counter;
use crate::telemetry::{MissReason, Outcome, Rare, Subject};
use crate::util::clock::{FAR, Nanos};

pub(crate) enum Lookup {
    Hit(Found),
    Compute(Work),
}

enum Step {
    Done(Lookup),
    Wait(Follower<Arc<Entry>>),
    /// Nobody else is at it, and memory does not hold it.
    Lead(Lead<Arc<Entry>>),
}

impl Wanted<'_> {
    /// Tells what encloses this place of an entry found: it lives no longer than the entry, nor than is asked for here,
    /// depends on the tags declared here, and other nodes' invalidations are accounted for only as far as the entry was
    /// known to have survived them.
    #[inline]
    fn tell_enclosing(&self, entry: &Entry, as_of: impl FnOnce() -> Nanos) {
        stack::gather(|record| {
            record.absorb(&entry.record);
            self.declared.tags().for_each(|tag| record.tag(tag));
            let ends = entry.record.begin.at.saturating_add(self.ttl);
            record.expires = record.expires.min(ends);
            record.grace_ends = record.grace_ends.min(ends.saturating_add(entry.stale));
            record.heard = record.heard.min(as_of());
        });
    }
}

impl FragmentCache {
    /// Finds the entry, waits for whoever computes it, or returns the work to do.
    pub(crate) fn lookup(&self, wanted: &Wanted<'_>, asker: &mut impl Asker) -> Lookup {
        let ended = self.inner.flights.ended(wanted.identity.hash);
        match self.inner.hit(wanted) {
            Some(found) => Lookup::Hit(found),
            None => self.join(wanted, asker, ended),
        }
    }

    /// The same without blocking the thread.
    pub(crate) async fn lookup_async(&self, wanted: &Wanted<'_>, asker: &mut impl Asker) -> Lookup {
        let ended = self.inner.flights.ended(wanted.identity.hash);
        match self.inner.hit(wanted) {
            Some(found) => Lookup::Hit(found),
            None => self.join_async(wanted, asker, ended).await,
        }
    }

    /// What a look-up does when memory holds nothing of use; `ended` was read before memory was.
    pub(crate) fn join(&self, wanted: &Wanted<'_>, asker: &mut impl Asker, ended: u64) -> Lookup {
        self.inner.counters.count(Counter::misses);
        let mut origin = self.missed(wanted, asker, ended);
        let mut deadline = None;
        loop {
            match self.board(wanted, &origin, false) {
                Step::Done(lookup) => return lookup,
                Step::Wait(follower) => {
                    let deadline = *deadline.get_or_insert_with(|| self.inner.deadline());
                    let landing = match &self.inner.shared {
                        Some(shared) => shared.on_budget(asker.page(), |left| follower.wait(deadline, left)),
                        None => follower.wait(deadline, &mut { FAR }),
                    };
                    if let Some(lookup) = self.landed(landing, wanted, &origin) {
                        return lookup;
                    }
                    origin.begin = asker.again(origin.begin);
                }
                Step::Lead(lead) => {
                    let fetched = match &self.inner.shared {
                        Some(shared) => shared.fetch(&self.inner, wanted, asker),
                        None => Fetched::Nothing(None),
                    };
                    return self.led(wanted, &mut origin, lead, fetched);
                }
            }
        }
    }

    pub(crate) async fn join_async(&self, wanted: &Wanted<'_>, asker: &mut impl Asker, ended: u64) -> Lookup {
        self.inner.counters.count(Counter::misses);
        let mut origin = self.missed(wanted, asker, ended);
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
                    origin.begin = asker.again(origin.begin);
                }
                Step::Lead(lead) => {
                    let fetched = match &self.inner.shared {
                        Some(shared) => shared.fetch_async(&self.inner, wanted, asker).await,
                        None => Fetched::Nothing(None),
                    };
                    return self.led(wanted, &mut origin, lead, fetched);
                }
            }
        }
    }

    /// The work of computing an entry anew, the one there being of no use for this reason; nobody waits for it.
    pub(crate) fn replace(
        &self,
        wanted: &Wanted<'_>,
        asker: &mut impl Asker,
        asynchronous: bool,
        reason: MissReason,
    ) -> Work {
        self.inner.counters.count(Counter::misses);
        self.take_over(wanted, asker, asynchronous, Some(reason))
    }

    /// The same for a look-up that was counted already, if without a reason.
    pub(crate) fn take_over(
        &self,
        wanted: &Wanted<'_>,
        asker: &mut impl Asker,
        asynchronous: bool,
        reason: Option<MissReason>,
    ) -> Work {
        let origin = Origin { reason, ..self.origin(wanted, asker, 0) };
        // Nothing that is there or comes would do, so nobody is waited for.
        match self.boarding(wanted, &origin, asynchronous) {
            Boarding::Lead(lead) => {
                let place = self.inner.shared.as_ref().and_then(|shared| shared.place(wanted));
                self.inner.work(wanted, &origin, Some(lead), place)
            }
            Boarding::Follow(_) | Boarding::Apart => self.inner.work(wanted, &origin, None, None),
        }
    }

    /// Work whose result nobody is to have, see [`Work::discard`].
    pub(crate) fn apart(&self, wanted: &Wanted<'_>, asker: &mut impl Asker) -> Work {
        let origin = self.origin(wanted, asker, 0);
        Work::new(&self.inner, wanted, &origin, None, None)
    }

    fn origin(&self, wanted: &Wanted<'_>, asker: &mut impl Asker, ended: u64) -> Origin {
        let mut tags = Vec::with_capacity(self.namespace.tags.len() + 1);
        tags.extend_from_slice(&self.namespace.tags);
        tags.push(self.key_tag(wanted.key));
        let subject = Subject::new(asker.label(), wanted.named, wanted.base());
        Origin { begin: asker.begin(), tags, ended, arrived: self.inner.clock.latest(), subject, reason: None }
    }

    /// What is known when memory had no answer, and why it had none.
    fn missed(&self, wanted: &Wanted<'_>, asker: &mut impl Asker, ended: u64) -> Origin {
        let mut origin = self.origin(wanted, asker, ended);
        origin.reason = Some(self.inner.why(wanted, &origin.subject, &origin.tags));
        origin
    }

    fn boarding(&self, wanted: &Wanted<'_>, origin: &Origin, asynchronous: bool) -> Boarding<Arc<Entry>> {
        let inner = &self.inner;
        let passenger = Passenger {
            identity: wanted.identity,
            version: wanted.version,
            begin: origin.begin,
            asynchronous,
            waits: wanted.waits && !stack::in_flight(wanted.is_page()),
            asks: inner.shared.as_ref().is_some_and(|shared| shared.asks(wanted)),
        };
        let admits = |begin: Begin| {
            let tags = origin.tags.iter().copied().chain(wanted.declared.hashes());
            begin != Begin::UNSEEN && inner.vouches(begin.at, origin.arrived) && inner.floors.admit(begin.stamp, tags)
        };
        inner.flights.board(&passenger, admits)
    }

    fn board(&self, wanted: &Wanted<'_>, origin: &Origin, asynchronous: bool) -> Step {
        let inner = &self.inner;
        match self.boarding(wanted, origin, asynchronous) {
            Boarding::Follow(follower) => match inner.graced(wanted, |entry| entry.stale) {
                // The leader stored it since memory was asked.
                Some(entry) if entry.fresh(inner.clock.latest(), wanted.ttl) => {
                    Step::Done(inner.joined(wanted, &entry))
                }
                Some(entry) => Step::Done(inner.stale(wanted, &entry)),
                None => Step::Wait(follower),
            },
            Boarding::Apart => Step::Done(match inner.graced(wanted, |entry| entry.stale) {
                Some(entry) => inner.stale(wanted, &entry),
                None => Lookup::Compute(inner.work(wanted, origin, None, None)),
            }),
            // Whoever led before may have stored between our look and our winning.
            Boarding::Lead(lead) => {
                let stored = inner.flights.ended(wanted.identity.hash) != origin.ended;
                match stored.then(|| inner.find(wanted)).flatten() {
                    Some(entry) => {
                        lead.land(Arc::clone(&entry));
                        Step::Done(inner.joined(wanted, &entry))
                    }
                    None => Step::Lead(lead),
                }
            }
        }
    }

    /// What one who leads does with what the shared tier had to say.
    fn led(&self, wanted: &Wanted<'_>, origin: &mut Origin, lead: Lead<Arc<Entry>>, fetched: Fetched) -> Lookup {
        match fetched {
            Fetched::Found(entry) => {
                self.inner.keep_shared(&origin.subject, wanted.identity.hash, &entry);
                lead.land(Arc::clone(&entry));
                entry.label.count(Rare::SharedHits);
                self.inner.spared(wanted, &entry, Outcome::SharedHit)
            }
            Fetched::Nothing(place) => Lookup::Compute(self.inner.work(wanted, origin, Some(lead), place)),
            Fetched::Failed(place) => {
                origin.reason = Some(MissReason::StoreFailed);
                Lookup::Compute(self.inner.work(wanted, origin, Some(lead), place))
            }
        }
    }

    /// What the end of a wait means; `None` to board again.
    fn landed(&self, landing: Landing<Arc<Entry>>, wanted: &Wanted<'_>, origin: &Origin) -> Option<Lookup> {
        match landing {
            // The flight's tags are known only now, so only now can they be checked.
            Landing::Shared(entry) if self.inner.usable(&entry, wanted, origin.arrived) => {
                Some(self.inner.joined(wanted, &entry))
            }
            // It refuses the next one as well: it would wait for one after the other.
            Landing::Shared(entry) if wanted.refuses(&entry) => {
                Some(Lookup::Compute(self.inner.work(wanted, origin, None, None)))
            }
            Landing::Shared(_) | Landing::Aborted => None,
            Landing::TimedOut => {
                self.inner.counters.count(Counter::wait_timeouts);
                Some(Lookup::Compute(self.inner.work(wanted, origin, None, None)))
            }
            Landing::Private | Landing::StillAsking => {
                Some(Lookup::Compute(self.inner.work(wanted, origin, None, None)))
            }
        }
    }
}

impl Inner {
    /// The work there is to do; a miss, if it is known why. Whether a page is one is for who shows it to say: there
    /// may be an expired one to show.
    fn work(
        self: &Arc<Self>,
        wanted: &Wanted<'_>,
        origin: &Origin,
        lead: Option<Lead<Arc<Entry>>>,
        place: Option<WriteTarget>,
    ) -> Work {
        let mut work = Work::new(self, wanted, origin, lead, place);
        work.because(origin.reason.clone());
        if !wanted.is_page() {
            work.miss(wanted.named);
        }
        work
    }

    /// A miss that an expired entry answers, because somebody else computes it anew.
    fn stale(&self, wanted: &Wanted<'_>, entry: &Entry) -> Lookup {
        self.count_stale(wanted, entry);
        Lookup::Hit(entry.found())
    }

    /// Counts such a miss, and tells what encloses it.
    pub(crate) fn count_stale(&self, wanted: &Wanted<'_>, entry: &Entry) {
        self.counters.count(Counter::stale_hits);
        entry.label.count(Rare::StaleHits);
        self.count_spared(wanted, entry, Outcome::StaleHit);
    }

    /// A miss that the work of somebody beside it answered.
    fn joined(&self, wanted: &Wanted<'_>, entry: &Entry) -> Lookup {
        self.counters.count(Counter::waits);
        entry.label.count(Rare::Joined);
        self.spared(wanted, entry, Outcome::Joined)
    }

    /// A miss that somebody else's work answered.
    fn spared(&self, wanted: &Wanted<'_>, entry: &Entry, outcome: Outcome) -> Lookup {
        self.count_spared(wanted, entry, outcome);
        Lookup::Hit(entry.found())
    }

    fn count_spared(&self, wanted: &Wanted<'_>, entry: &Entry, outcome: Outcome) {
        self.counters.saved(entry.cost);
        entry.label.add(Rare::Saved, entry.cost);
        if self.observers.of_hits() {
            self.observers.tell_answered(wanted.named, &entry.report(), outcome);
        }
        // Later than the caller came, so that nothing counts as heard that was not.
        wanted.tell_enclosing(entry, || self.as_of(entry, self.clock.latest()));
    }

    /// When a wait for another caller that begins here has been too long.
    fn deadline(&self) -> Instant {
        Instant::now() + self.settings.wait_timeout
    }

    /// The same of a wait for what nothing can stand in for.
    pub(crate) fn end_of_patience(&self) -> Instant {
        Instant::now() + self.settings.patience()
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
