//! `/metrics`, for Prometheus: what the cache counts, as text.
//!
//! A real site shows this to its own network only. The example listens on loopback.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::get;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

use super::{App, Error};

/// Where the buckets of computation time end, in seconds: a fragment takes microseconds, and one with a query seconds.
const BUCKETS: [f64; 14] =
    [25e-6, 50e-6, 100e-6, 250e-6, 500e-6, 1e-3, 2.5e-3, 5e-3, 10e-3, 25e-3, 0.1, 0.25, 1.0, 2.5];

/// How often what was recorded is counted into its buckets; until then each computation takes memory.
const UPKEEP: Duration = Duration::from_secs(5);

/// The recorder of the process, installed the first time it is asked for.
pub(crate) fn recorder() -> Result<PrometheusHandle, Error> {
    static INSTALLED: Mutex<Option<PrometheusHandle>> = Mutex::new(None);
    let mut installed = INSTALLED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(handle) = &*installed {
        return Ok(handle.clone());
    }
    let handle = PrometheusBuilder::new()
        // `_total`, `_seconds` and `_bytes`, as Prometheus likes names.
        .with_recommended_naming(true)
        .set_buckets_for_metric(Matcher::Full("minijinja_cache.computation.duration".into()), &BUCKETS)?
        .install_recorder()?;
    let upkeep = handle.clone();
    std::thread::Builder::new().name("metrics".into()).spawn(move || {
        loop {
            std::thread::sleep(UPKEEP);
            upkeep.run_upkeep();
        }
    })?;
    Ok(installed.insert(handle).clone())
}

pub(crate) fn router() -> Router<App> {
    Router::new().route("/metrics", get(scraped))
}

async fn scraped(State(app): State<App>) -> impl IntoResponse {
    // Exact now, and not as of a second ago.
    app.cache.publish_metrics();
    ([(CONTENT_TYPE, "text/plain; version=0.0.4")], app.metrics.render())
}
