//! Whole pages in the cache: storing and serving.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::http::{Method, StatusCode, Version};
use axum::routing::get;
use minijinja_cache::FragmentCache;
use minijinja_cache::http::CacheLayer;

use crate::support::{App, answer, cache, crowd, idle, replies, seconds};

#[tokio::test]
async fn a_page_is_generated_once_and_served_for_its_lifetime() {
    let (cache, clock) = cache();
    let app =
        App::new(CacheLayer::new(&cache), |n, _| answer(&[("cache-control", "public, max-age=60")], n.to_string()));
    let first = app.get("/", &[]).await;
    assert_eq!((first.text(), first.header("age")), ("0", None));
    clock.advance(seconds(59));
    let second = app.get("/", &[]).await;
    assert_eq!((second.text(), second.header("age").as_deref()), ("0", Some("59")));
    assert_eq!(second.header("cache-control").as_deref(), Some("public, max-age=60"));
    assert_eq!(second.header("date"), first.header("date"));
    assert_eq!(second.header("cache-status").as_deref(), Some("minijinja-cache; hit; ttl=1"));
    clock.advance(seconds(1));
    assert_eq!(app.get("/", &[]).await.text(), "1");
}

fn counting(layer: CacheLayer) -> App {
    App::new(layer.ttl(seconds(60)), |n, _| answer(&[], n.to_string()))
}

#[tokio::test]
async fn the_layers_ttl_applies_to_pages_with_status_200() {
    const OWN: &[(&str, &str)] = &[("cache-control", "public, max-age=60")];
    for code in [201, 203, 301, 302, 307, 308, 400, 404, 410, 500, 503] {
        let code = StatusCode::from_u16(code).unwrap();
        let app = |layer: CacheLayer, headers: &'static [(&'static str, &'static str)]| {
            App::new(layer, move |n, _| {
                let mut response = answer(headers, n.to_string());
                *response.status_mut() = code;
                response
            })
        };
        for (own, declared, stored) in [(&[][..], false, false), (OWN, false, true), (&[], true, true)] {
            let (cache, clock) = cache();
            let layer = CacheLayer::new(&cache).ttl(seconds(60));
            let app = app(if declared { layer.status(code, seconds(30)) } else { layer }, own);
            app.get("/", &[]).await;
            clock.advance(seconds(29));
            let page = app.get("/", &[]).await;
            assert_eq!((page.status, page.is_hit()), (code, stored), "{code} {own:?} {declared}");
            clock.advance(seconds(1));
            assert_eq!(app.get("/", &[]).await.is_hit(), stored && !declared, "{code} {own:?}");
            if declared {
                assert_eq!(page.header("cache-control").as_deref(), Some("public, max-age=30"));
            }
        }
    }
}

#[tokio::test]
async fn only_get_and_head_are_answered_from_the_cache() {
    let (cache, _) = cache();
    let app = counting(CacheLayer::new(&cache));
    app.get("/", &[]).await;
    for (method, hit) in [("GET", true), ("HEAD", true), ("OPTIONS", false), ("TRACE", false), ("GET", true)] {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        assert_eq!(app.send(method.clone(), "/", &[]).await.is_hit(), hit, "{method}");
    }
    for method in ["POST", "PUT", "PATCH", "DELETE", "M-SEARCH", "QUERY"] {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let path = format!("/{method}");
        for _ in 0..2 {
            let reply = app.send(method.clone(), &path, &[("cache-control", "only-if-cached")]).await;
            assert_eq!((reply.status.as_u16(), reply.is_hit(), reply.header("etag")), (200, false, None), "{method}");
        }
        assert!(!app.get(&path, &[]).await.is_hit(), "{method}");
    }
}

#[tokio::test]
async fn hop_by_hop_headers_are_not_stored() {
    const OF_THE_CONNECTION: &[(&str, &str)] = &[
        ("connection", "close, x-hop"),
        ("x-hop", "1"),
        ("keep-alive", "timeout=5"),
        ("proxy-authenticate", "Basic"),
        ("proxy-connection", "close"),
        ("te", "trailers"),
        ("trailer", "x-sum"),
        ("upgrade", "h2c"),
    ];
    let (cache, _) = cache();
    let app = App::new(CacheLayer::new(&cache).ttl(seconds(60)), |_, _| {
        answer(&[OF_THE_CONNECTION, &[("x-kept", "1")]].concat(), "page")
    });
    app.get("/", &[]).await;
    let page = app.get("/", &[]).await;
    for (name, _) in OF_THE_CONNECTION {
        assert_eq!(page.header(name), None, "{name}");
    }
    assert_eq!((page.is_hit(), page.header("x-kept").as_deref()), (true, Some("1")));
}

#[tokio::test]
async fn with_caching_switched_off_pages_have_the_same_headers() {
    let cache = FragmentCache::builder().enabled(false).build().unwrap();
    let app = counting(CacheLayer::new(&cache));
    for n in 0..2 {
        let page = app.get("/", &[]).await;
        assert_eq!(page.text(), n.to_string());
        assert_eq!(page.header("cache-status").as_deref(), Some("minijinja-cache; fwd=bypass; detail=off"));
        assert!(page.header("etag").is_some());
    }
    let tag = app.get("/known", &[]).await.header("etag").unwrap();
    let fixed = App::new(CacheLayer::new(&cache), |_, _| answer(&[], "2"));
    assert_eq!(fixed.get("/", &[("if-none-match", &tag)]).await.status, 304);
}

#[tokio::test]
async fn versions_share_no_page() {
    let (cache, _) = cache();
    let layer = |version: &str| CacheLayer::new(&cache).version(version);
    let apps = [counting(layer("1")), counting(layer("2")), counting(CacheLayer::new(&cache))];
    for app in &apps {
        assert!(!app.get("/", &[]).await.is_hit());
    }
    assert!(counting(layer("1")).get("/", &[]).await.is_hit());
    cache.invalidate_page("/");
    for app in &apps {
        assert!(!app.get("/", &[]).await.is_hit(), "they are pages of one path");
    }
}

#[tokio::test]
async fn a_page_is_invalidated_by_the_path_of_path_by() {
    let (cache, _) = cache();
    let app = counting(CacheLayer::new(&cache).path_by(|request| {
        let prefix = request.headers.get("x-prefix").map_or("", |prefix| prefix.to_str().unwrap());
        format!("{prefix}{}", request.uri.path())
    }));
    for prefix in ["/shop", "/blog"] {
        assert!(!app.get("/1", &[("x-prefix", prefix)]).await.is_hit());
        assert!(app.get("/1", &[("x-prefix", prefix)]).await.is_hit());
    }
    cache.invalidate_page("/shop/1");
    assert!(!app.get("/1", &[("x-prefix", "/shop")]).await.is_hit());
    assert!(app.get("/1", &[("x-prefix", "/blog")]).await.is_hit());
    app.send(Method::DELETE, "/1", &[("x-prefix", "/blog")]).await;
    assert!(!app.get("/1", &[("x-prefix", "/blog")]).await.is_hit());
    assert!(app.get("/1", &[("x-prefix", "/shop")]).await.is_hit());
}

#[tokio::test]
async fn the_age_of_a_page_counts_from_its_generation() {
    let (cache, clock) = cache();
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&asked);
    let handler = async move || {
        if counted.fetch_add(1, Ordering::SeqCst) == 0 {
            std::future::pending::<()>().await;
        }
        "page"
    };
    let layer = CacheLayer::new(&cache).ttl(seconds(60));
    let app = App::of(Router::new().route("/", get(handler)).layer(layer), asked);
    let leader = crowd(&app, 1, &[]).remove(0);
    idle().await;
    let follower = crowd(&app, 1, &[]);
    idle().await;
    clock.advance(seconds(30));
    leader.abort();
    assert_eq!(replies(follower).await[0].header("age"), None);
    let page = app.get("/", &[]).await;
    assert_eq!(page.header("cache-status").as_deref(), Some("minijinja-cache; hit; ttl=60"));
    assert_eq!(page.header("age").as_deref(), Some("0"));
    clock.advance(seconds(45));
    assert_eq!(app.get("/", &[]).await.header("age").as_deref(), Some("45"));
}

#[derive(Clone)]
struct Mark;

#[tokio::test]
async fn extensions_of_a_response_reach_outer_layers() {
    let (cache, _) = cache();
    let app = App::new(CacheLayer::new(&cache).ttl(seconds(60)), |_, _| {
        let mut response = answer(&[], "page");
        response.extensions_mut().insert(Mark);
        *response.version_mut() = Version::HTTP_11;
        response
    });
    for headers in [&[("cookie", "a=1")][..], &[("range", "bytes=0-")], &[]] {
        let response = app.response(Method::GET, "/", headers).await;
        assert!(response.extensions().get::<Mark>().is_some(), "{headers:?}");
        assert_eq!(response.version(), Version::HTTP_11);
    }
    let posted = app.response(Method::POST, "/", &[]).await;
    assert!(posted.extensions().get::<Mark>().is_some());
}

#[tokio::test]
async fn a_reload_is_obeyed_if_the_layer_is_set_so_and_replaces_the_page() {
    for vary in ["", "foo"] {
        for obeyed in [false, true] {
            let (cache, _) = cache();
            let layer = CacheLayer::new(&cache).ttl(seconds(60)).honor_reload(obeyed);
            let app = App::new(layer, move |n, _| answer(&[("vary", vary)], n.to_string()));
            for _ in 0..2 {
                assert_eq!(app.get("/", &[]).await.text(), "0");
            }
            let expected = if obeyed { "1" } else { "0" };
            assert_eq!(app.get("/", &[("cache-control", "no-cache")]).await.text(), expected);
            for _ in 0..2 {
                assert_eq!(app.get("/", &[]).await.text(), expected, "{vary:?}");
            }
        }
    }
}

#[tokio::test]
async fn unusual_headers_do_no_harm() {
    const ODD: &[&[(&str, &str)]] = &[
        &[("age", "18446744073709551615")],
        &[("age", "99999999999999999999999")],
        &[("age", "-1")],
        &[("age", "1, 2")],
        &[("expires", "Fri, 31 Dec 9999 23:59:59 GMT"), ("date", "Thu, 01 Jan 1970 00:00:00 GMT")],
        &[("date", "Fri, 31 Dec 9999 23:59:59 GMT")],
        &[("cache-control", "max-age=99999999999999999999, stale-while-revalidate=99999999999999999999")],
        &[("cache-control", "max-age=-1")],
        &[("cache-control", "s-maxage=1e9")],
        &[("cache-control", "private=\"x, public, max-age=60")],
        &[("vary", ",,,")],
        &[("vary", "a b")],
        &[("content-length", "99999")],
        &[("content-length", "abc")],
        &[("transfer-encoding", "chunked")],
    ];
    let ask = &[("cache-control", "max-stale, min-fresh=99999999999999, max-age=x")];
    for headers in ODD {
        for ttl in [None, Some(seconds(60)), Some(seconds(1 << 33)), Some(std::time::Duration::MAX)] {
            let (cache, clock) = cache();
            let forever = std::time::Duration::MAX;
            let layer = CacheLayer::new(&cache).stale_while_revalidate(forever).stale_if_error(forever);
            let app = App::new(ttl.map_or(layer.clone(), |ttl| layer.ttl(ttl)), |_, _| answer(headers, "page"));
            for _ in 0..3 {
                assert_eq!(app.get("/", ask).await.text(), "page", "{headers:?} {ttl:?}");
                clock.advance(seconds(1 << 32));
            }
        }
    }
}
