//! Renders the scenarios and the results of the public suite as `docs/src/http-conformance.md`, and checks that file.

use std::collections::{HashMap, HashSet};
use std::fmt::Write;
use std::{env, fs};

use super::elsewhere::{ROWS, Row};
use super::scenario::{Level, Scenario};
use super::suite::{Counted, SETTINGS, Test, tests};

const HEAD: &str = "\
# Conformance of the HTTP layer

How the layer answers the public [HTTP cache tests](https://cache-tests.fyi)
([http-tests/cache-tests](https://github.com/http-tests/cache-tests) at `b55b8bd`). 365 of them apply to a cache in front of
a server; five more are for browsers. The layer is a shared cache in the sense of RFC 9111 that lives in the origin's own
process, so questions for caches between machines do not all apply to it.

Each test is restated as a test of this crate (`tests/http/conformance`). Where the layer deliberately answers otherwise,
the scenario is run all the same and asserts what the layer does, with the reason in the table.

*Required*: the standard demands it. *Optimal*: the standard allows it, and a good cache does it. *Optional*: the suite
only asks what a cache does, and calls it a check.

This file is rendered: `UPDATE_DOCS=1 cargo test --all-features --test http the_table`.

## Results of the suite

The suite was run against the layer as of commit `2241896`, twice: as it is by default, and with `honor_reload(true)`,
`ignore_other_cookies()` and `strong_etags()`. *Not set up* means that the suite could not bring about what it asks about.

";

const MEASURED: &str = "
The suite counts a test only where the tests that it depends on pass. So counted, nginx passes 100 of the required tests,
Varnish 119, Squid 117 and Apache 131.

The suite was not run again after these changes: `headers-store-Content-Range`, `freshness-expires-ansi-c` and two tests of
`Age` are answered as asked; and `Vary` names `authorization` with `ignore_other_cookies()` too, so that the tests of `Vary`
cannot be set up with that setting either. By the scenarios here 118 required tests count in both runs.

";

/// Where the layer's answer today, or here, is not the one that was measured, and why.
const NOTES: &[(&[&str], &str)] = &[
    (
        &[
            "headers-store-Content-Range",
            "freshness-expires-ansi-c",
            "age-parse-parameter",
            "age-parse-numeric-parameter",
        ],
        "since the measurement",
    ),
    (
        &[
            "vary-match",
            "vary-no-match",
            "vary-omit-stored",
            "vary-omit",
            "vary-invalidate",
            "vary-cache-key",
            "vary-normalise-combine",
            "vary-normalise-lang-space",
            "vary-normalise-space",
        ],
        "the suite expects `Vary` as the handler wrote it, and the layer adds `authorization` and `cookie`, so that caches \
         in front tell apart what it tells apart; since the measurement `authorization` with `ignore_other_cookies()` too",
    ),
    (&["conditional-etag-strong-respond-obs-text"], "the suite's own run says otherwise"),
    (&["headers-store-Transfer-Encoding"], "a server writes this field itself, so that it could not be set up"),
];

const DEVIATIONS: &str = "
## Deliberate deviations

- A handler renders the whole page whenever it is asked: it gets no conditional request, so a stale page is not validated
  and no 304 of a handler updates a stored page.
- A response that sets a cookie is not stored.
- A response without a lifetime is not stored: nothing is guessed from its age or its status.
- Fields for caches at the edge (`CDN-Cache-Control`, `Surrogate-Control`) are passed on and not obeyed.
- `Vary` names `authorization` and `cookie`, beside what the handler says.
- What a client wants (`no-cache`, `max-age`, `min-fresh`) is obeyed only with `honor_reload(true)`; `max-stale` never is.
- A stored page answers whole where a client asks for a part of it, and parts are not stored.
- Of several lifetimes the shortest counts, and an element that cannot be read makes a response less cacheable.
- Interim responses (1xx) are for the server around the layer.

";

/// A test of the suite: all scenarios that bear its id, or the reason why there is none.
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

    /// Whether the layer behaves as the suite expects, with the settings of the scenario or by default.
    fn as_asked(&self, honor_reload: bool) -> Option<bool> {
        match self {
            Entry::Run(all) => {
                all.iter().find(|it| it.setup.honor_reload == honor_reload).map(|it| it.differs.is_none())
            }
            Entry::Elsewhere(_) => Some(false),
        }
    }

    fn row(&self, test: &Test) -> String {
        let (section, here) = match self {
            Entry::Elsewhere((_, section, _, why)) => ((*section).to_owned(), format!("does not apply: {why}")),
            Entry::Run(scenarios) => {
                let outcomes: Vec<String> = scenarios.iter().map(|scenario| outcome(scenario)).collect();
                (scenarios[0].section(), outcomes.join("; "))
            }
        };
        let note = note(test.id).map_or(String::new(), |note| format!(" ({note})"));
        let Test { id, measured, with_settings, .. } = test;
        format!(
            "| `{id}` | {section} | {:?} | {} | {} | {here}{note} |\n",
            self.level(),
            measured.word(),
            with_settings.word()
        )
    }
}

fn note(id: &str) -> Option<&'static str> {
    NOTES.iter().find(|(ids, _)| ids.contains(&id)).map(|(_, note)| *note)
}

fn outcome(scenario: &Scenario) -> String {
    let verdict = scenario.differs.map_or_else(|| "as asked".to_owned(), |why| format!("otherwise: {why}"));
    match scenario.setup.honor_reload {
        true => format!("with `honor_reload(true)`: {verdict}"),
        false => verdict,
    }
}

fn entries(scenarios: &[Scenario]) -> HashMap<&str, Entry<'_>> {
    let mut entries: HashMap<&str, Entry<'_>> = ROWS.iter().map(|row| (row.0, Entry::Elsewhere(row))).collect();
    for scenario in scenarios {
        let Some(id) = scenario.id else { continue };
        match entries.entry(id).or_insert_with(|| Entry::Run(Vec::new())) {
            Entry::Run(same) => same.push(scenario),
            Entry::Elsewhere(_) => panic!("{id} is run, and said not to apply"),
        }
    }
    entries
}

fn counts(tests: &[Test]) -> String {
    let counted = Counted::of(tests);
    let mut text = "| | tests | pass by default | with these settings |\n|---|---:|---:|---:|\n".to_owned();
    for level in [Level::Required, Level::Optimal, Level::Optional] {
        let of: Vec<&Test> = tests.iter().filter(|test| test.level == level).collect();
        let measured = of.iter().filter(|test| test.measured.passes()).count();
        let with_settings = of.iter().filter(|test| test.with_settings.passes()).count();
        writeln!(text, "| {level:?} | {} | {measured} | {with_settings} |", of.len()).unwrap();
        if level == Level::Required {
            let Counted { measured, with_settings } = counted;
            writeln!(text, "| Required, as the suite counts | {} | {measured} | {with_settings} |", of.len()).unwrap();
        }
    }
    text
}

fn settings() -> String {
    let mut text = "| Setting | Tests that pass with it alone |\n|---|---|\n".to_owned();
    for (setting, ids) in SETTINGS {
        let ids: Vec<String> = ids.iter().map(|id| format!("`{id}`")).collect();
        let ids = if ids.is_empty() { "none".to_owned() } else { ids.join(", ") };
        writeln!(text, "| `{setting}` | {ids} |").unwrap();
    }
    text
}

fn render() -> String {
    let (scenarios, tests) = (super::all(), tests());
    let entries = entries(&scenarios);
    let mut text = HEAD.to_owned() + &counts(&tests) + MEASURED + &settings() + DEVIATIONS;
    text += "## Each test of the suite\n\n| Test | Section | Level | By default | With the settings | Here |\n";
    text += "|---|---|---|---|---|---|\n";
    text.extend(tests.iter().map(|test| entries[test.id].row(test)));
    text += "\n## Scenarios of our own\n\n| Section | What is held |\n|---|---|\n";
    for scenario in scenarios.iter().filter(|scenario| scenario.id.is_none()) {
        writeln!(text, "| {} | {} |", scenario.section(), scenario.sentence()).unwrap();
    }
    text
}

#[test]
fn the_table_in_the_docs_equals_the_scenarios() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/src/http-conformance.md");
    let rendered = render();
    if env::var_os("UPDATE_DOCS").is_some() {
        fs::write(file, &rendered).unwrap();
    }
    let written = fs::read_to_string(file).unwrap_or_default();
    assert!(written == rendered, "docs/src/http-conformance.md is out of date: run this test with UPDATE_DOCS=1");
}

#[test]
fn every_scenario_has_a_unique_name() {
    let scenarios = super::all();
    let names: HashSet<_> = scenarios.iter().map(|scenario| scenario.name).collect();
    assert_eq!(names.len(), scenarios.len());
}

#[test]
fn every_test_of_the_suite_has_exactly_one_entry() {
    let (scenarios, tests) = (super::all(), tests());
    let entries = entries(&scenarios);
    let ids: HashSet<&str> = tests.iter().map(|test| test.id).collect();
    assert_eq!((ids.len(), tests.len()), (365, 365));
    let others: Vec<_> = entries.keys().filter(|id| !ids.contains(**id)).collect();
    assert!(others.is_empty(), "not in the suite: {others:?}");
    for test in &tests {
        let entry = entries.get(test.id).unwrap_or_else(|| panic!("no scenario for {}", test.id));
        assert_eq!(entry.level(), test.level, "{}", test.id);
    }
}

#[test]
fn a_note_explains_each_difference_from_the_measured_results() {
    let (scenarios, tests) = (super::all(), tests());
    let entries = entries(&scenarios);
    for test in tests {
        let entry = &entries[test.id];
        let by_default = entry.as_asked(false).is_none_or(|here| here == test.measured.passes());
        let with_reload = entry.as_asked(true).is_none_or(|here| here == test.with_settings.passes());
        let told = note(test.id).is_some();
        assert!(told != (by_default && with_reload), "{}: {by_default} {with_reload} {told}", test.id);
    }
}

#[test]
fn each_test_that_needs_a_setting_names_it() {
    let named: HashSet<&str> = SETTINGS.iter().flat_map(|(_, ids)| ids.iter().copied()).collect();
    for test in tests() {
        let needs = test.measured.passes() != test.with_settings.passes() && note(test.id).is_none();
        assert_eq!(named.contains(test.id), needs, "{}", test.id);
    }
}

#[test]
fn the_counts_of_the_suite_equal_those_in_the_docs() {
    let Counted { measured, with_settings } = Counted::of(&tests());
    assert_eq!((measured, with_settings), (117, 131));
}
