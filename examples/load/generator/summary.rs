//! The figures of a run, as reports show them. Field names are those of the JSON report, which `README.md` explains.

use std::time::Duration;

use minijinja_cache::Stats;
use serde::Serialize;

use super::contents::Kind;
use super::measure::{Fault, Latencies, Standing, Tick, hit_ratio, ratio};
use super::options::Options;
use super::run::Part;
use super::scenario::Scenario;

/// All that was measured.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Report {
    /// Raised when a field changes its meaning.
    pub(crate) format: u32,
    pub(crate) date: String,
    pub(crate) cores: usize,
    pub(crate) options: Options,
    pub(crate) runs: Vec<Run>,
}

/// One scenario.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Run {
    pub(crate) scenario: &'static str,
    pub(crate) title: String,
    pub(crate) settings: String,
    /// From the first request to the last answer.
    pub(crate) seconds: f64,
    pub(crate) requests: u64,
    pub(crate) throughput: f64,
    /// Against the run without a cache, if there is one.
    pub(crate) speedup: Option<f64>,
    pub(crate) latency_ms: Latency,
    /// Share of requests, and the latency in milliseconds that they did not exceed.
    pub(crate) percentiles: Vec<(f64, f64)>,
    pub(crate) hit_ratio: Option<f64>,
    pub(crate) hits: u64,
    pub(crate) misses: u64,
    pub(crate) shared_hits: u64,
    pub(crate) renders: u64,
    pub(crate) invalidations: u64,
    pub(crate) queries: u64,
    pub(crate) queries_per_page: f64,
    pub(crate) errors: u64,
    pub(crate) leaks: u64,
    pub(crate) stale: u64,
    pub(crate) unsent: u64,
    pub(crate) faults: Vec<Fault>,
    pub(crate) kinds: Vec<OfKind>,
    pub(crate) timeline: Vec<Tick>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Latency {
    pub(crate) mean: f64,
    pub(crate) p50: f64,
    pub(crate) p90: f64,
    pub(crate) p99: f64,
    pub(crate) p999: f64,
    pub(crate) max: f64,
}

/// The requests for one kind of page.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct OfKind {
    pub(crate) kind: Kind,
    pub(crate) requests: u64,
    pub(crate) latency_ms: Latency,
}

impl Latency {
    fn of(latencies: &Latencies) -> Latency {
        let at = |share| latencies.quantile(share);
        let (p50, p90, p99, p999) = (at(0.5), at(0.9), at(0.99), at(0.999));
        Latency { mean: latencies.mean(), p50, p90, p99, p999, max: latencies.max() }
    }
}

impl Report {
    pub(crate) fn of(options: &Options, runs: Vec<Run>) -> Report {
        let mut runs = runs;
        let without = runs.iter().find(|run| run.scenario == "off").map(|run| run.throughput);
        for run in &mut runs {
            run.speedup = without.filter(|without| *without > 0.0).map(|without| run.throughput / without);
        }
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let date = httpdate::fmt_http_date(std::time::SystemTime::now());
        Report { format: 1, date, cores, options: options.clone(), runs }
    }

    /// Whether no answer was wrong.
    pub(crate) fn is_clean(&self) -> bool {
        self.wrong() == 0
    }

    /// Answers with something wrong.
    pub(crate) fn wrong(&self) -> u64 {
        self.runs.iter().map(|run| run.errors + run.leaks + run.stale).sum()
    }
}

impl Run {
    /// What was measured after the warm-up, which the timeline shows too.
    pub(crate) fn of(scenario: &Scenario, warm_up: &[Standing], measured: Part) -> Run {
        let Part { mut record, ticks, unsent } = measured;
        // Not sent, but waited for: that long at the least.
        unsent.iter().for_each(|waited| record.all.record(*waited));
        let requests = record.all.count() - unsent.len() as u64;
        let (first, last) = (&ticks[0], &ticks[ticks.len() - 1]);
        let seconds = (last.at - first.at).max(Duration::from_nanos(1)).as_secs_f64();
        let of_kind = |(kind, latencies): &(Kind, Latencies)| {
            let requests = latencies.count();
            (requests > 0).then(|| OfKind { kind: *kind, requests, latency_ms: Latency::of(latencies) })
        };
        let queries = last.queries - first.queries;
        Run {
            scenario: scenario.name,
            title: scenario.title.clone(),
            settings: scenario.settings(),
            seconds,
            requests,
            throughput: requests as f64 / seconds,
            speedup: None,
            latency_ms: Latency::of(&record.all),
            percentiles: percentiles(&record.all),
            hit_ratio: hit_ratio(&first.stats, &last.stats),
            hits: last.stats.hits - first.stats.hits,
            misses: last.stats.misses - first.stats.misses,
            shared_hits: last.stats.shared_hits - first.stats.shared_hits,
            renders: computed(&last.stats) - computed(&first.stats),
            invalidations: last.stats.invalidations - first.stats.invalidations,
            queries,
            queries_per_page: ratio(queries, requests).unwrap_or(0.0),
            errors: record.errors,
            leaks: record.leaks,
            stale: record.stale,
            unsent: unsent.len() as u64,
            kinds: record.kinds.iter().filter_map(of_kind).collect(),
            faults: record.faults,
            timeline: timeline(warm_up, &ticks),
        }
    }
}

/// Bodies, closures and pages made, where the cache was asked and where it was passed by. Without a cache these are all.
fn computed(stats: &Stats) -> u64 {
    stats.renders + stats.bypasses
}

fn timeline(warm_up: &[Standing], measured: &[Standing]) -> Vec<Tick> {
    let zero = measured[0].at;
    let pairs = warm_up.windows(2).chain(measured.windows(2));
    pairs.filter_map(|pair| Tick::between(&pair[0], &pair[1], zero)).collect()
}

/// From all requests to the slowest one: ten points for each tenth that is left of them.
fn percentiles(latencies: &Latencies) -> Vec<(f64, f64)> {
    let steps = ((latencies.count().max(1) as f64).log10() * 10.0) as i32;
    let shares = (0..=steps).map(|step| 1.0 - 10_f64.powf(-f64::from(step) / 10.0)).chain([1.0]);
    shares.map(|share| (share, latencies.quantile(share))).collect()
}
