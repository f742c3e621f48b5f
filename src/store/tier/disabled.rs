//! The shared tier without the feature `shared`: types without values, so that the code that uses the tier compiles and
//! costs nothing. The tier itself is in `tier.rs`.

use std::sync::Arc;
use std::task::Waker;
use std::time::{Duration, Instant};

use crate::error::Error;
use crate::invalidation::floors::{Stamp, TagHash};
use crate::store::caller::Caller;
use crate::store::entry::Entry;
use crate::store::request::Request;
use crate::telemetry::report::Reporter;
use crate::telemetry::stats::Counters;
use crate::util::clock::{Clock, Nanos};

pub(crate) type Ticket = u64;

/// The settings that the tier takes from the node that uses it.
#[expect(dead_code, reason = "there is no tier")]
pub(crate) struct NodeSettings {
    pub(crate) cache: u64,
    pub(crate) clock: Clock,
    pub(crate) wait_timeout: Duration,
    pub(crate) floor_slots: usize,
}

#[derive(Debug, Clone)]
pub(crate) enum SharedTier {}

#[derive(Debug)]
pub(crate) enum WriteTarget {}

#[derive(Debug)]
pub(crate) enum Confirmation {}

pub(crate) enum Tier {}

#[expect(dead_code, reason = "there is no tier")]
pub(crate) enum Fetched {
    Found(Arc<Entry>),
    Nothing(Option<WriteTarget>),
    Failed(Option<WriteTarget>),
}

impl SharedTier {
    pub(crate) fn check(&self) -> Result<(), Error> {
        match *self {}
    }
}

impl Confirmation {
    pub(crate) fn wait(&self, _: Instant) -> bool {
        match *self {}
    }

    pub(crate) fn poll(&self, _: &Waker) -> bool {
        match *self {}
    }

    pub(crate) fn place(&self) -> String {
        match *self {}
    }
}

impl Tier {
    pub(crate) fn new(tier: &SharedTier, _: NodeSettings, _: &Arc<Counters>, _: &Arc<Reporter>) -> Tier {
        match *tier {}
    }

    pub(crate) fn stamp(&self) -> Stamp {
        match *self {}
    }

    pub(crate) fn admits(&self, _: Stamp, _: TagHash) -> bool {
        match *self {}
    }

    pub(crate) fn invalidate(&self, _: TagHash) -> Ticket {
        match *self {}
    }

    pub(crate) fn tell(&self, _: Ticket) -> Confirmation {
        match *self {}
    }

    pub(crate) fn is_synced(&self, _: Nanos, _: &Clock) -> bool {
        match *self {}
    }

    pub(crate) fn is_within_bound(&self, _: Nanos, _: Nanos, _: &Clock) -> bool {
        match *self {}
    }

    pub(crate) fn asks(&self, _: &Request<'_>) -> bool {
        match *self {}
    }

    pub(crate) fn as_of(&self, _: &Entry, _: Nanos) -> Nanos {
        match *self {}
    }

    pub(crate) fn on_budget<R>(&self, _: Option<u64>, _: impl FnOnce(&mut Duration) -> R) -> R {
        match *self {}
    }

    pub(crate) fn fetch(&self, _: &Arc<impl Sized>, _: &Request<'_>, _: &mut impl Caller) -> Fetched {
        match *self {}
    }

    pub(crate) async fn fetch_async(&self, _: &Arc<impl Sized>, _: &Request<'_>, _: &mut impl Caller) -> Fetched {
        match *self {}
    }

    pub(crate) fn place(&self, _: &Request<'_>) -> Option<WriteTarget> {
        match *self {}
    }

    pub(crate) fn put(&self, _: WriteTarget, _: &Arc<Entry>) {
        match *self {}
    }

    pub(crate) fn note_added(&self, _: u128) {
        match *self {}
    }

    pub(crate) fn render_ended(&self) {
        match *self {}
    }

    pub(crate) fn flush(&self, _: Duration) -> bool {
        match *self {}
    }
}
