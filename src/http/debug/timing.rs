//! `Server-Timing` (W3C): the outcomes of all look-ups of a request, for the network panel of a browser.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::telemetry::{Explained, Explanation, Outcome};

pub(super) const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");

/// The largest number of labels in a description.
const MAX_LABELS: usize = 3;

/// The largest number of characters in a description.
const MAX_CHARACTERS: usize = 120;

/// No metric is added to a longer header value.
const MAX_BYTES: usize = 1500;

/// The sums over all look-ups of a request.
#[derive(Debug)]
pub(super) struct RequestTotals {
    /// Look-ups by outcome, in the order of the header.
    counts: Vec<(&'static str, usize)>,
    rendered: usize,
    /// The time of computations. A nested computation is part of the enclosing one.
    pub(super) rendering: Duration,
    /// The time that the found fragments took when they were computed.
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

/// Appends the metrics of a request to the headers of its response.
pub(super) fn append_to(headers: &mut HeaderMap, explanation: &Explanation) {
    // All characters of the value are valid in a header.
    if let Ok(value) = HeaderValue::try_from(value(explanation)) {
        headers.append(SERVER_TIMING, value);
    }
}

fn value(explanation: &Explanation) -> String {
    let totals = RequestTotals::of(explanation);
    let mut value = String::new();
    write_metric(&mut value, "cache", &totals.words(), None);
    if totals.rendered > 0 {
        write_metric(&mut value, "rendering", &format!("{} rendered", totals.rendered), Some(totals.rendering));
    }
    let found = explanation.fragments.len() - totals.rendered;
    if found > 0 {
        write_metric(&mut value, "saved", &format!("{found} not rendered"), Some(totals.saved));
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
        let more = if labels.len() > MAX_LABELS { ", …" } else { "" };
        labels.truncate(MAX_LABELS);
        write_metric(&mut value, &format!("miss-{reason}"), &format!("{count}: {}{more}", labels.join(", ")), None);
    }
    value
}

/// Writes one metric: the name is a token (RFC 9110 §5.6.2), the description a quoted string.
fn write_metric(value: &mut String, name: &str, description: &str, time: Option<Duration>) {
    if value.len() > MAX_BYTES {
        return;
    }
    if !value.is_empty() {
        value.push_str(", ");
    }
    value.push_str(name);
    value.push_str(";desc=\"");
    for character in description.chars().take(MAX_CHARACTERS) {
        match character {
            '"' | '\\' => value.extend(['\\', character]),
            '…' => value.push_str("..."),
            ' '..='~' => value.push(character),
            _ => value.push('?'),
        }
    }
    value.push('"');
    if let Some(time) = time {
        // Writing to a string cannot fail.
        let _ = write!(value, ";dur={:.3}", milliseconds(time));
    }
}

/// The name of the outcome, or `error` for a computation that failed.
pub(super) fn outcome(fragment: &Explained) -> &'static str {
    if fragment.failed { "error" } else { fragment.outcome.name() }
}

pub(super) fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}
