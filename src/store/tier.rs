//! The second tier: a store that several processes share, behind memory.
//!
//! Owns what the cache calls. `settings.rs` is the configuration, `core.rs` the state that look-ups and threads share.
//! `fetch.rs` reads entries on a miss, by way of `io.rs`; `read_ahead.rs` reads those that a page used last time. `writer.rs`
//! writes what `jobs.rs` queues. `convert.rs` turns entries into envelopes and back. `replica.rs` holds the floors of all
//! nodes, `backplane.rs` synchronises them, `notifier.rs` wakes it. Stores themselves are in `store/`.
//!
//! Without the feature `shared`, `disabled.rs` stands in: a tier without values.

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

/// The tier at work; stops when dropped.
pub(crate) struct Tier {
    core: Arc<Core>,
}

impl Tier {
    pub(crate) fn new(tier: &SharedTier, node: NodeSettings, events: &Arc<Counters>, reporter: &Arc<Reporter>) -> Tier {
        Tier { core: Arc::new(Core::new(tier, node, events, reporter)) }
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
    pub(crate) fn is_publishing(&self, tag: TagHash) -> bool {
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
    pub(crate) fn is_synced(&self, arrived: Nanos, clock: &Clock) -> bool {
        self.core.replica.believed(if clock.is_manual() { Clock::System.latest() } else { arrived })
    }

    /// Whether something valid as of a moment is younger than the bound, so that it may be served whatever was heard. A
    /// clock moved by hand says nothing about that.
    pub(crate) fn is_within_bound(&self, as_of: Nanos, arrived: Nanos, clock: &Clock) -> bool {
        !clock.is_manual() && arrived < as_of.saturating_add(nanos(self.core.bound))
    }

    /// Whether a look-up asks the store before it computes, for no longer than a budget: with a lease it may wait for
    /// another node's work, which is as good as computing.
    pub(crate) fn asks(&self, request: &Request<'_>) -> bool {
        request.shareable && self.core.lease_of(request).is_none()
    }

    /// As of when something is valid that is served to a caller who came at `arrived`.
    pub(crate) fn as_of(&self, entry: &Entry, arrived: Nanos) -> Nanos {
        let as_of = entry.record.as_of();
        if self.core.replica.believed(arrived) { as_of.max(self.core.heard()) } else { as_of }
    }

    /// Where a result goes of which the store was not asked.
    pub(crate) fn place(&self, request: &Request<'_>) -> Option<WriteTarget> {
        request.shareable.then(|| WriteTarget { name: self.core.name(request.identity.hash), holding: None })
    }

    /// Has a result written, some time soon.
    pub(crate) fn put(&self, place: WriteTarget, entry: &Arc<Entry>) {
        let lease = place.holding.and_then(|mut holding| holding.lease.take());
        self.core.writer.push(Job::Store { name: place.name, entry: Arc::clone(entry), lease });
    }

    /// Notes a template added in memory, or one replaced by another: the sum of both digests.
    pub(crate) fn note_added(&self, change: u128) {
        let mut added = lock(&self.core.added);
        *added = added.wrapping_add(change);
    }

    /// Waits on what is left of the budget: a render's, on a page.
    pub(crate) fn on_budget<R>(&self, page: Option<u64>, wait: impl FnOnce(&mut Duration) -> R) -> R {
        read_ahead::on_budget(&self.core, page, wait)
    }

    /// Keeps what the render that ends on this thread asked for.
    pub(crate) fn render_ended(&self) {
        read_ahead::render_ended(&self.core);
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

impl Drop for Tier {
    fn drop(&mut self) {
        self.core.bell.stop();
        self.core.writer.stop();
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
