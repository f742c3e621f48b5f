//! What there is to say of a fragment, and of a request, for the page's comments.

use http::header::CACHE_CONTROL;
use http::{HeaderMap, HeaderName};

use super::timing::{RequestTotals, SERVER_TIMING, milliseconds, outcome};
use crate::debug::{AnnotatedFragments, CommentObject};
use crate::observe::{Explained, Explanation, MissReason, Outcome};

/// More tags or templates than these are not listed.
const LISTED: usize = 40;

const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");

/// Why it was computed.
fn why(fragment: &Explained) -> Option<String> {
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
    if let Some(why) = why(fragment) {
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
        .list("tags", some(&fragment.tags).iter().map(|tag| &**tag))
        .list("templates", some(&fragment.templates).iter().map(|name| &**name))
}

/// What goes to the end of a page: of the request, and of what has no place in the page.
pub(super) fn summary(
    explanation: &Explanation,
    placed: &AnnotatedFragments,
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
    let elsewhere = fragments.iter().filter(|fragment| !placed.fragments.contains(&fragment.mark()));
    let elsewhere = elsewhere.map(|fragment| {
        let facts = describe(fragment, show_keys);
        match fragment.inside.and_then(|at| fragments.get(at)) {
            Some(outer) => facts.text("inside", &outer.about.label),
            None => facts,
        }
    });
    let said = CommentObject::new().object("request", request).objects("elsewhere", elsewhere);
    format!("<!-- fragments {} -->", said.finish())
}

fn some<T>(all: &[T]) -> &[T] {
    &all[..all.len().min(LISTED)]
}
