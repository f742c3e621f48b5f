//! Renders the scenarios as `docs/src/http-conformance.md`, and holds the file to them.

use std::collections::HashSet;
use std::fmt::Write;
use std::{env, fs};

use super::elsewhere::{ROWS, Row};
use super::scenario::{Level, Scenario};

const HEAD: &str = "\
# Conformance of the HTTP layer

How the layer answers the questions of the public [HTTP cache tests](https://cache-tests.fyi), restated as tests of this
crate (`tests/http/conformance`). The layer is a shared cache in the sense of RFC 9111 that lives in the origin's own
process; questions for browsers and for caches between machines do not all apply to it. Where it deliberately answers
otherwise, the scenario is run all the same and asserts what the layer does.

*Required*: the standard demands it. *Optimal*: the standard allows it, and a good cache does it. *Optional*: the suite
only asks what a cache does.

This file is rendered from the scenarios: `UPDATE_DOCS=1 cargo test --features axum,http --test http the_table`.

";

/// A scenario of the suite: all of ours that bear its id, or the reason why there is none.
enum Entry<'a> {
    Run(Vec<&'a Scenario>),
    Elsewhere(&'a Row),
}

impl Entry<'_> {
    fn level(&self) -> Level {
        match self {
            Entry::Run(scenarios) => scenarios[0].level,
            Entry::Elsewhere(row) => row.2,
        }
    }

    fn as_asked(&self) -> bool {
        matches!(self, Entry::Run(scenarios) if scenarios[0].differs.is_none())
    }

    fn row(&self) -> String {
        match self {
            Entry::Elsewhere((id, section, level, why)) => {
                format!("| `{id}` | {section} | {level:?} | no: {why} | |\n")
            }
            Entry::Run(scenarios) => {
                let id = scenarios[0].id.expect("an entry of the suite");
                let edge = id.starts_with("surrogate-") || id.starts_with("cdn-");
                let applies = if edge { "no, but run" } else { "yes" };
                let outcomes: Vec<String> = scenarios.iter().map(|scenario| outcome(scenario)).collect();
                let section = scenarios[0].section();
                format!("| `{id}` | {section} | {:?} | {applies} | {} |\n", self.level(), outcomes.join("; "))
            }
        }
    }
}

fn outcome(scenario: &Scenario) -> String {
    let verdict = scenario.differs.map_or_else(|| "passes".to_owned(), |why| format!("differs: {why}"));
    match scenario.setup.honor_reload {
        true => format!("with `honor_reload(true)`: {verdict}"),
        false => verdict,
    }
}

fn entries(scenarios: &[Scenario]) -> Vec<Entry<'_>> {
    let mut entries: Vec<Entry<'_>> = Vec::new();
    for scenario in scenarios.iter().filter(|scenario| scenario.id.is_some()) {
        match entries.last_mut() {
            Some(Entry::Run(same)) if same[0].id == scenario.id => same.push(scenario),
            _ => entries.push(Entry::Run(vec![scenario])),
        }
    }
    entries.extend(ROWS.iter().map(Entry::Elsewhere));
    entries
}

fn counts(entries: &[Entry<'_>]) -> String {
    let mut text =
        "| | as the suite asks | deliberately otherwise | does not apply |\n|---|---:|---:|---:|\n".to_owned();
    for level in [Level::Required, Level::Optimal, Level::Optional] {
        let of: Vec<_> = entries.iter().filter(|entry| entry.level() == level).collect();
        let elsewhere = of.iter().filter(|entry| matches!(entry, Entry::Elsewhere(_))).count();
        let as_asked = of.iter().filter(|entry| entry.as_asked()).count();
        let otherwise = of.len() - elsewhere - as_asked;
        writeln!(text, "| {level:?} | {as_asked} | {otherwise} | {elsewhere} |").unwrap();
    }
    text
}

fn render() -> String {
    let scenarios = super::all();
    let entries = entries(&scenarios);
    let mut text = HEAD.to_owned() + &counts(&entries);
    text += "\n## The suite's scenarios\n\n| Scenario | Section | Level | Applies | Outcome |\n|---|---|---|---|---|\n";
    text.extend(entries.iter().map(Entry::row));
    text += "\n## Scenarios of our own\n\n| Section | What is held |\n|---|---|\n";
    for scenario in scenarios.iter().filter(|scenario| scenario.id.is_none()) {
        writeln!(text, "| {} | {} |", scenario.section(), scenario.sentence()).unwrap();
    }
    text
}

#[test]
fn the_table_in_the_docs_is_what_the_scenarios_say() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/src/http-conformance.md");
    let rendered = render();
    if env::var_os("UPDATE_DOCS").is_some() {
        fs::write(file, &rendered).unwrap();
    }
    let written = fs::read_to_string(file).unwrap_or_default();
    assert!(written == rendered, "docs/src/http-conformance.md is out of date: run this test with UPDATE_DOCS=1");
}

#[test]
fn every_scenario_has_a_name_of_its_own_and_every_id_one_row() {
    let scenarios = super::all();
    let names: HashSet<_> = scenarios.iter().map(|scenario| scenario.name).collect();
    assert_eq!(names.len(), scenarios.len());
    let entries = entries(&scenarios);
    let ids: HashSet<_> = entries.iter().map(|entry| entry.row().split('`').nth(1).unwrap().to_owned()).collect();
    assert_eq!(ids.len(), entries.len());
}
