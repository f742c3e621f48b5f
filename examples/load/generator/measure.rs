//! What is measured: latencies by kind of page, what was wrong, and how things went over time.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use minijinja_cache::Stats;
use serde::Serialize;

use super::check::{What, Wrong};
use super::contents::Kind;
use super::scenario::Site;

/// The longest latency told apart from longer ones, in microseconds: ten minutes.
const LONGEST: u64 = 600_000_000;
/// How many faults are described; all are counted.
const DESCRIBED: usize = 5;

/// Latencies in microseconds, to three digits.
#[derive(Debug, Clone)]
pub(crate) struct Latencies(Histogram<u64>);

impl Latencies {
    pub(crate) fn new() -> Result<Latencies, String> {
        Histogram::new_with_bounds(1, LONGEST, 3).map(Latencies).map_err(|error| error.to_string())
    }

    pub(crate) fn record(&mut self, latency: Duration) {
        self.0.saturating_record(u64::try_from(latency.as_micros()).unwrap_or(LONGEST));
    }

    pub(crate) fn count(&self) -> u64 {
        self.0.len()
    }

    /// The latency that this share of requests did not exceed, in milliseconds.
    pub(crate) fn quantile(&self, share: f64) -> f64 {
        milliseconds(self.0.value_at_quantile(share))
    }

    pub(crate) fn max(&self) -> f64 {
        milliseconds(self.0.max())
    }

    pub(crate) fn mean(&self) -> f64 {
        self.0.mean() / 1e3
    }
}

fn milliseconds(micros: u64) -> f64 {
    micros as f64 / 1e3
}

/// Something that was wrong with an answer.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Fault {
    pub(crate) what: What,
    pub(crate) url: String,
    pub(crate) visitor: String,
    pub(crate) seen: String,
}

/// What was measured during one part of a run.
#[derive(Debug, Clone)]
pub(crate) struct Record {
    pub(crate) all: Latencies,
    pub(crate) kinds: Vec<(Kind, Latencies)>,
    pub(crate) errors: u64,
    pub(crate) leaks: u64,
    pub(crate) stale: u64,
    /// The first of each.
    pub(crate) faults: Vec<Fault>,
}

impl Record {
    pub(crate) fn new() -> Result<Record, String> {
        let kinds = Kind::ALL.into_iter().map(|kind| Ok((kind, Latencies::new()?))).collect::<Result<_, String>>()?;
        Ok(Record { all: Latencies::new()?, kinds, errors: 0, leaks: 0, stale: 0, faults: Vec::new() })
    }

    pub(crate) fn latency(&mut self, kind: Kind, latency: Duration) {
        self.all.record(latency);
        if let Some((_, latencies)) = self.kinds.iter_mut().find(|(known, _)| *known == kind) {
            latencies.record(latency);
        }
    }

    pub(crate) fn fault(&mut self, wrong: Wrong, url: &str, visitor: String) {
        let what = wrong.what;
        *match what {
            What::Error => &mut self.errors,
            What::Leak => &mut self.leaks,
            What::Stale => &mut self.stale,
        } += 1;
        self.describe(Fault { what, url: url.to_owned(), visitor, seen: wrong.seen });
    }

    /// What was wrong there, without its latencies.
    pub(crate) fn add_faults(&mut self, other: &Record) {
        self.errors += other.errors;
        self.leaks += other.leaks;
        self.stale += other.stale;
        other.faults.iter().cloned().for_each(|fault| self.describe(fault));
    }

    fn describe(&mut self, fault: Fault) {
        if self.faults.iter().filter(|known| known.what == fault.what).count() < DESCRIBED {
            self.faults.push(fault);
        }
    }
}

/// Counts that are looked at while they grow.
#[derive(Debug, Default)]
pub(crate) struct Live {
    pub(crate) requests: AtomicU64,
    pub(crate) wrong: AtomicU64,
}

/// Where everything stood at a moment.
#[derive(Debug, Clone)]
pub(crate) struct Standing {
    pub(crate) at: Instant,
    pub(crate) requests: u64,
    pub(crate) stats: Stats,
    pub(crate) queries: u64,
}

impl Standing {
    pub(crate) fn of(site: &Site, live: &Live) -> Standing {
        Standing {
            at: Instant::now(),
            requests: live.requests.load(Ordering::Relaxed),
            stats: site.app.cache.stats(),
            queries: site.app.db.queries(),
        }
    }
}

/// What happened between two looks.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Tick {
    /// Its middle, in seconds since measuring began; in the warm-up below 0.
    pub(crate) second: f64,
    /// Requests a second.
    pub(crate) throughput: f64,
    /// Hits among look-ups; nothing if there were none.
    pub(crate) hit_ratio: Option<f64>,
    pub(crate) queries_per_request: Option<f64>,
}

impl Tick {
    /// Between two looks, with the begin of measuring as 0; nothing between two at the same time.
    pub(crate) fn between(earlier: &Standing, later: &Standing, zero: Instant) -> Option<Tick> {
        let span = later.at.saturating_duration_since(earlier.at).as_secs_f64();
        let requests = later.requests - earlier.requests;
        let since = |at: Instant| match at.checked_duration_since(zero) {
            Some(after) => after.as_secs_f64(),
            None => -zero.duration_since(at).as_secs_f64(),
        };
        let second = (since(earlier.at) + since(later.at)) / 2.0;
        (span > 0.0).then(|| Tick {
            second,
            throughput: requests as f64 / span,
            hit_ratio: hit_ratio(&earlier.stats, &later.stats),
            queries_per_request: ratio(later.queries - earlier.queries, requests),
        })
    }
}

/// Hits among the look-ups between two moments.
pub(crate) fn hit_ratio(earlier: &Stats, later: &Stats) -> Option<f64> {
    let (hits, misses) = (later.hits - earlier.hits, later.misses - earlier.misses);
    ratio(hits, hits + misses)
}

pub(crate) fn ratio(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}
