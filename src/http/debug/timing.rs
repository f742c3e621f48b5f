//! `Server-Timing` (W3C): what the cache did for a request, for the network panel of a browser.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::observe::{Explained, Explanation, Outcome};

pub(super) const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");

/// Labels that a description names, and letters it has, at most.
const NAMED: usize = 3;
const LETTERS: usize = 120;

/// All that is said takes about so many bytes at most.
const LONGEST: usize = 1500;

/// The work of a request in figures.
#[derive(Debug)]
pub(super) struct RequestTotals {
    /// By outcome, in the order in which they are told.
    counts: Vec<(&'static str, usize)>,
    rendered: usize,
    /// What computing took; what was computed inside of something else is part of that.
    pub(super) rendering: Duration,
    /// What computing what was found had taken.
    pub(super) saved: Duration,
}

impl RequestTotals {
    pub(super) fn of(explanation: &Explanation) -> RequestTotals {
        let fragments = &explanation.fragments;
        let mut counts = Vec::new();
        for name in ["hit", "shared", "joined", "stale", "miss", "bypass", "error"] {
            let count = fragments.iter().filter(|fragment| outcome(fragment) == name).count();
            if count > 0 {
                counts.push((name, count));
            }
        }
        let computed = || fragments.iter().filter(|fragment| matches!(fragment.outcome, Outcome::Miss(_)));
        let found = fragments.iter().filter(|fragment| !matches!(fragment.outcome, Outcome::Miss(_)));
        RequestTotals {
            counts,
            rendered: computed().count(),
            rendering: computed().filter(|fragment| fragment.inside.is_none()).map(|fragment| fragment.cost).sum(),
            saved: found.map(|fragment| fragment.cost).sum(),
        }
    }

    /// `3 hit, 1 miss`.
    pub(super) fn words(&self) -> String {
        let counts: Vec<String> = self.counts.iter().map(|(name, count)| format!("{count} {name}")).collect();
        if counts.is_empty() { String::from("nothing") } else { counts.join(", ") }
    }
}

/// Adds to what a response says of its timing.
pub(super) fn tell(explanation: &Explanation, headers: &mut HeaderMap) {
    // It holds what a header can hold.
    if let Ok(value) = HeaderValue::try_from(value(explanation)) {
        headers.append(SERVER_TIMING, value);
    }
}

fn value(explanation: &Explanation) -> String {
    let totals = RequestTotals::of(explanation);
    let mut value = String::new();
    metric(&mut value, "cache", &totals.words(), None);
    if totals.rendered > 0 {
        metric(&mut value, "rendering", &format!("{} rendered", totals.rendered), Some(totals.rendering));
    }
    let found = explanation.fragments.len() - totals.rendered;
    if found > 0 {
        metric(&mut value, "saved", &format!("{found} not rendered"), Some(totals.saved));
    }
    let mut reasons: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for fragment in &explanation.fragments {
        if let Outcome::Miss(reason) = &fragment.outcome {
            reasons.entry(reason.name()).or_default().push(&fragment.about.label);
        }
    }
    for (reason, mut labels) in reasons {
        let count = labels.len();
        labels.dedup();
        let more = if labels.len() > NAMED { ", …" } else { "" };
        labels.truncate(NAMED);
        metric(&mut value, &format!("miss-{reason}"), &format!("{count}: {}{more}", labels.join(", ")), None);
    }
    value
}

/// One metric; its name is a token (RFC 9110 §5.6.2), its description a quoted string.
fn metric(value: &mut String, name: &str, description: &str, time: Option<Duration>) {
    if value.len() > LONGEST {
        return;
    }
    if !value.is_empty() {
        value.push_str(", ");
    }
    value.push_str(name);
    value.push_str(";desc=\"");
    for letter in description.chars().take(LETTERS) {
        match letter {
            '"' | '\\' => value.extend(['\\', letter]),
            '…' => value.push_str("..."),
            ' '..='~' => value.push(letter),
            _ => value.push('?'),
        }
    }
    value.push('"');
    if let Some(time) = time {
        // Writing to a string cannot fail.
        let _ = write!(value, ";dur={:.3}", milliseconds(time));
    }
}

/// How it was answered, in a word; in `Outcome`'s, but for what failed.
pub(super) fn outcome(fragment: &Explained) -> &'static str {
    if fragment.failed { "error" } else { fragment.outcome.name() }
}

pub(super) fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}
