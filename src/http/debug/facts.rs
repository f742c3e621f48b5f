//! The JSON in the comments of a page: one object for each fragment, and a summary of the request.

use http::header::CACHE_CONTROL;
use http::{HeaderMap, HeaderName};

use super::timing::{RequestTotals, SERVER_TIMING, milliseconds, outcome};
use crate::http::debug::{AnnotatedFragments, CommentObject};
use crate::telemetry::{Explained, Explanation, MissReason, Outcome};

/// The largest number of tags, and of templates, in a comment.
const MAX_LISTED: usize = 40;

const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");

fn miss_reason(fragment: &Explained) -> Option<String> {
    match &fragment.outcome {
        Outcome::Miss(MissReason::Bypassed(bypass)) => Some(bypass.to_string()),
        Outcome::Miss(reason) => Some(reason.to_string()),
        _ => None,
    }
}

pub(super) fn describe(fragment: &Explained, show_keys: bool) -> CommentObject {
    let mut facts = CommentObject::new()
        .text("label", &fragment.about.label)
        .text("kind", fragment.about.kind.name())
        .text("outcome", outcome(fragment));
    if let Some(why) = miss_reason(fragment) {
        facts = facts.text("why", &why);
    }
    if let Some(rejected) = fragment.rejected {
        facts = facts.text("not_stored", &rejected.to_string());
    }
    facts = match &fragment.outcome {
        Outcome::Miss(MissReason::Bypassed(_)) => facts,
        Outcome::Miss(_) => facts.number("took_ms", milliseconds(fragment.cost)),
        _ => facts.number("saved_ms", milliseconds(fragment.cost)).number("age_s", fragment.age.as_secs_f64()),
    };
    if let Some(left) = fragment.ttl_left {
        facts = facts.number("left_s", left.as_secs_f64());
    }
    if fragment.bytes > 0 {
        facts = facts.text("size", &format!("{} bytes", fragment.bytes));
    }
    let key = if show_keys { fragment.key_text() } else { fragment.about.key.to_string() };
    facts
        .text(if show_keys { "key" } else { "key_hash" }, &key)
        .list("tags", first_listed(&fragment.tags).iter().map(|tag| &**tag))
        .list("templates", first_listed(&fragment.templates).iter().map(|name| &**name))
}

/// The comment at the end of a page. It describes the request, and the fragments that have no position in the page.
pub(super) fn summary(
    explanation: &Explanation,
    annotated: &AnnotatedFragments,
    headers: &HeaderMap,
    show_keys: bool,
) -> String {
    let totals = RequestTotals::of(explanation);
    let mut request = CommentObject::new()
        .number("rendering_ms", milliseconds(totals.rendering))
        .number("saved_ms", milliseconds(totals.saved));
    for name in [CACHE_STATUS, CACHE_CONTROL, SERVER_TIMING] {
        let values: Vec<&str> = headers.get_all(&name).iter().filter_map(|value| value.to_str().ok()).collect();
        if !values.is_empty() {
            request = request.text(name.as_str(), &values.join(", "));
        }
    }
    let fragments = &explanation.fragments;
    let elsewhere = fragments.iter().filter(|fragment| !annotated.contains(fragment.mark()));
    let elsewhere = elsewhere.map(|fragment| {
        let facts = describe(fragment, show_keys);
        match fragment.inside.and_then(|at| fragments.get(at)) {
            Some(outer) => facts.text("inside", &outer.about.label),
            None => facts,
        }
    });
    let summary = CommentObject::new().object("request", request).objects("elsewhere", elsewhere);
    format!("<!-- fragments {} -->", summary.finish())
}

fn first_listed<T>(all: &[T]) -> &[T] {
    &all[..all.len().min(MAX_LISTED)]
}
