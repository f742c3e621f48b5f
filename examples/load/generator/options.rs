//! What the command line says.

use std::ffi::OsString;
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use axum::http::uri::PathAndQuery;
use serde::Serialize;

use super::scenario::{SCENARIOS, Scenario};

/// What `--help` prints.
pub(crate) const USAGE: &str = "\
usage: load [--seconds S] [--connections N] [--rate R] [--page PATH] [--only LIST] [--html FILE] [--json FILE] …

Visitors of the film catalogue, and what its caches are worth to them. The catalogue runs in this process, once for
each scenario: off (no cache), fragments (cache blocks in templates, cached queries), pages (whole responses too), and
shared (a shared tier behind them, with the feature `shared`). Every visitor checks that every page is his.

  --seconds S         how long each scenario is measured; 10
  --warm-up S         how long it runs before that, out of the figures; 1
  --at-least N        go on until N requests were made, should that take longer; 1
  --connections N     connections, and in a closed loop as many requests at a time; 16
  --think MS          how long a visitor reads before his next request, in milliseconds; 0 (closed loop only)
  --rate R            open loop: R requests a second come at random times, whether or not the last ones were answered.
                      Latency counts from the time a request was due: what waits for a connection counts as waiting
  --visitors N        how many people there are; 200
  --signed-in SHARE   how many of them sign in and keep a watch-list; 0.5
  --zipf EXPONENT     how unevenly visits go to visitors, films and genres; 1 (0: all alike)
  --writes SHARE      how many visits change something: mostly a watch-list, sometimes a film, or the visitor signs out
                      and in again; 0.01, or 0 with --page
  --page PATH         ask for nothing but this page, say /
  --seed N            the same seed draws the same visits; 1
  --only LIST         these scenarios only: off, fragments, pages, shared
  --redis URL         the shared tier is this Redis or Valkey server (feature `redis`)
  --memcached LIST    the shared tier is these Memcached servers, HOST:PORT[,HOST:PORT…] (feature `memcached`)
  --html FILE         writes a report with plots
  --json FILE         writes all figures for machines; - for standard output (the table goes to standard error then)

The exit status is 1 if anything was wrong with any answer: an error, a page that shows another visitor's data (a
leak), or one from before a change that was confirmed (stale). examples/load/README.md has the method and the fields.";

/// A run of the generator.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Options {
    #[serde(serialize_with = "seconds")]
    pub(crate) seconds: Duration,
    #[serde(serialize_with = "seconds")]
    pub(crate) warm_up: Duration,
    pub(crate) at_least: u64,
    pub(crate) connections: usize,
    #[serde(serialize_with = "seconds")]
    pub(crate) think: Duration,
    /// Requests a second of an open loop; a closed one without.
    pub(crate) rate: Option<f64>,
    pub(crate) visitors: usize,
    pub(crate) signed_in: f64,
    pub(crate) zipf: f64,
    pub(crate) writes: f64,
    pub(crate) page: Option<String>,
    pub(crate) seed: u64,
    #[serde(skip)]
    pub(crate) scenarios: Vec<Scenario>,
    #[serde(skip)]
    pub(crate) html: Option<PathBuf>,
    #[serde(skip)]
    pub(crate) json: Option<PathBuf>,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            seconds: Duration::from_secs(10),
            warm_up: Duration::from_secs(1),
            at_least: 1,
            connections: 16,
            think: Duration::ZERO,
            rate: None,
            visitors: 200,
            signed_in: 0.5,
            zipf: 1.0,
            writes: 0.01,
            page: None,
            seed: 1,
            scenarios: Scenario::usual(),
            html: None,
            json: None,
        }
    }
}

impl Options {
    /// Reads arguments, without the program's name.
    pub(crate) fn read(arguments: impl IntoIterator<Item = OsString>) -> Result<Options, String> {
        let mut options = Options::default();
        let (mut writes, mut only, mut store) = (None, None, None);
        let mut arguments = arguments.into_iter();
        while let Some(argument) = arguments.next() {
            let name = text("an argument", argument)?;
            let given = match name.as_str() {
                _ if !KNOWN.contains(&name.as_str()) => return Err(format!("unknown argument {name:?}\n\n{USAGE}")),
                _ => arguments.next().ok_or_else(|| format!("{name} needs a value\n\n{USAGE}"))?,
            };
            match name.as_str() {
                "--html" => options.html = Some(given.into()),
                "--json" => options.json = Some(given.into()),
                "--only" => only = Some(text(&name, given)?),
                "--redis" | "--memcached" => store = Some((name.clone(), text(&name, given)?)),
                "--page" => options.page = Some(path(text(&name, given)?)?),
                "--writes" => writes = Some(number(&name, given, 0.0..=1.0)?),
                _ => options.set(&name, given)?,
            }
        }
        options.writes = writes.unwrap_or(if options.page.is_some() { 0.0 } else { options.writes });
        if let Some((kind, at)) = store {
            options.scenarios = Scenario::with_store(&kind, &at);
        }
        if let Some(only) = only {
            options.keep(&only)?;
        }
        if options.rate.is_some() && !options.think.is_zero() {
            return Err("--think is for a closed loop: with --rate, visits come when they come".to_owned());
        }
        Ok(options)
    }

    /// The options that are a number.
    fn set(&mut self, name: &str, given: OsString) -> Result<(), String> {
        let span = |given, range| number(name, given, range).map(Duration::from_secs_f64);
        match name {
            "--seconds" => self.seconds = span(given, 0.1..=86400.0)?,
            "--warm-up" => self.warm_up = span(given, 0.0..=86400.0)?,
            "--think" => self.think = span(given, 0.0..=3_600_000.0)? / 1000,
            "--at-least" => self.at_least = number(name, given, 1..=u64::MAX)?,
            "--connections" => self.connections = number(name, given, 1..=10_000)?,
            "--rate" => self.rate = Some(number(name, given, 0.1..=1_000_000.0)?),
            "--visitors" => self.visitors = number(name, given, 1..=100_000)?,
            "--signed-in" => self.signed_in = number(name, given, 0.0..=1.0)?,
            "--zipf" => self.zipf = number(name, given, 0.0..=10.0)?,
            _ => self.seed = number(name, given, 0..=u64::MAX)?,
        }
        Ok(())
    }

    fn keep(&mut self, only: &str) -> Result<(), String> {
        let names: Vec<&str> = only.split(',').map(str::trim).collect();
        let offered = |name: &str| self.scenarios.iter().any(|scenario| scenario.name == name);
        if let Some(unknown) = names.iter().find(|name| !offered(name)) {
            return Err(match SCENARIOS.contains(unknown) {
                true => format!("the scenario {unknown:?} needs the feature `shared`, or --redis or --memcached"),
                false => format!("there is no scenario {unknown:?}; there are {}", SCENARIOS.join(", ")),
            });
        }
        self.scenarios.retain(|scenario| names.contains(&scenario.name));
        Ok(())
    }
}

const KNOWN: [&str; 17] = [
    "--seconds",
    "--warm-up",
    "--at-least",
    "--connections",
    "--think",
    "--rate",
    "--visitors",
    "--signed-in",
    "--zipf",
    "--writes",
    "--page",
    "--seed",
    "--only",
    "--redis",
    "--memcached",
    "--html",
    "--json",
];

fn text(name: &str, value: OsString) -> Result<String, String> {
    value.into_string().map_err(|_| format!("{name} is not valid UTF-8"))
}

fn number<T: FromStr + PartialOrd + Display>(
    name: &str,
    given: OsString,
    range: RangeInclusive<T>,
) -> Result<T, String> {
    let given = text(name, given)?;
    given
        .parse()
        .ok()
        .filter(|number| range.contains(number))
        .ok_or_else(|| format!("{name} is {given:?}, but must be a number from {} to {}", range.start(), range.end()))
}

fn path(given: String) -> Result<String, String> {
    match given.starts_with('/') && given.parse::<PathAndQuery>().is_ok() {
        true => Ok(given),
        false => Err(format!("--page is {given:?}, but must be a path like / or /film/1")),
    }
}

fn seconds<S: serde::Serializer>(span: &Duration, out: S) -> Result<S::Ok, S::Error> {
    out.serialize_f64(span.as_secs_f64())
}
