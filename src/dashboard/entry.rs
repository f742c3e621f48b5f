//! The page of one entry: its metadata, and its content if contents are shown.

use std::sync::Arc;

use axum::response::Response;
use http::StatusCode;
use minijinja::{Value, context};

use super::mounted::Mounted;
use super::params::Params;
use super::{entries, preview, view};
use crate::store::entry::Entry;

pub(super) async fn page(mounted: &Arc<Mounted>, params: &Params) -> Response {
    let Some((hash, entry)) = find(mounted, params.get("id")) else {
        return mounted.problem(StatusCode::NOT_FOUND, "This entry is not in memory, or no longer.");
    };
    let facts = mounted.cache.inner.facts(&entry);
    let context = context! {
        entry => entries::row(mounted, hash, &entry, &facts),
        templates => view::texts(&facts.templates),
        namespaces => facts.namespaces.iter().map(|name| Value::from(name.as_str())).collect::<Value>(),
        content => content(mounted, &entry),
    };
    mounted.page(StatusCode::OK, "entry.html", context)
}

/// Finds an entry in the dashboard's namespace. The look-up counts as a use, so the entry is evicted later.
pub(super) fn find(mounted: &Mounted, id: &str) -> Option<(u128, Arc<Entry>)> {
    let hash = u128::from_str_radix(id, 16).ok()?;
    let entry = mounted.cache.inner.memory.get(hash)?;
    entry.is_inside(&mounted.cache.namespace.path).then_some((hash, entry))
}

fn content(mounted: &Mounted, entry: &Entry) -> Option<Value> {
    mounted.shows.contents.then(|| {
        let preview = preview::of(&entry.body);
        context! { kind => preview.kind, text => preview.text, cut => preview.cut }
    })
}
