//! The page of the last events: invalidations, evictions, refreshes, differences, failures.

use std::sync::Arc;
use std::time::SystemTime;

use axum::response::Response;
use http::StatusCode;
use minijinja::{Value, context};

use super::mounted::Mounted;
use super::params::Params;
use super::recorder::{EVENTS, kind_of};
use super::{format, view};
use crate::telemetry::{About, By, Difference, Event, Happened};

/// The kinds of events that the page can filter by, with their headings.
const KINDS: [(&str, &str); 5] = [
    ("invalidated", "Invalidations"),
    ("evicted", "Evictions"),
    ("refreshed", "Refreshes"),
    ("differed", "Differences"),
    ("error", "Failures"),
];

pub(super) fn page(mounted: &Arc<Mounted>, params: &Params) -> Response {
    let (events, missed) = mounted.recorder.events();
    let kind = params.get("kind");
    let now = SystemTime::now();
    let kinds = KINDS.into_iter().map(|(name, heading)| {
        let count = events.iter().filter(|event| kind_of(event) == name).count();
        context! { name, heading, count => format::count(count as u64) }
    });
    let rows = events
        .iter()
        .filter(|event| kind.is_empty() || kind_of(event) == kind)
        .map(|event| row(event, now, mounted.shows.contents));
    let context = context! {
        kinds => kinds.collect::<Value>(),
        rows => rows.collect::<Value>(),
        kind, all => events.len(), missed => (missed > 0).then(|| format::count(missed)), most => EVENTS,
    };
    mounted.page(StatusCode::OK, "events.html", context)
}

/// The last invalidations as a template value, `most` at most.
pub(super) fn invalidations(mounted: &Mounted, most: usize) -> Value {
    let now = SystemTime::now();
    let (events, _) = mounted.recorder.events();
    let invalidations = events.iter().filter(|event| kind_of(event) == "invalidated").take(most);
    invalidations.map(|event| row(event, now, mounted.shows.contents)).collect()
}

fn row(event: &Event, now: SystemTime, contents: bool) -> Value {
    let (subject, about) = match &event.what {
        Happened::Invalidated { what, by } => (what.to_string(), source_of(by)),
        Happened::Evicted { about, age, bytes, used } => {
            let used = if *used { "" } else { ", never used" };
            let facts = format!("{} at the age of {}{used}", format::bytes(u64::from(*bytes)), format::span(*age));
            (name(about), facts)
        }
        Happened::Refreshed { about, reason, took } => {
            (name(about), format!("computed in {}: {reason}", format::span(*took)))
        }
        Happened::Differed(difference) => (name(&difference.about), describe_difference(difference, contents)),
        Happened::Error { kind, message } => (format!("{kind:?}").to_lowercase(), message.clone()),
        other => (format!("{other:?}"), String::new()),
    };
    context! { at => view::moment(event.at, now), kind => kind_of(event), subject, about }
}

/// Describes a difference. Includes the two texts only if contents may be shown.
fn describe_difference(difference: &Difference, contents: bool) -> String {
    let Difference { place, age, offset, cached, computed, .. } = difference;
    let place = place.as_ref().map(|place| format!("{place}, ")).unwrap_or_default();
    let texts = if contents { format!(": {cached:?} instead of {computed:?}") } else { String::new() };
    format!("{place}hit at the age of {}, differs from byte {offset} on{texts}", format::span(*age))
}

fn source_of(by: &By) -> String {
    match by {
        By::Call => "by the application's code".into(),
        By::Signal(name) => format!("by the signal {name:?}"),
        By::Request => "by a request that changed something there".into(),
        By::Dashboard => "by an operator on this dashboard".into(),
        By::Watch => "by a watched file that changed".into(),
        By::Node => "by another node".into(),
    }
}

fn name(about: &About) -> String {
    format!("{} [{}]", about.label, about.key)
}
