//! What is noticed of the cache's work, and who is told: counts by fragment, reasons of misses, events, explanations.
//!
//! Each outcome is told here once, and from here to all who want to know. A hit counts itself under its fragment, which
//! is all it costs while nobody listens.

mod captured;
mod departures;
#[cfg(feature = "dashboard")]
mod entries;
mod event;
mod explain;
mod label;
mod mark;
mod misses;
mod past;
mod reason;
mod shadow;
mod subscription;
mod why;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
#[cfg(feature = "dashboard")]
use std::time::Instant;

use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

pub(crate) use self::captured::{Printed, is_captured};
pub(crate) use self::departures::Departures;
#[cfg(feature = "dashboard")]
pub(crate) use self::entries::Facts;
pub use self::event::{About, By, Event, Happened, KeyHash, Target};
#[cfg(feature = "debug")]
pub(crate) use self::explain::Collecting;
pub(crate) use self::explain::{Collector, Collectors, Noted, collector};
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
pub use self::shadow::Difference;
#[cfg(feature = "http")]
pub(crate) use self::shadow::Hit;
use self::shadow::Shadow;
pub(crate) use self::shadow::Verifying;
pub use self::subscription::Subscription;
pub(crate) use self::subscription::{Interest, Subscribers};
use crate::cache::{FragmentCache, Inner};
use crate::clock::Nanos;
use crate::entry::Entry;
use crate::error::{Error, ErrorKind};
use crate::export;
use crate::question::Wanted;
use crate::trace;

/// What is known of the cache's work, and who wants to be told.
#[derive(Debug)]
pub(crate) struct Observers {
    /// What the cache is called.
    pub(crate) name: Arc<str>,
    pub(crate) labels: Arc<Labels>,
    pub(crate) past: Arc<Past>,
    pub(crate) subscribers: Arc<Subscribers>,
    pub(crate) collectors: Collectors,
    pub(crate) shadow: Shadow,
    /// When the cache was built.
    #[cfg(feature = "dashboard")]
    pub(crate) since: Instant,
    recent: Recent,
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

impl FragmentCache {
    /// What each fragment did, what saved the most time first: where caching pays, and where it does not.
    ///
    /// Counted by where results come from, at most 512 places; over all namespaces.
    ///
    /// ```
    /// use minijinja_cache::{FragmentCache, Options};
    ///
    /// let cache = FragmentCache::builder().build()?;
    /// for _ in 0..3 {
    ///     cache.get_or_set("bio", Options::default().label("bio"), || Ok::<_, std::fmt::Error>("Likes caches."))?;
    /// }
    /// let stats = &cache.fragment_stats()[0];
    /// assert_eq!((stats.label.as_str(), stats.misses, stats.hits), ("bio", 1, 2));
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    pub fn fragment_stats(&self) -> Vec<FragmentStats> {
        let mut stats = self.inner.observers.labels.read();
        stats.sort_by(|a, b| b.render_time_saved.cmp(&a.render_time_saved).then_with(|| a.label.cmp(&b.label)));
        stats
    }

    /// How many misses and bypasses there were for each reason, by [`MissReason::name`].
    pub fn miss_reasons(&self) -> BTreeMap<&'static str, u64> {
        self.inner.miss_reasons()
    }

    /// The last misses and bypasses, at most 256, each with its reason; the newest first.
    pub fn recent_misses(&self) -> Vec<Miss> {
        self.inner.observers.recent.read()
    }

    /// Subscribes to what changes the cache: invalidations, evictions, refreshes, failures. Nobody waits for a
    /// subscriber: one that is slow misses the oldest events, and counts them.
    ///
    /// ```
    /// use minijinja_cache::{FragmentCache, Happened, Target};
    ///
    /// let cache = FragmentCache::builder().build()?;
    /// let events = cache.subscribe();
    /// cache.invalidate_tag("films");
    /// let Some(Happened::Invalidated { what, .. }) = events.try_next().map(|event| event.what) else { panic!() };
    /// assert_eq!(what, Target::Tag("films".into()));
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    pub fn subscribe(&self) -> Subscription {
        self.inner.observers.subscribers.subscribe(Interest::Changes)
    }

    /// The same, and every look-up, computation and first store as well. While there is such a subscription each hit
    /// makes an event, which takes longer than the hit.
    pub fn subscribe_to_lookups(&self) -> Subscription {
        self.inner.observers.subscribers.subscribe(Interest::Lookups)
    }
}

impl Observers {
    pub(crate) fn new(name: Arc<str>) -> Observers {
        Observers {
            name,
            labels: Arc::new(Labels::new()),
            past: Arc::default(),
            subscribers: Arc::default(),
            collectors: Collectors::default(),
            shadow: Shadow::default(),
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
    pub(crate) fn new(label: Arc<Label>, wanted: &Wanted<'_>) -> Subject {
        let family = xxh3_64_with_seed(wanted.named, label.family);
        Subject { label, key: key_hash(wanted.named), variants: xxh3_64(wanted.base()), family }
    }

    pub(crate) fn about(&self) -> About {
        About::new(&self.label, self.key)
    }
}

/// How a key is told apart in reports.
pub(crate) fn key_hash(key: &[u8]) -> KeyHash {
    KeyHash(xxh3_64(key))
}

impl Inner {
    pub(crate) fn miss_reasons(&self) -> BTreeMap<&'static str, u64> {
        let counts = self.observers.reasons.iter().map(|count| count.load(Ordering::Relaxed));
        reason::NAMES.into_iter().zip(counts).filter(|(_, count)| *count > 0).collect()
    }

    /// Tells of a look-up that an entry answered.
    #[cold]
    pub(crate) fn tell_answered(&self, wanted: &Wanted<'_>, entry: &Entry, outcome: Outcome) {
        let key = key_hash(wanted.named);
        trace::answered(&self.observers.name, &entry.label, key, &outcome);
        let about = || About::new(&entry.label, key);
        self.collect(about, &outcome, wanted.named, Some(entry));
        if self.observers.subscribers.of_lookups() {
            self.observers.subscribers.tell(Interest::Lookups, Happened::LookedUp { about: about(), outcome });
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
        self.observers.reasons[reason.index()].fetch_sub(1, Ordering::Relaxed);
    }

    /// Counts a look-up that was not made, and tells of it.
    pub(crate) fn tell_bypass(&self, label: Arc<Label>, bypass: Bypass, key: &[u8]) {
        label.count(Rare::Bypasses);
        let subject = Subject { label, key: key_hash(key), variants: 0, family: 0 };
        let reason = MissReason::Bypassed(bypass);
        trace::bypassed(&self.observers.name, &subject.label, subject.key, &reason);
        self.tell_why(&subject, &reason, key);
    }

    fn tell_why(&self, subject: &Subject, reason: &MissReason, key: &[u8]) -> Option<Noted> {
        let observers = &self.observers;
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
        found: Option<&Entry>,
    ) -> Option<Noted> {
        if !self.observers.collectors.any() {
            return None;
        }
        let Some(collector) = collector(self.id) else {
            // One that an earlier look-up on this thread left is none of this one's.
            mark::set(None);
            return None;
        };
        let found = found.map(|entry| (entry, self.clock.now()));
        let noted = collector.note(about(), outcome.clone(), key, explain::explained(self.id), found);
        mark::set(noted.as_ref().and_then(Noted::mark));
        noted
    }

    /// Counts a computation that came to its end, and tells of it.
    pub(crate) fn tell_computed(
        &self,
        subject: &Subject,
        reason: Option<&MissReason>,
        entry: &Entry,
        rejected: Option<Rejection>,
    ) {
        self.count_computed(subject, entry.cost, entry.body.len(), rejected);
        let subscribers = &self.observers.subscribers;
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
                trace::refreshed(&self.observers.name, &about, reason, took);
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
        export::computed(self, label, cost);
        if rejected.is_some() {
            label.count(Rare::Rejected);
        }
        let subscribers = &self.observers.subscribers;
        if subscribers.of_lookups() {
            let (about, took) = (subject.about(), Duration::from_nanos(cost));
            subscribers.tell(Interest::Lookups, Happened::Computed { about, took, bytes, rejected });
        }
    }

    /// Counts a computation that failed, and tells of it.
    pub(crate) fn tell_failed(&self, subject: &Subject) {
        subject.label.count(Rare::Errors);
        if self.observers.subscribers.any() {
            self.observers.subscribers.tell(Interest::Changes, Happened::Failed { about: subject.about() });
        }
    }

    /// Says once for a fragment that it cannot be stored where it stands.
    pub(crate) fn report_unseen_start(&self, label: &Label) {
        if label.note_unseen_start() {
            let message = format!(
                "{}: not stored, because the cache did not see its render start: load the page through the cache \
                 (path_loader, loader, add_template or rewrite), or render it inside FragmentCache::scope",
                label.name
            );
            self.report(&Error::new(ErrorKind::Templates, message));
        }
    }

    /// Remembers what became of a result.
    pub(crate) fn note_fate(&self, subject: &Subject, hash: u128, rejected: Option<Rejection>) {
        match rejected {
            None => self.remember(subject, hash),
            // Somebody else's result may be stored.
            Some(Rejection::Apart) => {}
            Some(rejection) => self.observers.past.note(hash, Fate::Rejected(rejection)),
        }
    }

    /// Remembers that a result is stored.
    pub(crate) fn remember(&self, subject: &Subject, hash: u128) {
        self.observers.past.note(hash, Fate::Stored);
        self.observers.past.note_key(subject.variants);
        self.observers.past.note_key(subject.family);
    }

    /// Tells of an invalidation, once it is in force here.
    pub(crate) fn tell_invalidation(&self, what: impl FnOnce() -> Target, by: By) {
        let subscribers = &self.observers.subscribers;
        if subscribers.any() || trace::of_changes() {
            let what = what();
            trace::invalidated(&self.observers.name, &what, &by);
            subscribers.tell(Interest::Changes, Happened::Invalidated { what, by });
        }
    }
}
