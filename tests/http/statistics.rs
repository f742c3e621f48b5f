//! `Cache-Status` and the statistics of the cache.

use std::convert::Infallible;
use std::time::Duration;

use axum::extract::Request;
use axum::http::{Method, StatusCode};
use minijinja_cache::http::CacheLayer;
use minijinja_cache::{FragmentCache, Stats};

use crate::support::{App, answer, cache, environment, idle, render, seconds, status};

#[tokio::test]
async fn every_response_has_a_cache_status() {
    let (cache, clock) = cache();
    let layer = CacheLayer::new(&cache).ttl(seconds(60)).stale_if_error(seconds(60)).honor_reload(true);
    let layer = layer.bypass_if(|request| request.uri.path() == "/admin");
    let app = App::new(layer, |n, request| {
        let own = if request.uri().path() == "/own" { "no-store" } else { "max-age=60, stale-if-error=60" };
        let vary = if request.uri().path() == "/varied" { "foo" } else { "" };
        answer(&[("vary", vary), ("cache-control", own)], n.to_string())
    });
    type Step = (u64, &'static str, &'static str, &'static [(&'static str, &'static str)], &'static str);
    let steps: [Step; 17] = [
        (0, "GET", "/", &[], "fwd=miss; stored"),
        (7, "GET", "/", &[], "hit; ttl=53"),
        (0, "HEAD", "/", &[], "hit; ttl=53"),
        (0, "GET", "/varied", &[], "fwd=miss; stored"),
        (0, "GET", "/varied", &[("foo", "1")], "fwd=vary-miss; stored"),
        (0, "GET", "/", &[("cache-control", "no-cache")], "fwd=request; stored"),
        (61, "GET", "/", &[], "fwd=stale; stored"),
        (0, "GET", "/own", &[], "fwd=miss"),
        (0, "POST", "/elsewhere", &[], "fwd=method"),
        (0, "OPTIONS", "/", &[], "fwd=method"),
        (0, "HEAD", "/cold", &[], "fwd=bypass; detail=head"),
        (0, "GET", "/cold", &[("range", "bytes=0-")], "fwd=bypass; detail=request"),
        (0, "GET", "/cold", &[("cache-control", "only-if-cached")], "detail=only-if-cached"),
        (0, "GET", "/", &[("cookie", "a=b")], "fwd=bypass; detail=cookie"),
        (0, "GET", "/", &[("authorization", "Basic YTpi")], "fwd=bypass; detail=authorization"),
        (0, "GET", "/", &[("host", "example.org")], "fwd=bypass; detail=ambiguous"),
        (0, "GET", "/admin", &[], "fwd=bypass; detail=policy"),
    ];
    for (pause, method, path, headers, expected) in steps {
        clock.advance(seconds(pause));
        let reply = app.send(Method::from_bytes(method.as_bytes()).unwrap(), path, headers).await;
        let expected = format!("minijinja-cache; {expected}");
        assert_eq!(reply.header("cache-status"), Some(expected), "{method} {path} {headers:?}");
    }
}

#[tokio::test]
async fn the_name_in_cache_status_can_be_set() {
    for (name, told) in [
        (Some("shop.pages"), Some("shop.pages")),
        (Some("a:b_c-1"), Some("a:b_c-1")),
        (Some("the \"front\" \\ page"), Some("\"the \\\"front\\\" \\\\ page\"")),
        (Some("1st"), Some("\"1st\"")),
        (Some(""), Some("\"\"")),
        (None, None),
    ] {
        let (cache, _) = cache();
        let app = App::new(CacheLayer::new(&cache).ttl(seconds(60)).cache_status(name), |_, _| answer(&[], "page"));
        for (headers, did) in
            [(&[][..], "fwd=miss; stored"), (&[], "hit; ttl=60"), (&[("cookie", "a=b")], "fwd=bypass; detail=cookie")]
        {
            let expected = told.map(|told| format!("{told}; {did}"));
            assert_eq!(app.get("/", headers).await.header("cache-status"), expected, "{name:?}");
        }
    }
}

#[tokio::test]
async fn the_cache_status_of_upstream_caches_comes_first() {
    let (cache, _) = cache();
    for name in [Some("here"), None] {
        let layer = CacheLayer::new(&cache.namespace(name.unwrap_or("none"))).ttl(seconds(60)).cache_status(name);
        let app = App::new(layer, |_, _| answer(&[("cache-status", "origin; hit")], "page"));
        app.get("/", &[]).await;
        let expected = name.map_or("origin; hit".to_owned(), |name| format!("origin; hit, {name}; hit; ttl=60"));
        assert_eq!(app.get("/", &[]).await.header("cache-status"), Some(expected));
    }
}

#[tokio::test]
async fn cache_status_says_stored_only_for_stored_pages() {
    let cache = FragmentCache::builder().max_entry_bytes(2000).build().unwrap();
    for vary in ["", "foo"] {
        let app = App::new(CacheLayer::new(&cache).ttl(seconds(60)), move |_, request| {
            let length: usize = request.uri().query().unwrap().parse().unwrap();
            answer(&[("vary", vary)], "x".repeat(length))
        });
        let path = |length: usize| format!("/{vary}?{length}");
        for (length, told) in [(5000, "fwd=miss"), (100, "fwd=miss; stored")] {
            let status = app.get(&path(length), &[]).await.header("cache-status").unwrap();
            assert_eq!(status, format!("minijinja-cache; {told}"), "{vary:?}");
        }
        assert!(!app.get(&path(5000), &[]).await.is_hit());
        assert!(app.get(&path(100), &[]).await.is_hit());
    }
}

/// Hits, misses, bypasses and stores since then.
fn since(before: &Stats, cache: &FragmentCache) -> [u64; 4] {
    let now = cache.stats();
    [now.hits - before.hits, now.misses - before.misses, now.bypasses - before.bypasses, now.stores - before.stores]
}

#[tokio::test]
async fn each_request_counts_once_with_any_number_of_fragments() {
    let (cache, _) = cache();
    let env = environment(&cache, &[("page.html", "{{ cache_hole('who') }}{{ cache_hole('who') }}")]);
    let layer = CacheLayer::new(&cache).ttl(seconds(60)).hole("who", |_| async { Ok::<_, Infallible>("ada") });
    let holes = App::new(layer, move |_, _| answer(&[], render(&env, "page.html")));
    let varied = App::new(CacheLayer::new(&cache.namespace("varied")).ttl(seconds(60)), |_, _| {
        answer(&[("vary", "foo")], "page")
    });
    let plain = App::new(CacheLayer::new(&cache.namespace("plain")).ttl(seconds(60)), |_, _| answer(&[], "page"));
    for (name, app) in [("holes", holes), ("varied", varied), ("plain", plain)] {
        let before = cache.stats();
        app.get("/", &[]).await;
        assert_eq!(since(&before, &cache)[..3], [0, 1, 0], "{name}");
        for (headers, expected) in
            [(&[][..], [1, 0, 0, 0]), (&[("if-none-match", "*")], [1, 0, 0, 0]), (&[("cookie", "a=b")], [0, 0, 1, 0])]
        {
            let before = cache.stats();
            app.get("/", headers).await;
            assert_eq!(since(&before, &cache), expected, "{name} {headers:?}");
        }
    }
}

#[tokio::test]
async fn a_request_with_credentials_counts_as_a_bypass() {
    let (cache, _) = cache();
    let app = App::new(CacheLayer::new(&cache).ttl(seconds(60)), |_, request: &Request| {
        answer(if request.uri().path() == "/" { &[] } else { &[("cache-control", "max-age=60")] }, "page")
    });
    for path in ["/", "/own"] {
        app.get(path, &[]).await;
        let before = cache.stats();
        app.get(path, &[("authorization", "Basic YTpi")]).await;
        assert_eq!(since(&before, &cache), [0, 0, 1, 0], "{path}");
    }
}

#[tokio::test]
async fn hits_save_the_time_of_the_page() {
    for vary in ["", "foo"] {
        let (cache, _) = cache();
        let app = App::new(CacheLayer::new(&cache).ttl(seconds(60)), move |_, _| answer(&[("vary", vary)], "page"));
        app.get("/", &[]).await;
        assert_eq!(cache.stats().render_time_saved, Duration::ZERO);
        app.get("/", &[]).await;
        assert_ne!(cache.stats().render_time_saved, Duration::ZERO, "{vary:?}");
    }
}

#[tokio::test]
async fn only_if_cached_is_answered_from_the_cache_or_with_504() {
    let (cache, _) = cache();
    let app = App::new(CacheLayer::new(&cache).ttl(seconds(60)), |_, _| answer(&[], "page"));
    let only: &[(&str, &str)] = &[("cache-control", "only-if-cached")];
    assert_eq!(app.get("/", only).await.status, StatusCode::GATEWAY_TIMEOUT);
    app.get("/", &[]).await;
    assert_eq!(app.get("/", only).await.text(), "page");
    assert_eq!(app.handler_calls(), 1);
}

#[tokio::test]
async fn a_failing_handler_without_a_stale_page_is_no_error_of_the_cache() {
    let (cache, _) = cache();
    let app = App::new(CacheLayer::new(&cache).ttl(seconds(60)), |_, _| status(StatusCode::BAD_GATEWAY));
    assert_eq!(app.get("/", &[]).await.header("cache-status").as_deref(), Some("minijinja-cache; fwd=miss"));
    assert_eq!((cache.stats().errors, cache.stats().stores), (0, 0));
}

#[tokio::test]
async fn an_expired_variant_has_the_status_stale() {
    let (cache, clock) = cache();
    let layer = CacheLayer::new(&cache).ttl(seconds(60)).stale_if_error(seconds(60));
    let app = App::new(layer, |_, _| answer(&[("vary", "foo")], "page"));
    app.get("/", &[]).await;
    clock.advance(seconds(61));
    let status = app.get("/", &[]).await.header("cache-status");
    assert_eq!(status.as_deref(), Some("minijinja-cache; fwd=stale; stored"));
}

#[tokio::test]
async fn a_stale_page_that_was_served_once_counts_once() {
    let (cache, clock) = cache();
    let layer = CacheLayer::new(&cache).ttl(seconds(60));
    let layer = layer.stale_while_revalidate(seconds(60)).stale_if_error(seconds(60));
    let app = App::new(layer, |n, _| if n == 0 { answer(&[], "old") } else { status(StatusCode::BAD_GATEWAY) });
    app.get("/", &[]).await;
    clock.advance(seconds(61));
    assert_eq!(app.get("/", &[]).await.text(), "old");
    idle().await;
    assert_eq!((app.handler_calls(), cache.stats().stale_hits), (2, 1));
}
