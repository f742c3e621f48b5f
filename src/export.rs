//! The cache's counts for the `metrics` facade.
//!
//! The counts are the cache's own atomics; they are published once a second, from a thread of their own, so that a
//! recorder that is slow or panics keeps neither pages nor maintenance waiting. Only the histogram of computation time is
//! told as it happens. What is published is in `export/table.rs`; without the feature `export/disabled.rs` stands in.

mod table;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Weak};

use metrics::{Key, Label as Pair, Level, Metadata, Recorder, SharedString, with_recorder};

use self::table::{Metric, Shape};
use crate::cache::{FragmentCache, Inner};
use crate::error::{Error, ErrorKind};
use crate::observe::{FragmentKind, FragmentStats, Label};
use crate::stats::Counter;
use crate::timer::Timer;

static METADATA: Metadata<'static> = Metadata::new("minijinja_cache", Level::INFO, Some("minijinja_cache"));

impl FragmentCache {
    /// Publishes what was counted to the recorder of the `metrics` facade, at once; otherwise this happens every second.
    /// For an endpoint that is scraped, so that it shows what is so now. Runs on this thread, as long as the recorder
    /// takes.
    pub fn publish_metrics(&self) {
        self.inner.publish();
    }
}

/// The thread that publishes; ends when dropped.
#[derive(Debug)]
pub(crate) struct Publisher {
    _thread: Timer,
}

impl Publisher {
    pub(crate) fn start(cache: Weak<Inner>) -> Result<Publisher, Error> {
        Ok(Publisher { _thread: Timer::start("cache-metrics", cache, Inner::publish_quietly)? })
    }
}

/// Records how long a computation took.
pub(crate) fn computed(cache: &Inner, label: &Label, nanos: u64) {
    let record = || {
        with_recorder(|recorder| {
            let to = To { recorder, cache: shared(&cache.observers.name) };
            let key = to.key(&table::DURATION, to.fragment(&label.name, label.kind));
            recorder.register_histogram(&key, &METADATA).record(nanos as f64 / 1e9);
        });
    };
    // The panic hook has told of it.
    if catch_unwind(AssertUnwindSafe(record)).is_err() {
        cache.counters.count(Counter::errors);
    }
}

impl Inner {
    fn publish_quietly(&self) {
        if catch_unwind(AssertUnwindSafe(|| self.publish())).is_err() {
            self.report(&Error::new(ErrorKind::Callback, "publishing metrics: the recorder panicked"));
        }
    }

    fn publish(&self) {
        with_recorder(|recorder| {
            // Each time: nobody says when another recorder takes over, and some name a metric by its unit.
            table::ALL.iter().for_each(|metric| metric.describe(recorder));
            let to = To { recorder, cache: shared(&self.observers.name) };
            self.observers.labels.read().into_iter().for_each(|stats| to.stats(stats));
            for (reason, count) in self.miss_reasons() {
                to.set(&table::MISSES, vec![to.cache(), Pair::from_static_parts("reason", reason)], count);
            }
            let stats = self.counters.read();
            for (metric, value) in [
                (&table::MEMORY_USAGE, self.memory.bytes()),
                (&table::MEMORY_LIMIT, self.settings.max_bytes),
                (&table::MEMORY_ENTRIES, self.memory.len()),
                (&table::WAIT_TIMEOUTS, stats.wait_timeouts),
                (&table::INVALIDATIONS, stats.invalidations),
                (&table::ERRORS, stats.errors),
            ] {
                to.set(metric, vec![to.cache()], value);
            }
            #[cfg(feature = "shared")]
            self.publish_shared(&to, &stats);
        });
    }

    #[cfg(feature = "shared")]
    fn publish_shared(&self, to: &To<'_>, stats: &crate::stats::Stats) {
        let Some(status) = self.shared.as_ref().map(crate::shared::Shared::status) else { return };
        for (outcome, count) in [("hit", stats.shared_hits), ("miss", stats.shared_misses)] {
            let labels = vec![to.cache(), Pair::from_static_parts("outcome", outcome)];
            to.set(&table::SHARED_LOOKUPS, labels, count);
        }
        for (metric, value) in [
            (&table::SHARED_SKIPS, stats.shared_skips),
            (&table::SHARED_REJECTS, stats.shared_rejects),
            (&table::SHARED_FAILURES, stats.shared_failures),
            (&table::SHARED_STORES, stats.shared_stores),
            (&table::SHARED_DROPS, stats.shared_drops),
            (&table::SHARED_INVALIDATIONS, stats.shared_invalidations),
            (&table::SHARED_BREAKER_OPEN, u64::from(status.breaker_open)),
            (&table::SHARED_IN_TOUCH, u64::from(status.in_touch)),
            (&table::SHARED_UNTOLD, status.untold as u64),
        ] {
            to.set(metric, vec![to.cache()], value);
        }
    }
}

/// A recorder, and the name of the cache whose counts it is told.
struct To<'a> {
    recorder: &'a dyn Recorder,
    cache: SharedString,
}

impl To<'_> {
    fn stats(&self, stats: FragmentStats) {
        let name: Arc<str> = stats.label.into();
        let labels = || self.fragment(&name, stats.kind);
        for (outcome, count) in [
            ("hit", stats.hits),
            ("stale", stats.stale_hits),
            ("joined", stats.joined),
            ("shared", stats.shared_hits),
            ("miss", stats.misses),
            ("bypass", stats.bypasses),
        ] {
            // Of six outcomes most fragments have two.
            if count > 0 {
                let mut labels = labels();
                labels.push(Pair::from_static_parts("outcome", outcome));
                self.set(&table::LOOKUPS, labels, count);
            }
        }
        for (metric, value) in [
            (&table::FAILURES, stats.errors),
            (&table::REJECTIONS, stats.rejected),
            (&table::OUTPUT, stats.rendered_bytes),
            (&table::EVICTIONS, stats.evicted),
            (&table::UNUSED_EVICTIONS, stats.evicted_unused),
            (&table::VERIFICATIONS, stats.verified),
            (&table::DIFFERENCES, stats.differing),
            (&table::FRAGMENT_USAGE, stats.bytes),
            (&table::FRAGMENT_ENTRIES, stats.entries),
        ] {
            self.set(metric, labels(), value);
        }
        let saved = self.key(&table::TIME_SAVED, labels());
        self.recorder.register_gauge(&saved, &METADATA).set(stats.render_time_saved.as_secs_f64());
    }

    fn set(&self, metric: &Metric, labels: Vec<Pair>, value: u64) {
        let key = self.key(metric, labels);
        match metric.shape {
            // What was counted never goes back; a second cache of the same name must not take it back either.
            Shape::Counter => self.recorder.register_counter(&key, &METADATA).absolute(value),
            Shape::Gauge => self.recorder.register_gauge(&key, &METADATA).set(value as f64),
            Shape::Histogram => {}
        }
    }

    fn key(&self, metric: &Metric, labels: Vec<Pair>) -> Key {
        debug_assert!(labels.iter().map(Pair::key).eq(metric.labels.iter().copied()), "{}", metric.name);
        Key::from_parts(metric.name, labels)
    }

    fn cache(&self) -> Pair {
        Pair::new("cache", self.cache.clone())
    }

    fn fragment(&self, name: &Arc<str>, kind: FragmentKind) -> Vec<Pair> {
        let mut labels = Vec::with_capacity(4);
        labels.push(self.cache());
        labels.push(Pair::new("fragment", shared(name)));
        labels.push(Pair::from_static_parts("kind", kind.name()));
        labels
    }
}

fn shared(name: &Arc<str>) -> SharedString {
    SharedString::from_shared(Arc::clone(name))
}
