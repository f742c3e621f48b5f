//! Ends of work that only pages have.

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
    /// Whether others may be waiting for it, and the result can be stored.
    pub(crate) fn leads(&self) -> bool {
        self.lead.is_some()
    }

    /// Stands in for another work, whose result turned out to belong elsewhere: what was to be told of that is told of
    /// this one.
    pub(crate) fn take_over_from(&mut self, other: &mut Computation) {
        self.started = other.started;
        self.reason = other.reason.take();
        self.missed = std::mem::take(&mut other.missed);
        self.noted = other.noted.take();
    }

    /// Takes back that it was a miss: there was an expired result to show.
    pub(crate) fn retract_miss_of(&mut self) {
        if let Some(reason) = self.reason.as_ref().filter(|_| self.missed) {
            self.missed = false;
            self.inner.telemetry.retract_miss(&self.subject, reason);
        }
    }

    /// Whether there is a result that this caller would not take.
    pub(crate) fn is_of_refusal(&self) -> bool {
        self.reason == Some(MissReason::Refused)
    }

    /// Finishes with something that depends on the key alone, whatever the work was about, and says only where the
    /// result is. It is kept as long as that, and a while longer. That is no computation, and finding it saves none.
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

    /// Ends the work with a result that nobody else could use, and lets those who wait compute for themselves.
    pub(crate) fn release(mut self) {
        self.told(|span| span.ended(Rejection::Uncacheable.name()));
        // Unless another work stands in for it.
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

    /// Ends the work undone: the next one who waits may try.
    pub(crate) fn give_up(mut self) {
        self.told(|span| span.ended(Rejection::Uncacheable.name()));
        drop(self.end_unstored());
    }

    /// The same because it failed.
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
