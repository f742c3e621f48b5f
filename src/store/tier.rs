//! The second tier: a store that several processes share, behind memory.
//!
//! Owns how its parts hang together. `tier.rs` is its configuration; `read.rs` asks it on a miss, `write.rs` tells it
//! results, `convert.rs` turns entries into envelopes and back, `replica.rs` and `backplane.rs` keep the floors of all
//! nodes, `trail.rs` remembers what a page asks for. What a store is, is in `store.rs`.
//!
//! Without the feature `disabled.rs` stands in: a tier that cannot be made.

mod backplane;
mod convert;
mod fetch;
mod read_ahead;
mod replica;
mod settings;
mod writer;

use std::fmt;
use std::sync::{Arc, Mutex, Weak};
use std::task::Waker;
use std::time::{Duration, Instant};

use xxhash_rust::xxh3::xxh3_128;

use self::backplane::Bell;
pub(crate) use self::fetch::Fetched;
use self::replica::Replica;
pub(crate) use self::replica::Ticket;
pub(crate) use self::settings::LONGEST_LEASE;
pub use self::settings::SharedTier;
use self::writer::{Job, Writer};
use crate::error::{Error, ErrorKind};
use crate::invalidation::floors::{Stamp, TagHash};
use crate::store::breaker::Breaker;
use crate::store::entry::Entry;
use crate::store::envelope::{DecodeError, EnvelopeCodec, SigningKey};
use crate::store::host::Host;
use crate::store::request::Wanted;
use crate::store::{FailureKind, Lease, Remote, StoreFailure, StoreKey};
use crate::telemetry::report::Reporter;
use crate::telemetry::stats::{Counter, Counters};
use crate::util::clock::{Clock, FAR, Nanos, nanos};
use crate::util::sync::lock;

/// How the shared tier is doing; see [`FragmentCache::shared_status`](crate::FragmentCache::shared_status).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SharedStatus {
    /// Which store, and where; without a password.
    pub store: String,
    /// Whether this node has heard from the store within the staleness bound. If not, it computes what it serves.
    pub in_touch: bool,
    /// Whether pages leave the store alone because it kept failing.
    pub breaker_open: bool,
    /// Invalidations made here that the store does not have yet.
    pub untold: usize,
}

/// What the tier takes from the node that uses it.
pub(crate) struct NodeSettings {
    /// The cache's id.
    pub(crate) cache: u64,
    pub(crate) clock: Clock,
    pub(crate) wait_timeout: Duration,
    pub(crate) floor_slots: usize,
}

/// The tier at work; stops when dropped.
pub(crate) struct Shared {
    core: Arc<Core>,
}

/// What its threads share.
struct Core {
    /// The cache's id.
    cache: u64,
    clock: Clock,
    /// How long a caller waits for another node's lease at the most.
    wait_timeout: Duration,
    remote: Arc<dyn Remote>,
    budget: Duration,
    bound: Duration,
    lease: Option<Duration>,
    seal: EnvelopeCodec,
    replica: Replica,
    breaker: Breaker,
    writer: Writer,
    bell: Bell,
    events: Arc<Counters>,
    reporter: Arc<Reporter>,
    /// When each kind of failure was last told.
    told: Mutex<[Option<Instant>; 5]>,
    /// The digest of all templates added in memory: part of every name, since a look-up in vain for one is not seen.
    added: Mutex<u128>,
}

/// Where a result goes: its name in the store, and the lease that ends with it.
pub(crate) struct Place {
    name: StoreKey,
    holding: Option<Holding>,
}

/// A lease, given back when this is dropped: so that a cancelled call keeps nobody waiting.
struct Holding {
    core: Arc<Core>,
    name: StoreKey,
    lease: Option<Lease>,
}

impl Holding {
    fn new(core: &Arc<Core>, name: StoreKey, lease: Lease) -> Holding {
        Holding { core: Arc::clone(core), name, lease: Some(lease) }
    }
}

impl Drop for Holding {
    fn drop(&mut self) {
        if let Some(lease) = self.lease.take() {
            self.core.writer.push(Job::Release { name: self.name, lease });
        }
    }
}

/// The same failure is told once in so long.
const QUIET: Duration = Duration::from_secs(1);

impl Shared {
    pub(crate) fn new(
        tier: &SharedTier,
        node: NodeSettings,
        events: &Arc<Counters>,
        reporter: &Arc<Reporter>,
    ) -> Shared {
        let key = tier.secret.as_deref().and_then(SigningKey::new);
        let seal = EnvelopeCodec::new(tier.compress_above.saturating_add(1), tier.max_value_bytes, key);
        let NodeSettings { cache, clock, wait_timeout, floor_slots } = node;
        let core = Core {
            cache,
            clock,
            wait_timeout,
            remote: Arc::clone(&tier.remote),
            budget: tier.budget,
            bound: tier.bound,
            lease: tier.lease,
            seal,
            replica: Replica::new(floor_slots),
            breaker: Breaker::new(),
            writer: Writer::default(),
            bell: Bell::default(),
            events: Arc::clone(events),
            reporter: Arc::clone(reporter),
            told: Mutex::new([None; 5]),
            added: Mutex::new(0),
        };
        Shared { core: Arc::new(core) }
    }

    /// Starts the threads that ask, listen and write.
    pub(crate) fn start(&self, host: &Weak<dyn Host>, clock: &Clock) -> Result<(), Error> {
        backplane::start(&self.core, host, clock)
    }

    /// The shared stamp of work that begins here.
    pub(crate) fn stamp(&self) -> Stamp {
        self.core.replica.stamp()
    }

    /// Whether the store is being told of an invalidation made here.
    pub(crate) fn is_telling(&self, tag: TagHash) -> bool {
        self.core.replica.is_pending(tag)
    }

    /// Whether work with this shared stamp is from after every invalidation of a tag that is known here.
    pub(crate) fn admits(&self, stamp: Stamp, tag: TagHash) -> bool {
        self.core.replica.admits(stamp, [tag])
    }

    /// Notes an invalidation made here: before its floor is raised.
    pub(crate) fn invalidate(&self, tag: TagHash) -> Ticket {
        self.core.replica.invalidate(tag)
    }

    /// Has the store told of invalidations noted: after their floors are raised.
    pub(crate) fn tell(&self, ticket: Ticket) -> Confirmation {
        self.core.bell.ring();
        Confirmation { core: Arc::clone(&self.core), ticket }
    }

    /// Whether no invalidation that was to be heard by a caller who came at `arrived` can be unknown here.
    pub(crate) fn believes(&self, arrived: Nanos, clock: &Clock) -> bool {
        self.core.replica.believed(if clock.is_manual() { Clock::System.latest() } else { arrived })
    }

    /// Whether something valid as of a moment is younger than the bound, so that it may be served whatever was heard. A
    /// clock moved by hand says nothing about that.
    pub(crate) fn is_young(&self, as_of: Nanos, arrived: Nanos, clock: &Clock) -> bool {
        !clock.is_manual() && arrived < as_of.saturating_add(nanos(self.core.bound))
    }

    /// Whether a look-up asks the store before it computes, for no longer than a budget: with a lease it may wait for
    /// another node's work, which is as good as computing.
    pub(crate) fn asks(&self, wanted: &Wanted<'_>) -> bool {
        wanted.shareable && self.core.lease_of(wanted).is_none()
    }

    /// As of when something is valid that is served to a caller who came at `arrived`.
    pub(crate) fn as_of(&self, entry: &Entry, arrived: Nanos) -> Nanos {
        let as_of = entry.record.as_of();
        if self.core.replica.believed(arrived) { as_of.max(self.core.heard()) } else { as_of }
    }

    /// Where a result goes of which the store was not asked.
    pub(crate) fn place(&self, wanted: &Wanted<'_>) -> Option<Place> {
        wanted.shareable.then(|| Place { name: self.core.name(wanted.identity.hash), holding: None })
    }

    /// Has a result written, some time soon.
    pub(crate) fn put(&self, place: Place, entry: &Arc<Entry>) {
        let lease = place.holding.and_then(|mut holding| holding.lease.take());
        self.core.writer.push(Job::Store { name: place.name, entry: Arc::clone(entry), lease });
    }

    /// Notes a template added in memory, or one replaced by another: the sum of both digests.
    pub(crate) fn note_added(&self, change: u128) {
        let mut added = lock(&self.core.added);
        *added = added.wrapping_add(change);
    }

    /// Blocks until the store has all that is to be written and told, or given up; whether it has.
    pub(crate) fn flush(&self, patience: Duration) -> bool {
        let patience = patience.min(FAR);
        let deadline = Instant::now() + patience;
        let (_, last) = self.core.replica.untold();
        self.core.writer.flush(patience) && self.core.replica.wait(last, deadline)
    }

    pub(crate) fn status(&self) -> SharedStatus {
        SharedStatus {
            store: self.core.remote.describe(),
            in_touch: self.core.replica.believed(replica::now()),
            breaker_open: self.core.breaker.is_open(),
            untold: self.core.replica.pending_count(),
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.core.bell.stop();
        self.core.writer.stop();
    }
}

impl Core {
    /// Until when other nodes' invalidations have been heard, as long as that is believed.
    fn heard(&self) -> Nanos {
        self.replica.believed_until().saturating_sub(nanos(self.bound))
    }

    /// How long one node may compute what is wanted while the others wait.
    fn lease_of(&self, wanted: &Wanted<'_>) -> Option<Duration> {
        wanted.lease.or(self.lease)
    }

    /// What an identity is stored under.
    fn name(&self, hash: u128) -> StoreKey {
        let added = *lock(&self.added);
        let mut bytes = [0; 32];
        bytes[..16].copy_from_slice(&hash.to_le_bytes());
        bytes[16..].copy_from_slice(&added.to_le_bytes());
        xxh3_128(&bytes)
    }

    /// Counts a failure of the store, and tells it unless its like was told just now.
    fn complain(&self, failure: &StoreFailure) {
        let at = match failure.kind {
            FailureKind::Timeout => 0,
            FailureKind::Unreachable => 1,
            FailureKind::Refused => 2,
            FailureKind::InvalidReply => 3,
        };
        self.tell_rarely(at, || format!("shared store: {failure}"));
    }

    /// The same of a value that is no entry.
    fn complain_of(&self, defect: DecodeError) {
        self.tell_rarely(4, || format!("shared store, {}: a value {defect}", self.remote.describe()));
    }

    fn tell_rarely(&self, at: usize, message: impl FnOnce() -> String) {
        self.events.count(Counter::shared_failures);
        let now = Instant::now();
        let mut told = lock(&self.told);
        if told[at].is_none_or(|last| now.duration_since(last) >= QUIET) {
            told[at] = Some(now);
            drop(told);
            self.reporter.report(&Error::new(ErrorKind::Store, message()));
        }
    }
}

/// An invalidation on its way to the store.
pub(crate) struct Confirmation {
    core: Arc<Core>,
    ticket: Ticket,
}

impl Confirmation {
    /// Blocks until the store has it, or until the deadline; whether it has.
    pub(crate) fn wait(&self, deadline: Instant) -> bool {
        self.core.replica.wait(self.ticket, deadline)
    }

    /// Whether the store has it; if not, the waker is called when it has.
    pub(crate) fn poll(&self, waker: &Waker) -> bool {
        self.core.replica.poll(self.ticket, waker)
    }

    pub(crate) fn place(&self) -> String {
        self.core.remote.describe()
    }
}

impl Drop for Confirmation {
    fn drop(&mut self) {
        self.core.replica.forget(self.ticket);
    }
}

impl fmt::Debug for Confirmation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Confirmation").field("ticket", &self.ticket).finish_non_exhaustive()
    }
}
