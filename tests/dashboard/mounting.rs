//! Where it is mounted: every link is right there.

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{Method, StatusCode};
use axum::routing::get;
use minijinja_cache::http::CacheLayer;
use minijinja_cache::{Dashboard, FragmentCache};

use crate::support::{PAGES, ask, cache, get as visit, put, request, send};

/// A relative address as a browser resolves it.
fn resolve(base: &str, relative: &str) -> String {
    let folder = base.split('?').next().unwrap().rsplit_once('/').unwrap().0;
    let mut segments: Vec<&str> = folder.split('/').collect();
    let (path, query) = relative.split_once('?').map_or((relative, String::new()), |(p, q)| (p, format!("?{q}")));
    if path.is_empty() {
        return format!("{}{query}", base.split('?').next().unwrap());
    }
    for segment in path.split('/') {
        match segment {
            "." => {}
            ".." => drop(segments.pop()),
            other => segments.push(other),
        }
    }
    format!("{}{query}", segments.join("/"))
}

fn links(page: &str) -> Vec<String> {
    let mut links = Vec::new();
    for attribute in ["href=\"", "src=\"", "action=\""] {
        links.extend(page.split(attribute).skip(1).map(|rest| rest.split('"').next().unwrap().replace("&amp;", "&")));
    }
    links.retain(|link| !link.starts_with('#'));
    links
}

/// Every link of every page leads somewhere inside.
async fn check(app: &Router, at: &str) {
    let first = visit(app, at).await;
    assert_eq!(first.status, StatusCode::SEE_OTHER, "{at}");
    let overview = resolve(at, first.header("location"));
    assert!(overview.ends_with("/overview"), "{overview}");
    for page in PAGES {
        let address = resolve(&overview, page);
        let reply = visit(app, &address).await;
        assert_eq!(reply.status, StatusCode::OK, "{address}");
        for link in links(&reply.text) {
            assert!(!link.starts_with('/') && !link.contains("//"), "{link}");
            let target = resolve(&address, &link);
            let reply = ask(app, Method::HEAD, &target, &[]).await;
            assert_eq!(reply.status, StatusCode::OK, "{link} of {address}");
        }
        let slashed = visit(app, &format!("{address}/?q=1")).await;
        let (status, location) = (slashed.status, slashed.header("location"));
        assert_eq!(
            (status, resolve(&format!("{address}/"), location)),
            (StatusCode::SEE_OTHER, format!("{address}?q=1"))
        );
    }
}

fn dashboard(cache: &FragmentCache) -> Dashboard {
    put(cache, "a", "text");
    cache.invalidate_tag("t");
    Dashboard::new(cache).allow_invalidation()
}

#[tokio::test]
async fn links_are_right_under_any_prefix() {
    let cache = cache();
    let nested = Router::new().nest("/cache", dashboard(&cache).router());
    check(&nested, "/cache").await;
    let service = Router::new().nest_service("/cache", dashboard(&cache).router());
    for at in ["/cache", "/cache/"] {
        check(&service, at).await;
    }
    let deep = Router::new().nest("/admin", Router::new().nest_service("/inner/cache", dashboard(&cache).router()));
    for at in ["/admin/inner/cache", "/admin/inner/cache/"] {
        check(&deep, at).await;
    }
    let colon = Router::new().nest_service("/a:b", dashboard(&cache).router());
    check(&colon, "/a:b").await;
    let alone: Router = dashboard(&cache).router();
    check(&alone, "/").await;
}

#[tokio::test]
async fn an_application_with_state_and_a_layer_mounts_it_too() {
    async fn greet(State(name): State<&'static str>) -> &'static str {
        name
    }
    let cache = cache();
    let app = Router::new()
        .route("/", get(greet))
        .nest("/cache", dashboard(&cache).router())
        .layer(CacheLayer::new(&cache).ttl(std::time::Duration::from_secs(60)))
        .with_state("hello");
    check(&app, "/cache").await;
    for _ in 0..2 {
        assert_eq!(visit(&app, "/").await.text, "hello");
        let reply = visit(&app, "/cache/overview").await;
        assert_eq!(reply.header("cache-control"), "no-store");
        assert!(!reply.header("cache-status").contains("hit"), "{:?}", reply.headers);
    }
    assert!(cache.stats().hits >= 1, "the other page is cached");
}

#[tokio::test]
async fn nothing_is_reachable_without_being_mounted() {
    let cache = cache();
    let dashboard = dashboard(&cache);
    let app: Router = Router::new().route("/", get(async || "home"));
    for path in ["/overview", "/cache", "/cache/overview", "/live"] {
        assert_eq!(visit(&app, path).await.status, StatusCode::NOT_FOUND);
    }
    drop(dashboard);
}

#[tokio::test]
async fn hostile_paths_are_pages_that_are_not_there() {
    let app: Router = Router::new().nest_service("/cache", Dashboard::new(&cache()).router());
    for path in ["/cache/..%2f..%2fetc", "/cache/%00", "/cache/%3Cscript%3E", "/cache//overview//x", "/cache/a%0d%0ab"]
    {
        let reply = visit(&app, path).await;
        assert_eq!(reply.status, StatusCode::NOT_FOUND, "{path}");
        assert!(!reply.text.contains("<script>") && !reply.text.contains("etc"), "{path}");
    }
    // A line end cannot come into a header.
    let request = request(Method::GET, "/cache/overview/?a=%0d%0aset-cookie:x", &[], "").map(|_| Body::empty());
    let reply = send(&app, request).await;
    assert_eq!(reply.header("set-cookie"), "");
}
