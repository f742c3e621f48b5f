//! Conditional requests (RFC 9110 §13), of both layers.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::{Method, StatusCode};
use axum::response::Response;
use axum::routing::get;
use http_body::Frame;
use minijinja_cache::http::{CacheLayer, ConditionalLayer, EntityTag, Validators};

use crate::support::{App, Log, Reply, answer, cache, seconds, status};

const MONDAY: &str = "Mon, 02 Nov 2026 10:00:00 GMT";

type Headers = &'static [(&'static str, &'static str)];

/// The same page behind a `ConditionalLayer`, bypassing a cache, generated for the cache, and served from it.
async fn everywhere(headers: Headers, body: &'static str, ask: &[(&str, &str)], check: impl Fn(&Reply, &str)) {
    let conditional = || Router::new().route("/", get(move || async move { answer(headers, body) }));
    let app = App::of(conditional().layer(ConditionalLayer::new()), Arc::default());
    check(&app.get("/", ask).await, "validated");
    let (cache, _) = cache();
    let passed = App::of(conditional().layer(CacheLayer::new(&cache)), Arc::default());
    check(&passed.get("/", ask).await, "passed by");
    let made = App::of(conditional().layer(CacheLayer::new(&cache).ttl(seconds(60))), Arc::default());
    check(&made.get("/", ask).await, "made");
    check(&made.get("/", ask).await, "stored");
}

#[tokio::test]
async fn a_response_gets_a_weak_tag_unless_it_has_one() {
    everywhere(&[], "text", &[], |reply, place| {
        assert!(reply.header("etag").is_some_and(|tag| tag.starts_with("W/\"") && tag.ends_with('"')), "{place}");
        assert_eq!(reply.text(), "text");
    })
    .await;
    everywhere(&[("etag", "\"own\"")], "text", &[], |reply, place| {
        assert_eq!(reply.header("etag").as_deref(), Some("\"own\""), "{place}");
    })
    .await;
    everywhere(&[], "", &[], |reply, place| assert_eq!(reply.header("etag"), None, "{place}: empty")).await;
}

#[tokio::test]
async fn a_matching_tag_is_answered_with_304_and_its_headers() {
    const PAGE: Headers = &[
        ("etag", "W/\"v1\""),
        ("content-type", "text/html"),
        ("content-language", "en"),
        ("content-location", "/other"),
        ("expires", "Mon, 02 Nov 2099 10:00:00 GMT"),
        ("vary", "foo"),
        ("x-frame-options", "DENY"),
    ];
    for list in ["W/\"v1\"", "\"v1\"", "\"a\", \"v1\"", "\"v1\" , \"b\"", "W/\"a\", W/\"v1\", W/\"c\"", "*"] {
        everywhere(PAGE, "text", &[("if-none-match", list)], |reply, place| {
            assert_eq!((reply.status, reply.text()), (StatusCode::NOT_MODIFIED, ""), "{place}: {list}");
            for (name, value) in &PAGE[3..4] {
                assert_eq!(reply.header(name).as_deref(), Some(*value), "{place}");
            }
            assert!(reply.header("vary").unwrap().contains("foo"));
            assert!(reply.header("expires").is_some());
            assert_eq!(reply.header("x-frame-options").as_deref(), Some("DENY"));
            assert_eq!((reply.header("content-type"), reply.header("content-language")), (None, None));
            // axum sends this length with every empty body.
            assert!(reply.header("content-length").is_none_or(|length| length == "0"), "{place}");
        })
        .await;
    }
    for list in ["\"v2\"", "v1", "w/\"v1\"", "\"\"\"", "", "W/v1"] {
        everywhere(PAGE, "text", &[("if-none-match", list)], |reply, place| {
            assert_eq!((reply.status, reply.text()), (StatusCode::OK, "text"), "{place}: {list}");
        })
        .await;
    }
}

#[tokio::test]
async fn if_none_match_takes_precedence_over_if_modified_since() {
    const PAGE: Headers = &[("etag", "\"v1\""), ("last-modified", MONDAY)];
    for (tag, since, status) in [
        (Some("\"v1\""), "Sun, 01 Nov 2026 10:00:00 GMT", 304),
        (Some("\"v2\""), MONDAY, 200),
        (None, MONDAY, 304),
        (None, "Tue, 03 Nov 2026 10:00:00 GMT", 304),
        (None, "Sun, 01 Nov 2026 10:00:00 GMT", 200),
        (None, "Monday, 02-Nov-26 10:00:00 GMT", 304),
        (None, "Mon Nov  2 10:00:00 2026", 304),
        (None, "Mon, 32 Nov 2026 10:00:00 GMT", 200),
    ] {
        let mut ask = vec![("if-modified-since", since)];
        ask.extend(tag.map(|tag| ("if-none-match", tag)));
        everywhere(PAGE, "text", &ask, |reply, place| assert_eq!(reply.status, status, "{place}: {ask:?}")).await;
    }
}

#[tokio::test]
async fn head_has_the_headers_of_get() {
    let head = async |app: &App, ask: &[(&str, &str)]| app.send(Method::HEAD, "/", ask).await;
    let (cache, _) = cache();
    let handler = |_, request: &axum::extract::Request| {
        assert_eq!(request.method(), Method::GET);
        answer(&[("content-type", "text/plain")], "text")
    };
    for app in [
        App::new(CacheLayer::new(&cache), handler),
        App::new(CacheLayer::new(&cache.namespace("stored")).ttl(seconds(60)), handler),
    ] {
        let first = head(&app, &[]).await;
        let page = app.get("/", &[]).await;
        assert_eq!((first.text(), page.text()), ("", "text"));
        let second = head(&app, &[]).await;
        for reply in [&first, &second] {
            for name in ["etag", "content-type", "cache-control"] {
                assert_eq!(reply.header(name), page.header(name), "{name}");
            }
            assert_eq!(reply.header("content-length").as_deref(), Some("4"));
        }
        let tag = page.header("etag").unwrap();
        assert_eq!(head(&app, &[("if-none-match", &tag)]).await.status, 304);
    }
}

#[tokio::test]
async fn only_a_response_with_status_200_becomes_304() {
    for code in [301, 400, 404, 500] {
        let handler = move |_: usize, _: &axum::extract::Request| {
            let mut response: Response = answer(&[("etag", "\"v1\"")], "text");
            *response.status_mut() = StatusCode::from_u16(code).unwrap();
            response
        };
        let (cache, _) = cache();
        let stored = CacheLayer::new(&cache).status(StatusCode::from_u16(code).unwrap(), seconds(60));
        let app = App::new(stored, handler);
        for _ in 0..2 {
            assert_eq!(app.get("/", &[("if-none-match", "\"v1\"")]).await.status, code);
        }
        assert_eq!(app.handler_calls(), 1);
    }
}

#[tokio::test]
async fn only_a_stored_page_is_answered_with_412_and_not_a_handler_that_has_run() {
    let (cache, _) = cache();
    let app = App::new(CacheLayer::new(&cache).ttl(seconds(60)), |_, _| answer(&[("etag", "\"v1\"")], "text"));
    let ask = &[("if-match", "\"v2\"")];
    assert_eq!(app.get("/", ask).await.status, 200);
    assert_eq!(app.get("/", ask).await.status, 412);
    assert_eq!(app.get("/", &[("if-match", "\"v2\", \"v1\"")]).await.status, 200);
    for method in [Method::POST, Method::PUT, Method::DELETE] {
        assert_eq!(app.send(method, "/", ask).await.status, 200);
    }
    assert_eq!(app.handler_calls(), 4);
}

#[tokio::test]
async fn known_validators_answer_without_the_handler() {
    let log = Log::default();
    let noted = log.clone();
    let handler = get(move |request: axum::extract::Request| {
        noted.note(request.method().to_string());
        async { "text" }
    });
    let modified = SystemTime::UNIX_EPOCH + Duration::from_secs(1_793_613_600);
    let layer = ConditionalLayer::new().known(move |request| {
        let etag = EntityTag::parse(b"\"v1\"");
        (request.uri.path() == "/").then_some(Validators { etag, last_modified: Some(modified) })
    });
    let handler = handler.clone().post(|| async { "changed" });
    let app = App::of(Router::new().route("/", handler.clone()).route("/other", handler).layer(layer), Arc::default());
    let page = app.get("/", &[]).await;
    assert_eq!(
        (page.header("etag").as_deref(), page.header("last-modified").as_deref()),
        (Some("\"v1\""), Some(MONDAY))
    );
    log.take();
    for ask in [("if-none-match", "\"v1\""), ("if-modified-since", MONDAY)] {
        let reply = app.get("/", &[ask]).await;
        assert_eq!((reply.status, reply.header("etag").as_deref()), (StatusCode::NOT_MODIFIED, Some("\"v1\"")));
    }
    for ask in
        [("if-match", "\"v2\""), ("if-none-match", "*"), ("if-unmodified-since", "Sun, 01 Nov 2026 10:00:00 GMT")]
    {
        assert_eq!(app.send(Method::POST, "/", &[ask]).await.status, 412, "{ask:?}");
    }
    assert!(log.take().is_empty());
    assert_eq!(app.send(Method::POST, "/", &[("if-match", "\"v1\"")]).await.text(), "changed");
    assert_eq!(app.send(Method::POST, "/other", &[("if-match", "\"v2\"")]).await.text(), "changed");
    assert_eq!(app.get("/", &[("if-none-match", "\"v2\"")]).await.text(), "text");
}

#[tokio::test]
async fn a_304_of_the_handler_is_passed_on() {
    let (cache, _) = cache();
    let app = App::new(CacheLayer::new(&cache), |_, request| {
        let known = request.headers().get("if-none-match").is_some_and(|tag| tag == "\"v1\"");
        if known { status(StatusCode::NOT_MODIFIED) } else { answer(&[("etag", "\"v1\"")], "text") }
    });
    app.get("/", &[]).await;
    for _ in 0..2 {
        let reply = app.get("/", &[("if-none-match", "\"v1\"")]).await;
        assert_eq!((reply.status, reply.text()), (StatusCode::NOT_MODIFIED, ""));
    }
    assert_eq!(app.get("/", &[]).await.text(), "text");
}

/// A body of unknown length.
struct StreamOf(usize);

impl http_body::Body for StreamOf {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let left = self.0;
        self.0 = left.saturating_sub(1);
        Poll::Ready((left > 0).then(|| Ok(Frame::data(Bytes::from("piece")))))
    }
}

#[tokio::test]
async fn a_stream_gets_no_tag_and_its_own_tag_is_compared() {
    let pieces = || Body::new(StreamOf(2));
    let routes = Router::new()
        .route("/", get(async move || pieces()))
        .route("/tagged", get(async move || ([("etag", "\"v1\"")], pieces())));
    let app = App::of(routes.layer(ConditionalLayer::new()), Arc::default());
    let stream = app.get("/", &[]).await;
    assert_eq!((stream.text(), stream.header("etag")), ("piecepiece", None));
    assert_eq!(app.get("/tagged", &[]).await.text(), "piecepiece");
    assert_eq!(app.get("/tagged", &[("if-none-match", "\"v1\"")]).await.status, 304);
}

#[tokio::test]
async fn a_strong_tag_matches_if_match() {
    for strong in [false, true] {
        let (cache, _) = cache();
        let layer = CacheLayer::new(&cache).ttl(seconds(60));
        let app = App::new(if strong { layer.strong_etags() } else { layer }, |_, _| answer(&[], "text"));
        let tag = app.get("/", &[]).await.header("etag").unwrap();
        assert_eq!(tag.starts_with("W/"), !strong);
        assert_eq!(app.get("/", &[("if-none-match", &tag)]).await.status, 304);
        assert_eq!(app.get("/", &[("if-match", &tag)]).await.status, if strong { 200 } else { 412 });
        let other = format!("W/{}", tag.trim_start_matches("W/"));
        assert_eq!(app.get("/", &[("if-none-match", &other)]).await.status, 304);
    }
}
