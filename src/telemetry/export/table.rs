//! The table of all metrics. Recorders get their descriptions from it, and a test compares the guide's table with it.
//!
//! Names follow OpenTelemetry: namespaces before dots, `usage` and `limit`, plurals for countable things, no unit and
//! no `total` in the name. The name is `entries` and not `entry.count`, because Prometheus reserves `count` for
//! histograms. `telemetry/export.rs` publishes the values.

use metrics::{KeyName, Recorder, SharedString, Unit};

/// The type of a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    Counter,
    Gauge,
    Histogram,
}

/// A metric.
#[derive(Debug)]
pub(super) struct Metric {
    pub(super) name: &'static str,
    pub(super) shape: Shape,
    /// The unit in OpenTelemetry's notation (UCUM).
    pub(super) unit: &'static str,
    pub(super) labels: &'static [&'static str],
    pub(super) help: &'static str,
}

const CACHE: &[&str] = &["cache"];
const FRAGMENT: &[&str] = &["cache", "fragment", "kind"];
const OUTCOME: &[&str] = &["cache", "fragment", "kind", "outcome"];

macro_rules! metrics {
    ($($id:ident $shape:ident $name:literal $unit:literal $labels:expr, $help:literal;)*) => {
        $(pub(super) const $id: Metric = Metric {
            name: concat!("minijinja_cache.", $name),
            shape: Shape::$shape,
            unit: $unit,
            labels: $labels,
            help: $help,
        };)*

        pub(super) const ALL: &[Metric] = &[$($id),*];
    };
}

metrics! {
    LOOKUPS Counter "lookups" "{lookup}" OUTCOME, "Look-ups, by how they were answered: hit, stale, joined, shared, miss or bypass.";
    MISSES Counter "misses" "{lookup}" &["cache", "reason"], "Misses and bypasses, by their reason.";
    DURATION Histogram "computation.duration" "s" FRAGMENT, "How long computing took, what is inside included.";
    TIME_SAVED Gauge "computation.time_saved" "s" FRAGMENT, "Time not spent computing so far, by what each entry cost when it was computed.";
    OUTPUT Counter "computation.output" "By" FRAGMENT, "Bytes of all results computed.";
    FAILURES Counter "computation.failures" "{computation}" FRAGMENT, "Computations that ended with an error or a panic.";
    REJECTIONS Counter "computation.rejections" "{computation}" FRAGMENT, "Results that were computed and not stored.";
    MEMORY_USAGE Gauge "memory.usage" "By" CACHE, "Bytes in memory.";
    MEMORY_LIMIT Gauge "memory.limit" "By" CACHE, "The bound of memory.";
    MEMORY_ENTRIES Gauge "memory.entries" "{entry}" CACHE, "Entries in memory.";
    FRAGMENT_USAGE Gauge "fragment.usage" "By" FRAGMENT, "Bytes in memory, by fragment.";
    FRAGMENT_ENTRIES Gauge "fragment.entries" "{entry}" FRAGMENT, "Entries in memory, by fragment.";
    EVICTIONS Counter "evictions" "{entry}" FRAGMENT, "Entries that left memory because there was no room.";
    UNUSED_EVICTIONS Counter "unused_evictions" "{entry}" FRAGMENT, "Those of them that were never hit.";
    VERIFICATIONS Counter "verifications" "{hit}" FRAGMENT, "Hits that were computed again to be compared.";
    DIFFERENCES Counter "differences" "{hit}" FRAGMENT, "Those of them that were something else.";
    WAIT_TIMEOUTS Counter "wait.timeouts" "{wait}" CACHE, "Waits for somebody else's computation that took too long.";
    INVALIDATIONS Counter "invalidations" "{invalidation}" CACHE, "Invalidations made here, and template changes.";
    ERRORS Counter "errors" "{error}" CACHE, "Failures of the cache itself, none of which failed a page.";
    SHARED_LOOKUPS Counter "shared.lookups" "{lookup}" &["cache", "outcome"], "Misses that the shared tier was to answer, and whether it did: hit or miss.";
    SHARED_SKIPS Counter "shared.skips" "{call}" CACHE, "Calls to the shared tier that were left out.";
    SHARED_REJECTS Counter "shared.rejects" "{value}" CACHE, "Values in the shared tier that are none of this cache's.";
    SHARED_FAILURES Counter "shared.failures" "{call}" CACHE, "Calls to the shared tier that failed.";
    SHARED_STORES Counter "shared.stores" "{result}" CACHE, "Results written to the shared tier.";
    SHARED_DROPS Counter "shared.drops" "{result}" CACHE, "Results not written to it.";
    SHARED_INVALIDATIONS Counter "shared.invalidations" "{invalidation}" CACHE, "Invalidations heard of through the shared tier.";
    SHARED_BREAKER_OPEN Gauge "shared.breaker_open" "1" CACHE, "1 while pages leave the shared tier alone because it kept failing.";
    SHARED_IN_TOUCH Gauge "shared.in_touch" "1" CACHE, "1 while this node has heard from the shared tier within the staleness bound.";
    SHARED_UNTOLD Gauge "shared.untold" "{invalidation}" CACHE, "Invalidations made here that the shared tier does not have yet.";
}

impl Metric {
    /// Describes the metric to a recorder.
    pub(super) fn describe(&self, recorder: &dyn Recorder) {
        let (key, help) = (KeyName::from_const_str(self.name), SharedString::const_str(self.help));
        let unit = Some(match self.unit {
            "s" => Unit::Seconds,
            "By" => Unit::Bytes,
            _ => Unit::Count,
        });
        match self.shape {
            Shape::Counter => recorder.describe_counter(key, unit, help),
            Shape::Gauge => recorder.describe_gauge(key, unit, help),
            Shape::Histogram => recorder.describe_histogram(key, unit, help),
        }
    }
}

#[cfg(all(test, not(shuttle)))]
mod tests {
    use std::fmt::Write;

    use super::*;

    /// The name in Prometheus, as `metrics-exporter-prometheus` derives it with recommended naming.
    fn in_prometheus(metric: &Metric) -> String {
        let unit = match metric.unit {
            "s" => "_seconds",
            "By" => "_bytes",
            _ => "",
        };
        let total = if metric.shape == Shape::Counter { "_total" } else { "" };
        format!("{}{unit}{total}", metric.name.replace('.', "_"))
    }

    fn documented() -> String {
        let mut table = "| metric | type | unit | labels | |\n|---|---|---|---|---|\n".to_owned();
        for metric in ALL {
            let shape = format!("{:?}", metric.shape).to_lowercase();
            let (name, labels) = (in_prometheus(metric), metric.labels.join(", "));
            let row = [&format!("`{}`<br>`{name}`", metric.name), &shape, &format!("`{}`", metric.unit), &labels];
            writeln!(table, "| {} | {} | {} | {} | {} |", row[0], row[1], row[2], row[3], metric.help).unwrap();
        }
        table
    }

    #[test]
    fn the_guides_table_is_this_one() {
        let guide = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/src/telemetry.md");
        let guide = std::fs::read_to_string(guide).unwrap();
        let table = documented();
        assert!(guide.contains(&table), "docs/src/telemetry.md should have\n{table}");
    }

    #[test]
    fn names_are_as_opentelemetry_has_them() {
        for metric in ALL {
            let plain = |c: char| c.is_ascii_lowercase() || c == '_' || c == '.';
            assert!(metric.name.chars().all(plain), "{}", metric.name);
            for end in ["total", "count", "seconds", "bytes"] {
                assert!(!metric.name.ends_with(end), "{}", metric.name);
            }
            // No name is a namespace of another name.
            assert!(!ALL.iter().any(|other| other.name.starts_with(&format!("{}.", metric.name))), "{}", metric.name);
            assert!(metric.help.ends_with('.') && metric.labels.first() == Some(&"cache"), "{}", metric.name);
        }
    }
}
