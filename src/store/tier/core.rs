//! The state that the tier's threads and look-ups share.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use xxhash_rust::xxh3::xxh3_128;

use super::jobs::{Job, JobQueue};
use super::notifier::Notifier;
use super::replica::Replica;
use super::settings::SharedTier;
use crate::error::{Error, ErrorKind};
use crate::store::breaker::Breaker;
use crate::store::envelope::{DecodeError, EnvelopeCodec, SigningKey};
use crate::store::request::Request;
use crate::store::{FailureKind, Lease, Remote, StoreFailure, StoreKey};
use crate::telemetry::report::Reporter;
use crate::telemetry::stats::{Counter, Counters};
use crate::util::clock::{Clock, Nanos, nanos};
use crate::util::sync::lock;

/// What the tier takes from the node that uses it.
pub(crate) struct NodeSettings {
    /// The cache's id.
    pub(crate) cache: u64,
    pub(crate) clock: Clock,
    pub(crate) wait_timeout: Duration,
    pub(crate) floor_slots: usize,
}

/// What its threads share.
pub(super) struct Core {
    /// The cache's id.
    pub(super) cache: u64,
    pub(super) clock: Clock,
    /// How long a caller waits for another node's lease at the most.
    pub(super) wait_timeout: Duration,
    pub(super) remote: Arc<dyn Remote>,
    pub(super) budget: Duration,
    pub(super) bound: Duration,
    pub(super) lease: Option<Duration>,
    pub(super) seal: EnvelopeCodec,
    pub(super) replica: Replica,
    pub(super) breaker: Breaker,
    pub(super) writer: JobQueue,
    pub(super) bell: Notifier,
    pub(super) events: Arc<Counters>,
    pub(super) reporter: Arc<Reporter>,
    /// When each kind of failure was last told.
    pub(super) told: Mutex<[Option<Instant>; 5]>,
    /// The digest of all templates added in memory: part of every name, since a look-up in vain for one is not seen.
    pub(super) added: Mutex<u128>,
}

/// Where a result goes: its name in the store, and the lease that ends with it.
pub(crate) struct WriteTarget {
    pub(super) name: StoreKey,
    pub(super) holding: Option<LeaseGuard>,
}

/// A lease, given back when this is dropped: so that a cancelled call keeps nobody waiting.
pub(super) struct LeaseGuard {
    pub(super) core: Arc<Core>,
    pub(super) name: StoreKey,
    pub(super) lease: Option<Lease>,
}

impl LeaseGuard {
    pub(super) fn new(core: &Arc<Core>, name: StoreKey, lease: Lease) -> LeaseGuard {
        LeaseGuard { core: Arc::clone(core), name, lease: Some(lease) }
    }
}

impl Drop for LeaseGuard {
    fn drop(&mut self) {
        if let Some(lease) = self.lease.take() {
            self.core.writer.push(Job::Release { name: self.name, lease });
        }
    }
}

/// The same failure is told once in so long.
const QUIET: Duration = Duration::from_secs(1);

impl Core {
    pub(super) fn new(tier: &SharedTier, node: NodeSettings, events: &Arc<Counters>, reporter: &Arc<Reporter>) -> Core {
        let key = tier.secret.as_deref().and_then(SigningKey::new);
        let seal = EnvelopeCodec::new(tier.compress_above.saturating_add(1), tier.max_value_bytes, key);
        let NodeSettings { cache, clock, wait_timeout, floor_slots } = node;
        Core {
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
            writer: JobQueue::default(),
            bell: Notifier::default(),
            events: Arc::clone(events),
            reporter: Arc::clone(reporter),
            told: Mutex::new([None; 5]),
            added: Mutex::new(0),
        }
    }

    /// Until when other nodes' invalidations have been heard, as long as that is believed.
    pub(super) fn heard(&self) -> Nanos {
        self.replica.believed_until().saturating_sub(nanos(self.bound))
    }

    /// How long one node may compute what is request while the others wait.
    pub(super) fn lease_of(&self, request: &Request<'_>) -> Option<Duration> {
        request.lease.or(self.lease)
    }

    /// What an identity is stored under.
    pub(super) fn name(&self, hash: u128) -> StoreKey {
        let added = *lock(&self.added);
        let mut bytes = [0; 32];
        bytes[..16].copy_from_slice(&hash.to_le_bytes());
        bytes[16..].copy_from_slice(&added.to_le_bytes());
        xxh3_128(&bytes)
    }

    /// Counts a failure of the store, and tells it unless its like was told just now.
    pub(super) fn complain(&self, failure: &StoreFailure) {
        let at = match failure.kind {
            FailureKind::Timeout => 0,
            FailureKind::Unreachable => 1,
            FailureKind::Refused => 2,
            FailureKind::InvalidReply => 3,
        };
        self.tell_rarely(at, || format!("shared store: {failure}"));
    }

    /// The same of a value that is no entry.
    pub(super) fn complain_of(&self, defect: DecodeError) {
        self.tell_rarely(4, || format!("shared store, {}: a value {defect}", self.remote.describe()));
    }

    pub(super) fn tell_rarely(&self, at: usize, message: impl FnOnce() -> String) {
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
