//! The page of fragments: a table of their statistics, sorted by any column, and the uncached includes and macros that
//! would be worth caching.

use std::cmp::Ordering;
use std::sync::Arc;
use std::time::Duration;

use axum::response::Response;
use http::StatusCode;
use minijinja::{Value, context};

use super::format;
use super::hints::{self, mean_cost};
use super::mounted::Mounted;
use super::params::Params;
use crate::telemetry::FragmentStats;
use crate::template::profile::Potential;

/// A column of the table.
struct Column {
    /// Its name in links and templates.
    name: &'static str,
    heading: &'static str,
    /// The explanation of the heading.
    explanation: &'static str,
    value: ColumnValue,
}

/// The value that rows are sorted by.
enum ColumnValue {
    Text(fn(&FragmentStats) -> &str),
    Count(fn(&FragmentStats) -> u64),
    Span(fn(&FragmentStats) -> Option<Duration>),
    Share(fn(&FragmentStats) -> f64),
}

/// The number of uncached includes and macros that are shown.
const UNCACHED: usize = 20;

const COLUMNS: [Column; 22] = [
    Column {
        name: "label",
        heading: "Fragment",
        explanation: "Where it comes from",
        value: ColumnValue::Text(|it| &it.label),
    },
    Column { name: "kind", heading: "Kind", explanation: "What it is", value: ColumnValue::Text(|it| it.kind.name()) },
    column("saved", "Time saved", "Not spent computing", ColumnValue::Span(|it| Some(it.render_time_saved))),
    column("spent", "Time spent", "Spent computing", ColumnValue::Span(|it| Some(it.render_time))),
    column("cost", "Per render", "Mean time of a computation", ColumnValue::Span(mean_cost)),
    column("lookups", "Look-ups", "How often it was asked for", ColumnValue::Count(FragmentStats::lookups)),
    column("ratio", "Hit ratio", "The share that was spared the work", ColumnValue::Share(FragmentStats::hit_ratio)),
    column("misses", "Misses", "Computed, because nothing else answered", ColumnValue::Count(|it| it.misses)),
    column("first", "First", "Misses of keys that were not asked for before", ColumnValue::Count(|it| it.first_misses)),
    column("stale", "Stale", "Answered with an expired entry within its grace", ColumnValue::Count(|it| it.stale_hits)),
    column("joined", "Joined", "Answered by somebody else's computation", ColumnValue::Count(|it| it.joined)),
    column("shared", "Shared", "Answered by the shared tier", ColumnValue::Count(|it| it.shared_hits)),
    column("bypasses", "Bypasses", "Computed without asking the cache", ColumnValue::Count(|it| it.bypasses)),
    column("errors", "Errors", "Computations that failed", ColumnValue::Count(|it| it.errors)),
    column("rejected", "Rejected", "Computed and not stored", ColumnValue::Count(|it| it.rejected)),
    column("verified", "Verified", "Hits that were computed again and compared", ColumnValue::Count(|it| it.verified)),
    column("differing", "Differing", "Verified hits that were something else", ColumnValue::Count(|it| it.differing)),
    column("evicted", "Evicted", "Left memory because there was no room", ColumnValue::Count(|it| it.evicted)),
    column("unused", "Unused", "Evicted without ever being hit", ColumnValue::Count(|it| it.evicted_unused)),
    column("evicted_age", "Age then", "Mean age at eviction", ColumnValue::Span(|it| it.age_at_eviction)),
    column("entries", "Entries", "In memory now", ColumnValue::Count(|it| it.entries)),
    column("bytes", "Bytes", "In memory now", ColumnValue::Count(|it| it.bytes)),
];

const fn column(name: &'static str, heading: &'static str, explanation: &'static str, value: ColumnValue) -> Column {
    Column { name, heading, explanation, value }
}

pub(super) fn page(mounted: &Arc<Mounted>, params: &Params) -> Response {
    let mut stats = mounted.cache.fragment_stats();
    let all = stats.len();
    let wanted = params.get("q").to_lowercase();
    stats.retain(|it| it.label.to_lowercase().contains(&wanted));
    let (column, ascending) = order(params);
    sort(&mut stats, column, ascending);
    let headings = COLUMNS.iter().map(|it| {
        let chosen = it.name == column.name;
        // Numbers are sorted from the largest on by default, names from A.
        let turned = if chosen { !ascending } else { matches!(it.value, ColumnValue::Text(_)) };
        let link = params.link(&[("sort", it.name), ("order", if turned { "up" } else { "down" })]);
        let sorted = if ascending { "ascending" } else { "descending" };
        context! {
            name => it.name, heading => it.heading, says => it.explanation, link, sorted => chosen.then_some(sorted),
            text => matches!(it.value, ColumnValue::Text(_)),
        }
    });
    let context = context! {
        headings => headings.collect::<Value>(),
        rows => stats.iter().map(row).collect::<Value>(),
        q => params.get("q"),
        sort => params.get("sort"), order => params.get("order"),
        shown => stats.len(), all,
        potential => mounted.cache.potential().iter().take(UNCACHED).map(potential).collect::<Value>(),
    };
    mounted.page(StatusCode::OK, "fragments.html", context)
}

/// A measured uncached include or macro as a template value.
fn potential(measured: &Potential) -> Value {
    context! {
        label => measured.label.as_str(),
        calls => format::count(measured.calls),
        repeats => format::percent(measured.repeats as f64 / measured.calls.max(1) as f64),
        conflicts => figure(measured.conflicts),
        spent => format::span(measured.total_time),
        saved => format::span(measured.saved_time),
        suggestion => measured.suggestion.as_deref(),
        unreadable => measured.unreadable_input.as_deref(),
    }
}

fn order(params: &Params) -> (&'static Column, bool) {
    let named = COLUMNS.iter().find(|it| it.name == params.get("sort"));
    let column = named.unwrap_or(&COLUMNS[2]);
    let ascending = match params.get("order") {
        "up" => true,
        "down" => false,
        _ => matches!(column.value, ColumnValue::Text(_)),
    };
    (column, ascending)
}

fn sort(stats: &mut [FragmentStats], column: &Column, ascending: bool) {
    stats.sort_by(|a, b| {
        let order = column.value.compare(a, b);
        let order = if ascending { order } else { order.reverse() };
        order.then_with(|| a.label.cmp(&b.label)).then(a.kind.cmp(&b.kind))
    });
}

impl ColumnValue {
    fn compare(&self, a: &FragmentStats, b: &FragmentStats) -> Ordering {
        match self {
            ColumnValue::Text(text) => text(a).cmp(text(b)),
            ColumnValue::Count(count) => count(a).cmp(&count(b)),
            ColumnValue::Span(span) => span(a).cmp(&span(b)),
            ColumnValue::Share(share) => share(a).total_cmp(&share(b)),
        }
    }
}

/// A row as a template value.
pub(super) fn row(stats: &FragmentStats) -> Value {
    let hint = hints::of(stats);
    let ratio = stats.hit_ratio();
    context! {
        label => stats.label.as_str(),
        kind => stats.kind.name(),
        saved => format::span(stats.render_time_saved),
        spent => format::span(stats.render_time),
        cost => mean_cost(stats).map(format::span).unwrap_or_default(),
        lookups => format::count(stats.lookups()),
        ratio => if stats.lookups() > 0 { format::percent(ratio) } else { String::new() },
        ratio_width => format!("{:.1}%", ratio * 100.0),
        misses => figure(stats.misses),
        first => figure(stats.first_misses),
        stale => figure(stats.stale_hits),
        joined => figure(stats.joined),
        shared => figure(stats.shared_hits),
        bypasses => figure(stats.bypasses),
        errors => figure(stats.errors),
        rejected => figure(stats.rejected),
        verified => figure(stats.verified),
        differing => figure(stats.differing),
        evicted => figure(stats.evicted),
        unused => figure(stats.evicted_unused),
        evicted_age => stats.age_at_eviction.map(format::span).unwrap_or_default(),
        entries => figure(stats.entries),
        bytes => if stats.entries > 0 { format::bytes(stats.bytes) } else { String::new() },
        hint => hint.as_ref().map(|hint| context! { tone => hint.tone.name(), words => hint.words.as_str() }),
    }
}

/// A count, or nothing for zero, so that other counts stand out.
fn figure(count: u64) -> String {
    if count > 0 { format::count(count) } else { String::new() }
}

#[cfg(all(test, not(shuttle)))]
mod tests {
    use std::convert::Infallible;

    use super::*;
    use crate::{FragmentCache, Options};

    /// Statistics of fragments that were looked up once, twice and three times.
    fn stats() -> Vec<FragmentStats> {
        let cache = FragmentCache::builder().build().unwrap();
        for (label, times) in [("b", 1), ("c", 3), ("a", 2)] {
            for _ in 0..times {
                let options = Options::default().label(label);
                cache.get_or_set(label, options, || Ok::<_, Infallible>("text")).unwrap();
            }
        }
        cache.fragment_stats()
    }

    fn sorted(query: &str) -> String {
        let mut stats = stats();
        let (column, ascending) = order(&Params::read(query));
        sort(&mut stats, column, ascending);
        stats.into_iter().map(|it| it.label).collect()
    }

    #[test]
    fn rows_are_sorted_by_the_column_of_the_link() {
        assert_eq!(sorted("sort=lookups"), "cab");
        assert_eq!(sorted("sort=lookups&order=up"), "bac");
        assert_eq!(sorted("sort=label"), "abc");
        assert_eq!(sorted("sort=label&order=down"), "cba");
        // Equal rows are sorted by label in both directions.
        assert_eq!(sorted("sort=errors&order=up"), "abc");
        assert_eq!(sorted("sort=errors&order=down"), "abc");
        assert_eq!(sorted("sort=ratio"), "cab");
    }

    #[test]
    fn an_unknown_column_sorts_by_time_saved() {
        for query in ["", "sort=", "sort=nothing&order=sideways", "sort=%3Cscript%3E"] {
            let (column, ascending) = order(&Params::read(query));
            assert_eq!((column.name, ascending), ("saved", false), "{query}");
        }
    }

    #[test]
    fn every_column_has_a_unique_name_and_a_cell() {
        let row = row(&stats()[0]);
        for (at, column) in COLUMNS.iter().enumerate() {
            assert!(COLUMNS[at + 1..].iter().all(|other| other.name != column.name));
            assert!(row.as_object().unwrap().get_value(&Value::from(column.name)).is_some(), "{}", column.name);
        }
    }
}
