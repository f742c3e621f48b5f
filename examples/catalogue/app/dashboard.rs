//! The cache's own pages, for whoever runs the application.

use axum::Router;
use axum::http::header::HOST;
use axum::http::request::Parts;
use axum::http::uri::Authority;
use minijinja_cache::{Dashboard, FragmentCache};

/// The catalogue listens on this machine only, so its keys and contents may be shown here and anything be invalidated. A
/// service on a network asks who is there.
pub(crate) fn router(cache: &FragmentCache) -> Router {
    Dashboard::new(cache)
        .title("Reel: the cache")
        .authorize(from_this_machine)
        .show_keys(true)
        .show_contents(true)
        .allow_invalidation()
        .router()
}

/// Whether the address in the browser is one of this machine: another name that leads here is a trick of some page, or a
/// proxy that serves others.
fn from_this_machine(request: &Parts) -> bool {
    let host = request.headers.get(HOST).and_then(|host| host.to_str().ok());
    let host = request.uri.authority().map(Authority::as_str).or(host).unwrap_or_default();
    let name = host.rsplit_once(':').map_or(host, |(name, port)| if port.ends_with(']') { host } else { name });
    ["localhost", "127.0.0.1", "[::1]"].contains(&name)
}
