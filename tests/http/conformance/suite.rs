//! The tests of the public suite that apply to a reverse proxy, and the measured results of the layer.
//!
//! `suite.txt` has a line for each: id, kind, the result by default, the result with the settings that the docs name, and
//! for required tests the test that they depend on, where that one is not passed by every cache.

use std::collections::HashMap;

use super::scenario::Level;

/// The result of a test in the suite.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Pass,
    Fail,
    /// The situation of the test could not be set up.
    NotSetUp,
}

pub(super) struct Test {
    pub(super) id: &'static str,
    pub(super) level: Level,
    pub(super) measured: Outcome,
    pub(super) with_settings: Outcome,
    depends_on: Option<&'static str>,
}

/// Which tests pass with a setting and not by default.
pub(super) const SETTINGS: [(&str, &[&str]); 3] = [
    (
        "honor_reload(true)",
        &["ccreq-ma0", "ccreq-ma1", "ccreq-magreaterage", "ccreq-min-fresh", "ccreq-min-fresh-age", "ccreq-no-cache"],
    ),
    ("ignore_other_cookies()", &["other-cookie"]),
    ("strong_etags()", &[]),
];

impl Outcome {
    fn of(word: &str) -> Outcome {
        match word {
            "pass" => Outcome::Pass,
            "fail" => Outcome::Fail,
            "setup" => Outcome::NotSetUp,
            _ => panic!("{word} is no outcome"),
        }
    }

    pub(super) fn passes(self) -> bool {
        self == Outcome::Pass
    }

    pub(super) fn word(self) -> &'static str {
        match self {
            Outcome::Pass => "pass",
            Outcome::Fail => "fail",
            Outcome::NotSetUp => "not set up",
        }
    }
}

/// In the suite's order.
pub(super) fn tests() -> Vec<Test> {
    let test = |line: &'static str| {
        let mut words = line.split(' ');
        let mut word = || words.next().expect("four words or five");
        let id = word();
        let level = match word() {
            "required" => Level::Required,
            "optimal" => Level::Optimal,
            "check" => Level::Optional,
            kind => panic!("{kind} is no kind"),
        };
        let (measured, with_settings) = (Outcome::of(word()), Outcome::of(word()));
        Test { id, level, measured, with_settings, depends_on: words.next() }
    };
    include_str!("suite.txt").lines().map(test).collect()
}

/// The number of passed required tests whose prerequisites pass.
pub(super) struct Counted {
    pub(super) measured: usize,
    pub(super) with_settings: usize,
}

impl Counted {
    pub(super) fn of(tests: &[Test]) -> Counted {
        let by_id: HashMap<&str, &Test> = tests.iter().map(|test| (test.id, test)).collect();
        let count = |outcome: fn(&Test) -> Outcome| {
            let counts = |test: &&Test| {
                let mut chain = std::iter::successors(Some(*test), |test| test.depends_on.map(|id| by_id[id]));
                chain.all(|test| outcome(test).passes())
            };
            tests.iter().filter(|test| test.level == Level::Required).filter(counts).count()
        };
        Counted { measured: count(|test| test.measured), with_settings: count(|test| test.with_settings) }
    }
}
