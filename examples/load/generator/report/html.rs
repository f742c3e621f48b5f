//! The report as one page that needs nothing but itself.

use minijinja::value::Serde;
use minijinja::{Environment, Value, context};

use super::plot::{Axis, Line, Plot};
use super::table::{number, whole};
use crate::generator::summary::{Report, Run};

/// Beyond this ratio of the most to the least, a linear axis shows one line and hides the others.
const FAR_APART: f64 = 12.0;
/// The least latency an axis shows, in milliseconds: what the figures can tell from nothing.
const LEAST: f64 = 0.001;

/// The page.
pub(crate) fn html(report: &Report) -> Result<String, String> {
    let mut env = Environment::new();
    env.add_filter("number", number);
    env.add_filter("whole", whole);
    env.add_filter("percent", |share: f64| format!("{:.1} %", share * 100.0));
    let failed = |error: minijinja::Error| format!("cannot write the report: {error:#}");
    env.add_template("report.html", include_str!("report.html")).map_err(failed)?;
    let template = env.get_template("report.html").map_err(failed)?;
    let plots = [
        ("Latency", latency_note(report), latencies(report)),
        ("Throughput over time", "Requests a second.", throughput(report)),
        (
            "Hit ratio over time",
            "Hits among all look-ups: of pages, of fragments, of query results.",
            hit_ratios(report),
        ),
    ];
    let plots = plots.into_iter().filter(|(.., plot)| plot.lines.iter().any(|line| !line.points.is_empty()));
    let plots = plots.map(|(title, note, plot)| context! { title, note, svg => Value::from_safe_string(plot.svg()) });
    let requests: u64 = report.runs.iter().map(|run| run.requests).sum();
    let page = template.render(context! {
        report => Value::from(Serde(report)),
        plots => Value::from_iter(plots),
        requests,
        wrong => report.wrong(),
    });
    page.map_err(failed)
}

fn latency_note(report: &Report) -> &'static str {
    match report.options.rate {
        Some(_) => "From the time a request was due: what waited for a connection waited.",
        None => "From sending a request to the last byte of its answer.",
    }
}

fn lines(report: &Report, points: impl Fn(&Run) -> Vec<(f64, f64, String)>) -> Vec<Line> {
    report.runs.iter().map(|run| Line { name: run.scenario, points: points(run) }).collect()
}

/// The slower a request, the more room it has: each step to the right leaves a tenth of the requests.
fn latencies(report: &Report) -> Plot {
    let tenths = |share: f64, requests: u64| match share < 1.0 {
        true => -(1.0 - share).log10(),
        false => (requests.max(1) as f64).log10(),
    };
    let lines = lines(report, |run| {
        let told = |share: f64, latency: f64| match share < 1.0 {
            true => format!("{}{} ms", of_all(share), number(latency)),
            false => format!("the slowest took {} ms", number(latency)),
        };
        let points = run.percentiles.iter();
        points.map(|&(share, ms)| (tenths(share, run.requests), ms.max(LEAST), told(share, ms))).collect()
    });
    let farthest = lines.iter().flat_map(|line| &line.points).map(|(x, ..)| *x).fold(1.0, f64::max);
    let marks = [(0.0, "0"), (0.301, "50 %"), (1.0, "90 %"), (2.0, "99 %"), (3.0, "99.9 %"), (4.0, "99.99 %")];
    let marks = marks.into_iter().chain([(5.0, "99.999 %"), (6.0, "99.9999 %")]).filter(|(at, _)| *at <= farthest);
    let marks = marks.map(|(at, label)| (at, label.to_owned())).collect();
    Plot {
        title: "Latency by percentile, for each scenario".to_owned(),
        x: Axis { title: "share of requests that were as fast", log: false, from: 0.0, to: farthest, marks },
        y: around("ms", &lines, span),
        lines,
        before: None,
    }
}

/// `0.1 ms`, `10 s`
fn span(ms: f64) -> String {
    match ms {
        ms if ms >= 1000.0 => format!("{} s", ms / 1000.0),
        ms if ms >= 0.1 => format!("{} ms", (ms * 1000.0).round() / 1000.0),
        ms => format!("{:.0} µs", ms * 1000.0),
    }
}

fn of_all(share: f64) -> String {
    format!("{:.2} % took at most ", share * 100.0)
}

fn throughput(report: &Report) -> Plot {
    let lines = lines(report, |run| {
        let told = |second: f64, throughput: f64| format!("{} a second at {second:.1} s", number(throughput));
        let ticks = run.timeline.iter();
        ticks.map(|tick| (tick.second, tick.throughput, told(tick.second, tick.throughput))).collect()
    });
    let y = around("requests/s", &lines, |value| if value < 1.0 { value.to_string() } else { whole(value as u64) });
    over_time(report, "Requests a second over time, for each scenario", y, lines)
}

fn hit_ratios(report: &Report) -> Plot {
    let lines = lines(report, |run| {
        let told = |second: f64, ratio: f64| format!("{:.1} % at {second:.1} s", ratio * 100.0);
        let ticks = run.timeline.iter();
        ticks.filter_map(|tick| tick.hit_ratio.map(|ratio| (tick.second, ratio, told(tick.second, ratio)))).collect()
    });
    let y = Axis::linear("hits", 1.0, |value| format!("{:.0} %", value * 100.0));
    over_time(report, "Hit ratio over time, for each scenario", y, lines)
}

fn over_time(report: &Report, title: &str, y: Axis, lines: Vec<Line>) -> Plot {
    let times = || report.runs.iter().flat_map(|run| run.timeline.iter().map(|tick| tick.second));
    let first = times().fold(0.0, f64::min);
    let last = times().fold(0.0, f64::max);
    let mut x = Axis::linear("seconds", last, number_of_seconds);
    (x.from, x.to) = (first, if last > 0.0 { last } else { 1.0 });
    x.marks.retain(|(at, _)| *at <= x.to);
    Plot { title: title.to_owned(), x, y, lines, before: (first < 0.0).then_some((0.0, "warm-up")) }
}

fn number_of_seconds(seconds: f64) -> String {
    if seconds.fract() == 0.0 { format!("{seconds:.0}") } else { format!("{seconds:.2}") }
}

/// An axis for all these lines, linear unless they are far apart.
fn around(title: &'static str, lines: &[Line], label: impl Fn(f64) -> String) -> Axis {
    let values = || lines.iter().flat_map(|line| &line.points).map(|(_, y, _)| *y).filter(|value| *value > 0.0);
    let (least, most) = (values().fold(f64::MAX, f64::min), values().fold(0.0, f64::max));
    match most > least * FAR_APART {
        true => Axis::log(title, least, most, label),
        false => Axis::linear(title, most, label),
    }
}
