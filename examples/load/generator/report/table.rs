//! The table at the end: a column for each scenario.

use std::fmt::Write;

use crate::generator::measure::Fault;
use crate::generator::summary::{Report, Run};

/// A line of the table.
type Line = (&'static str, fn(&Run) -> String);

const LINES: [Line; 15] = [
    ("requests", |run| whole(run.requests)),
    ("requests/s", |run| number(run.throughput)),
    ("against off", |run| run.speedup.map_or(none(), |speedup| format!("x {}", number(speedup)))),
    ("p50 ms", |run| number(run.latency_ms.p50)),
    ("p90 ms", |run| number(run.latency_ms.p90)),
    ("p99 ms", |run| number(run.latency_ms.p99)),
    ("max ms", |run| number(run.latency_ms.max)),
    ("hit ratio", |run| run.hit_ratio.map_or(none(), |ratio| format!("{:.1} %", ratio * 100.0))),
    ("renders", |run| whole(run.renders)),
    ("queries", |run| whole(run.queries)),
    ("queries/page", |run| format!("{:.3}", run.queries_per_page)),
    ("errors", |run| whole(run.errors)),
    ("leaks", |run| whole(run.leaks)),
    ("stale", |run| whole(run.stale)),
    ("unsent", |run| whole(run.unsent)),
];

/// The figures of all runs, aligned.
pub(crate) fn table(report: &Report) -> String {
    let mut text = String::new();
    let names: Vec<&str> = report.runs.iter().map(|run| run.scenario).collect();
    let columns: Vec<Vec<String>> =
        report.runs.iter().map(|run| LINES.iter().map(|(_, cell)| cell(run)).collect()).collect();
    let wide = columns.iter().flatten().map(String::len).chain(names.iter().map(|name| name.len())).max();
    let wide = wide.unwrap_or(0) + 2;
    let mut line = |name: &str, cells: &mut dyn Iterator<Item = &str>| {
        let _ = write!(text, "{name:<12}");
        cells.for_each(|cell| {
            let _ = write!(text, "{cell:>wide$}");
        });
        text.push('\n');
    };
    line("", &mut names.iter().copied());
    for (at, (name, _)) in LINES.iter().enumerate() {
        let open_loop = report.options.rate.is_some();
        if *name != "unsent" || open_loop {
            line(name, &mut columns.iter().map(|column| column[at].as_str()));
        }
    }
    text
}

/// The first few things that were wrong, in words.
pub(crate) fn faults(report: &Report) -> String {
    let mut text = String::new();
    for run in &report.runs {
        for Fault { what, url, visitor, seen } in &run.faults {
            let what = format!("{what:?}").to_lowercase();
            let _ = writeln!(text, "{}: {what} at {url} for {visitor}: {seen}", run.scenario);
        }
    }
    text
}

fn none() -> String {
    "-".to_owned()
}

/// `1234567` → `1,234,567`
pub(crate) fn whole(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// To three digits or the whole number.
pub(crate) fn number(number: f64) -> String {
    match number {
        n if n >= 100.0 => whole(n.round() as u64),
        n if n >= 10.0 => format!("{n:.1}"),
        n => format!("{n:.2}"),
    }
}
