//! Headers that cannot be read make a response less cacheable, never more.

use std::sync::{Arc, Mutex};

use axum::http::{HeaderValue, StatusCode};
use minijinja_cache::http::CacheLayer;
use minijinja_cache::{ErrorKind, FragmentCache, ManualClock};

use crate::support::{App, Reply, answer, cache, seconds};

/// What a handler may write in place of something it means, each no directive by the grammar (RFC 9111 §5.2).
const GARBLED: [&str; 26] = [
    "max-age =0",
    "max-age= 0",
    "max-age\t=\t0",
    "max-age =3600",
    "max-age: 0",
    "max-age 0",
    "s-maxage = 0",
    "S-MaxAge =60",
    "no store",
    "no -store",
    "No- Store",
    "no cache",
    "\"no-store\"",
    "=no-store",
    "no/store",
    "(no-store)",
    "ext=\"no-store",
    "ext=a no-store",
    "public; max-age=60",
    "must-understand no-store",
    "max-age=60 no-store",
    "max-age=60; no-store",
    "private max-age=60",
    "stale-while-revalidate =0",
    "n\u{f6}-store",
    "ext=\"a\"no-store",
];

fn is_shared(page: &Reply) -> bool {
    let control = page.header("cache-control").unwrap_or_default();
    control.contains("public") || control.contains("max-age=60") || control.contains("3600") || control.is_empty()
}

#[tokio::test]
async fn the_layers_ttl_does_not_apply_to_an_unreadable_cache_control() {
    for said in GARBLED {
        let (cache, _) = cache();
        let app = App::new(CacheLayer::new(&cache).ttl(seconds(60)), move |n, _| {
            answer(&[("cache-control", said)], n.to_string())
        });
        for n in 0..2 {
            let page = app.get("/", &[]).await;
            assert_eq!(page.text(), n.to_string(), "{said}");
            assert!(!is_shared(&page), "{said}: {:?}", page.headers);
        }
        assert_eq!(cache.stats().stores, 0, "{said}");
    }
}

#[tokio::test]
async fn a_lifetime_in_an_unreadable_cache_control_is_ignored() {
    for said in GARBLED {
        for one_line in [true, false] {
            let (cache, _) = cache();
            let app = App::new(CacheLayer::new(&cache), move |n, _| {
                let joined = format!("public, max-age=60, must-understand, {said}");
                let lines = if one_line { vec![&*joined] } else { vec!["public, max-age=60, must-understand", said] };
                let headers: Vec<_> = lines.into_iter().map(|line| ("cache-control", line)).collect();
                answer(&headers, n.to_string())
            });
            for n in 0..2 {
                let page = app.get("/", &[]).await;
                assert_eq!(page.text(), n.to_string(), "{said}");
                assert!(!is_shared(&page), "{said}: {:?}", page.headers);
            }
        }
    }
}

#[tokio::test]
async fn an_unreadable_response_is_not_stored_for_its_visitor() {
    for said in ["private, max-age=60, no store", "private no-store, max-age=60", "private, max-age=60, ext=a no-store"]
    {
        let (cache, _) = cache();
        let layer = CacheLayer::new(&cache).ttl(seconds(60)).session_cookie("sid");
        let app = App::new(layer, move |n, _| answer(&[("cache-control", said)], n.to_string()));
        for n in 0..2 {
            let page = app.get("/", &[("cookie", "sid=1")]).await;
            assert_eq!((page.text(), is_shared(&page)), (&*n.to_string(), false), "{said}");
        }
    }
}

#[tokio::test]
async fn an_unreadable_cache_control_is_reported_without_its_text() {
    let told = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&told);
    let cache = FragmentCache::builder()
        .clock(&ManualClock::new())
        .on_error(move |error| heard.lock().unwrap().push((error.kind(), error.to_string())))
        .build()
        .unwrap();
    let app =
        App::new(CacheLayer::new(&cache).ttl(seconds(60)), |_, _| answer(&[("cache-control", "no store")], "page"));
    app.get("/", &[]).await;
    let told = told.lock().unwrap();
    let [(kind, message)] = told.as_slice() else { panic!("one report: {told:?}") };
    assert_eq!(*kind, ErrorKind::Config);
    assert!(message.contains("cache-control") && !message.contains("no store"), "{message}");
}

#[tokio::test]
async fn a_readable_cache_control_is_unchanged() {
    for said in ["max-age=60", "max-age=60, ext=\"a, b\", , x", "Max-Age=\"60\", n='x'", "max-age=60, e=\"\u{fc}\""] {
        let (cache, _) = cache();
        let app = App::new(CacheLayer::new(&cache), move |_, _| answer(&[("cache-control", said)], "page"));
        app.get("/", &[]).await;
        let page = app.get("/", &[]).await;
        assert!(page.is_hit(), "{said}");
        let line = HeaderValue::from_bytes(said.as_bytes()).unwrap();
        assert_eq!(page.headers["cache-control"], line);
    }
}

#[tokio::test]
async fn an_unreadable_cache_control_of_a_request_counts_as_the_strictest() {
    for said in ["max-age =0", "max-age= 0", "no cache", "min-fresh =9", "min-fresh=x", "min-fresh", "\"no-cache\""] {
        let (cache, _) = cache();
        let app =
            App::new(CacheLayer::new(&cache).ttl(seconds(60)).honor_reload(true), |n, _| answer(&[], n.to_string()));
        app.get("/", &[]).await;
        assert_eq!(app.get("/", &[("cache-control", said)]).await.text(), "1", "{said}");
    }
    for said in ["no store", "no -store", "max-age=5 no-store", "\"no-store\""] {
        let (cache, _) = cache();
        let app = App::new(CacheLayer::new(&cache).ttl(seconds(60)), |n, _| answer(&[], n.to_string()));
        app.get("/", &[("cache-control", said)]).await;
        assert_eq!(app.get("/", &[]).await.text(), "1", "the response to {said} is stored");
    }
}

#[tokio::test]
async fn an_unreadable_request_generates_no_page_without_honor_reload() {
    let (cache, _) = cache();
    let app = App::new(CacheLayer::new(&cache).ttl(seconds(60)), |n, _| answer(&[], n.to_string()));
    app.get("/", &[]).await;
    for said in ["max-age =0", "no cache", "no store"] {
        assert_eq!(app.get("/", &[("cache-control", said)]).await.text(), "0", "{said}");
    }
}

/// The second response to a page with these headers.
async fn second(headers: &'static [(&'static str, &'static str)]) -> Reply {
    let (cache, _) = cache();
    let app = App::new(CacheLayer::new(&cache).ttl(seconds(60)), move |_, _| answer(headers, "page"));
    app.get("/", &[]).await;
    app.get("/", &[]).await
}

#[tokio::test]
async fn a_body_with_another_length_than_announced_is_not_whole() {
    assert!(second(&[("content-length", "4"), ("content-length", "4")]).await.is_hit());
    assert!(!second(&[("content-length", "4"), ("content-length", "40")]).await.is_hit());
    assert!(!second(&[("content-length", "four")]).await.is_hit());
}

#[tokio::test]
async fn an_age_with_a_parameter_is_read() {
    assert!(!second(&[("cache-control", "max-age=3600"), ("age", "7200;foo=bar")]).await.is_hit());
    assert!(second(&[("cache-control", "max-age=3600"), ("age", "72;foo=bar")]).await.is_hit());
}

#[tokio::test]
async fn listed_hop_by_hop_headers_are_not_stored() {
    let (cache, _) = cache();
    let app = App::new(CacheLayer::new(&cache).ttl(seconds(60)), |_, _| {
        let mut page = answer(&[("x-hop", "1")], "page");
        page.headers_mut().insert("connection", HeaderValue::from_bytes(b"\xfc, x-hop").unwrap());
        page
    });
    app.get("/", &[]).await;
    let page = app.get("/", &[]).await;
    assert!(page.is_hit() && page.status == StatusCode::OK);
    assert_eq!(page.header("x-hop"), None);
}
