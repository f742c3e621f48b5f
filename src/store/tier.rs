//! The second tier: a store that several processes share, behind memory.
//!
//! Owns the interface that the cache calls. `settings.rs` is the configuration, `core.rs` the state that look-ups and
//! threads share. `fetch.rs` reads entries on a miss, through `io.rs`; `read_ahead.rs` reads the entries that a page
//! used last time. `writer.rs` writes the jobs that `jobs.rs` queues. `convert.rs` converts entries into envelopes and
//! back. `replica.rs` holds the floors of all nodes, `backplane.rs` synchronises them, `notifier.rs` wakes the thread
//! that does so. The stores themselves are in `store/`, behind the interface `remote.rs`.
//!
//! Without the feature `shared`, `disabled.rs` takes the place of this file: a tier without values.

mod backplane;
mod convert;
mod core;
mod fetch;
mod io;
mod jobs;
mod notifier;
mod read_ahead;
mod replica;
mod settings;
mod writer;

use std::fmt;
use std::sync::{Arc, Weak};
use std::task::Waker;
use std::time::{Duration, Instant};

use self::core::Core;
pub(crate) use self::core::{NodeSettings, WriteTarget};
pub(crate) use self::fetch::Fetched;
use self::jobs::Job;
pub(crate) use self::replica::Ticket;
pub(crate) use self::settings::LONGEST_LEASE;
pub use self::settings::SharedTier;
use crate::error::Error;
use crate::invalidation::floors::{Stamp, TagHash};
use crate::store::entry::Entry;
use crate::store::host::Host;
use crate::store::request::Request;
use crate::telemetry::report::Reporter;
use crate::telemetry::stats::Counters;
use crate::util::clock::{Clock, FAR, Nanos, nanos};
use crate::util::sync::lock;

/// The state of the shared tier; see [`FragmentCache::shared_status`](crate::FragmentCache::shared_status).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SharedStatus {
    /// Kind and address of the store, without a password.
    pub store: String,
    /// Whether this node has synchronised with the store within the staleness bound. If not, it computes every result
    /// that it serves.
    pub in_touch: bool,
    /// Whether the circuit breaker is open: pages do not call the store, because it kept failing.
    pub breaker_open: bool,
    /// The number of invalidations made on this node that the store has not confirmed.
    pub untold: usize,
}

/// The running tier. Its threads stop when it is dropped.
pub(crate) struct Tier {
    core: Arc<Core>,
}

impl Tier {
    pub(crate) fn new(tier: &SharedTier, node: NodeSettings, events: &Arc<Counters>, reporter: &Arc<Reporter>) -> Tier {
        Tier { core: Arc::new(Core::new(tier, node, events, reporter)) }
    }

    /// Starts the threads that synchronise, listen and write.
    pub(crate) fn start(&self, host: &Weak<dyn Host>, clock: &Clock) -> Result<(), Error> {
        backplane::start(&self.core, host, clock)
    }

    /// The shared stamp of a computation that begins at this call.
    pub(crate) fn stamp(&self) -> Stamp {
        self.core.replica.stamp()
    }

    /// Whether an invalidation of this tag, made on this node, is not confirmed by the store.
    pub(crate) fn is_publishing(&self, tag: TagHash) -> bool {
        self.core.replica.is_pending(tag)
    }

    /// Whether no invalidation of a tag that this node has received came after this shared stamp.
    pub(crate) fn admits(&self, stamp: Stamp, tag: TagHash) -> bool {
        self.core.replica.admits(stamp, [tag])
    }

    /// Records an invalidation made on this node. Call it before the local floor is raised.
    pub(crate) fn invalidate(&self, tag: TagHash) -> Ticket {
        self.core.replica.invalidate(tag)
    }

    /// Wakes the thread that publishes recorded invalidations. Call it after their local floors are raised.
    pub(crate) fn tell(&self, ticket: Ticket) -> Confirmation {
        self.core.bell.ring();
        Confirmation { core: Arc::clone(&self.core), ticket }
    }

    /// Whether this node has received every invalidation that a caller who arrived at `arrived` must see.
    pub(crate) fn is_synced(&self, arrived: Nanos, clock: &Clock) -> bool {
        self.core.replica.believed(if clock.is_manual() { Clock::System.latest() } else { arrived })
    }

    /// Whether a result that is valid as of `as_of` is younger than the staleness bound, so that it may be served
    /// without a recent synchronisation. Always false with a clock that is moved by hand, which has no relation to the
    /// bound.
    pub(crate) fn is_within_bound(&self, as_of: Nanos, arrived: Nanos, clock: &Clock) -> bool {
        !clock.is_manual() && arrived < as_of.saturating_add(nanos(self.core.bound))
    }

    /// Whether a look-up reads the store before it computes, and waits no longer than the budget. False with a lease:
    /// the look-up may then wait for another node's computation, which takes as long as computing.
    pub(crate) fn asks(&self, request: &Request<'_>) -> bool {
        request.shareable && self.core.lease_of(request).is_none()
    }

    /// The time as of which an entry is valid that is served to a caller who arrived at `arrived`.
    pub(crate) fn as_of(&self, entry: &Entry, arrived: Nanos) -> Nanos {
        let as_of = entry.record.as_of();
        if self.core.replica.believed(arrived) { as_of.max(self.core.heard()) } else { as_of }
    }

    /// The place for a result for which the store was not read.
    pub(crate) fn place(&self, request: &Request<'_>) -> Option<WriteTarget> {
        request.shareable.then(|| WriteTarget { name: self.core.name(request.identity.hash), holding: None })
    }

    /// Queues a result for writing.
    pub(crate) fn put(&self, place: WriteTarget, entry: &Arc<Entry>) {
        let lease = place.holding.and_then(|mut holding| holding.lease.take());
        self.core.writer.push(Job::Store { name: place.name, entry: Arc::clone(entry), lease });
    }

    /// Records a template added in memory or replaced: `change` is its share of the digest, minus the share it had
    /// before.
    pub(crate) fn note_added(&self, change: u128) {
        let mut added = lock(&self.core.added);
        *added = added.wrapping_add(change);
    }

    /// Waits within the remaining budget: that of the render, on a page.
    pub(crate) fn on_budget<R>(&self, page: Option<u64>, wait: impl FnOnce(&mut Duration) -> R) -> R {
        read_ahead::on_budget(&self.core, page, wait)
    }

    /// Stores the list of the entries that the render ending on this thread read.
    pub(crate) fn render_ended(&self) {
        read_ahead::render_ended(&self.core);
    }

    /// Blocks until the store has all queued writes and invalidations, or until they are given up. Returns whether the
    /// store has them.
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

impl Drop for Tier {
    fn drop(&mut self) {
        self.core.bell.stop();
        self.core.writer.stop();
    }
}

/// An invalidation that is being published to the store.
pub(crate) struct Confirmation {
    core: Arc<Core>,
    ticket: Ticket,
}

impl Confirmation {
    /// Blocks until the store has it, or until the deadline. Returns whether the store has it.
    pub(crate) fn wait(&self, deadline: Instant) -> bool {
        self.core.replica.wait(self.ticket, deadline)
    }

    /// Whether the store has it. If not, the waker is called when it has.
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
