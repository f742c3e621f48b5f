//! The telemetry of one cache: each outcome is recorded here once, and passed to counters, subscribers, collectors and
//! tracing.
//!
//! Hits are counted in `label.rs` and the counters of the whole cache in `stats.rs`. Failures of the cache itself are
//! reported by `report.rs`.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
#[cfg(feature = "dashboard")]
use std::time::Instant;

use minijinja::Value;
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use super::difference::{Difference, Differences, VerifiedHit};
use super::event::{By, Happened, Target};
use super::explain::{Collectors, EntryReport, LookupHandle, collector, explained};
use super::fragment_ref::{About, KeyHash, key_hash};
use super::label::{FragmentCounter, FragmentCounters, FragmentRegistry};
#[cfg(feature = "http")]
use super::mark::MARKS;
use super::mark::{self, unmarked, without_marks};
use super::misses::Recent;
use super::outcome::Outcome;
use super::past::{LastOutcome, RemovalHistory};
use super::reason::{self, Bypass, MissReason, Rejection};
use super::report::Reporter;
use super::stats::Counters;
use super::subscription::{Interest, Subscribers};
use super::{export, trace};
use crate::error::{Error, ErrorKind};
use crate::util::clock::{Clock, Nanos};

/// The counters, histories, subscribers and collectors of a cache.
#[derive(Debug)]
pub(crate) struct Telemetry {
    /// The cache's id.
    cache: u64,
    /// The name of the cache.
    pub(crate) name: Arc<str>,
    clock: Clock,
    counters: Arc<Counters>,
    pub(crate) labels: Arc<FragmentRegistry>,
    pub(crate) past: Arc<RemovalHistory>,
    pub(crate) subscribers: Arc<Subscribers>,
    pub(crate) collectors: Collectors,
    pub(crate) differences: Differences,
    /// When the cache was built.
    #[cfg(feature = "dashboard")]
    pub(crate) since: Instant,
    pub(crate) recent: Recent,
    reasons: [AtomicU64; reason::NAMES.len()],
}

/// The fragment that a miss or a computation belongs to, for telemetry.
#[derive(Debug, Clone)]
pub(crate) struct LookupSubject {
    pub(crate) label: Arc<FragmentCounters>,
    pub(crate) key: KeyHash,
    /// Hash of the identity up to the end of the key. All variants of the key share it.
    variants: u64,
    /// Hash of the key and the template. It recognises a block's key after the text of the block has changed.
    family: u64,
}

impl Telemetry {
    pub(crate) fn new(cache: u64, name: Arc<str>, clock: Clock, counters: &Arc<Counters>) -> Telemetry {
        Telemetry {
            cache,
            name,
            clock,
            counters: Arc::clone(counters),
            labels: Arc::new(FragmentRegistry::new()),
            past: Arc::default(),
            subscribers: Arc::default(),
            collectors: Collectors::default(),
            differences: Differences::default(),
            #[cfg(feature = "dashboard")]
            since: Instant::now(),
            recent: Recent::new(),
            reasons: std::array::from_fn(|_| AtomicU64::new(0)),
        }
    }

    /// True if a subscriber, a collector or a tracing subscriber receives hits.
    pub(crate) fn of_hits(&self) -> bool {
        self.subscribers.of_lookups() || self.collectors.any() || trace::of_hits()
    }
}

impl Drop for Telemetry {
    fn drop(&mut self) {
        self.subscribers.close();
    }
}

impl LookupSubject {
    /// `named` is the encoded key. `base` is the identity up to the end of the key, which all variants share.
    pub(crate) fn new(label: Arc<FragmentCounters>, named: &[u8], base: &[u8]) -> LookupSubject {
        let family = xxh3_64_with_seed(named, label.family);
        LookupSubject { label, key: key_hash(named), variants: xxh3_64(base), family }
    }

    /// A hash that all variants of the key share.
    pub(crate) fn variants(&self) -> u64 {
        self.variants
    }

    /// A hash that all blocks of a template share for the same key.
    pub(crate) fn family(&self) -> u64 {
        self.family
    }

    pub(crate) fn about(&self) -> About {
        About::new(&self.label, self.key)
    }
}

impl Telemetry {
    pub(crate) fn miss_reasons(&self) -> BTreeMap<&'static str, u64> {
        let counts = self.reasons.iter().map(|count| count.load(Ordering::Relaxed));
        reason::NAMES.into_iter().zip(counts).filter(|(_, count)| *count > 0).collect()
    }

    /// Records a look-up that an entry answered.
    #[cold]
    pub(crate) fn record_answered(&self, named: &[u8], entry: &EntryReport<'_>, outcome: Outcome) {
        let key = key_hash(named);
        trace::answered(&self.name, entry.label, key, &outcome);
        let about = || About::new(entry.label, key);
        self.collect(about, &outcome, named, Some(entry));
        if self.subscribers.of_lookups() {
            self.subscribers.publish(Interest::Lookups, Happened::LookedUp { about: about(), outcome });
        }
    }

    /// Counts and records a miss.
    pub(crate) fn record_miss(&self, subject: &LookupSubject, reason: &MissReason, key: &[u8]) -> Option<LookupHandle> {
        subject.label.count_miss(reason);
        self.record_reason(subject, reason, key)
    }

    /// Removes a recorded miss from the counts. Events and explanations of it remain.
    #[cfg(feature = "http")]
    pub(crate) fn retract_miss(&self, subject: &LookupSubject, reason: &MissReason) {
        subject.label.uncount_miss(reason);
        self.reasons[reason.index()].fetch_sub(1, Ordering::Relaxed);
    }

    /// Counts and records a bypass.
    pub(crate) fn record_bypass(&self, label: Arc<FragmentCounters>, bypass: Bypass, key: &[u8]) {
        label.count(FragmentCounter::Bypasses);
        let subject = LookupSubject { label, key: key_hash(key), variants: 0, family: 0 };
        let reason = MissReason::Bypassed(bypass);
        trace::bypassed(&self.name, &subject.label, subject.key, &reason);
        self.record_reason(&subject, &reason, key);
    }

    fn record_reason(&self, subject: &LookupSubject, reason: &MissReason, key: &[u8]) -> Option<LookupHandle> {
        let telemetry = self;
        telemetry.reasons[reason.index()].fetch_add(1, Ordering::Relaxed);
        telemetry.recent.note(subject.about(), reason.clone(), key);
        let outcome = Outcome::Miss(reason.clone());
        let noted = self.collect(|| subject.about(), &outcome, key, None);
        if telemetry.subscribers.of_lookups() {
            telemetry.subscribers.publish(Interest::Lookups, Happened::LookedUp { about: subject.about(), outcome });
        }
        noted
    }

    /// Records a look-up in the innermost collector of this thread, if there is one.
    fn collect(
        &self,
        about: impl FnOnce() -> About,
        outcome: &Outcome,
        key: &[u8],
        found: Option<&EntryReport<'_>>,
    ) -> Option<LookupHandle> {
        if !self.collectors.any() {
            return None;
        }
        let Some(collector) = collector(self.cache) else {
            // An earlier look-up on this thread may have left a mark number, which does not belong to this look-up.
            mark::set(None);
            return None;
        };
        let found = found.map(|entry| (entry, self.clock.now()));
        let noted = collector.note(about(), outcome.clone(), key, explained(self.cache), found);
        mark::set(noted.as_ref().and_then(LookupHandle::mark));
        noted
    }

    /// Counts and records a computation that has finished.
    pub(crate) fn record_computed(
        &self,
        subject: &LookupSubject,
        reason: Option<&MissReason>,
        entry: &EntryReport<'_>,
        rejected: Option<Rejection>,
    ) {
        self.count_computed(subject, entry.cost, entry.bytes, rejected);
        let subscribers = &self.subscribers;
        if rejected.is_some() || (!subscribers.any() && !trace::of_changes()) {
            return;
        }
        let (about, took) = (subject.about(), Duration::from_nanos(entry.cost));
        match reason {
            // There was no earlier entry.
            Some(MissReason::Cold | MissReason::OtherVariant | MissReason::StoreFailed | MissReason::Rejected(_))
            | None => {
                if subscribers.of_lookups() {
                    subscribers.publish(Interest::Lookups, Happened::Stored { about });
                }
            }
            Some(reason) => {
                trace::refreshed(&self.name, &about, reason, took);
                let reason = reason.clone();
                subscribers.publish(Interest::Changes, Happened::Refreshed { about, reason, took });
            }
        }
    }

    /// Counts the computation of a response that was passed on to one caller. The caller may still be reading it.
    #[cfg(feature = "http")]
    pub(crate) fn record_passed_on(&self, subject: &LookupSubject, cost: Nanos) {
        self.count_computed(subject, cost, 0, Some(Rejection::Uncacheable));
    }

    fn count_computed(&self, subject: &LookupSubject, cost: Nanos, bytes: usize, rejected: Option<Rejection>) {
        let label = &subject.label;
        label.count(FragmentCounter::Renders);
        label.add(FragmentCounter::RenderTime, cost);
        label.add(FragmentCounter::RenderedBytes, bytes as u64);
        export::computed(&self.name, &self.counters, label, cost);
        if rejected.is_some() {
            label.count(FragmentCounter::Rejected);
        }
        let subscribers = &self.subscribers;
        if subscribers.of_lookups() {
            let (about, took) = (subject.about(), Duration::from_nanos(cost));
            subscribers.publish(Interest::Lookups, Happened::Computed { about, took, bytes, rejected });
        }
    }

    /// Counts and records a computation that failed.
    pub(crate) fn record_failed(&self, subject: &LookupSubject) {
        subject.label.count(FragmentCounter::Errors);
        if self.subscribers.any() {
            self.subscribers.publish(Interest::Changes, Happened::Failed { about: subject.about() });
        }
    }

    /// Stores in the removal history whether a result was stored or rejected.
    pub(crate) fn record_outcome(&self, subject: &LookupSubject, hash: u128, rejected: Option<Rejection>) {
        match rejected {
            None => self.remember(subject, hash),
            // The leader's result may be stored under this hash, so the history is not changed.
            Some(Rejection::Apart) => {}
            Some(rejection) => self.past.note(hash, LastOutcome::Rejected(rejection)),
        }
    }

    /// Stores in the removal history that a result is stored.
    pub(crate) fn remember(&self, subject: &LookupSubject, hash: u128) {
        self.past.note(hash, LastOutcome::Stored);
        self.past.note_key(subject.variants);
        self.past.note_key(subject.family);
    }

    /// Records an invalidation. Call it after the invalidation is in force on this node.
    pub(crate) fn record_invalidation(&self, what: impl FnOnce() -> Target, by: By) {
        let subscribers = &self.subscribers;
        if subscribers.any() || trace::of_changes() {
            let what = what();
            trace::invalidated(&self.name, &what, &by);
            subscribers.publish(Interest::Changes, Happened::Invalidated { what, by });
        }
    }
}

impl Telemetry {
    /// Takes the mark number of the last look-up on this thread.
    pub(crate) fn take_mark(&self) -> Option<u64> {
        if self.collectors.marking() { mark::take() } else { None }
    }

    /// A page without marks, as it is stored. `None` if the page has no marks.
    #[cfg(feature = "http")]
    pub(crate) fn unmarked_page(&self, page: &[u8]) -> Option<Vec<u8>> {
        if self.collectors.have_marked() { MARKS.strip(page) } else { None }
    }

    /// A text without marks, as it is stored.
    pub(crate) fn unmarked_text(&self, text: Value) -> Value {
        if self.collectors.have_marked() { unmarked(&text) } else { text }
    }

    /// A text without marks, for a comparison with another text.
    pub(crate) fn plain<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let plain = if self.collectors.have_marked() { without_marks(text) } else { None };
        plain.map_or(Cow::Borrowed(text), Cow::Owned)
    }

    /// Records and reports a hit that differs from the result of a new computation.
    pub(crate) fn record_difference(&self, hit: VerifiedHit, cached: &str, computed: &str, reporter: &Reporter) {
        let difference = Difference::new(hit, cached, computed);
        let Difference { about, place, .. } = &difference;
        let place = place.as_ref().map_or(String::new(), |place| format!(" at {place}"));
        // The message does not contain the texts, because they may be private.
        let message = format!(
            "{} {}{place}, key {}: a hit differs from what was computed again, from byte {} on; is something \
             missing in its key or vary?",
            about.kind, about.label, about.key, difference.offset
        );
        reporter.report(&Error::new(ErrorKind::Difference, message));
        if self.subscribers.any() {
            self.subscribers.publish(Interest::Changes, Happened::Differed(difference.clone()));
        }
        self.differences.push(difference);
    }
}
