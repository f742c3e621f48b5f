//! The pages that invalidate: the forms, the confirmation, and the request that carries an order out.

use std::sync::Arc;
use std::time::SystemTime;

use axum::body::{Body, to_bytes};
use axum::response::Response;
use http::StatusCode;
use http::header::CONTENT_TYPE;
use http::request::Parts;
use minijinja::{Value, context};

use super::mounted::Mounted;
use super::order::{KINDS, Order};
use super::params::Params;
use super::token::{Signer, TokenRefusal};
use super::{access, entry, events, format, origin};

/// The largest accepted form, in bytes.
const LONGEST: usize = 64 << 10;

/// The number of entries that are searched to count those that an order would invalidate.
const LOOKED_AT: usize = 100_000;

/// The number of invalidations shown below the forms.
const SHOWN: usize = 8;

/// The page with the forms.
pub(super) fn page(mounted: &Arc<Mounted>, params: &Params) -> Response {
    if mounted.signer.is_none() {
        return mounted.problem(StatusCode::NOT_FOUND, READ_ONLY);
    }
    let done = KINDS.iter().find(|kind| **kind == params.get("done"));
    let context = context! {
        done => done.copied(),
        untold => params.get("told") == "no",
        recent => events::invalidations(mounted, SHOWN),
        namespace => &*mounted.cache.namespace.name,
    };
    mounted.page(StatusCode::OK, "invalidate.html", context)
}

const READ_ONLY: &str = "This dashboard shows, and invalidates nothing.";

/// Handles a form. Without a token it answers with the confirmation page, with one it carries the order out.
pub(super) async fn order(mounted: &Arc<Mounted>, parts: &Parts, body: Body) -> Response {
    let Some(signer) = &mounted.signer else { return mounted.problem(StatusCode::NOT_FOUND, READ_ONLY) };
    if let Err(reason) = origin::check(parts) {
        return mounted.problem(StatusCode::FORBIDDEN, reason);
    }
    if !is_form(parts) {
        return mounted.problem(StatusCode::UNSUPPORTED_MEDIA_TYPE, "This is no form of this page.");
    }
    let Ok(bytes) = to_bytes(body, LONGEST).await else {
        return mounted.problem(StatusCode::PAYLOAD_TOO_LARGE, "That is more than a form of this page says.");
    };
    let form = Params::read(&String::from_utf8_lossy(&bytes));
    match form.get("token") {
        "" => confirmation(mounted, signer, &form).await,
        token => carry_out(mounted, signer, token, &form).await,
    }
}

fn is_form(parts: &Parts) -> bool {
    let kind = parts.headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    kind.eq_ignore_ascii_case("application/x-www-form-urlencoded")
}

async fn confirmation(mounted: &Arc<Mounted>, signer: &Signer, form: &Params) -> Response {
    let id = form.get("entry");
    let asked = match (id.is_empty(), entry::find(mounted, id)) {
        (true, _) => Order::asked(&mounted.cache, form),
        (false, Some((_, entry))) => Ok(Order::of_entry(&mounted.cache, &entry)),
        (false, None) => Err("This entry is not in memory, or no longer.".into()),
    };
    let order = match asked {
        Ok(order) => Arc::new(order),
        Err(fault) => return mounted.problem(StatusCode::UNPROCESSABLE_ENTITY, &fault),
    };
    let (counting, counted) = (Arc::clone(mounted), Arc::clone(&order));
    let concerned = tokio::task::spawn_blocking(move || concerned(&counting, &counted)).await.ok().flatten();
    let fields = order.fields().into_iter().map(|(name, value)| context! { name, value });
    let context = context! {
        words => order.words(),
        // The key as it was typed, for display only. No form field holds it.
        typed => (order.kind() == "key" && id.is_empty()).then(|| form.raw("value")),
        how => form.get("as"),
        namespaces => order.levels().into_iter().map(Value::from).collect::<Value>(),
        concerned => concerned.map(|(count, all)| context! { count => format::count(count), all, empty => count == 0 }),
        fields => fields.collect::<Value>(),
        token => signer.token(&order, SystemTime::now()),
    };
    mounted.page(StatusCode::OK, "confirm.html", context)
}

/// The number of entries that an order would invalidate, and whether all entries were searched.
fn concerned(mounted: &Mounted, order: &Order) -> Option<(u64, bool)> {
    let (mut concerned, mut known) = (0, true);
    let looked_at = mounted.cache.inner.see_entries(LOOKED_AT, |_, entry| match order.concerns(entry) {
        Some(yes) => concerned += u64::from(yes),
        None => known = false,
    });
    known.then_some((concerned, looked_at < LOOKED_AT))
}

async fn carry_out(mounted: &Arc<Mounted>, signer: &Signer, token: &str, form: &Params) -> Response {
    let order = match Order::confirmed(&mounted.cache, form) {
        Ok(order) => order,
        Err(fault) => return mounted.problem(StatusCode::UNPROCESSABLE_ENTITY, &fault),
    };
    match signer.check(token, &order, SystemTime::now()) {
        Ok(()) => {}
        Err(TokenRefusal::Expired) => {
            let message = "That took longer than ten minutes, so nothing was done. Please begin again.";
            return mounted.problem(StatusCode::FORBIDDEN, message);
        }
        Err(TokenRefusal::Wrong) => {
            let message = "This form was not made by this dashboard, or by an earlier run of it. Nothing was done.";
            return mounted.problem(StatusCode::FORBIDDEN, message);
        }
    }
    let told = order.carry_out().await.is_ok();
    access::redirect(&format!("invalidate?done={}{}", order.kind(), if told { "" } else { "&told=no" }))
}
