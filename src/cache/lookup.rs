//! One look-up, from the builder to a hit or to the work there is to do.
//!
//! Owns the order in which front, memory, flights, the shared tier and floors are asked. Template blocks, closures and
//! futures all go through here; how the work is done and stored is `computation.rs`.

mod memory;
mod origin;

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Instant;

pub(crate) use self::origin::Origin;
use crate::cache::computation::Computation;
use crate::cache::flight::{FlightOutcome, Follower, Join, JoinRequest, Lead};
use crate::cache::{Engine, FragmentCache};
use crate::invalidation::dependencies::StartStamp;
use crate::invalidation::stack;
use crate::store::caller::Caller;
use crate::store::entry::{Entry, Found};
use crate::store::request::Request;
use crate::store::tier::{Fetched, WriteTarget};
use crate::telemetry::stats::Counter;
use crate::telemetry::{FragmentCounter, LookupSubject, MissReason, Outcome};
use crate::util::clock::{FAR, Nanos};

pub(crate) enum Lookup {
    Hit(Found),
    Compute(Computation),
}

enum Step {
    Done(Lookup),
    Wait(Follower<Arc<Entry>>),
    /// Nobody else is at it, and memory does not hold it.
    Lead(Lead<Arc<Entry>>),
}

impl Request<'_> {
    /// Tells what encloses this place of an entry found: it lives no longer than the entry, nor than is asked for here,
    /// depends on the tags declared here, and other nodes' invalidations are accounted for only as far as the entry was
    /// known to have survived them.
    #[inline]
    fn add_to_enclosing(&self, entry: &Entry, as_of: impl FnOnce() -> Nanos) {
        stack::gather(|record| {
            record.merge_cached(&entry.record);
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
    pub(crate) fn lookup(&self, request: &Request<'_>, caller: &mut impl Caller) -> Lookup {
        let ended = self.inner.flights.ended(request.identity.hash);
        match self.inner.hit(request) {
            Some(found) => Lookup::Hit(found),
            None => self.join(request, caller, ended),
        }
    }

    /// The same without blocking the thread.
    pub(crate) async fn lookup_async(&self, request: &Request<'_>, caller: &mut impl Caller) -> Lookup {
        let ended = self.inner.flights.ended(request.identity.hash);
        match self.inner.hit(request) {
            Some(found) => Lookup::Hit(found),
            None => self.join_async(request, caller, ended).await,
        }
    }

    /// What a look-up does when memory holds nothing of use; `ended` was read before memory was.
    pub(crate) fn join(&self, request: &Request<'_>, caller: &mut impl Caller, ended: u64) -> Lookup {
        self.inner.counters.count(Counter::misses);
        let mut origin = self.missed(request, caller, ended);
        let mut deadline = None;
        loop {
            match self.join_or_lead(request, &origin, false) {
                Step::Done(lookup) => return lookup,
                Step::Wait(follower) => {
                    let deadline = *deadline.get_or_insert_with(|| self.inner.deadline());
                    let outcome = match &self.inner.shared {
                        Some(shared) => shared.on_budget(caller.page(), |left| follower.wait(deadline, left)),
                        None => follower.wait(deadline, &mut { FAR }),
                    };
                    if let Some(lookup) = self.after_wait(outcome, request, &origin) {
                        return lookup;
                    }
                    origin.begin = caller.again(origin.begin);
                }
                Step::Lead(lead) => {
                    let fetched = match &self.inner.shared {
                        Some(shared) => shared.fetch(&self.inner, request, caller),
                        None => Fetched::Nothing(None),
                    };
                    return self.led(request, &mut origin, lead, fetched);
                }
            }
        }
    }

    pub(crate) async fn join_async(&self, request: &Request<'_>, caller: &mut impl Caller, ended: u64) -> Lookup {
        self.inner.counters.count(Counter::misses);
        let mut origin = self.missed(request, caller, ended);
        let mut deadline = None;
        loop {
            match self.join_or_lead(request, &origin, true) {
                Step::Done(lookup) => return lookup,
                Step::Wait(follower) => {
                    let deadline = *deadline.get_or_insert_with(|| self.inner.deadline());
                    let outcome = self.inner.wait_async(follower, deadline).await;
                    if let Some(lookup) = self.after_wait(outcome, request, &origin) {
                        return lookup;
                    }
                    origin.begin = caller.again(origin.begin);
                }
                Step::Lead(lead) => {
                    let fetched = match &self.inner.shared {
                        Some(shared) => shared.fetch_async(&self.inner, request, caller).await,
                        None => Fetched::Nothing(None),
                    };
                    return self.led(request, &mut origin, lead, fetched);
                }
            }
        }
    }

    /// The work of computing an entry anew, the one there being of no use for this reason; nobody waits for it.
    pub(crate) fn replace(
        &self,
        request: &Request<'_>,
        caller: &mut impl Caller,
        asynchronous: bool,
        reason: MissReason,
    ) -> Computation {
        self.inner.counters.count(Counter::misses);
        self.take_over(request, caller, asynchronous, Some(reason))
    }

    /// The same for a look-up that was counted already, if without a reason.
    pub(crate) fn take_over(
        &self,
        request: &Request<'_>,
        caller: &mut impl Caller,
        asynchronous: bool,
        reason: Option<MissReason>,
    ) -> Computation {
        let origin = Origin { reason, ..self.origin(request, caller, 0) };
        // Nothing that is there or comes would do, so nobody is waited for.
        match self.flight_join(request, &origin, asynchronous) {
            Join::Lead(lead) => {
                let place = self.inner.shared.as_ref().and_then(|shared| shared.place(request));
                self.inner.work(request, &origin, Some(lead), place)
            }
            Join::Follow(_) | Join::Alone => self.inner.work(request, &origin, None, None),
        }
    }

    /// Computation whose result nobody is to have, see [`Computation::discard`].
    pub(crate) fn apart(&self, request: &Request<'_>, caller: &mut impl Caller) -> Computation {
        let origin = self.origin(request, caller, 0);
        Computation::new(&self.inner, request, &origin, None, None)
    }

    fn origin(&self, request: &Request<'_>, caller: &mut impl Caller, ended: u64) -> Origin {
        let mut tags = Vec::with_capacity(self.namespace.tags.len() + 1);
        tags.extend_from_slice(&self.namespace.tags);
        tags.push(self.key_tag(request.key));
        let subject = LookupSubject::new(caller.label(), request.named, request.base());
        Origin { begin: caller.begin(), tags, ended, arrived: self.inner.clock.latest(), subject, reason: None }
    }

    /// What is known when memory had no answer, and why it had none.
    fn missed(&self, request: &Request<'_>, caller: &mut impl Caller, ended: u64) -> Origin {
        let mut origin = self.origin(request, caller, ended);
        origin.reason = Some(self.inner.why(request, &origin.subject, &origin.tags));
        origin
    }

    fn flight_join(&self, request: &Request<'_>, origin: &Origin, asynchronous: bool) -> Join<Arc<Entry>> {
        let inner = &self.inner;
        let joining = JoinRequest {
            identity: request.identity,
            version: request.version,
            begin: origin.begin,
            asynchronous,
            waits: request.waits && !stack::in_flight(request.is_page()),
            asks: inner.shared.as_ref().is_some_and(|shared| shared.asks(request)),
        };
        let admits = |begin: StartStamp| {
            let tags = origin.tags.iter().copied().chain(request.declared.hashes());
            begin != StartStamp::UNSEEN
                && inner.is_trusted(begin.at, origin.arrived)
                && inner.floors.admit(begin.stamp, tags)
        };
        inner.flights.join(&joining, admits)
    }

    fn join_or_lead(&self, request: &Request<'_>, origin: &Origin, asynchronous: bool) -> Step {
        let inner = &self.inner;
        match self.flight_join(request, origin, asynchronous) {
            Join::Follow(follower) => match inner.graced(request, |entry| entry.stale) {
                // The leader stored it since memory was asked.
                Some(entry) if entry.fresh(inner.clock.latest(), request.ttl) => {
                    Step::Done(inner.joined(request, &entry))
                }
                Some(entry) => Step::Done(inner.stale(request, &entry)),
                None => Step::Wait(follower),
            },
            Join::Alone => Step::Done(match inner.graced(request, |entry| entry.stale) {
                Some(entry) => inner.stale(request, &entry),
                None => Lookup::Compute(inner.work(request, origin, None, None)),
            }),
            // Whoever led before may have stored between our look and our winning.
            Join::Lead(lead) => {
                let stored = inner.flights.ended(request.identity.hash) != origin.ended;
                match stored.then(|| inner.find(request)).flatten() {
                    Some(entry) => {
                        lead.publish(Arc::clone(&entry));
                        Step::Done(inner.joined(request, &entry))
                    }
                    None => Step::Lead(lead),
                }
            }
        }
    }

    /// What one who leads does with what the shared tier had to say.
    fn led(&self, request: &Request<'_>, origin: &mut Origin, lead: Lead<Arc<Entry>>, fetched: Fetched) -> Lookup {
        match fetched {
            Fetched::Found(entry) => {
                self.inner.keep_shared(&origin.subject, request.identity.hash, &entry);
                lead.publish(Arc::clone(&entry));
                entry.label.count(FragmentCounter::SharedHits);
                self.inner.spared(request, &entry, Outcome::SharedHit)
            }
            Fetched::Nothing(place) => Lookup::Compute(self.inner.work(request, origin, Some(lead), place)),
            Fetched::Failed(place) => {
                origin.reason = Some(MissReason::StoreFailed);
                Lookup::Compute(self.inner.work(request, origin, Some(lead), place))
            }
        }
    }

    /// What the end of a wait means; `None` to join_or_lead again.
    fn after_wait(&self, outcome: FlightOutcome<Arc<Entry>>, request: &Request<'_>, origin: &Origin) -> Option<Lookup> {
        match outcome {
            // The flight's tags are known only now, so only now can they be checked.
            FlightOutcome::Shared(entry) if self.inner.usable(&entry, request, origin.arrived) => {
                Some(self.inner.joined(request, &entry))
            }
            // It refuses the next one as well: it would wait for one after the other.
            FlightOutcome::Shared(entry) if request.refuses(&entry) => {
                Some(Lookup::Compute(self.inner.work(request, origin, None, None)))
            }
            FlightOutcome::Shared(_) | FlightOutcome::Aborted => None,
            FlightOutcome::TimedOut => {
                self.inner.counters.count(Counter::wait_timeouts);
                Some(Lookup::Compute(self.inner.work(request, origin, None, None)))
            }
            FlightOutcome::Private | FlightOutcome::StillAsking => {
                Some(Lookup::Compute(self.inner.work(request, origin, None, None)))
            }
        }
    }
}

impl Engine {
    /// The work there is to do; a miss, if it is known why. Whether a page is one is for who shows it to say: there
    /// may be an expired one to show.
    fn work(
        self: &Arc<Self>,
        request: &Request<'_>,
        origin: &Origin,
        lead: Option<Lead<Arc<Entry>>>,
        place: Option<WriteTarget>,
    ) -> Computation {
        let mut work = Computation::new(self, request, origin, lead, place);
        work.because(origin.reason.clone());
        if !request.is_page() {
            work.miss(request.named);
        }
        work
    }

    /// A miss that an expired entry answers, because somebody else computes it anew.
    fn stale(&self, request: &Request<'_>, entry: &Entry) -> Lookup {
        self.count_stale(request, entry);
        Lookup::Hit(entry.found())
    }

    /// Counts such a miss, and tells what encloses it.
    pub(crate) fn count_stale(&self, request: &Request<'_>, entry: &Entry) {
        self.counters.count(Counter::stale_hits);
        entry.label.count(FragmentCounter::StaleHits);
        self.count_spared(request, entry, Outcome::StaleHit);
    }

    /// A miss that the work of somebody beside it answered.
    fn joined(&self, request: &Request<'_>, entry: &Entry) -> Lookup {
        self.counters.count(Counter::waits);
        entry.label.count(FragmentCounter::Joined);
        self.spared(request, entry, Outcome::Joined)
    }

    /// A miss that somebody else's work answered.
    fn spared(&self, request: &Request<'_>, entry: &Entry, outcome: Outcome) -> Lookup {
        self.count_spared(request, entry, outcome);
        Lookup::Hit(entry.found())
    }

    fn count_spared(&self, request: &Request<'_>, entry: &Entry, outcome: Outcome) {
        self.counters.saved(entry.cost);
        entry.label.add(FragmentCounter::Saved, entry.cost);
        if self.telemetry.of_hits() {
            self.telemetry.record_answered(request.named, &entry.report(), outcome);
        }
        // Later than the caller came, so that nothing counts as heard that was not.
        request.add_to_enclosing(entry, || self.as_of(entry, self.clock.latest()));
    }

    /// When a wait for another caller that begins here has been too long.
    fn deadline(&self) -> Instant {
        Instant::now() + self.settings.wait_timeout
    }

    /// The same of a wait for what nothing can stand in for.
    pub(crate) fn end_of_patience(&self) -> Instant {
        Instant::now() + self.settings.patience()
    }

    async fn wait_async(&self, follower: Follower<Arc<Entry>>, deadline: Instant) -> FlightOutcome<Arc<Entry>> {
        let Some(timer) = self.timer() else { return FlightOutcome::TimedOut };
        let mut sleep = pin!(timer.sleep_until(deadline));
        let mut follower = pin!(follower);
        std::future::poll_fn(|context| match follower.as_mut().poll(context) {
            Poll::Ready(outcome) => Poll::Ready(outcome),
            Poll::Pending => sleep.as_mut().poll(context).map(|()| FlightOutcome::TimedOut),
        })
        .await
    }
}
