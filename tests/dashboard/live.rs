//! The event stream of open pages.

use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Method, Request, StatusCode};
use axum::response::Response;
use http_body_util::BodyExt;
use minijinja_cache::http::CacheLayer;
use minijinja_cache::{Dashboard, FragmentCache};
use serde_json::Value;
use tower::ServiceExt;

use crate::support::{app, ask, cache, put};

const STREAMS: usize = 32;

async fn open(app: &Router) -> Response {
    let request = Request::get("/cache/live").header("host", "example.org").body(Body::empty()).unwrap();
    app.clone().oneshot(request).await.unwrap()
}

/// The next piece of a stream; `None` at its end.
async fn next(response: &mut Response) -> Option<String> {
    let frame = response.body_mut().frame().await?.unwrap();
    Some(String::from_utf8(frame.into_data().unwrap().to_vec()).unwrap())
}

/// The figures in a piece, if it is not a sign of life only.
fn figures(piece: &str) -> Option<Value> {
    assert!(piece.ends_with("\n\n"), "{piece}");
    let data = piece.lines().find_map(|line| line.strip_prefix("data: "))?;
    assert!(piece.contains("event: figures\n"));
    Some(serde_json::from_str(data).unwrap())
}

/// Figures in which a name has this value.
async fn until(response: &mut Response, name: &str, value: &str) {
    while let Some(piece) = next(response).await {
        if figures(&piece).is_some_and(|figures| figures[name] == value) {
            return;
        }
    }
    panic!("the stream ended before {name} was {value}");
}

#[tokio::test]
async fn figures_come_as_they_change() {
    let cache = cache();
    let app = app(Dashboard::new(&cache));
    let mut stream = open(&app).await;
    assert_eq!(stream.headers()["content-type"], "text/event-stream");
    assert_eq!(stream.headers()["cache-control"], "no-store");
    let first = next(&mut stream).await.unwrap();
    assert!(first.starts_with("retry: "), "{first}");
    assert_eq!(figures(&first).unwrap()["hits"], "0");
    put(&cache, "a", "text");
    put(&cache, "a", "text");
    until(&mut stream, "hits", "1").await;
}

#[tokio::test]
async fn a_stream_ends_by_itself_so_that_a_server_can() {
    let app = app(Dashboard::new(&cache()));
    let mut stream = open(&app).await;
    let mut pieces = 0;
    while next(&mut stream).await.is_some() {
        pieces += 1;
    }
    assert_eq!(pieces, 10);
}

#[tokio::test]
async fn a_stream_ends_with_the_dashboard_and_keeps_no_cache_alive() {
    let dropped = std::sync::Arc::new(());
    let held = std::sync::Arc::clone(&dropped);
    let cache = FragmentCache::builder().on_error(move |_| drop(std::sync::Arc::clone(&held))).build().unwrap();
    let app = app(Dashboard::new(&cache));
    let mut stream = open(&app).await;
    next(&mut stream).await.unwrap();
    drop((app, cache));
    assert_eq!(next(&mut stream).await, None);
    // The threads of the cache may hold it for the moment of a look.
    while std::sync::Arc::strong_count(&dropped) > 1 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn there_are_so_many_streams_and_no_more() {
    let app = app(Dashboard::new(&cache()));
    let mut streams = Vec::new();
    for _ in 0..STREAMS {
        let stream = open(&app).await;
        assert_eq!(stream.status(), StatusCode::OK);
        streams.push(stream);
    }
    let refused = open(&app).await;
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(refused.headers()["retry-after"], "10");
    // Pages are shown nevertheless, and a HEAD opens none.
    assert_eq!(ask(&app, Method::GET, "/cache/overview", &[]).await.status, StatusCode::OK);
    assert_eq!(ask(&app, Method::HEAD, "/cache/live", &[]).await.status, StatusCode::OK);
    // Who goes makes room, whether or not he took anything.
    drop(streams.pop());
    assert_eq!(open(&app).await.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_client_that_takes_nothing_has_nothing_queued_for_it() {
    let cache = cache();
    let app = app(Dashboard::new(&cache));
    let mut slow = open(&app).await;
    next(&mut slow).await.unwrap();
    for _ in 0..1000 {
        put(&cache, "a", "text");
    }
    // What comes is what is true when it is taken.
    until(&mut slow, "hits", "999").await;
}

#[tokio::test]
async fn a_layer_around_it_lets_it_through() {
    let cache = cache();
    let app = app(Dashboard::new(&cache)).layer(CacheLayer::new(&cache).ttl(Duration::from_secs(60)));
    let mut stream = open(&app).await;
    assert_eq!(figures(&next(&mut stream).await.unwrap()).unwrap()["stores"], "0");
    put(&cache, "a", "text");
    until(&mut stream, "stores", "1").await;
}
