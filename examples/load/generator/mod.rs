//! A load generator: visitors of the catalogue, who check what they see, and what the caches are worth to them.
//!
//! `options` says what is wanted, `scenario` starts a catalogue, `run` puts visitors to work on it. `visit` is what a
//! visitor does, `visitors` what he knows, `check` what he makes of an answer. `worker`, `client` and `schedule` send
//! requests, `measure` counts, and `summary` and `report` say what came of it.

pub(crate) mod check;
pub(crate) mod client;
pub(crate) mod contents;
pub(crate) mod interrupt;
pub(crate) mod measure;
pub(crate) mod options;
pub(crate) mod popularity;
pub(crate) mod progress;
pub(crate) mod report;
pub(crate) mod run;
pub(crate) mod scenario;
pub(crate) mod schedule;
pub(crate) mod summary;
pub(crate) mod visit;
pub(crate) mod visitors;
pub(crate) mod worker;

use self::run::Tools;
use self::scenario::{Scenario, Site};
use self::summary::Report;

/// Runs all scenarios that were asked for, each on a catalogue of its own that `open` opens.
pub(crate) fn compare(tools: Tools<'_>, open: impl Fn(&Scenario) -> Result<Site, String>) -> Result<Report, String> {
    let one = |scenario: &Scenario| {
        tools.interrupt.check()?;
        run::run(scenario, open(scenario)?, tools)
    };
    let runs = tools.options.scenarios.iter().map(one).collect::<Result<_, String>>();
    tools.progress.end();
    Ok(Report::of(tools.options, runs?))
}
