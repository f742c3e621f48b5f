//! Who may see the pages, and what every answer forbids.

use std::sync::{Arc, Mutex};

use axum::http::{HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse, Redirect};
use minijinja_cache::Dashboard;

use crate::support::{PAGES, app, ask, cache, get, post, put, request, send};

const ASSETS: [&str; 4] = ["style.css", "script.js", "icon.svg", "live"];

fn every_path() -> Vec<String> {
    let paths = PAGES.iter().chain(&ASSETS).chain(&["", "entry?id=1", "nowhere", "a/b/c", "overview/"]);
    let mut paths: Vec<String> = paths.map(|path| format!("/cache/{path}")).collect();
    paths.push("/cache".into());
    paths
}

#[tokio::test]
async fn every_path_asks_who_is_there() {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&asked);
    let dashboard = Dashboard::new(&cache()).allow_invalidation().authorize(move |request| {
        noted.lock().unwrap().push(request.uri.to_string());
        request.headers.contains_key("x-operator")
    });
    let app = app(dashboard);
    for path in every_path() {
        for method in [Method::GET, Method::HEAD, Method::POST, Method::DELETE, Method::OPTIONS] {
            let reply = ask(&app, method.clone(), &path, &[]).await;
            assert_eq!((reply.status, reply.text.as_str()), (StatusCode::NOT_FOUND, ""), "{method} {path}");
            assert_eq!(reply.header("cache-control"), "no-store");
        }
        let asked = std::mem::take(&mut *asked.lock().unwrap());
        assert_eq!(asked.len(), 5, "{path}");
        // As the dashboard sees it, wherever it is mounted.
        assert!(!asked[0].contains("/cache"), "{asked:?}");
    }
    let reply = ask(&app, Method::GET, "/cache/overview", &[("x-operator", "1")]).await;
    assert_eq!(reply.status, StatusCode::OK);
}

#[tokio::test]
async fn a_decision_says_what_is_answered_instead() {
    let dashboard = Dashboard::new(&cache()).authorize_with(|request| async move {
        tokio::task::yield_now().await;
        match request.headers.get("x-user").map(HeaderValue::as_bytes) {
            Some(b"ada") => Ok(()),
            Some(_) => Err(StatusCode::FORBIDDEN.into_response()),
            None => Err(Redirect::to("/sign-in").into_response()),
        }
    });
    let app = app(dashboard);
    let visit = async |headers: &[(&str, &str)]| ask(&app, Method::GET, "/cache/live", headers).await;
    let stranger = visit(&[]).await;
    assert_eq!((stranger.status, stranger.header("location")), (StatusCode::SEE_OTHER, "/sign-in"));
    assert_eq!(stranger.header("cache-control"), "no-store");
    assert_eq!(visit(&[("x-user", "eve")]).await.status, StatusCode::FORBIDDEN);
    assert_eq!(ask(&app, Method::HEAD, "/cache/live", &[("x-user", "ada")]).await.status, StatusCode::OK);
}

#[tokio::test]
async fn every_answer_forbids_frames_foreign_scripts_and_copies() {
    let cache = cache();
    put(&cache, "a", "text");
    let app = app(Dashboard::new(&cache).allow_invalidation());
    for path in every_path().iter().filter(|path| *path != "/cache/live") {
        check(&get(&app, path).await, path);
    }
    check(&ask(&app, Method::HEAD, "/cache/live", &[]).await, "live");
    check(&ask(&app, Method::PUT, "/cache/overview", &[]).await, "put");
    check(&post(&app, &[("kind", "tag"), ("value", "a")]).await, "confirm");
    check(&post(&app, &[]).await, "nothing");
}

fn check(reply: &crate::support::Reply, path: &str) {
    let policy = reply.header("content-security-policy");
    for part in ["default-src 'none'", "script-src 'self'", "style-src 'self'", "connect-src 'self'"] {
        assert!(policy.contains(part), "{path}: {policy}");
    }
    assert!(policy.contains("frame-ancestors 'none'") && !policy.contains("unsafe"), "{path}: {policy}");
    assert_eq!(reply.header("cache-control"), "no-store", "{path}");
    assert_eq!(reply.header("x-frame-options"), "DENY", "{path}");
    assert_eq!(reply.header("x-content-type-options"), "nosniff", "{path}");
    assert_eq!(reply.header("referrer-policy"), "no-referrer", "{path}");
    // What the policy would keep from running, or from being shown.
    if reply.header("content-type").starts_with("text/html") {
        for inline in [" style=", "<style", " onclick", "<script>", "javascript:", "http://", "https://", "src=\"//"] {
            assert!(!reply.text.contains(inline), "{path} has {inline}");
        }
    }
}

#[tokio::test]
async fn other_methods_do_nothing() {
    let cache = cache();
    let (reading, changing) = (app(Dashboard::new(&cache)), app(Dashboard::new(&cache).allow_invalidation()));
    for method in [Method::POST, Method::PUT, Method::DELETE, Method::PATCH, Method::OPTIONS, Method::TRACE] {
        let reply = ask(&changing, method.clone(), "/cache/overview", &[]).await;
        assert_eq!((reply.status, reply.header("allow")), (StatusCode::METHOD_NOT_ALLOWED, "GET, HEAD"), "{method}");
    }
    let reply = ask(&changing, Method::PUT, "/cache/invalidate", &[]).await;
    assert_eq!(reply.header("allow"), "GET, HEAD, POST");
    let reply = ask(&reading, Method::PUT, "/cache/invalidate", &[]).await;
    assert_eq!(reply.header("allow"), "GET, HEAD");
    let reply = send(&reading, request(Method::HEAD, "/cache/fragments", &[], "")).await;
    assert_eq!((reply.status, reply.text.as_str()), (StatusCode::OK, ""));
}
