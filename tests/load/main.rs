//! The load generator: what it is told, what it draws, what it notices, what it reports, and ten seconds of it.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, dead_code)]

#[path = "../../examples/catalogue/app/mod.rs"]
mod app;
#[path = "../../examples/load/generator/mod.rs"]
mod generator;

mod arguments;
mod drawing;
mod faults;
mod process;
mod reports;
mod runs;
mod schedules;
mod spoiled;

use generator::interrupt::Interrupt;
use generator::options::Options;
use generator::progress::Progress;
use generator::run::Tools;
use generator::scenario::{Scenario, Site};
use generator::summary::{Report, Run};

/// Options from words.
fn options(words: &str) -> Options {
    read(words).unwrap()
}

fn read(words: &str) -> Result<Options, String> {
    Options::read(words.split_whitespace().map(Into::into))
}

/// What a run on such sites reports.
fn report(options: &Options, change: impl Fn(Site) -> Site) -> Report {
    let open = |scenario: &Scenario| Ok(change(Site::open(scenario)?));
    let (progress, interrupt) = (Progress::shown(), Interrupt::default());
    let tools = Tools { options, progress: &progress, interrupt: &interrupt };
    generator::compare(tools, open).unwrap()
}

fn run<'a>(report: &'a Report, scenario: &str) -> &'a Run {
    report.runs.iter().find(|run| run.scenario == scenario).unwrap()
}
