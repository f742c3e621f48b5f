//! Nobody gets what was made for somebody else: cookies, credentials, and what a page says about itself.

use axum::http::Method;
use axum::http::header::AUTHORIZATION;
use minijinja_cache::http::CacheLayer;

use crate::support::{App, answer, cache, seconds};

/// Says who asks, by whatever a handler might go by, and that everybody may keep it.
fn personal(control: &'static str) -> impl Fn(usize, &axum::extract::Request) -> axum::response::Response {
    move |n, request| {
        let said = |name: &str| request.headers().get(name).map_or("", |value| value.to_str().unwrap());
        let text = format!("{n}:{}:{}", said("cookie"), said("authorization"));
        if control.is_empty() { answer(&[], text) } else { answer(&[("cache-control", control)], text) }
    }
}

const ADA: &[(&str, &str)] = &[("cookie", "sid=ada")];
const BOB: &[(&str, &str)] = &[("cookie", "sid=bob")];

#[tokio::test]
async fn a_request_with_cookies_is_neither_stored_nor_answered_from_the_store() {
    let (cache, _) = cache();
    for control in ["public, max-age=60", "s-maxage=60", "max-age=60", ""] {
        let app = App::new(CacheLayer::new(&cache.namespace(control)).ttl(seconds(60)), personal(control));
        assert_eq!(app.get("/", ADA).await.text(), "0:sid=ada:");
        assert_eq!(app.get("/", &[]).await.text(), "1::");
        assert_eq!(app.get("/", BOB).await.text(), "2:sid=bob:");
        let again = app.get("/", ADA).await;
        assert_eq!(again.text(), "3:sid=ada:");
        assert_eq!(again.header("cache-status").as_deref(), Some("minijinja-cache; fwd=bypass; detail=cookie"));
        assert_eq!(app.get("/", &[]).await.text(), "1::", "{control}");
    }
}

#[tokio::test]
async fn what_a_route_declares_is_not_said_of_a_visitors_page() {
    let (cache, _) = cache();
    let app = App::new(CacheLayer::new(&cache).ttl(seconds(60)), personal(""));
    assert_eq!(app.get("/", ADA).await.header("cache-control").as_deref(), Some("private, no-cache"));
    let everybodys = app.get("/", &[]).await;
    assert_eq!(everybodys.header("cache-control").as_deref(), Some("public, max-age=60"));
    // Or a cache in front would show it to visitors with cookies.
    assert_eq!(everybodys.header("vary").as_deref(), Some("authorization, cookie"));
}

#[tokio::test]
async fn keyed_cookies_give_each_visitor_pages_of_his_own() {
    let (cache, _) = cache();
    let app = App::new(CacheLayer::new(&cache).ttl(seconds(60)).session_cookie("sid"), personal(""));
    for _ in 0..2 {
        assert_eq!(app.get("/", ADA).await.text(), "0:sid=ada:");
        assert_eq!(app.get("/", BOB).await.text(), "1:sid=bob:");
        assert_eq!(app.get("/", &[]).await.text(), "2::");
    }
    let hers = app.get("/", ADA).await;
    assert!(hers.is_hit());
    assert_eq!(hers.header("cache-control").as_deref(), Some("private, no-cache"));
    assert_eq!(app.get("/", &[]).await.header("cache-control").as_deref(), Some("public, max-age=60"));
    // A cookie nobody spoke of is somebody's.
    assert_eq!(app.get("/", &[("cookie", "sid=ada; cart=7")]).await.text(), "3:sid=ada; cart=7:");
    assert_eq!(app.get("/", &[("cookie", "sid=ada"), ("cookie", "cart=7")]).await.header("age"), None);
    // The same cookie twice: which of them counts is the handler's to say, so their order is part of the key.
    assert!(!app.get("/", &[("cookie", "sid=ada; sid=bob")]).await.is_hit());
    assert!(!app.get("/", &[("cookie", "sid=bob; sid=ada")]).await.is_hit());
    assert!(!app.get("/", &[("cookie", "sid=ada; sid=")]).await.is_hit());
}

#[tokio::test]
async fn private_pages_are_stored_under_a_visitors_key_and_nowhere_else() {
    let (cache, _) = cache();
    let app = App::new(CacheLayer::new(&cache).session_cookie("sid"), personal("private, max-age=60"));
    assert_eq!(app.get("/", ADA).await.text(), "0:sid=ada:");
    assert_eq!(app.get("/", ADA).await.text(), "0:sid=ada:");
    // Without the cookie there is no visitor whose it could be.
    assert_eq!(app.get("/", &[]).await.text(), "1::");
    assert_eq!(app.get("/", &[]).await.text(), "2::");
}

#[tokio::test]
async fn a_public_page_of_a_keyed_visitor_is_private_to_caches_in_front() {
    let (cache, _) = cache();
    let app = App::new(CacheLayer::new(&cache).session_cookie("sid"), personal("public, max-age=60"));
    for _ in 0..2 {
        let hers = app.get("/", ADA).await;
        assert_eq!(hers.header("cache-control").as_deref(), Some("private, max-age=60"));
    }
}

#[tokio::test]
async fn the_handler_does_not_see_cookies_that_pages_do_not_depend_on() {
    let (cache, _) = cache();
    let layer = CacheLayer::new(&cache).ttl(seconds(60)).session_cookie("sid").ignore_cookies(["_ga", "theme"]);
    let app = App::new(layer, personal(""));
    let tracked = &[("cookie", "_ga=evil; sid=ada;theme=dark")];
    assert_eq!(app.get("/", tracked).await.text(), "0:sid=ada:");
    assert!(app.get("/", ADA).await.is_hit());
    assert_eq!(app.get("/", &[("cookie", "_ga=<script>")]).await.text(), "1::");
    assert!(app.get("/", &[]).await.is_hit());
    // The names are compared whole.
    assert_eq!(app.get("/", &[("cookie", "_ga2=x")]).await.text(), "2:_ga2=x:");
}

#[tokio::test]
async fn a_layer_that_ignores_other_cookies_stores_one_page_for_all() {
    let (cache, _) = cache();
    let app = App::new(CacheLayer::new(&cache).ttl(seconds(60)).ignore_other_cookies(), personal(""));
    assert_eq!(app.get("/", ADA).await.text(), "0::");
    let his = app.get("/", BOB).await;
    assert_eq!((his.text(), his.header("vary")), ("0::", None));
}

#[tokio::test]
async fn credentials_are_answered_from_the_store_only_where_the_page_says_so() {
    let basic: &[(&str, &str)] = &[("authorization", "Basic YTpi")];
    for (control, shared) in [
        ("max-age=60", false),
        ("private, max-age=60", false),
        ("public, max-age=60", true),
        ("s-maxage=60", true),
        ("max-age=60, must-revalidate", true),
    ] {
        let (cache, _) = cache();
        let app = App::new(CacheLayer::new(&cache), personal(control));
        app.get("/", basic).await;
        assert_eq!(app.get("/", basic).await.is_hit(), shared, "{control}");
        assert_eq!(app.get("/", &[]).await.is_hit(), shared, "{control}");
        // What was made for somebody without credentials.
        let (cache, _) = crate::support::cache();
        let app = App::new(CacheLayer::new(&cache), personal(control));
        app.get("/", &[]).await;
        assert_eq!(app.get("/", basic).await.is_hit(), shared, "{control}");
    }
}

#[tokio::test]
async fn credentials_can_be_part_of_the_key() {
    let (cache, _) = cache();
    let layer = CacheLayer::new(&cache).ttl(seconds(60)).vary(AUTHORIZATION);
    let app = App::new(layer, personal(""));
    for _ in 0..2 {
        assert_eq!(app.get("/", &[("authorization", "Bearer a")]).await.text(), "0::Bearer a");
        assert_eq!(app.get("/", &[("authorization", "Bearer b")]).await.text(), "1::Bearer b");
        assert_eq!(app.get("/", &[]).await.text(), "2::");
    }
    let one = app.get("/", &[("authorization", "Bearer a")]).await;
    assert_eq!(one.header("cache-control").as_deref(), Some("private, no-cache"));
}

#[tokio::test]
async fn what_only_the_application_knows_tells_pages_apart_and_is_private_in_front() {
    let (cache, _) = cache();
    let layer = CacheLayer::new(&cache)
        .ttl(seconds(60))
        .ignore_other_cookies()
        .vary_by("role", |request| request.headers.get("x-role").map_or("", |role| role.to_str().unwrap()).to_owned());
    let app = App::new(layer, |n, _| answer(&[], n.to_string()));
    for _ in 0..2 {
        assert_eq!(app.get("/", &[("x-role", "admin")]).await.text(), "0");
        assert_eq!(app.get("/", &[]).await.text(), "1");
    }
    assert_eq!(app.get("/", &[]).await.header("cache-control").as_deref(), Some("private, no-cache"));
}

#[tokio::test]
async fn a_page_that_sets_a_cookie_is_never_stored() {
    let (cache, _) = cache();
    let app = App::new(CacheLayer::new(&cache).ttl(seconds(60)).session_cookie("sid"), |n, _| {
        answer(&[("set-cookie", "sid=new"), ("cache-control", "public, max-age=60")], n.to_string())
    });
    for n in 0..3 {
        assert_eq!(app.get("/", &[]).await.text(), n.to_string());
    }
    for n in 3..5 {
        assert_eq!(app.get("/", ADA).await.text(), n.to_string());
    }
}

#[tokio::test]
async fn a_body_in_a_get_is_no_part_of_any_page() {
    let (cache, _) = cache();
    let app = App::new(CacheLayer::new(&cache).ttl(seconds(60)), |n, _| answer(&[], n.to_string()));
    let with_body = || {
        let request = axum::extract::Request::builder().method(Method::GET).uri("/").header("host", "example.org");
        request.body("poison".into()).unwrap()
    };
    assert_eq!(app.ask(with_body()).await.text(), "0");
    assert_eq!(app.get("/", &[]).await.text(), "1");
    assert_eq!(app.ask(with_body()).await.text(), "2");
}
