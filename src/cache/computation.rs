//! A running computation, and the end of it: stored, published to followers, or dropped.
//!
//! Owns the computation's frame, its record in the statistics, and the decision whether the result is stored. Leaves to
//! `lookup.rs` which computations are needed. Each caller runs the body in its own way. `computation/reuse.rs` has the
//! ends of computations of pages.

#[cfg(feature = "http")]
mod reuse;

use std::sync::Arc;
use std::time::Instant;

use minijinja::Value;

use crate::cache::Engine;
use crate::cache::flight::Lead;
use crate::cache::hole;
use crate::cache::lookup::Origin;
use crate::error::{Error, ErrorKind};
use crate::invalidation::dependencies::{Dependencies, FOREVER, StartStamp, Tag};
use crate::invalidation::stack::{self, Frame, FrameId, Role};
use crate::key::identity::{Kind, is_of};
use crate::store::entry::{Body, Entry, EntryParts, Fragment};
use crate::store::request::Request;
use crate::store::tier::WriteTarget;
use crate::telemetry::stats::Counter;
use crate::telemetry::trace::Span;
use crate::telemetry::{About, FragmentCounters, LookupHandle, LookupSubject, MissReason, Rejection};
use crate::util::clock::{Nanos, nanos};

/// A running computation. While it runs, its frame gathers the dependencies of the result. If it is dropped unfinished,
/// nothing is stored, and the followers are woken.
pub(crate) struct Computation {
    inner: Arc<Engine>,
    frame: FrameId,
    /// The frame while it is on no thread: between the polls of a future.
    parked: Option<Frame>,
    identity: Arc<[u8]>,
    hash: u128,
    version: Option<u128>,
    ttl: Nanos,
    stale: Nanos,
    kept: Nanos,
    started: Instant,
    lead: Option<Lead<Arc<Entry>>>,
    /// Where the shared tier stores the result.
    place: Option<WriteTarget>,
    subject: LookupSubject,
    /// The reason of the miss; `None` if there was no look-up for the result before.
    reason: Option<MissReason>,
    /// Whether the computation is counted as a miss.
    missed: bool,
    noted: Option<LookupHandle>,
    /// The tracing span, opened when the body first runs.
    span: Option<Span>,
    /// Whether the computation is a future's that was polled and is not ready.
    suspended: bool,
    finished: bool,
}

impl Computation {
    pub(crate) fn new(
        inner: &Arc<Engine>,
        request: &Request<'_>,
        origin: &Origin,
        lead: Option<Lead<Arc<Entry>>>,
        place: Option<WriteTarget>,
    ) -> Computation {
        if let Some(lead) = lead.as_ref().filter(|_| inner.shared.is_some()) {
            lead.computes();
        }
        let mut record = Dependencies::new(inner.id, origin.begin);
        origin.tags.iter().for_each(|tag| record.tag(Tag { hash: *tag, name: None }));
        request.declared.tags().for_each(|tag| record.tag(tag));
        let leads = lead.is_some();
        let text = !is_of(Kind::Value, request.identity.bytes);
        let role = if request.is_page() { Role::Page { leads } } else { Role::Fragment { leads, text } };
        let frame = Frame::new(record, role);
        Computation {
            inner: Arc::clone(inner),
            frame: frame.id(),
            parked: Some(frame),
            identity: lead.as_ref().map_or_else(|| request.identity.bytes.into(), Lead::identity),
            hash: request.identity.hash,
            version: request.version,
            ttl: request.ttl,
            stale: 0,
            kept: 0,
            started: Instant::now(),
            lead,
            place,
            subject: origin.subject.clone(),
            reason: None,
            missed: false,
            noted: None,
            span: None,
            suspended: false,
            finished: false,
        }
    }

    /// Sets the reason of the miss.
    pub(crate) fn because(&mut self, reason: Option<MissReason>) {
        self.reason = reason;
    }

    /// Counts the computation as a miss and records the look-up, if the reason is known.
    pub(crate) fn miss(&mut self, key: &[u8]) {
        let Some(reason) = self.reason.as_ref().filter(|_| !self.missed) else { return };
        self.missed = true;
        self.noted = self.inner.telemetry.record_miss(&self.subject, reason, key);
        let at = self.noted.as_ref().map(LookupHandle::at);
        self.parked.iter_mut().for_each(|frame| frame.explain_as(at));
    }

    /// Counts the computation under another label, which the template computed.
    pub(crate) fn call(&mut self, name: &str) {
        let label = self.inner.telemetry.labels.get(self.subject.label.kind, name);
        if !Arc::ptr_eq(&label, &self.subject.label) {
            if let Some(reason) = self.reason.as_ref().filter(|_| self.missed) {
                self.subject.label.uncount_miss(reason);
                label.count_miss(reason);
            }
            if let Some(noted) = &self.noted {
                noted.call(&label.name);
            }
            self.subject.label = label;
        }
    }

    /// The fragment that is computed, for events and reports.
    pub(crate) fn about(&self) -> About {
        self.subject.about()
    }

    pub(crate) fn label(&self) -> Arc<FragmentCounters> {
        Arc::clone(&self.subject.label)
    }

    /// Ends the computation without counting it and without adding it to the enclosing frame. Returns its dependencies.
    pub(crate) fn discard(mut self) -> (Arc<Engine>, Dependencies) {
        self.finished = true;
        let record = self.take_record();
        self.told(|span| span.ended("verified"));
        (Arc::clone(&self.inner), record)
    }

    /// The number of the debug mark for the text, if it is to be marked.
    pub(crate) fn mark(&self) -> Option<u64> {
        self.noted.as_ref().and_then(LookupHandle::mark)
    }

    /// Makes the text print without debug marks.
    pub(crate) fn unmark(&mut self) {
        self.noted.iter_mut().for_each(LookupHandle::unmark);
    }

    /// Sets how long after its expiry the result may be served while another caller computes it again (`stale`), and
    /// how long it is kept in memory (`kept`).
    pub(crate) fn set_grace(&mut self, stale: Nanos, kept: Nanos) {
        self.stale = stale;
        self.kept = kept.max(stale);
    }

    /// Puts the frame on this thread. Look-ups and renders on this thread are inside it until it is taken off.
    pub(crate) fn enter(&mut self) {
        if let Some(mut frame) = self.parked.take() {
            frame.enter_in(self.span().entered());
            stack::push(frame);
        }
    }

    /// The tracing span of the computation.
    pub(crate) fn span(&mut self) -> &Span {
        let (name, subject) = (&self.inner.telemetry.name, &self.subject);
        self.span.get_or_insert_with(|| Span::open(name, &subject.label, subject.key, self.reason.as_ref()))
    }

    /// Notes whether a future is still pending. A pending future that is dropped was cancelled, and did not fail.
    pub(crate) fn suspend(&mut self, yes: bool) {
        self.suspended = yes;
    }

    fn told(&self, tell: impl FnOnce(&Span)) {
        if let Some(span) = &self.span {
            tell(span);
        }
    }

    /// Takes the frame off this thread and keeps it.
    pub(crate) fn leave(&mut self) {
        if self.parked.is_none() {
            self.parked = stack::pop(self.frame);
        }
    }

    /// Changes the dependencies of the result, whether the frame is on a thread or not.
    pub(crate) fn note(&mut self, f: impl FnOnce(&mut Dependencies)) {
        match &mut self.parked {
            Some(frame) => frame.with(f),
            None => stack::gather(f),
        }
    }

    /// Finishes with the text that a template rendered. If the text holds a hole, returns an error for the template.
    pub(crate) fn finish_rendered(self, text: Value) -> Result<Fragment, minijinja::Error> {
        match self.hole_in(&Body::Text(text.clone())) {
            Some(refused) => Err(minijinja::Error::new(minijinja::ErrorKind::InvalidOperation, refused)),
            None => Ok(self.finish_text(text)),
        }
    }

    /// Finishes with a text.
    pub(crate) fn finish_text(self, text: Value) -> Fragment {
        self.finish(Body::Text(text.clone()));
        Fragment::new(text)
    }

    /// The reason not to store a body in which a hole was printed: the hole is valid for this request only.
    fn hole_in(&self, body: &Body) -> Option<String> {
        let hole = hole::left_in(body.bytes())?;
        let label = &self.subject.label.name;
        Some(format!(
            "{label}: the hole {hole:?} cannot stand inside a cached fragment, which is shown on other pages too; \
             print it outside"
        ))
    }

    /// Finishes with the result. The result is stored if that is allowed, given to the followers if they may have it,
    /// and added to the enclosing frame. Returns whether it was stored.
    pub(crate) fn finish(mut self, body: Body) -> bool {
        self.finished = true;
        self.inner.counters.count(Counter::renders);
        let mut record = self.take_record();
        if let Some(refused) = self.hole_in(&body) {
            record.uncacheable = true;
            self.inner.report(&Error::new(ErrorKind::Config, refused));
        }
        let body = match body {
            Body::Text(text) => Body::Text(self.inner.telemetry.unmarked_text(text)),
            body => body,
        };
        let entry = self.entry(body, record);
        stack::gather(|enclosing| enclosing.merge_nested(&entry.record));
        self.publish(&entry, |work, rejected| work.computed(&entry, rejected))
    }

    /// Counts the computation and records its end.
    fn computed(&self, entry: &Entry, rejected: Option<Rejection>) {
        self.inner.telemetry.record_computed(&self.subject, self.reason.as_ref(), &entry.report(), rejected);
        self.told(|span| span.computed(entry.body.len(), rejected));
        if let Some(noted) = &self.noted {
            noted.computed(&entry.report(), rejected, self.inner.clock.now());
        }
    }

    fn entry(&self, body: Body, mut record: Dependencies) -> Arc<Entry> {
        record.expires = record.expires.min(self.expiry(record.begin));
        record.grace_ends = record.grace_ends.min(record.expires.saturating_add(self.kept));
        let terms = EntryParts {
            identity: Arc::clone(&self.identity),
            version: self.version,
            stale: self.stale,
            kept: self.kept,
            cost: nanos(self.started.elapsed()),
            label: Arc::clone(&self.subject.label),
        };
        Arc::new(Entry::new(terms, body, record))
    }

    /// Stores the entry if that is allowed, and calls `tell` before any follower gets the result. Returns whether the
    /// entry was stored.
    ///
    /// An entry that is expired when it is finished (its scope began long ago) is treated as uncacheable: the followers
    /// are released. They would find the entry expired, and must not compute it one after another.
    fn publish(&mut self, entry: &Arc<Entry>, tell: impl FnOnce(&Computation, Option<Rejection>)) -> bool {
        let inner = &self.inner;
        let fresh = entry.fresh(inner.clock.latest(), self.ttl);
        let valid = entry.record.templates_current() && entry.record.admitted(&inner.floors);
        let small = inner.has_room_for(entry);
        let graced = entry.fresh_within(inner.clock.latest(), self.ttl, entry.kept);
        let rejected = if entry.record.uncacheable {
            Some(Rejection::Uncacheable)
        } else if entry.record.begin == StartStamp::UNSEEN {
            self.report_unseen_start();
            Some(Rejection::StartUnseen)
        } else if !valid {
            Some(Rejection::Invalidated)
        } else if self.lead.is_none() {
            Some(Rejection::Apart)
        } else if !graced {
            Some(Rejection::Expired)
        } else if !small {
            Some(Rejection::TooLarge)
        } else {
            None
        };
        let keeps = rejected.is_none();
        inner.counters.count(if keeps { Counter::stores } else { Counter::unstored });
        if keeps {
            inner.keep(self.hash, entry);
        }
        inner.telemetry.record_outcome(&self.subject, self.hash, rejected);
        tell(self, rejected);
        let Some(lead) = self.lead.take() else { return false };
        if entry.record.uncacheable || !fresh {
            lead.release();
        } else if valid {
            lead.publish(Arc::clone(entry));
        } else {
            // The next caller may lead: this computation began before an invalidation.
            drop(lead);
        }
        // Last, so that the followers do not wait for the write.
        if keeps && let Some((shared, place)) = inner.shared.as_ref().zip(self.place.take()) {
            shared.put(place, entry);
        }
        keeps
    }

    /// Reports that the fragment cannot be stored where it is, once per fragment.
    fn report_unseen_start(&self) {
        let label = &self.subject.label;
        if label.note_unseen_start() {
            let message = format!(
                "{}: not stored, because the cache did not see its render start: load the page through the cache \
                 (path_loader, loader, add_template or rewrite), or render it inside FragmentCache::scope",
                label.name
            );
            self.inner.report(&Error::new(ErrorKind::Templates, message));
        }
    }

    /// Counts that the computation ended without a result. A cancelled future is not counted.
    fn failed(&self) {
        if self.suspended {
            return self.told(|span| span.ended("cancelled"));
        }
        self.told(Span::failed);
        self.inner.telemetry.record_failed(&self.subject);
        if let Some(noted) = &self.noted {
            noted.failed();
        }
    }

    fn take_record(&mut self) -> Dependencies {
        self.leave();
        let record = self.parked.take().and_then(Frame::into_record);
        record.unwrap_or_else(|| {
            // The frame is gone, because a frame below it was taken off first. So the dependencies are unknown, and the
            // result must not be stored.
            let mut lost = Dependencies::new(self.inner.id, self.inner.begin());
            lost.uncacheable = true;
            lost
        })
    }

    fn expiry(&self, begin: StartStamp) -> Nanos {
        if self.ttl == FOREVER {
            return FOREVER;
        }
        let shortened = self.inner.jitter.shorten(self.ttl);
        begin.at.saturating_add(shortened)
    }
}

impl Drop for Computation {
    fn drop(&mut self) {
        if self.finished {
            return;
        }
        // The body returned an error or panicked. If outer code swallows the error, its result must not be stored:
        // otherwise an outage would be served for a whole lifetime.
        let mut record = self.take_record();
        record.uncacheable = true;
        stack::gather(|enclosing| enclosing.merge_nested(&record));
        self.failed();
    }
}
