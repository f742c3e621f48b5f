//! Computation under way: what is being computed, and what becomes of it when it is done.
//!
//! Which work there is to do is `lookup.rs`; how its body runs differs from caller to caller.

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

/// A computation under way. While it runs its frame gathers what the result depends on; dropped unfinished, it
/// leaves nothing behind and wakes those who wait.
pub(crate) struct Computation {
    inner: Arc<Engine>,
    frame: FrameId,
    /// The frame, while it stands on no thread: between polls of a future.
    parked: Option<Frame>,
    identity: Arc<[u8]>,
    hash: u128,
    version: Option<u128>,
    ttl: Nanos,
    stale: Nanos,
    kept: Nanos,
    started: Instant,
    lead: Option<Lead<Arc<Entry>>>,
    /// Where the shared tier keeps the result.
    place: Option<WriteTarget>,
    subject: LookupSubject,
    /// Why there is work to do; unknown, if nobody had looked for its result.
    reason: Option<MissReason>,
    /// Whether it is counted as a miss.
    missed: bool,
    noted: Option<LookupHandle>,
    /// OpenedBody when its body first runs.
    span: Option<Span>,
    /// Whether it is a future's, which was polled and is not ready.
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

    /// Says why there is work to do.
    pub(crate) fn because(&mut self, reason: Option<MissReason>) {
        self.reason = reason;
    }

    /// Counts it as a miss, and tells of it, if it is known why.
    pub(crate) fn miss(&mut self, key: &[u8]) {
        let Some(reason) = self.reason.as_ref().filter(|_| !self.missed) else { return };
        self.missed = true;
        self.noted = self.inner.telemetry.record_miss(&self.subject, reason, key);
        let at = self.noted.as_ref().map(LookupHandle::at);
        self.parked.iter_mut().for_each(|frame| frame.explain_as(at));
    }

    /// Counts it under the name its author computed for it.
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

    /// What it is about.
    pub(crate) fn about(&self) -> About {
        self.subject.about()
    }

    pub(crate) fn label(&self) -> Arc<FragmentCounters> {
        Arc::clone(&self.subject.label)
    }

    /// Ends it as if it had not been: nothing is counted, and what encloses it is told nothing. Gives what it gathered.
    pub(crate) fn discard(mut self) -> (Arc<Engine>, Dependencies) {
        self.finished = true;
        let record = self.take_record();
        self.told(|span| span.ended("verified"));
        (Arc::clone(&self.inner), record)
    }

    /// The number that its text is to be marked by, if any.
    pub(crate) fn mark(&self) -> Option<u64> {
        self.noted.as_ref().and_then(LookupHandle::mark)
    }

    /// Has its text printed without marks.
    pub(crate) fn unmark(&mut self) {
        self.noted.iter_mut().for_each(LookupHandle::unmark);
    }

    /// How long after its expiry the result may be served while somebody computes it anew, and how long it is kept.
    pub(crate) fn set_grace(&mut self, stale: Nanos, kept: Nanos) {
        self.stale = stale;
        self.kept = kept.max(stale);
    }

    /// Puts the frame on this thread: what runs here from now on is inside.
    pub(crate) fn enter(&mut self) {
        if let Some(mut frame) = self.parked.take() {
            frame.enter_in(self.span().entered());
            stack::push(frame);
        }
    }

    /// The span it is computed in.
    pub(crate) fn span(&mut self) -> &Span {
        let (name, subject) = (&self.inner.telemetry.name, &self.subject);
        self.span.get_or_insert_with(|| Span::open(name, &subject.label, subject.key, self.reason.as_ref()))
    }

    /// Notes whether a future's work waits to be polled once more: dropped then, it did not fail.
    pub(crate) fn suspend(&mut self, yes: bool) {
        self.suspended = yes;
    }

    fn told(&self, tell: impl FnOnce(&Span)) {
        if let Some(span) = &self.span {
            tell(span);
        }
    }

    /// Takes the frame along, off this thread.
    pub(crate) fn leave(&mut self) {
        if self.parked.is_none() {
            self.parked = stack::pop(self.frame);
        }
    }

    /// Adds to what the result depends on, entered or not.
    pub(crate) fn note(&mut self, f: impl FnOnce(&mut Dependencies)) {
        match &mut self.parked {
            Some(frame) => frame.with(f),
            None => stack::gather(f),
        }
    }

    /// Finishes with what a template rendered, unless it holds a hole: a template is told so.
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

    /// Why it may not be stored, if a hole was printed in it: one that is good for this request alone.
    fn hole_in(&self, body: &Body) -> Option<String> {
        let hole = hole::left_in(body.bytes())?;
        let label = &self.subject.label.name;
        Some(format!(
            "{label}: the hole {hole:?} cannot stand inside a cached fragment, which is shown on other pages too; \
             print it outside"
        ))
    }

    /// The result: stored if it may be, handed to those who wait if they may have it, and told to what encloses.
    /// Returns whether it was stored.
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

    /// Counts that it was computed, and tells of it.
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

    /// Stores, unless it must not be, and has it told before anybody gets the result. What is expired when it is done (its scope began long ago) is as good as
    /// uncacheable: those who wait would find it expired, and must not queue up to find so one after another.
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
            // The next one may try: this result began before an invalidation.
            drop(lead);
        }
        // After those who wait were released.
        if keeps && let Some((shared, place)) = inner.shared.as_ref().zip(self.place.take()) {
            shared.put(place, entry);
        }
        keeps
    }

    /// Reports once for a fragment that it cannot be stored where it stands.
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

    /// Counts that it ended without a result, unless nobody request that any more.
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
            // The frame is gone: something below it was taken off first, so what was inside is unknown.
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
        // An error or a panic inside. If somebody outside swallows it, what he makes of it is not stored: an
        // outage must not be served for a lifetime.
        let mut record = self.take_record();
        record.uncacheable = true;
        stack::gather(|enclosing| enclosing.merge_nested(&record));
        self.failed();
    }
}
