//! What is noticed of the cache's work, and who is told: counts by fragment, reasons of misses, events, explanations.
//!
//! Each outcome is told here once, and from here to all who want to know. A hit counts itself under its fragment, which
//! is all it costs while nobody listens.

mod difference;
mod event;
mod explain;
#[cfg(feature = "metrics")]
pub(crate) mod export;
#[cfg(not(feature = "metrics"))]
#[path = "export/disabled.rs"]
pub(crate) mod export;
mod label;
mod mark;
pub(crate) mod mark_text;
mod misses;
mod past;
mod reason;
pub(crate) mod report;
pub(crate) mod stats;
mod subscription;
#[cfg(feature = "tracing")]
pub(crate) mod trace;
#[cfg(not(feature = "tracing"))]
#[path = "trace/disabled.rs"]
pub(crate) mod trace;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
#[cfg(feature = "dashboard")]
use std::time::Instant;

use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

pub use self::difference::Difference;
use self::difference::Differences;
pub(crate) use self::difference::VerifiedHit;
pub use self::event::{About, By, Event, Happened, KeyHash, Target};
pub(crate) use self::explain::{Collector, Collectors, Noted, collector, explained};
pub use self::explain::{Explained, Explanation, Outcome};
pub use self::label::{FragmentKind, FragmentStats};
pub(crate) use self::label::{Label, Labels, Rare};
#[cfg(feature = "debug")]
pub(crate) use self::mark::MARKS;
pub(crate) use self::mark::{marked, readable, unmarked};
pub use self::misses::Miss;
use self::misses::Recent;
pub(crate) use self::past::{Fate, Past};
#[cfg(all(test, feature = "dashboard"))]
pub(crate) use self::reason::NAMES as REASONS;
pub use self::reason::{Bypass, MissReason, Rejection};
pub use self::subscription::Subscription;
pub(crate) use self::subscription::{Interest, Subscribers};
use crate::invalidation::dependencies::Record;
use crate::telemetry::stats::Counters;
use crate::util::clock::{Clock, Nanos};

/// What is known of the cache's work, and who wants to be told.
#[derive(Debug)]
pub(crate) struct Observers {
    /// The cache's id.
    cache: u64,
    /// What the cache is called.
    pub(crate) name: Arc<str>,
    clock: Clock,
    counters: Arc<Counters>,
    pub(crate) labels: Arc<Labels>,
    pub(crate) past: Arc<Past>,
    pub(crate) subscribers: Arc<Subscribers>,
    pub(crate) collectors: Collectors,
    pub(crate) differences: Differences,
    /// When the cache was built.
    #[cfg(feature = "dashboard")]
    pub(crate) since: Instant,
    pub(crate) recent: Recent,
    reasons: [AtomicU64; reason::NAMES.len()],
}

/// Which result a miss is about, and what is noticed of it.
#[derive(Debug, Clone)]
pub(crate) struct Subject {
    pub(crate) label: Arc<Label>,
    pub(crate) key: KeyHash,
    /// Known again in all variants, and after the text of a block changed.
    variants: u64,
    family: u64,
}

impl Observers {
    pub(crate) fn new(cache: u64, name: Arc<str>, clock: Clock, counters: &Arc<Counters>) -> Observers {
        Observers {
            cache,
            name,
            clock,
            counters: Arc::clone(counters),
            labels: Arc::new(Labels::new()),
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

    /// Whether hits are told to anybody.
    pub(crate) fn of_hits(&self) -> bool {
        self.subscribers.of_lookups() || self.collectors.any() || trace::of_hits()
    }
}

impl Drop for Observers {
    fn drop(&mut self) {
        self.subscribers.close();
    }
}

impl Subject {
    /// `named` is the encoded key, `base` the identity up to the key's end, which all variants have in common.
    pub(crate) fn new(label: Arc<Label>, named: &[u8], base: &[u8]) -> Subject {
        let family = xxh3_64_with_seed(named, label.family);
        Subject { label, key: key_hash(named), variants: xxh3_64(base), family }
    }

    /// The key in all its variants.
    pub(crate) fn variants(&self) -> u64 {
        self.variants
    }

    /// The same for all blocks of a template.
    pub(crate) fn family(&self) -> u64 {
        self.family
    }

    pub(crate) fn about(&self) -> About {
        About::new(&self.label, self.key)
    }
}

/// An entry, as far as it is reported.
pub(crate) struct EntryReport<'a> {
    pub(crate) label: &'a Arc<Label>,
    pub(crate) record: &'a Record,
    pub(crate) cost: Nanos,
    pub(crate) bytes: usize,
}

/// How a key is told apart in reports.
pub(crate) fn key_hash(key: &[u8]) -> KeyHash {
    KeyHash(xxh3_64(key))
}

impl Observers {
    pub(crate) fn miss_reasons(&self) -> BTreeMap<&'static str, u64> {
        let counts = self.reasons.iter().map(|count| count.load(Ordering::Relaxed));
        reason::NAMES.into_iter().zip(counts).filter(|(_, count)| *count > 0).collect()
    }

    /// Tells of a look-up that an entry answered.
    #[cold]
    pub(crate) fn tell_answered(&self, named: &[u8], entry: &EntryReport<'_>, outcome: Outcome) {
        let key = key_hash(named);
        trace::answered(&self.name, entry.label, key, &outcome);
        let about = || About::new(entry.label, key);
        self.collect(about, &outcome, named, Some(entry));
        if self.subscribers.of_lookups() {
            self.subscribers.tell(Interest::Lookups, Happened::LookedUp { about: about(), outcome });
        }
    }

    /// Counts a miss and tells of it.
    pub(crate) fn tell_miss(&self, subject: &Subject, reason: &MissReason, key: &[u8]) -> Option<Noted> {
        subject.label.count_miss(reason);
        self.tell_why(subject, reason, key)
    }

    /// Takes back the count of a miss, of which was told.
    #[cfg(feature = "http")]
    pub(crate) fn untell_miss(&self, subject: &Subject, reason: &MissReason) {
        subject.label.uncount_miss(reason);
        self.reasons[reason.index()].fetch_sub(1, Ordering::Relaxed);
    }

    /// Counts a look-up that was not made, and tells of it.
    pub(crate) fn tell_bypass(&self, label: Arc<Label>, bypass: Bypass, key: &[u8]) {
        label.count(Rare::Bypasses);
        let subject = Subject { label, key: key_hash(key), variants: 0, family: 0 };
        let reason = MissReason::Bypassed(bypass);
        trace::bypassed(&self.name, &subject.label, subject.key, &reason);
        self.tell_why(&subject, &reason, key);
    }

    fn tell_why(&self, subject: &Subject, reason: &MissReason, key: &[u8]) -> Option<Noted> {
        let observers = self;
        observers.reasons[reason.index()].fetch_add(1, Ordering::Relaxed);
        observers.recent.note(subject.about(), reason.clone(), key);
        let outcome = Outcome::Miss(reason.clone());
        let noted = self.collect(|| subject.about(), &outcome, key, None);
        if observers.subscribers.of_lookups() {
            observers.subscribers.tell(Interest::Lookups, Happened::LookedUp { about: subject.about(), outcome });
        }
        noted
    }

    /// Has the collector of this place note a look-up, where there is one.
    fn collect(
        &self,
        about: impl FnOnce() -> About,
        outcome: &Outcome,
        key: &[u8],
        found: Option<&EntryReport<'_>>,
    ) -> Option<Noted> {
        if !self.collectors.any() {
            return None;
        }
        let Some(collector) = collector(self.cache) else {
            // One that an earlier look-up on this thread left is none of this one's.
            mark::set(None);
            return None;
        };
        let found = found.map(|entry| (entry, self.clock.now()));
        let noted = collector.note(about(), outcome.clone(), key, explained(self.cache), found);
        mark::set(noted.as_ref().and_then(Noted::mark));
        noted
    }

    /// Counts a computation that came to its end, and tells of it.
    pub(crate) fn tell_computed(
        &self,
        subject: &Subject,
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
            // There was nothing in its place.
            Some(MissReason::Cold | MissReason::OtherVariant | MissReason::StoreFailed | MissReason::Rejected(_))
            | None => {
                if subscribers.of_lookups() {
                    subscribers.tell(Interest::Lookups, Happened::Stored { about });
                }
            }
            Some(reason) => {
                trace::refreshed(&self.name, &about, reason, took);
                let reason = reason.clone();
                subscribers.tell(Interest::Changes, Happened::Refreshed { about, reason, took });
            }
        }
    }

    /// Counts the computation of what was passed on to one caller, who may still be reading it.
    #[cfg(feature = "http")]
    pub(crate) fn tell_passed_on(&self, subject: &Subject, cost: Nanos) {
        self.count_computed(subject, cost, 0, Some(Rejection::Uncacheable));
    }

    fn count_computed(&self, subject: &Subject, cost: Nanos, bytes: usize, rejected: Option<Rejection>) {
        let label = &subject.label;
        label.count(Rare::Renders);
        label.add(Rare::RenderTime, cost);
        label.add(Rare::RenderedBytes, bytes as u64);
        export::computed(&self.name, &self.counters, label, cost);
        if rejected.is_some() {
            label.count(Rare::Rejected);
        }
        let subscribers = &self.subscribers;
        if subscribers.of_lookups() {
            let (about, took) = (subject.about(), Duration::from_nanos(cost));
            subscribers.tell(Interest::Lookups, Happened::Computed { about, took, bytes, rejected });
        }
    }

    /// Counts a computation that failed, and tells of it.
    pub(crate) fn tell_failed(&self, subject: &Subject) {
        subject.label.count(Rare::Errors);
        if self.subscribers.any() {
            self.subscribers.tell(Interest::Changes, Happened::Failed { about: subject.about() });
        }
    }

    /// Remembers what became of a result.
    pub(crate) fn note_fate(&self, subject: &Subject, hash: u128, rejected: Option<Rejection>) {
        match rejected {
            None => self.remember(subject, hash),
            // Somebody else's result may be stored.
            Some(Rejection::Apart) => {}
            Some(rejection) => self.past.note(hash, Fate::Rejected(rejection)),
        }
    }

    /// Remembers that a result is stored.
    pub(crate) fn remember(&self, subject: &Subject, hash: u128) {
        self.past.note(hash, Fate::Stored);
        self.past.note_key(subject.variants);
        self.past.note_key(subject.family);
    }

    /// Tells of an invalidation, once it is in force here.
    pub(crate) fn tell_invalidation(&self, what: impl FnOnce() -> Target, by: By) {
        let subscribers = &self.subscribers;
        if subscribers.any() || trace::of_changes() {
            let what = what();
            trace::invalidated(&self.name, &what, &by);
            subscribers.tell(Interest::Changes, Happened::Invalidated { what, by });
        }
    }
}
