//! The numbers of the overview by name, as formatted text and as lines of charts. The page and the event stream both
//! read them here, so that they show the same.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use super::chart::{self, Series};
use super::format;
use super::mounted::Mounted;
use super::recorder::Sample;
use crate::cache::FragmentCache;
use crate::telemetry::FragmentStats;
use crate::telemetry::stats::Stats;

pub(super) type Figures = BTreeMap<&'static str, String>;

/// Reads all numbers.
pub(super) fn read(mounted: &Mounted) -> Figures {
    let cache = &mounted.cache;
    let samples = mounted.recorder.samples();
    let stats = cache.stats();
    let mut figures = Figures::new();
    figures.insert("time", format::clock(SystemTime::now()));
    figures.insert("uptime", format::seconds(cache.inner.telemetry.since.elapsed()));
    totals(&stats, &mut figures);
    memory(cache, &stats, &mut figures);
    ratios(cache, &samples, &mut figures);
    throughput(&samples, &mut figures);
    work(&samples, &mut figures);
    tier(cache, &mut figures);
    figures
}

fn totals(stats: &Stats, figures: &mut Figures) {
    let counts = [
        ("hits", stats.hits),
        ("misses", stats.misses),
        ("stale_hits", stats.stale_hits),
        ("waits", stats.waits),
        ("bypasses", stats.bypasses),
        ("renders", stats.renders),
        ("stores", stats.stores),
        ("unstored", stats.unstored),
        ("invalidations", stats.invalidations),
        ("wait_timeouts", stats.wait_timeouts),
        ("errors", stats.errors),
        ("shared_hits", stats.shared_hits),
        ("shared_misses", stats.shared_misses),
        ("shared_stores", stats.shared_stores),
        ("shared_failures", stats.shared_failures),
        ("shared_skips", stats.shared_skips),
        ("shared_rejects", stats.shared_rejects),
        ("shared_drops", stats.shared_drops),
        ("shared_invalidations", stats.shared_invalidations),
    ];
    figures.extend(counts.map(|(name, count)| (name, format::count(count))));
    figures.insert("saved", format::span(stats.render_time_saved));
}

fn memory(cache: &FragmentCache, stats: &Stats, figures: &mut Figures) {
    let most = cache.inner.settings.max_bytes;
    let share = stats.bytes as f64 / most.max(1) as f64;
    figures.insert("entries", format::count(stats.entries));
    figures.insert("bytes", format::bytes(stats.bytes));
    figures.insert("max_bytes", format::bytes(most));
    figures.insert("memory_share", format::percent(share));
    figures.insert("memory_width", format!("{:.2}%", (share * 100.0).clamp(0.0, 100.0)));
    let mean = stats.bytes.checked_div(stats.entries).map_or_else(|| "–".into(), format::bytes);
    figures.insert("mean_bytes", mean);
}

fn ratios(cache: &FragmentCache, samples: &[Sample], figures: &mut Figures) {
    let fragments = cache.inner.telemetry.labels.read();
    let lookups: u64 = fragments.iter().map(FragmentStats::lookups).sum();
    let answered: u64 = fragments.iter().map(FragmentStats::answered).sum();
    let differing = fragments.iter().map(|fragment| fragment.differing).sum();
    figures.insert("differing", format::count(differing));
    figures.insert("lookups", format::count(lookups));
    figures.insert("ratio", share(answered, lookups).map_or_else(none, format::percent));
    let ratio =
        chart::series(samples, |from, to| share(more(from, to, |it| it.answered), more(from, to, Sample::lookups)));
    figures.insert("ratio_now", newest(&ratio).map_or_else(none, format::percent));
    figures.insert("ratio_line", chart::line(&ratio, 1.0));
    figures.insert("ratio_area", chart::area(&ratio, 1.0));
}

fn throughput(samples: &[Sample], figures: &mut Figures) {
    let rates = |count: fn(&Sample) -> u64| chart::series(samples, |a, b| Some(chart::per_second(a, b, count)));
    let (answered, computed) = (rates(|sample| sample.answered), rates(|sample| sample.computed));
    let top = chart::top(answered.iter().chain(&computed));
    figures.insert("answered_now", newest(&answered).map_or_else(none, format::rate));
    figures.insert("computed_now", newest(&computed).map_or_else(none, format::rate));
    figures.insert("rate_top", format!("{}/s", format::rate(top)));
    figures.insert("answered_line", chart::line(&answered, top));
    figures.insert("answered_area", chart::area(&answered, top));
    figures.insert("computed_line", chart::line(&computed, top));
}

/// The time that computations took and that hits saved.
fn work(samples: &[Sample], figures: &mut Figures) {
    let cost =
        chart::series(samples, |from, to| share(more(from, to, |it| it.render_nanos), more(from, to, |it| it.renders)));
    let top = chart::top(&cost);
    figures.insert("cost_now", newest(&cost).map_or_else(none, nanos));
    figures.insert("cost_top", if cost.iter().any(Option::is_some) { nanos(top) } else { none() });
    figures.insert("cost_line", chart::line(&cost, top));
    figures.insert("cost_area", chart::area(&cost, top));
    let saved = chart::series(samples, |a, b| Some(chart::per_second(a, b, |sample| sample.saved_nanos)));
    figures.insert("saved_now", newest(&saved).map_or_else(none, nanos));
}

/// The state of the shared tier, if there is one.
#[cfg(feature = "shared")]
fn tier(cache: &FragmentCache, figures: &mut Figures) {
    let Some(status) = cache.shared_status() else { return };
    let (class, words) = match (status.in_touch, status.breaker_open) {
        (_, true) => ("state bad", "Breaker open: left alone after failures"),
        (false, _) => ("state bad", "Out of touch: what it holds is not believed"),
        (true, false) => ("state good", "In touch"),
    };
    figures.insert("tier_store", status.store);
    figures.insert("tier_class", class.into());
    figures.insert("tier_words", words.into());
    figures.insert("tier_untold", format::count(status.untold as u64));
}

#[cfg(not(feature = "shared"))]
fn tier(_: &FragmentCache, _: &mut Figures) {}

fn share(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

fn newest(series: &Series) -> Option<f64> {
    series.last().copied().flatten()
}

/// The increase of a counter between two samples; zero if it decreased, since some counts are corrected afterwards.
fn more(from: &Sample, to: &Sample, count: fn(&Sample) -> u64) -> u64 {
    count(to).saturating_sub(count(from))
}

fn nanos(nanos: f64) -> String {
    format::span(Duration::from_nanos(nanos as u64))
}

fn none() -> String {
    "–".into()
}
