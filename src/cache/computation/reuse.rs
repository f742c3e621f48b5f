//! The ends of a computation that only pages have.
//!
//! Leaves the decision which of them applies to `http/`.

use std::sync::Arc;
use std::time::Instant;

use super::Computation;
use crate::cache::flight::Lead;
use crate::invalidation::dependencies::{Dependencies, Tag};
use crate::invalidation::floors::TagHash;
use crate::invalidation::stack;
use crate::store::entry::{Body, Entry};
use crate::telemetry::stats::Counter;
use crate::telemetry::{MissReason, Rejection};
use crate::util::clock::{Nanos, nanos};

impl Computation {
    /// Whether this computation is a leader: others may wait for it, and its result can be stored.
    pub(crate) fn leads(&self) -> bool {
        self.lead.is_some()
    }

    /// Takes over the start time and the miss accounting of `other`, whose response is stored under another key.
    pub(crate) fn take_over_from(&mut self, other: &mut Computation) {
        self.started = other.started;
        self.reason = other.reason.take();
        self.missed = std::mem::take(&mut other.missed);
        self.noted = other.noted.take();
    }

    /// Retracts the record of a miss, because an expired entry could be served.
    pub(crate) fn retract_miss_of(&mut self) {
        if let Some(reason) = self.reason.as_ref().filter(|_| self.missed) {
            self.missed = false;
            self.inner.telemetry.retract_miss(&self.subject, reason);
        }
    }

    /// Whether memory has an entry that this request refuses.
    pub(crate) fn is_of_refusal(&self) -> bool {
        self.reason == Some(MissReason::Refused)
    }

    /// Finishes with a vary index: a body that only says by which header names a response varies. It depends only on
    /// the tags of its key and namespaces, not on those of the response. It expires at `until`, which is later than the
    /// end of the response. It is not counted as a computation, and a look-up of it saves no time.
    pub(crate) fn finish_with_direction(mut self, body: Body, tags: impl IntoIterator<Item = TagHash>, until: Nanos) {
        self.finished = true;
        let gathered = self.take_record();
        stack::gather(|enclosing| enclosing.merge_nested(&gathered));
        let mut bare = Dependencies::new(self.inner.id, gathered.begin);
        tags.into_iter().for_each(|hash| bare.tag(Tag { hash, name: None }));
        bare.expires = until;
        self.started = Instant::now();
        let entry = self.entry(body, bare);
        self.publish(&entry, |_, _| {});
    }

    /// Ends the computation with a result that no other caller can use. The followers compute for themselves.
    pub(crate) fn release(mut self) {
        self.told(|span| span.ended(Rejection::Uncacheable.name()));
        // A computation without a reason was replaced by another one, which does the counting.
        if self.reason.is_some() {
            self.inner.counters.count(Counter::renders);
            self.inner.counters.count(Counter::unstored);
            self.inner.telemetry.record_passed_on(&self.subject, nanos(self.started.elapsed()));
            if let Some(noted) = &self.noted {
                noted.passed_on();
            }
        }
        if let Some(lead) = self.end_unstored() {
            lead.release();
        }
    }

    /// Ends the computation without a result; the next caller may lead.
    pub(crate) fn give_up(mut self) {
        self.told(|span| span.ended(Rejection::Uncacheable.name()));
        drop(self.end_unstored());
    }

    /// Ends the computation as failed; the next caller may lead.
    pub(crate) fn fail(mut self) {
        self.failed();
        drop(self.end_unstored());
    }

    fn end_unstored(&mut self) -> Option<Lead<Arc<Entry>>> {
        self.finished = true;
        let record = self.take_record();
        stack::gather(|enclosing| enclosing.merge_nested(&record));
        self.lead.take()
    }
}
