//! The table, the page and the figures, of runs that never were.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::generator::check::{What, Wrong};
use crate::generator::contents::Kind;
use crate::generator::measure::{Latencies, Record, Standing, Tick};
use crate::generator::report::{faults, html, json, table};
use crate::generator::run::Part;
use crate::generator::scenario::Scenario;
use crate::generator::summary::{Report, Run};
use crate::options;

fn standing(at: Instant, requests: u64, queries: u64) -> Standing {
    Standing { at, requests, stats: minijinja_cache::Stats::default(), queries }
}

/// A run of a scenario with these latencies, in a second and a half.
fn of(scenario: &Scenario, latencies: impl Iterator<Item = u64>, unsent: &[u64]) -> Run {
    let mut record = Record::new().unwrap();
    latencies.for_each(|ms| record.latency(Kind::Front, Duration::from_millis(ms)));
    let begun = Instant::now();
    let count = record.all.count();
    let at = |ms| begun + Duration::from_millis(ms);
    let mut end = standing(at(2500), 100 + count, 20 + 3 * count);
    (end.stats.hits, end.stats.misses, end.stats.renders, end.stats.bypasses) = (90, 30, 40, 2);
    let ticks = vec![standing(at(1000), 100, 20), standing(at(1500), 100 + count / 2, 20), end];
    let unsent = unsent.iter().map(|ms| Duration::from_millis(*ms)).collect();
    Run::of(scenario, &[standing(begun, 0, 0), standing(at(900), 100, 20)], Part { record, ticks, unsent })
}

fn example() -> Report {
    let scenarios = Scenario::usual();
    let runs = vec![of(&scenarios[0], 1..=300, &[]), of(&scenarios[2], (1..=1500).map(|_| 2), &[])];
    Report::of(&options("--page / --seed 3"), runs)
}

fn within(value: f64, expected: f64) {
    assert!((value - expected).abs() <= expected * 0.002, "{value} instead of {expected}");
}

#[test]
fn percentiles_are_what_so_many_requests_did_not_exceed() {
    let mut latencies = Latencies::new().unwrap();
    (1..=1000).for_each(|ms| latencies.record(Duration::from_millis(ms)));
    for (share, expected) in [(0.5, 500.0), (0.9, 900.0), (0.99, 990.0), (0.999, 999.0), (1.0, 1000.0)] {
        within(latencies.quantile(share), expected);
    }
    within(latencies.max(), 1000.0);
    within(latencies.mean(), 500.5);
    // Neither nothing nor an hour is lost.
    latencies.record(Duration::ZERO);
    latencies.record(Duration::from_secs(3600));
    assert_eq!((latencies.count(), latencies.quantile(0.0)), (1002, 0.0));
    within(latencies.max(), 600_000.0);
}

#[test]
fn a_run_is_counted_from_after_the_warm_up() {
    let run = of(&Scenario::usual()[0], 1..=300, &[]);
    assert_eq!((run.requests, run.queries), (300, 900));
    within(run.seconds, 1.5);
    within(run.throughput, 200.0);
    within(run.queries_per_page, 3.0);
    assert_eq!((run.hit_ratio, run.renders), (Some(0.75), 42));
    within(run.latency_ms.p50, 150.0);
    let seconds: Vec<f64> = run.timeline.iter().map(|tick| tick.second).collect();
    assert_eq!(seconds, [-0.55, 0.25, 1.0]);
    within(run.timeline[0].throughput, 100.0 / 0.9);
    assert_eq!((run.timeline[1].hit_ratio, run.timeline[2].hit_ratio), (None, Some(0.75)));
    let shares: Vec<f64> = run.percentiles.iter().map(|(share, _)| *share).collect();
    assert!(shares.is_sorted() && shares[0] == 0.0 && shares[shares.len() - 1] == 1.0);
    assert!(run.percentiles.iter().map(|(_, ms)| *ms).is_sorted());
}

#[test]
fn what_was_due_and_never_sent_waited_at_least_that_long() {
    let run = of(&Scenario::usual()[0], (1..=100).map(|_| 1), &[5000; 100]);
    assert_eq!((run.requests, run.unsent), (100, 100));
    within(run.latency_ms.p90, 5000.0);
    within(run.latency_ms.p50, 1.0);
    within(run.throughput, 100.0 / 1.5);
}

#[test]
fn time_that_has_not_passed_is_no_point_of_a_plot() {
    let now = Instant::now();
    assert_eq!(Tick::between(&standing(now, 0, 0), &standing(now, 5, 5), now), None);
}

#[test]
fn the_speedup_is_against_the_run_without_a_cache() {
    let report = example();
    within(report.runs[1].speedup.unwrap(), 5.0);
    let alone = Report::of(&options(""), vec![report.runs[1].clone()]);
    assert_eq!(alone.runs[0].speedup, None);
}

#[test]
fn the_table_has_a_column_for_each_run() {
    let table = table(&example());
    let cells = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let lines: Vec<Vec<String>> = table.lines().map(cells).collect();
    assert_eq!(lines[0], ["off", "pages"]);
    assert_eq!(lines[1], ["requests", "300", "1,500"]);
    assert_eq!(lines[3], ["against", "off", "x", "1.00", "x", "5.00"]);
    assert_eq!(lines[4], ["p50", "ms", "150", "2.00"]);
    let wide: Vec<usize> = table.lines().map(|line| line.chars().count()).collect();
    assert!(wide.iter().all(|width| *width == wide[0]), "aligned: {table}");
    assert!(!table.contains("unsent"), "a closed loop sends all");
    let open = Report::of(&options("--rate 5"), example().runs);
    assert!(crate::generator::report::table(&open).contains("unsent"));
}

#[test]
fn the_figures_have_the_fields_that_are_documented() {
    let figures: Value = serde_json::from_str(&json(&example()).unwrap()).unwrap();
    let names = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(figures["format"], 1);
    assert_eq!((&figures["options"]["page"], &figures["options"]["seed"]), (&Value::from("/"), &Value::from(3)));
    assert_eq!(figures["options"]["seconds"], 10.0);
    let run = &figures["runs"][1];
    assert_eq!(run["kinds"][0]["kind"], "front");
    assert_eq!(run["timeline"][0]["hit_ratio"], Value::Null);
    let guide = include_str!("../../examples/load/README.md");
    for name in names(&figures).into_iter().chain(names(run)).chain(names(&run["timeline"][0])) {
        let documented = [format!("`{name}`"), format!("`.{name}`"), format!("`{name}[]`"), format!("`.{name}[]`")];
        assert!(documented.iter().any(|field| guide.contains(field.as_str())), "{name} is not in the guide");
    }
}

#[test]
fn the_page_needs_nothing_but_itself_and_shows_every_run() {
    let page = html(&example()).unwrap();
    assert!(page.starts_with("<!doctype html>") && page.trim_end().ends_with("</html>"));
    for elsewhere in ["http://", "https://", "src=", "url(", "@import", "<link", "<script"] {
        assert!(!page.contains(elsewhere), "{elsewhere}");
    }
    assert_eq!(page.matches("<svg class=\"plot wide\"").count(), 3);
    assert_eq!(page.matches("<svg class=\"plot narrow\"").count(), 3);
    assert_eq!(page.matches("<svg").count(), page.matches("</svg>").count());
    assert!(page.contains("All 1,800 answers were right") && page.contains("1,000/s") && page.contains("× 5.00"));
    assert!(page.contains("prefers-color-scheme") || page.contains("light-dark("));
    assert_numbers(&page);
}

#[test]
fn what_visitors_saw_is_text_on_the_page_whatever_it_was() {
    let mut report = example();
    let hostile = "<script>alert('\"&')</script>";
    let mut record = Record::new().unwrap();
    for what in [What::Error, What::Leak, What::Stale] {
        for _ in 0..20 {
            let wrong = Wrong { what, seen: hostile.to_owned() };
            record.fault(wrong, &format!("/{hostile}"), hostile.to_owned());
        }
    }
    assert_eq!((record.errors, record.leaks, record.stale, record.faults.len()), (20, 20, 20, 15));
    report.runs[0].faults = record.faults.clone();
    report.runs[0].leaks = record.leaks;
    report.runs[0].title = hostile.to_owned();
    report.runs[0].settings = hostile.to_owned();
    report.options.page = Some(hostile.to_owned());
    let page = html(&report).unwrap();
    assert!(!page.contains("<script") && page.contains("&lt;script&gt;alert("));
    assert!(page.contains("20 wrong answers among 1,800") && !report.is_clean());
    assert_eq!(faults(&report).lines().count(), 15);
    let figures: Value = serde_json::from_str(&json(&report).unwrap()).unwrap();
    assert_eq!(figures["runs"][0]["faults"][5]["what"], "leak");
    assert_eq!(figures["runs"][0]["faults"][0]["seen"], hostile);
}

#[test]
fn runs_without_a_request_and_no_run_at_all_are_reported_too() {
    let nothing = of(&Scenario::usual()[0], std::iter::empty(), &[]);
    assert_eq!((nothing.requests, nothing.queries_per_page), (0, 0.0));
    for runs in [vec![], vec![nothing.clone()], vec![nothing.clone(), nothing]] {
        let report = Report::of(&options("--rate 1"), runs);
        let page = html(&report).unwrap();
        assert_numbers(&page);
        assert!(table(&report).lines().count() > 10 && json(&report).is_ok());
    }
}

/// That no plot was drawn through what is no number.
fn assert_numbers(page: &str) {
    assert!(!page.contains("NaN") && !page.contains("inf"), "{page}");
}
