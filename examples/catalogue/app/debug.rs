//! Pages that show what the cache did for them, and how many queries they took.

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use minijinja_cache::http::DebugLayer;

use super::App;

const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");

pub(crate) fn shown(pages: Router<App>, app: &App) -> Router<App> {
    if !app.debug {
        return pages;
    }
    let queries = from_fn_with_state(app.clone(), queries);
    pages.layer(queries).layer(DebugLayer::new(&app.cache).enabled(true))
}

/// Says how many queries ran while a request was answered, those of others who came meanwhile among them.
async fn queries(State(app): State<App>, request: Request, next: Next) -> Response {
    let before = app.db.queries();
    let mut response = next.run(request).await;
    let so_far = app.db.queries();
    let count = so_far - before;
    let queries = if count == 1 { "query" } else { "queries" };
    let said = format!("sql;desc=\"{count} {queries}, {so_far} so far\"");
    if let Ok(said) = HeaderValue::try_from(said) {
        response.headers_mut().append(SERVER_TIMING, said);
    }
    response
}
