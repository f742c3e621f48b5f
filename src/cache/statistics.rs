//! Statistics, and subscriptions to events: the public calls.
//!
//! Leaves counting to `telemetry/`, and the format of metrics to `telemetry/export.rs`.

use std::collections::BTreeMap;
#[cfg(feature = "metrics")]
use std::sync::Arc;
use std::time::Duration;

use crate::cache::{Engine, FragmentCache};
#[cfg(feature = "metrics")]
use crate::telemetry::export::{self, MetricsSnapshot, SharedHealth};
use crate::telemetry::stats::Stats;
use crate::telemetry::{FragmentStats, Interest, Miss, Subscription};

impl FragmentCache {
    /// The counters of the cache, over all namespaces.
    pub fn stats(&self) -> Stats {
        self.inner.stats()
    }

    /// The counters of each fragment, over all namespaces, sorted by time saved, the most first. They show where
    /// caching pays and where it does not.
    ///
    /// Results are counted by label or by the place they come from; at most 512 of these are counted.
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
        let mut stats = self.inner.telemetry.labels.read();
        stats.sort_by(|a, b| b.render_time_saved.cmp(&a.render_time_saved).then_with(|| a.label.cmp(&b.label)));
        stats
    }

    /// The number of misses and bypasses by reason; the names are those of
    /// [`MissReason::name`](crate::MissReason::name).
    pub fn miss_reasons(&self) -> BTreeMap<&'static str, u64> {
        self.inner.telemetry.miss_reasons()
    }

    /// The last misses and bypasses with their reasons, at most 256, the newest first.
    pub fn recent_misses(&self) -> Vec<Miss> {
        self.inner.telemetry.recent.read()
    }

    /// Subscribes to changes of the cache: invalidations, evictions, refreshes, failures. The cache does not wait for
    /// subscribers: a slow subscriber loses the oldest events, and counts them.
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
        self.inner.telemetry.subscribers.subscribe(Interest::Changes)
    }

    /// [`subscribe`](FragmentCache::subscribe), and every look-up, computation and first store as well. While there is
    /// such a subscription, each hit makes an event, which takes longer than the hit itself.
    pub fn subscribe_to_lookups(&self) -> Subscription {
        self.inner.telemetry.subscribers.subscribe(Interest::Lookups)
    }
}

#[cfg(feature = "metrics")]
impl FragmentCache {
    /// Publishes the counters to the recorder of the `metrics` facade at once; otherwise the cache publishes them every
    /// second. Use it in an endpoint that is scraped, so that the endpoint shows the current values. The recorder runs
    /// on this thread.
    pub fn publish_metrics(&self) {
        export::publish(self.inner.snapshot());
    }
}

impl Engine {
    pub(crate) fn stats(&self) -> Stats {
        let (hits, saved) = self.telemetry.labels.hits();
        let counted = self.counters.read();
        let render_time_saved = counted.render_time_saved + Duration::from_nanos(saved);
        Stats { hits, render_time_saved, entries: self.memory.len(), bytes: self.memory.bytes(), ..counted }
    }

    #[cfg(feature = "metrics")]
    fn snapshot(&self) -> MetricsSnapshot {
        MetricsSnapshot {
            name: Arc::clone(&self.telemetry.name),
            stats: self.stats(),
            fragments: self.telemetry.labels.read(),
            miss_reasons: self.telemetry.miss_reasons(),
            max_bytes: self.settings.max_bytes,
            shared: self.shared_health(),
        }
    }

    #[cfg(all(feature = "metrics", feature = "shared"))]
    fn shared_health(&self) -> Option<SharedHealth> {
        let status = self.shared.as_ref()?.status();
        Some(SharedHealth { breaker_open: status.breaker_open, in_touch: status.in_touch, untold: status.untold })
    }

    #[cfg(all(feature = "metrics", not(feature = "shared")))]
    fn shared_health(&self) -> Option<SharedHealth> {
        None
    }

    #[cfg(feature = "metrics")]
    pub(crate) fn publish_quietly(&self) {
        if let Err(error) = export::publish_quietly(|| self.snapshot()) {
            self.report(&error);
        }
    }
}
