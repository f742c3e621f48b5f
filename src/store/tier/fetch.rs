//! Reads an entry from the store: one round trip within a budget, and the checks of its reply.
//!
//! A look-up comes here once per flight, when memory has no usable entry. Every failure is a miss. `io.rs` selects the
//! thread, `read_ahead.rs` reads further entries of a page in the same trip, `convert.rs` decodes and checks an
//! envelope.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use xxhash_rust::xxh3::Xxh3;

use super::convert::Mismatch;
use super::core::{Core, LeaseGuard, WriteTarget};
use super::io::{BlockingIo, Io, OffloadedIo};
use super::read_ahead;
use super::{Tier, replica};
use crate::invalidation::dependencies::Dependency;
use crate::invalidation::floors::Stamp;
use crate::invalidation::stack;
use crate::invalidation::template_version::Used;
use crate::store::caller::Caller;
use crate::store::entry::Entry;
use crate::store::host::Host;
use crate::store::request::Request;
use crate::store::{LeasedRead, Remote, StoreFailure, StoreKey};
use crate::telemetry::stats::Counter;

/// The pause between two reads while another node has the lease: the first one, and the longest.
const FIRST_LOOK: Duration = Duration::from_millis(2);
const LAST_LOOK: Duration = Duration::from_millis(50);

/// Values in one read.
const READ_AT_ONCE: usize = 256;

/// The outcome of a fetch.
pub(crate) enum Fetched {
    Found(Arc<Entry>),
    /// The store has no usable entry. Holds where to write the result once it is computed, if anywhere.
    Nothing(Option<WriteTarget>),
    /// The store did not reply. Holds where to write the result nevertheless.
    Failed(Option<WriteTarget>),
}

/// What a value from the store can be used for.
enum Candidate {
    Usable(Arc<Entry>),
    Nothing,
    /// The entry of another deployment. This deployment's own entry, if it exists, is stored under the given key.
    Elsewhere(Option<StoreKey>),
}

/// A look-up that reads the store.
struct Fetch<'a, 'w, H> {
    core: &'a Arc<Core>,
    host: &'a Arc<H>,
    request: &'a Request<'w>,
    /// The local stamp from before the first read.
    local: Stamp,
    /// Whether a store call failed.
    failed: AtomicBool,
}

/// The outcome of one attempt to read an entry or take the lease to compute it.
enum LeaseTurn {
    Found(Vec<u8>),
    Mine(LeaseGuard),
    Theirs,
}

impl LeaseTurn {
    fn of(leased: LeasedRead, core: &Arc<Core>, name: StoreKey) -> LeaseTurn {
        match leased {
            LeasedRead::Found(bytes) => LeaseTurn::Found(bytes),
            LeasedRead::Taken(lease) => LeaseTurn::Mine(LeaseGuard::new(core, name, lease)),
            LeasedRead::Held => LeaseTurn::Theirs,
        }
    }
}

impl Tier {
    /// Reads the store on this thread, within the remaining budget of the render.
    pub(crate) fn fetch(&self, host: &Arc<impl Host>, request: &Request<'_>, caller: &mut impl Caller) -> Fetched {
        let asked = pin!(self.fetch_by(&BlockingIo, host, request, caller));
        match asked.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(fetched) => fetched,
            // Not reached: with `BlockingIo`, no future waits for another thread.
            Poll::Pending => Fetched::Nothing(None),
        }
    }

    /// Reads the store without blocking the thread.
    pub(crate) async fn fetch_async(
        &self,
        host: &Arc<impl Host>,
        request: &Request<'_>,
        caller: &mut impl Caller,
    ) -> Fetched {
        self.fetch_by(&OffloadedIo, host, request, caller).await
    }

    /// Reads the entries of these requests in as few round trips as possible. Returns the entries found, each with the
    /// index of its request.
    pub(crate) async fn prefetch<A: Caller>(
        &self,
        host: &Arc<impl Host>,
        request: &[Request<'_>],
        caller: impl Fn(&Request<'_>) -> A,
    ) -> Vec<(usize, Arc<Entry>)> {
        let is_missing = |(_, request): &(usize, &Request<'_>)| !host.holds(request.identity.hash);
        let missing: Vec<(usize, &Request<'_>)> = request.iter().enumerate().filter(is_missing).collect();
        let mut found = Vec::new();
        for requests in missing.chunks(READ_AT_ONCE) {
            if !self.core.replica.believed(replica::now()) {
                self.core.events.add(Counter::shared_skips, requests.len() as u64);
                break;
            }
            let local = host.stamp();
            let names: Vec<StoreKey> =
                requests.iter().map(|(_, request)| self.core.name(request.identity.hash)).collect();
            let Some(values) = OffloadedIo.run(&**host, &self.core, move |core| core.read(&names, core.budget)).await
            else {
                break;
            };
            for ((at, request), value) in requests.iter().zip(values) {
                let trip = Fetch { core: &self.core, host, request, local, failed: AtomicBool::new(false) };
                if let Candidate::Usable(entry) = trip.judge(value.as_deref(), &mut caller(request)) {
                    found.push((*at, entry));
                }
            }
        }
        found
    }

    async fn fetch_by(
        &self,
        io: &impl Io,
        host: &Arc<impl Host>,
        request: &Request<'_>,
        caller: &mut impl Caller,
    ) -> Fetched {
        if !request.shareable {
            return Fetched::Nothing(None);
        }
        let local = host.stamp();
        let trip = Fetch { core: &self.core, host, request, local, failed: AtomicBool::new(false) };
        if !self.core.replica.believed(replica::now()) {
            self.core.events.count(Counter::shared_skips);
            return Fetched::Failed(self.place(request));
        }
        if let Some(span) = trip.leased() {
            return trip.fetch_leased(io, span, caller).await;
        }
        let page = caller.page();
        let found = trip.ask(io, page, trip.name(), Some(request.identity.hash)).await;
        trip.settle(io, page, trip.judge(found.as_deref(), caller), caller).await
    }
}

impl<H: Host> Fetch<'_, '_, H> {
    fn name(&self) -> StoreKey {
        self.core.name(self.request.identity.hash)
    }

    /// The duration of the lease for this request. `None` inside a flight: its leader must not wait for another flight,
    /// on another node either.
    fn leased(&self) -> Option<Duration> {
        self.core.lease_of(self.request).filter(|_| !stack::in_flight(self.request.is_page()))
    }

    /// Reads a value, on a page within its remaining budget. With a hash, also reads ahead the entries that follow on
    /// the page.
    async fn ask(&self, io: &impl Io, page: Option<u64>, name: StoreKey, hash: Option<u128>) -> Option<Vec<u8>> {
        let host = Arc::clone(self.host);
        let call = move |core: &Arc<Core>| match (page, hash) {
            (Some(page), Some(hash)) => read_ahead::read(core, &*host, page, hash),
            _ => read_ahead::within(core, page, |left| Some(core.read(&[name], left)?.pop().flatten())),
        };
        let answer = io.run(&**self.host, self.core, call).await;
        self.note_failure(answer.is_none());
        answer.flatten()
    }

    fn note_failure(&self, failed: bool) {
        self.failed.fetch_or(failed, Ordering::Relaxed);
    }

    /// Reads the entry or takes the lease to compute it, repeatedly while another node has the lease.
    async fn fetch_leased(&self, io: &impl Io, span: Duration, caller: &mut impl Caller) -> Fetched {
        let name = self.name();
        let until = Instant::now() + span.min(self.core.wait_timeout);
        let (page, mut pause) = (caller.page(), FIRST_LOOK);
        loop {
            let ask = move |core: &Core, left| core.read_or_lease(name, span, left);
            let mut turn = self.take_turn(io, page, ask).await;
            if let Some(LeaseTurn::Found(bytes)) = &turn {
                match self.judge(Some(bytes), caller) {
                    // The entry exists and cannot be used. An invalidated entry is computed by one node as well.
                    Candidate::Nothing => {
                        turn = self.take_turn(io, page, move |core, left| core.lease(name, span, left)).await;
                    }
                    judged => return self.settle(io, page, judged, caller).await,
                }
                if let Some(LeaseTurn::Mine(_)) = turn
                    && let Some(entry) = self.stored_since(io, page, caller).await
                {
                    return self.concluded(Candidate::Usable(entry), name);
                }
            }
            match turn {
                Some(LeaseTurn::Mine(holding)) => {
                    self.missed();
                    return Fetched::Nothing(Some(WriteTarget { name, holding: Some(holding) }));
                }
                Some(LeaseTurn::Theirs) if Instant::now() < until => io.pause(&**self.host, pause).await,
                _ => return self.concluded(Candidate::Nothing, name),
            }
            pause = (pause * 2).min(LAST_LOOK);
        }
    }

    /// The entry that the last holder of the lease stored between the read and the lease, if it can be used.
    async fn stored_since(&self, io: &impl Io, page: Option<u64>, caller: &mut impl Caller) -> Option<Arc<Entry>> {
        let again = self.ask(io, page, self.name(), None).await;
        match self.judge(again.as_deref(), caller) {
            Candidate::Usable(entry) => Some(entry),
            Candidate::Nothing | Candidate::Elsewhere(_) => None,
        }
    }

    /// Reads the entry or takes the lease, on a page within its remaining budget.
    async fn take_turn(
        &self,
        io: &impl Io,
        page: Option<u64>,
        ask: impl FnOnce(&Core, Duration) -> Option<LeasedRead> + Send + 'static,
    ) -> Option<LeaseTurn> {
        let name = self.name();
        let call = move |core: &Arc<Core>| {
            read_ahead::within(core, page, |left| Some(LeaseTurn::of(ask(core, left)?, core, name)))
        };
        let turn = io.run(&**self.host, self.core, call).await;
        self.note_failure(turn.is_none());
        turn
    }

    /// Reads the alternate key, if there is one.
    async fn settle(&self, io: &impl Io, page: Option<u64>, judged: Candidate, caller: &mut impl Caller) -> Fetched {
        let Candidate::Elsewhere(Some(name)) = judged else { return self.concluded(judged, self.name()) };
        let found = self.ask(io, page, name, None).await;
        self.concluded(self.judge(found.as_deref(), caller), name)
    }

    fn judge(&self, bytes: Option<&[u8]>, caller: &mut impl Caller) -> Candidate {
        let Some(bytes) = bytes else { return Candidate::Nothing };
        let envelope = match self.core.seal.decode(bytes) {
            Ok(envelope) => envelope,
            Err(defect) => {
                self.core.events.count(Counter::shared_rejects);
                self.core.complain_of(defect);
                return Candidate::Nothing;
            }
        };
        let now = self.core.clock.latest();
        match self.core.open(&envelope, self.request, self.local, now, caller) {
            Ok(entry) if self.host.usable(&entry, self.request, now) && entry.record.templates_current() => {
                Candidate::Usable(Arc::new(entry))
            }
            Ok(_) | Err(Mismatch::Invalid) => Candidate::Nothing,
            Err(Mismatch::Foreign) => {
                self.core.events.count(Counter::shared_rejects);
                Candidate::Nothing
            }
            Err(Mismatch::Templates(names)) => Candidate::Elsewhere(self.alternate(&names, caller)),
        }
    }

    /// The key under which a deployment with other templates stores its own entry of this identity. It is computed from
    /// the digests that these templates have on this node.
    fn alternate(&self, templates: &[(Box<str>, Used)], caller: &mut impl Caller) -> Option<StoreKey> {
        let mut hasher = Xxh3::new();
        hasher.update(&self.name().to_le_bytes());
        for (name, used) in templates {
            let here = Dependency { used: *used, ..caller.template(name)? };
            hasher.update(&here.digest()?.to_le_bytes());
        }
        Some(hasher.digest128())
    }

    fn concluded(&self, judged: Candidate, name: StoreKey) -> Fetched {
        match judged {
            Candidate::Usable(entry) => {
                self.core.events.count(Counter::shared_hits);
                Fetched::Found(entry)
            }
            Candidate::Nothing => {
                self.missed();
                let place = Some(WriteTarget { name, holding: None });
                match self.failed.load(Ordering::Relaxed) {
                    true => Fetched::Failed(place),
                    false => Fetched::Nothing(place),
                }
            }
            // The entry is of another deployment, and it is not known yet by which templates this deployment's own
            // entry would be found.
            Candidate::Elsewhere(_) => {
                self.missed();
                Fetched::Nothing(None)
            }
        }
    }

    fn missed(&self) {
        self.core.events.count(Counter::shared_misses);
    }
}

impl Core {
    /// Reads within a budget. `None` if the breaker is open or the store fails.
    pub(super) fn read(&self, names: &[StoreKey], budget: Duration) -> Option<Vec<Option<Vec<u8>>>> {
        self.guarded(|remote, now| remote.read(names, now + budget))
    }

    fn read_or_lease(&self, name: StoreKey, span: Duration, budget: Duration) -> Option<LeasedRead> {
        self.guarded(|remote, now| remote.read_or_lease(name, span, now + budget))
    }

    fn lease(&self, name: StoreKey, span: Duration, budget: Duration) -> Option<LeasedRead> {
        self.guarded(|remote, now| remote.lease(name, span, now + budget))
            .map(|lease| lease.map_or(LeasedRead::Held, LeasedRead::Taken))
    }

    /// A background call of the store. Skipped while the breaker is open. Its outcome does not count for the breaker:
    /// it has a longer timeout than a read on the request path, so neither its success nor its failure predicts that of
    /// a read.
    pub(super) fn aside<T>(&self, call: impl FnOnce(&dyn Remote, Instant) -> Result<T, StoreFailure>) -> Option<T> {
        if self.breaker.is_open() {
            self.events.count(Counter::shared_skips);
            return None;
        }
        call(&*self.remote, Instant::now()).inspect_err(|failure| self.complain(failure)).ok()
    }

    /// Calls the store unless the breaker is open. A failure is counted, reported, and returned as `None`.
    pub(super) fn guarded<T>(&self, call: impl FnOnce(&dyn Remote, Instant) -> Result<T, StoreFailure>) -> Option<T> {
        let now = Instant::now();
        if !self.breaker.admits(now) {
            self.events.count(Counter::shared_skips);
            return None;
        }
        let outcome = call(&*self.remote, now);
        // The breaker does not need the time of a success.
        self.breaker.record(outcome.is_ok(), if outcome.is_ok() { now } else { Instant::now() });
        outcome.inspect_err(|failure| self.complain(failure)).ok()
    }
}
