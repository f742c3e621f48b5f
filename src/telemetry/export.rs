//! Publishes the cache's counts through the `metrics` facade.
//!
//! The counts are the cache's own atomics. A separate thread publishes them once a second, so that a slow or panicking
//! recorder delays neither pages nor maintenance. Only the histogram of computation time is recorded at once.
//!
//! The table of metrics is `export/table.rs`. Without the feature `metrics`, `export/disabled.rs` replaces this file.

mod table;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use metrics::{Key, Label as Pair, Level, Metadata, Recorder, SharedString, with_recorder};

use self::table::{Metric, Shape};
use crate::error::{Error, ErrorKind};
use crate::telemetry::stats::{Counter, Counters, Stats};
use crate::telemetry::{FragmentCounters, FragmentKind, FragmentStats};

static METADATA: Metadata<'static> = Metadata::new("minijinja_cache", Level::INFO, Some("minijinja_cache"));

/// The values that are published.
pub(crate) struct MetricsSnapshot {
    pub(crate) name: Arc<str>,
    pub(crate) stats: Stats,
    pub(crate) fragments: Vec<FragmentStats>,
    pub(crate) miss_reasons: BTreeMap<&'static str, u64>,
    /// The bound on memory, in bytes.
    pub(crate) max_bytes: u64,
    pub(crate) shared: Option<SharedHealth>,
}

/// The state of the shared tier.
pub(crate) struct SharedHealth {
    pub(crate) breaker_open: bool,
    pub(crate) in_touch: bool,
    /// Invalidations not yet published.
    pub(crate) untold: usize,
}

/// Records how long a computation took.
pub(crate) fn computed(cache: &Arc<str>, counters: &Counters, label: &FragmentCounters, nanos: u64) {
    let record = || {
        with_recorder(|recorder| {
            let to = To { recorder, cache: shared(cache) };
            let key = to.key(&table::DURATION, to.fragment(&label.name, label.kind));
            recorder.register_histogram(&key, &METADATA).record(nanos as f64 / 1e9);
        });
    };
    // The panic hook has reported the panic.
    if catch_unwind(AssertUnwindSafe(record)).is_err() {
        counters.count(Counter::errors);
    }
}

/// Publishes the values.
///
/// # Errors
///
/// Fails if the recorder panics.
pub(crate) fn publish_quietly(snapshot: impl FnOnce() -> MetricsSnapshot) -> Result<(), Error> {
    catch_unwind(AssertUnwindSafe(|| publish(snapshot())))
        .map_err(|_| Error::new(ErrorKind::Callback, "publishing metrics: the recorder panicked"))
}

pub(crate) fn publish(snapshot: MetricsSnapshot) {
    with_recorder(|recorder| {
        // Described each time, because the facade does not report that another recorder was installed, and some
        // recorders derive the name of a metric from its unit.
        table::ALL.iter().for_each(|metric| metric.describe(recorder));
        let to = To { recorder, cache: shared(&snapshot.name) };
        let MetricsSnapshot { stats, fragments, miss_reasons, max_bytes, shared, .. } = snapshot;
        fragments.into_iter().for_each(|stats| to.stats(stats));
        for (reason, count) in miss_reasons {
            to.set(&table::MISSES, vec![to.cache(), Pair::from_static_parts("reason", reason)], count);
        }
        for (metric, value) in [
            (&table::MEMORY_USAGE, stats.bytes),
            (&table::MEMORY_LIMIT, max_bytes),
            (&table::MEMORY_ENTRIES, stats.entries),
            (&table::WAIT_TIMEOUTS, stats.wait_timeouts),
            (&table::INVALIDATIONS, stats.invalidations),
            (&table::ERRORS, stats.errors),
        ] {
            to.set(metric, vec![to.cache()], value);
        }
        if let Some(health) = shared {
            to.shared(&stats, &health);
        }
    });
}

/// A recorder, and the name of the cache whose counts it receives.
struct To<'a> {
    recorder: &'a dyn Recorder,
    cache: SharedString,
}

impl To<'_> {
    fn shared(&self, stats: &Stats, health: &SharedHealth) {
        for (outcome, count) in [("hit", stats.shared_hits), ("miss", stats.shared_misses)] {
            let labels = vec![self.cache(), Pair::from_static_parts("outcome", outcome)];
            self.set(&table::SHARED_LOOKUPS, labels, count);
        }
        for (metric, value) in [
            (&table::SHARED_SKIPS, stats.shared_skips),
            (&table::SHARED_REJECTS, stats.shared_rejects),
            (&table::SHARED_FAILURES, stats.shared_failures),
            (&table::SHARED_STORES, stats.shared_stores),
            (&table::SHARED_DROPS, stats.shared_drops),
            (&table::SHARED_INVALIDATIONS, stats.shared_invalidations),
            (&table::SHARED_BREAKER_OPEN, u64::from(health.breaker_open)),
            (&table::SHARED_IN_TOUCH, u64::from(health.in_touch)),
            (&table::SHARED_UNTOLD, health.untold as u64),
        ] {
            self.set(metric, vec![self.cache()], value);
        }
    }

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
            // Zeros are left out, because most fragments have two of the six outcomes.
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
            // `absolute` never decreases a counter, even if a second cache has the same name.
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
