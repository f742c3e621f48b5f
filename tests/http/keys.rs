//! The key of a page: host, path, query, forwarding headers, `Vary`.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::http::header::ACCEPT_LANGUAGE;
use axum::routing::get;
use minijinja_cache::http::{CacheLayer, Query};

use crate::support::{App, answer, cache, seconds};

fn app(layer: CacheLayer) -> App {
    App::new(layer.ttl(seconds(60)), |n, request| answer(&[], format!("{n}{}", request.uri())))
}

/// Whether each of these is a page of its own.
async fn apart(app: &App, requests: &[(&str, &[(&str, &str)])]) {
    for (path, headers) in requests {
        assert!(!app.get(path, headers).await.is_hit(), "{path} {headers:?}");
    }
    for (path, headers) in requests {
        assert!(app.get(path, headers).await.is_hit(), "{path} {headers:?}");
    }
}

#[tokio::test]
async fn the_key_has_path_and_query_as_they_are_written() {
    let (cache, _) = cache();
    let requests = ["/p", "/p?", "/p?a=1", "/p?a=2", "/p?a=1&b=2", "/p?b=2&a=1", "/p/", "/P", "/p?x=b+c", "/p?x=b%20c"];
    apart(&app(CacheLayer::new(&cache)), &requests.map(|path| (path, &[][..]))).await;
}

#[tokio::test]
async fn hosts_and_what_proxies_say_of_them_are_apart() {
    let (cache, _) = cache();
    let app = app(CacheLayer::new(&cache));
    let requests: [(&str, &[(&str, &str)]); 9] = [
        ("/", &[]),
        ("http://sub-1.example.com/", &[]),
        ("http://sub-2.example.com/", &[]),
        ("https://sub-1.example.com/", &[]),
        ("/", &[("x-forwarded-host", "evil.example")]),
        ("/", &[("x-forwarded-proto", "https")]),
        ("/", &[("x-forwarded-prefix", "evil.example")]),
        ("/", &[("forwarded", "for=192.0.2.1;host=evil.example")]),
        ("/", &[("forwarded", "for=192.0.2.1;host=other.example")]),
    ];
    apart(&app, &requests).await;
    // `for` in `Forwarded` is not part of the key.
    assert!(app.get("/", &[("forwarded", "for=192.0.2.99;host=evil.example")]).await.is_hit());
    // A handler may use either of the two.
    for _ in 0..2 {
        let twice = [("x-forwarded-host", "evil.example"), ("x-forwarded-host", "example.org")];
        assert!(!app.get("/", &twice).await.is_hit());
    }
}

#[tokio::test]
async fn the_host_is_compared_without_case() {
    let (cache, _) = cache();
    let app = app(CacheLayer::new(&cache));
    app.get("http://Example.COM/", &[]).await;
    assert!(app.get("http://example.com/", &[]).await.is_hit());
}

#[tokio::test]
async fn the_handler_sees_only_keyed_parameters() {
    let (cache, _) = cache();
    let only = app(CacheLayer::new(&cache.namespace("only")).query(Query::only(["page"])));
    assert_eq!(only.get("/?utm=evil&page=2&page=3", &[]).await.text(), "0/?page=2&page=3");
    assert!(only.get("/?page=2&utm=good&page=3", &[]).await.is_hit());
    assert!(!only.get("/?page=3&page=2", &[]).await.is_hit());
    assert_eq!(only.get("/?utm=evil", &[]).await.text(), "2/");
    assert!(only.get("/", &[]).await.is_hit());

    let ignore = app(CacheLayer::new(&cache.namespace("ignore")).query(Query::ignore(["utm_source"])));
    assert_eq!(ignore.get("/?utm_source=evil&q=1", &[]).await.text(), "0/?q=1");
    assert!(ignore.get("/?q=1", &[]).await.is_hit());
    assert!(!ignore.get("/?q=1&utm_medium=x", &[]).await.is_hit());

    let sorted = app(CacheLayer::new(&cache.namespace("sorted")).query(Query::Sorted));
    assert_eq!(sorted.get("/?b=2&a=1&a=0", &[]).await.text(), "0/?b=2&a=1&a=0");
    assert!(sorted.get("/?a=1&b=2&a=0", &[]).await.is_hit());
    assert!(!sorted.get("/?a=0&a=1&b=2", &[]).await.is_hit());
}

#[tokio::test]
async fn pages_of_nested_routers_have_different_keys() {
    let (cache, _) = cache();
    let layer = CacheLayer::new(&cache).ttl(seconds(60));
    let asked = Arc::new(AtomicUsize::new(0));
    let part = |name: &'static str| {
        let asked = Arc::clone(&asked);
        let handler = move || {
            asked.fetch_add(1, Ordering::SeqCst);
            async move { name }
        };
        Router::new().route("/1", get(handler)).layer(layer.clone())
    };
    let app = App::of(Router::new().nest("/blog", part("post")).nest("/shop", part("goods")), Arc::clone(&asked));
    for _ in 0..2 {
        assert_eq!(app.get("/blog/1", &[]).await.text(), "post");
        assert_eq!(app.get("/shop/1", &[]).await.text(), "goods");
    }
    assert_eq!(app.handler_calls(), 2);
}

#[tokio::test]
async fn a_header_of_the_policy_is_keyed_and_named_in_vary() {
    let (cache, _) = cache();
    let app = app(CacheLayer::new(&cache).vary(ACCEPT_LANGUAGE));
    apart(&app, &[("/", &[("accept-language", "de")]), ("/", &[("accept-language", "en")]), ("/", &[])]).await;
    let page = app.get("/", &[]).await;
    assert_eq!(page.header("vary").as_deref(), Some("accept-language, authorization, cookie"));
}

#[tokio::test]
async fn all_variants_of_a_page_are_stored() {
    let (cache, _) = cache();
    let app = App::new(CacheLayer::new(&cache), |n, request| {
        let control = ("cache-control", "max-age=60");
        let text = format!("{n}{:?}", request.headers().get("foo"));
        answer(&[control, ("vary", "Foo"), ("vary", "bar, Cookie")], text)
    });
    let requests: [(&str, &[(&str, &str)]); 6] = [
        ("/", &[("foo", "1")]),
        ("/", &[("foo", "2")]),
        ("/", &[("foo", "")]),
        ("/", &[]),
        ("/", &[("bar", "1")]),
        ("/", &[("foo", "1"), ("foo", "2")]),
    ];
    apart(&app, &requests).await;
    assert!(app.get("/", &[("foo", "1,2"), ("other", "x")]).await.is_hit());
    let stats = cache.stats();
    assert_eq!((stats.misses, stats.hits), (6, 7), "a look at what a page varies by is no hit: {stats:?}");
}

#[tokio::test]
async fn a_page_that_varies_by_a_further_header_gets_more_variants() {
    let (cache, _) = cache();
    let app = App::new(CacheLayer::new(&cache), |n, request| {
        let vary = if request.headers().contains_key("bar") { "foo, bar" } else { "foo" };
        answer(&[("cache-control", "max-age=60"), ("vary", vary)], n.to_string())
    });
    assert_eq!(app.get("/", &[("foo", "1")]).await.text(), "0");
    assert!(app.get("/", &[("foo", "1")]).await.is_hit());
    assert_eq!(app.get("/", &[("foo", "2"), ("bar", "1")]).await.text(), "1");
    assert!(app.get("/", &[("foo", "2"), ("bar", "1")]).await.is_hit());
    assert!(!app.get("/", &[("foo", "2"), ("bar", "2")]).await.is_hit());
    assert!(!app.get("/", &[("foo", "2")]).await.is_hit());
}

#[tokio::test]
async fn a_page_with_vary_star_is_not_stored() {
    for vary in ["*", "*, foo", "foo, *", ", *"] {
        let (cache, _) = cache();
        let app = App::new(CacheLayer::new(&cache), move |n, _| {
            answer(&[("cache-control", "max-age=60"), ("vary", "bar"), ("vary", vary)], n.to_string())
        });
        assert_eq!(app.get("/", &[]).await.text(), "0");
        assert_eq!(app.get("/", &[]).await.text(), "1", "{vary}");
    }
}

#[tokio::test]
async fn a_page_is_still_stored_after_its_vary_index_grew() {
    let (cache, clock) = cache();
    let app = App::new(CacheLayer::new(&cache), |n, _| {
        let vary = if n == 0 { "foo" } else { "foo, bar" };
        answer(&[("cache-control", "max-age=60"), ("vary", vary)], n.to_string())
    });
    for made in 0..3 {
        for _ in 0..3 {
            assert_eq!(app.get("/", &[("foo", "1")]).await.text(), made.to_string());
        }
        clock.advance(seconds(61));
    }
}

#[tokio::test]
async fn a_page_without_vary_replaces_the_vary_index() {
    let (cache, _) = cache();
    let app = App::new(CacheLayer::new(&cache).ttl(seconds(60)), |n, _| {
        if n == 0 { answer(&[("vary", "foo")], "0") } else { answer(&[], n.to_string()) }
    });
    app.get("/", &[("foo", "0")]).await;
    assert_eq!(app.get("/", &[("foo", "1")]).await.text(), "1");
    for foo in ["0", "1", "2"] {
        assert_eq!(app.get("/", &[("foo", foo)]).await.text(), "1");
    }
}

#[tokio::test]
async fn pages_of_deeply_nested_routers_have_different_keys() {
    let (cache, _) = cache();
    let part = |name: &'static str| {
        let layer = CacheLayer::new(&cache).ttl(seconds(60));
        Router::new().route("/x", get(async move || name)).layer(layer)
    };
    let deep = Router::new().nest("/c", part("c"));
    let app = App::of(Router::new().nest("/a", part("a")).nest("/b", deep).nest("/d", part("d")), Arc::default());
    for _ in 0..2 {
        for (path, name) in [("/a/x", "a"), ("/b/c/x", "c"), ("/d/x", "d")] {
            assert_eq!(app.get(path, &[]).await.text(), name);
        }
    }
}
