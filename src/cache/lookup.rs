//! A look-up, from the request to a hit or to a computation.
//!
//! Owns the order in which a look-up uses the thread cache, memory, the flights and the shared tier. Template blocks,
//! closures, futures and pages all go through here. `lookup/memory.rs` decides whether an entry in memory is a hit;
//! `computation.rs` runs and stores a computation.

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
    /// No other caller computes this identity, and memory has no entry for it.
    Lead(Lead<Arc<Entry>>),
}

impl Request<'_> {
    /// Adds an entry that was found to the dependencies of the enclosing frame. The enclosing result expires no later
    /// than the entry, and no later than the lifetime of this request. It depends on the tags that this request
    /// declares. Invalidations by other nodes count as received only up to the time as of which the entry is known to
    /// be valid.
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
    /// Finds the entry, waits for the caller that computes it, or returns the computation to run.
    pub(crate) fn lookup(&self, request: &Request<'_>, caller: &mut impl Caller) -> Lookup {
        let ended = self.inner.flights.ended(request.identity.hash);
        match self.inner.hit(request) {
            Some(found) => Lookup::Hit(found),
            None => self.join(request, caller, ended),
        }
    }

    /// [`lookup`](FragmentCache::lookup) that does not block the thread.
    pub(crate) async fn lookup_async(&self, request: &Request<'_>, caller: &mut impl Caller) -> Lookup {
        let ended = self.inner.flights.ended(request.identity.hash);
        match self.inner.hit(request) {
            Some(found) => Lookup::Hit(found),
            None => self.join_async(request, caller, ended).await,
        }
    }

    /// The part of a look-up after memory had no usable entry. `ended` was read before memory was.
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

    /// The computation that replaces an entry which is of no use for this reason. It does not wait for another caller.
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

    /// [`replace`](FragmentCache::replace) for a look-up that is already counted. Without a reason the computation
    /// records no miss.
    pub(crate) fn take_over(
        &self,
        request: &Request<'_>,
        caller: &mut impl Caller,
        asynchronous: bool,
        reason: Option<MissReason>,
    ) -> Computation {
        let origin = Origin { reason, ..self.origin(request, caller, 0) };
        // Neither a stored entry nor the result of a running computation would do, so this caller does not wait for a
        // leader.
        match self.flight_join(request, &origin, asynchronous) {
            Join::Lead(lead) => {
                let place = self.inner.shared.as_ref().and_then(|shared| shared.place(request));
                self.inner.work(request, &origin, Some(lead), place)
            }
            Join::Follow(_) | Join::Alone => self.inner.work(request, &origin, None, None),
        }
    }

    /// A computation that is run only to compare its result with the cached one, see [`Computation::discard`].
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

    /// The data of a miss, with its reason. Memory had no usable entry.
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
                // The leader has stored the entry since this look-up read memory.
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
            // An earlier leader may have stored the entry after this look-up read memory and before this caller became
            // the leader.
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

    /// Turns the reply of the shared tier into a hit or a computation, for a leader.
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

    /// Turns the outcome of a wait into a result of the look-up; `None` to join or lead again.
    fn after_wait(&self, outcome: FlightOutcome<Arc<Entry>>, request: &Request<'_>, origin: &Origin) -> Option<Lookup> {
        match outcome {
            // The tags of the leader's result are known only after the flight, so they are checked here.
            FlightOutcome::Shared(entry) if self.inner.usable(&entry, request, origin.arrived) => {
                Some(self.inner.joined(request, &entry))
            }
            // The request refuses this entry, and would refuse the next leader's as well. Compute, or the caller would
            // wait for one leader after the other.
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
    /// The computation of a miss. It records the miss if the reason is known. For a page the HTTP layer records the
    /// miss instead: the layer may serve an expired page.
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

    /// Answers a miss with an expired entry, because another caller computes the new one.
    fn stale(&self, request: &Request<'_>, entry: &Entry) -> Lookup {
        self.count_stale(request, entry);
        Lookup::Hit(entry.found())
    }

    /// Counts a stale hit, and adds the entry to the enclosing frame.
    pub(crate) fn count_stale(&self, request: &Request<'_>, entry: &Entry) {
        self.counters.count(Counter::stale_hits);
        entry.label.count(FragmentCounter::StaleHits);
        self.count_spared(request, entry, Outcome::StaleHit);
    }

    /// Answers a miss with the result of a concurrent computation on this node.
    fn joined(&self, request: &Request<'_>, entry: &Entry) -> Lookup {
        self.counters.count(Counter::waits);
        entry.label.count(FragmentCounter::Joined);
        self.spared(request, entry, Outcome::Joined)
    }

    /// Answers a miss with the result of another computation, on this node or another one.
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
        // The current time, which is later than the arrival of the caller: no invalidation counts as received that this
        // node had not received.
        request.add_to_enclosing(entry, || self.as_of(entry, self.clock.latest()));
    }

    /// When a wait for another caller that begins now times out.
    fn deadline(&self) -> Instant {
        Instant::now() + self.settings.wait_timeout
    }

    /// When a wait that begins now times out, if the caller cannot compute the result instead.
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
