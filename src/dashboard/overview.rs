//! The first page: the state of the cache, charts of the last minutes, and the first fragments and miss reasons.

use std::sync::Arc;
use std::time::Duration;

use axum::response::Response;
use http::StatusCode;
use minijinja::{Value, context};

use super::mounted::Mounted;
use super::{figures, format, fragments, misses};
use crate::invalidation::dependencies::FOREVER;
use crate::util::clock::Nanos;

/// The number of fragments and of reasons shown. Other pages show all of them.
const SHOWN: usize = 5;

pub(super) fn page(mounted: &Arc<Mounted>) -> Response {
    let figures = figures::read(mounted);
    let fragments = mounted.cache.fragment_stats();
    let top = fragments.iter().filter(|it| it.lookups() > 0).take(SHOWN).map(fragments::row);
    let reasons = misses::bars(&mounted.cache);
    let context = context! {
        figures => Value::from_pairs(figures),
        fragments => top.collect::<Value>(),
        fragment_count => fragments.len(),
        reasons => reasons.iter().take(SHOWN).cloned().collect::<Value>(),
        reason_count => reasons.len(),
        enabled => mounted.cache.inner.settings.enabled,
        memory => mounted.cache.inner.settings.memory,
        default_ttl => lifetime(mounted.cache.inner.settings.default_ttl),
    };
    mounted.page(StatusCode::OK, "overview.html", context)
}

/// The default lifetime as text.
fn lifetime(ttl: Nanos) -> String {
    if ttl == FOREVER { "no end".into() } else { format::span(Duration::from_nanos(ttl)) }
}
