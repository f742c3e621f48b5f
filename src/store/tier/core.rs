//! The state that the tier's threads and look-ups share, and the reports of store failures. The reading calls are in
//! `fetch.rs`, the writing ones in `writer.rs`.

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

/// The settings that the tier takes from the node that uses it.
pub(crate) struct NodeSettings {
    /// The cache's id.
    pub(crate) cache: u64,
    pub(crate) clock: Clock,
    pub(crate) wait_timeout: Duration,
    pub(crate) floor_slots: usize,
}

/// The state that the tier's threads and look-ups share.
pub(super) struct Core {
    /// The cache's id.
    pub(super) cache: u64,
    pub(super) clock: Clock,
    /// The longest time that a caller waits for another node's lease.
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
    /// When each kind of failure was last reported.
    pub(super) told: Mutex<[Option<Instant>; 5]>,
    /// The digest of all templates added in memory. It is part of every store key, because the cache does not see a
    /// look-up that misses such a template.
    pub(super) added: Mutex<u128>,
}

/// Where a result is written: its key in the store, and the lease that ends with the write.
pub(crate) struct WriteTarget {
    pub(super) name: StoreKey,
    pub(super) holding: Option<LeaseGuard>,
}

/// A lease that is released when the guard is dropped, so that other nodes do not wait for a cancelled call.
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

/// The shortest interval between two reports of the same kind of failure.
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

    /// The time up to which this node has received other nodes' invalidations: when the last answered synchronisation
    /// was sent.
    pub(super) fn heard(&self) -> Nanos {
        self.replica.believed_until().saturating_sub(nanos(self.bound))
    }

    /// How long one node may compute this request while the other nodes wait.
    pub(super) fn lease_of(&self, request: &Request<'_>) -> Option<Duration> {
        request.lease.or(self.lease)
    }

    /// The key of an identity in the store.
    pub(super) fn name(&self, hash: u128) -> StoreKey {
        let added = *lock(&self.added);
        let mut bytes = [0; 32];
        bytes[..16].copy_from_slice(&hash.to_le_bytes());
        bytes[16..].copy_from_slice(&added.to_le_bytes());
        xxh3_128(&bytes)
    }

    /// Counts a failure of the store. Reports it unless a failure of this kind was reported within [`QUIET`].
    pub(super) fn complain(&self, failure: &StoreFailure) {
        let at = match failure.kind {
            FailureKind::Timeout => 0,
            FailureKind::Unreachable => 1,
            FailureKind::Refused => 2,
            FailureKind::InvalidReply => 3,
        };
        self.tell_rarely(at, || format!("shared store: {failure}"));
    }

    /// Counts and reports a value that is not an envelope, in the same way.
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
