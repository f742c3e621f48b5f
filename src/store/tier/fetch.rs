//! Asking the store: one round trip within a budget, and what its answer is worth.
//!
//! A look-up comes here once per flight, when memory holds nothing of use. Whatever goes wrong is a miss.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use xxhash_rust::xxh3::Xxh3;

use super::convert::Unfit;
use super::core::{Core, Holding, WriteTarget};
use super::io::{BlockingIo, Io, OffloadedIo};
use super::read_ahead;
use super::{Tier, replica};
use crate::invalidation::dependencies::Dependency;
use crate::invalidation::floors::Stamp;
use crate::invalidation::stack;
use crate::invalidation::template_version::Used;
use crate::store::caller::Asker;
use crate::store::entry::Entry;
use crate::store::host::Host;
use crate::store::request::Wanted;
use crate::store::{LeasedRead, Remote, StoreFailure, StoreKey};
use crate::telemetry::stats::Counter;

/// How often one who waits for another node's lease looks again, at first and at last.
const FIRST_LOOK: Duration = Duration::from_millis(2);
const LAST_LOOK: Duration = Duration::from_millis(50);

/// Values in one read.
const READ_AT_ONCE: usize = 256;

/// What the store had to say.
pub(crate) enum Fetched {
    Found(Arc<Entry>),
    /// Nothing of use; where the result is to be put once it is computed, if anywhere.
    Nothing(Option<WriteTarget>),
    /// Nothing was heard; where the result is to be put all the same.
    Failed(Option<WriteTarget>),
}

/// What a value from the store is worth.
enum Judged {
    Usable(Arc<Entry>),
    Nothing,
    /// Another deployment's; one's own, if there is one, is under this name.
    Elsewhere(Option<StoreKey>),
}

/// A look-up on its way to the store and back.
struct Trip<'a, 'w, H> {
    core: &'a Arc<Core>,
    host: &'a Arc<H>,
    wanted: &'a Wanted<'w>,
    /// Sampled before anything is asked.
    local: Stamp,
    /// Whether a question was not answered.
    failed: AtomicBool,
}

/// What came of asking for an entry or the lease to compute it.
enum Turn {
    Found(Vec<u8>),
    Mine(Holding),
    Theirs,
}

impl Turn {
    fn of(leased: LeasedRead, core: &Arc<Core>, name: StoreKey) -> Turn {
        match leased {
            LeasedRead::Found(bytes) => Turn::Found(bytes),
            LeasedRead::Taken(lease) => Turn::Mine(Holding::new(core, name, lease)),
            LeasedRead::Held => Turn::Theirs,
        }
    }
}

impl Tier {
    /// Asks on this thread, at most for what is left of the render's budget.
    pub(crate) fn fetch(&self, host: &Arc<impl Host>, wanted: &Wanted<'_>, asker: &mut impl Asker) -> Fetched {
        let asked = pin!(self.fetch_by(&BlockingIo, host, wanted, asker));
        match asked.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(fetched) => fetched,
            // Not reached: nothing in there waits for anything but this thread.
            Poll::Pending => Fetched::Nothing(None),
        }
    }

    /// Asks without blocking the thread.
    pub(crate) async fn fetch_async(
        &self,
        host: &Arc<impl Host>,
        wanted: &Wanted<'_>,
        asker: &mut impl Asker,
    ) -> Fetched {
        self.fetch_by(&OffloadedIo, host, wanted, asker).await
    }

    /// Reads what these requests would ask for, in as few round trips as may be: the entries found, by request.
    pub(crate) async fn prefetch<A: Asker>(
        &self,
        host: &Arc<impl Host>,
        wanted: &[Wanted<'_>],
        asker: impl Fn(&Wanted<'_>) -> A,
    ) -> Vec<(usize, Arc<Entry>)> {
        let is_missing = |(_, wanted): &(usize, &Wanted<'_>)| !host.holds(wanted.identity.hash);
        let missing: Vec<(usize, &Wanted<'_>)> = wanted.iter().enumerate().filter(is_missing).collect();
        let mut found = Vec::new();
        for requests in missing.chunks(READ_AT_ONCE) {
            if !self.core.replica.believed(replica::now()) {
                self.core.events.add(Counter::shared_skips, requests.len() as u64);
                break;
            }
            let local = host.stamp();
            let names: Vec<StoreKey> =
                requests.iter().map(|(_, wanted)| self.core.name(wanted.identity.hash)).collect();
            let Some(values) = OffloadedIo.run(&**host, &self.core, move |core| core.read(&names, core.budget)).await
            else {
                break;
            };
            for ((at, wanted), value) in requests.iter().zip(values) {
                let trip = Trip { core: &self.core, host, wanted, local, failed: AtomicBool::new(false) };
                if let Judged::Usable(entry) = trip.judge(value.as_deref(), &mut asker(wanted)) {
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
        wanted: &Wanted<'_>,
        asker: &mut impl Asker,
    ) -> Fetched {
        if !wanted.shareable {
            return Fetched::Nothing(None);
        }
        let local = host.stamp();
        let trip = Trip { core: &self.core, host, wanted, local, failed: AtomicBool::new(false) };
        if !self.core.replica.believed(replica::now()) {
            self.core.events.count(Counter::shared_skips);
            return Fetched::Failed(self.place(wanted));
        }
        if let Some(span) = trip.leased() {
            return trip.fetch_leased(io, span, asker).await;
        }
        let page = asker.page();
        let found = trip.ask(io, page, trip.name(), Some(wanted.identity.hash)).await;
        trip.settle(io, page, trip.judge(found.as_deref(), asker), asker).await
    }
}

impl<H: Host> Trip<'_, '_, H> {
    fn name(&self) -> StoreKey {
        self.core.name(self.wanted.identity.hash)
    }

    /// How long to lease what is to be computed. One who leads a flight waits for nobody, on another node neither.
    fn leased(&self) -> Option<Duration> {
        self.core.lease_of(self.wanted).filter(|_| !stack::in_flight(self.wanted.is_page()))
    }

    /// Asks for a value: on a page, on what is left of its budget. With a hash, what follows on the page is read ahead.
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

    /// Asks for the entry or the lease to compute it, again and again while another node holds that.
    async fn fetch_leased(&self, io: &impl Io, span: Duration, asker: &mut impl Asker) -> Fetched {
        let name = self.name();
        let until = Instant::now() + span.min(self.core.wait_timeout);
        let (page, mut pause) = (asker.page(), FIRST_LOOK);
        loop {
            let ask = move |core: &Core, left| core.read_or_lease(name, span, left);
            let mut turn = self.take_turn(io, page, ask).await;
            if let Some(Turn::Found(bytes)) = &turn {
                match self.judge(Some(bytes), asker) {
                    // Still there, and of no use: what was invalidated is computed by one node as well.
                    Judged::Nothing => {
                        turn = self.take_turn(io, page, move |core, left| core.lease(name, span, left)).await
                    }
                    judged => return self.settle(io, page, judged, asker).await,
                }
                if let Some(Turn::Mine(_)) = turn
                    && let Some(entry) = self.stored_since(io, page, asker).await
                {
                    return self.concluded(Judged::Usable(entry), name);
                }
            }
            match turn {
                Some(Turn::Mine(holding)) => {
                    self.missed();
                    return Fetched::Nothing(Some(WriteTarget { name, holding: Some(holding) }));
                }
                Some(Turn::Theirs) if Instant::now() < until => io.pause(&**self.host, pause).await,
                _ => return self.concluded(Judged::Nothing, name),
            }
            pause = (pause * 2).min(LAST_LOOK);
        }
    }

    /// The entry that the last holder of the lease stored between the look and the lease, if it is of use.
    async fn stored_since(&self, io: &impl Io, page: Option<u64>, asker: &mut impl Asker) -> Option<Arc<Entry>> {
        let again = self.ask(io, page, self.name(), None).await;
        match self.judge(again.as_deref(), asker) {
            Judged::Usable(entry) => Some(entry),
            Judged::Nothing | Judged::Elsewhere(_) => None,
        }
    }

    /// Asks for the entry or the lease: on a page, on what is left of its budget.
    async fn take_turn(
        &self,
        io: &impl Io,
        page: Option<u64>,
        ask: impl FnOnce(&Core, Duration) -> Option<LeasedRead> + Send + 'static,
    ) -> Option<Turn> {
        let name = self.name();
        let call =
            move |core: &Arc<Core>| read_ahead::within(core, page, |left| Some(Turn::of(ask(core, left)?, core, name)));
        let turn = io.run(&**self.host, self.core, call).await;
        self.note_failure(turn.is_none());
        turn
    }

    /// Looks in the other place where there is one.
    async fn settle(&self, io: &impl Io, page: Option<u64>, judged: Judged, asker: &mut impl Asker) -> Fetched {
        let Judged::Elsewhere(Some(name)) = judged else { return self.concluded(judged, self.name()) };
        let found = self.ask(io, page, name, None).await;
        self.concluded(self.judge(found.as_deref(), asker), name)
    }

    fn judge(&self, bytes: Option<&[u8]>, asker: &mut impl Asker) -> Judged {
        let Some(bytes) = bytes else { return Judged::Nothing };
        let envelope = match self.core.seal.decode(bytes) {
            Ok(envelope) => envelope,
            Err(defect) => {
                self.core.events.count(Counter::shared_rejects);
                self.core.complain_of(defect);
                return Judged::Nothing;
            }
        };
        let now = self.core.clock.latest();
        match self.core.open(&envelope, self.wanted, self.local, now, asker) {
            Ok(entry) if self.host.usable(&entry, self.wanted, now) && entry.record.templates_current() => {
                Judged::Usable(Arc::new(entry))
            }
            Ok(_) | Err(Unfit::Invalid) => Judged::Nothing,
            Err(Unfit::Foreign) => {
                self.core.events.count(Counter::shared_rejects);
                Judged::Nothing
            }
            Err(Unfit::Templates(names)) => Judged::Elsewhere(self.alternate(&names, asker)),
        }
    }

    /// Where a deployment with other templates keeps its own result of this identity: computed from the digests that
    /// these templates have here.
    fn alternate(&self, templates: &[(Box<str>, Used)], asker: &mut impl Asker) -> Option<StoreKey> {
        let mut hasher = Xxh3::new();
        hasher.update(&self.name().to_le_bytes());
        for (name, used) in templates {
            let here = Dependency { used: *used, ..asker.template(name)? };
            hasher.update(&here.digest()?.to_le_bytes());
        }
        Some(hasher.digest128())
    }

    fn concluded(&self, judged: Judged, name: StoreKey) -> Fetched {
        match judged {
            Judged::Usable(entry) => {
                self.core.events.count(Counter::shared_hits);
                Fetched::Found(entry)
            }
            Judged::Nothing => {
                self.missed();
                let place = Some(WriteTarget { name, holding: None });
                match self.failed.load(Ordering::Relaxed) {
                    true => Fetched::Failed(place),
                    false => Fetched::Nothing(place),
                }
            }
            // Held by another deployment, and by which templates one's own would be found is not known yet.
            Judged::Elsewhere(_) => {
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
    /// Reads within a budget, if the breaker lets it.
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

    /// Calls the store from where nobody waits: unless the breaker is open, about which this says nothing. A write has
    /// more time than a page, so its success is no reason to ask again on a page, nor its failure one not to.
    pub(super) fn aside<T>(&self, call: impl FnOnce(&dyn Remote, Instant) -> Result<T, StoreFailure>) -> Option<T> {
        if self.breaker.is_open() {
            self.events.count(Counter::shared_skips);
            return None;
        }
        call(&*self.remote, Instant::now()).inspect_err(|failure| self.complain(failure)).ok()
    }

    /// Calls the store unless the breaker is open; a failure is counted, reported, and `None`.
    pub(super) fn guarded<T>(&self, call: impl FnOnce(&dyn Remote, Instant) -> Result<T, StoreFailure>) -> Option<T> {
        let now = Instant::now();
        if !self.breaker.admits(now) {
            self.events.count(Counter::shared_skips);
            return None;
        }
        let outcome = call(&*self.remote, now);
        // A success needs no time of its own.
        self.breaker.record(outcome.is_ok(), if outcome.is_ok() { now } else { Instant::now() });
        outcome.inspect_err(|failure| self.complain(failure)).ok()
    }
}
