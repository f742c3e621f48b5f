//! The page of misses: the number for each reason, and the last ones.

use std::sync::Arc;
use std::time::SystemTime;

use axum::response::Response;
use http::StatusCode;
use minijinja::{Value, context};

use super::mounted::Mounted;
use super::params::Params;
use super::{format, view};
use crate::cache::FragmentCache;
use crate::telemetry::Miss;

pub(super) fn page(mounted: &Arc<Mounted>, params: &Params) -> Response {
    let now = SystemTime::now();
    let (reason, label) = (params.get("reason"), params.get("label"));
    let wanted = |miss: &&Miss| {
        (reason.is_empty() || miss.reason.name() == reason) && (label.is_empty() || &*miss.about.label == label)
    };
    let misses = mounted.cache.recent_misses();
    let rows = misses.iter().filter(wanted).map(|miss| {
        context! {
            at => view::moment(miss.at, now),
            label => &*miss.about.label,
            kind => miss.about.kind.name(),
            key => miss.about.key.to_string(),
            key_text => if mounted.shows.keys { miss.key_text() } else { None },
            reason => miss.reason.to_string(),
        }
    });
    let context = context! {
        bars => bars(&mounted.cache).into_iter().collect::<Value>(),
        rows => rows.collect::<Value>(),
        kept => misses.len(),
        keys => mounted.shows.keys,
        reason, label,
    };
    mounted.page(StatusCode::OK, "misses.html", context)
}

/// The reasons as template values, the most frequent first.
pub(super) fn bars(cache: &FragmentCache) -> Vec<Value> {
    let mut reasons: Vec<(&str, u64)> = cache.miss_reasons().into_iter().collect();
    reasons.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
    let all: u64 = reasons.iter().map(|(_, count)| count).sum();
    let most = reasons.first().map_or(1, |(_, count)| *count).max(1);
    let bar = |(name, count): (&str, u64)| {
        context! {
            name, says => explanation(name),
            count => format::count(count),
            share => format::percent(count as f64 / all.max(1) as f64),
            width => format!("{:.1}%", count as f64 / most as f64 * 100.0),
        }
    };
    reasons.into_iter().map(bar).collect()
}

/// Explains a reason.
fn explanation(name: &str) -> &'static str {
    match name {
        "cold" => "It was never stored here.",
        "expired" => "What was stored is older than its lifetime.",
        "key-invalidated" => "Its key was invalidated.",
        "tag-invalidated" => "A tag of it was invalidated.",
        "inner-key-invalidated" => "The key of something inside it was invalidated.",
        "namespace-cleared" => "Its namespace was cleared.",
        "cleared" => "Everything was cleared.",
        "template-changed" => "A template it was made from was changed.",
        "environment-changed" => "A template was added to its environment.",
        "version" => "What is stored is of another version.",
        "evicted" => "There was no room for it in memory.",
        "other-variant" => "Its key is stored, but for others: another vary, another visitor.",
        "unconfirmed" => "Other nodes had not been heard of for too long.",
        "store-failed" => "The shared tier did not answer.",
        "unreadable" => "It is stored as something else.",
        "refused" => "The client would not take what is stored.",
        "bypass-off" => "Caching is switched off.",
        "bypass-lifetime" => "Its lifetime is 0.",
        "bypass-condition" => "Its condition says that it is not cached.",
        "bypass-key" => "It has no key.",
        "bypass-request" => "Something about the request: a cookie, a method, credentials.",
        "rejected" => "What was computed last could not be stored.",
        _ => "",
    }
}

#[cfg(all(test, not(shuttle)))]
mod tests {
    use super::*;
    use crate::telemetry::REASONS;

    #[test]
    fn every_reason_is_explained() {
        for name in REASONS {
            assert!(!explanation(name).is_empty(), "{name}");
        }
    }
}
