//! Expired pages: while the handler makes a new one, and when it fails (RFC 5861).

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::Response;
use minijinja_cache::http::CacheLayer;
use minijinja_cache::{FragmentCache, Options};
use tower::ServiceExt;
use tower_layer::Layer;

use crate::support::{App, answer, cache, idle, request, seconds, status};

const WHILE: (&str, &str) = ("cache-control", "max-age=10, stale-while-revalidate=20");
const IF_ERROR: (&str, &str) = ("cache-control", "max-age=10, stale-if-error=20");

fn counting(cache: &FragmentCache, header: (&'static str, &'static str)) -> App {
    App::new(CacheLayer::new(cache), move |n, _| answer(&[header], n.to_string()))
}

async fn settled(app: &App, asked: usize) {
    for _ in 0..10_000 {
        if app.handler_calls() >= asked {
            break;
        }
        tokio::task::yield_now().await;
    }
    assert_eq!(app.handler_calls(), asked);
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn an_expired_page_is_served_while_one_new_page_is_generated() {
    let (cache, clock) = cache();
    let app = counting(&cache, WHILE);
    app.get("/", &[]).await;
    clock.advance(seconds(15));
    for n in 0..5 {
        let page = app.get("/", &[]).await;
        assert_eq!(page.text(), "0", "{n}");
        assert_eq!(page.header("cache-status").as_deref(), Some("minijinja-cache; hit; ttl=-5"));
        assert_eq!(page.header("age").as_deref(), Some("15"));
        if n == 0 {
            assert_eq!(app.handler_calls(), 1, "the visitor did not wait");
            // These requests arrive during the refresh: a current-thread runtime has not polled it yet.
            continue;
        }
        break;
    }
    settled(&app, 2).await;
    let page = app.get("/", &[]).await;
    assert_eq!((page.text(), page.header("age").as_deref()), ("1", Some("0")));
    assert_eq!(app.handler_calls(), 2);
    assert_eq!(cache.stats().stale_hits, 2);
}

#[tokio::test]
async fn after_its_grace_a_page_is_waited_for() {
    let (cache, clock) = cache();
    let app = counting(&cache, WHILE);
    app.get("/", &[]).await;
    clock.advance(seconds(30));
    assert_eq!(app.get("/", &[]).await.text(), "1");
}

#[tokio::test]
async fn an_invalidated_page_is_never_served_stale() {
    let (cache, clock) = cache();
    let app = counting(&cache, WHILE);
    app.get("/", &[]).await;
    clock.advance(seconds(15));
    cache.invalidate_page("/");
    assert_eq!(app.get("/", &[]).await.text(), "1");
}

#[tokio::test]
async fn a_page_with_must_revalidate_is_not_served_stale() {
    for more in ["must-revalidate", "proxy-revalidate"] {
        let (cache, clock) = cache();
        let app = App::new(CacheLayer::new(&cache), move |n, _| {
            let control = format!("max-age=10, stale-while-revalidate=20, stale-if-error=20, {more}");
            if n == 1 { status(StatusCode::BAD_GATEWAY) } else { answer(&[("cache-control", &control)], n.to_string()) }
        });
        app.get("/", &[]).await;
        clock.advance(seconds(15));
        assert_eq!(app.get("/", &[]).await.status, 502, "{more}");
    }
}

fn failing(n: usize, fails: std::ops::Range<usize>, code: StatusCode) -> Response {
    if fails.contains(&n) { status(code) } else { answer(&[IF_ERROR], n.to_string()) }
}

#[tokio::test]
async fn an_expired_page_is_served_instead_of_an_error_during_its_grace() {
    let (cache, clock) = cache();
    let app = App::new(CacheLayer::new(&cache), |n, _| failing(n, 1..4, StatusCode::SERVICE_UNAVAILABLE));
    app.get("/", &[]).await;
    clock.advance(seconds(15));
    let page = app.get("/", &[]).await;
    assert_eq!((page.status, page.text(), page.header("age").as_deref()), (StatusCode::OK, "0", Some("15")));
    // Showing it does not start its time anew.
    clock.advance(seconds(14));
    assert_eq!(app.get("/", &[]).await.text(), "0");
    clock.advance(seconds(1));
    assert_eq!(app.get("/", &[]).await.status, 503);
    assert_eq!(app.get("/", &[]).await.text(), "4");
}

#[tokio::test]
async fn a_status_below_500_is_not_replaced_by_a_stale_page() {
    let (cache, clock) = cache();
    let app = App::new(CacheLayer::new(&cache), |n, _| failing(n, 1..2, StatusCode::NOT_FOUND));
    app.get("/", &[]).await;
    clock.advance(seconds(15));
    assert_eq!(app.get("/", &[]).await.status, 404);
}

#[tokio::test]
async fn a_failed_refresh_keeps_the_page_and_is_reported() {
    let (cache, clock) = cache();
    let app = App::new(CacheLayer::new(&cache), |n, _| {
        if n == 1 { status(StatusCode::INTERNAL_SERVER_ERROR) } else { answer(&[WHILE], n.to_string()) }
    });
    app.get("/", &[]).await;
    clock.advance(seconds(15));
    assert_eq!(app.get("/", &[]).await.text(), "0");
    settled(&app, 2).await;
    assert_eq!(cache.stats().errors, 1);
    // A failed handler is not called again at once.
    assert_eq!(app.get("/", &[]).await.text(), "0");
    settled(&app, 2).await;
    clock.advance(seconds(2));
    assert_eq!(app.get("/", &[]).await.text(), "0");
    settled(&app, 3).await;
    assert_eq!(app.get("/", &[]).await.text(), "2");
}

#[tokio::test]
async fn the_layer_sends_both_windows_to_downstream_caches() {
    let (cache, clock) = cache();
    let layer = CacheLayer::new(&cache).ttl(seconds(10));
    let layer = layer.stale_while_revalidate(seconds(20)).stale_if_error(seconds(40));
    let app = App::new(layer, |n, _| answer(&[], n.to_string()));
    let control = app.get("/", &[]).await.header("cache-control").unwrap();
    assert_eq!(control, "public, max-age=10, stale-while-revalidate=20, stale-if-error=40");
    clock.advance(seconds(29));
    assert_eq!(app.get("/", &[]).await.text(), "0");
}

#[tokio::test]
async fn each_variant_is_served_stale_for_its_own_requests() {
    let (cache, clock) = cache();
    let app = App::new(CacheLayer::new(&cache), |n, request| {
        let text = format!("{n}:{}", request.headers()["foo"].to_str().unwrap());
        answer(&[WHILE, ("vary", "foo")], text)
    });
    app.get("/", &[("foo", "a")]).await;
    app.get("/", &[("foo", "b")]).await;
    clock.advance(seconds(15));
    assert_eq!(app.get("/", &[("foo", "a")]).await.text(), "0:a");
    assert_eq!(app.get("/", &[("foo", "b")]).await.text(), "1:b");
    settled(&app, 4).await;
    assert!(app.get("/", &[("foo", "a")]).await.text().ends_with(":a"));
    assert!(app.get("/", &[("foo", "b")]).await.is_hit());
    assert_eq!(app.handler_calls(), 4);
}

#[test]
fn without_a_runtime_the_request_waits() {
    let (cache, clock) = cache();
    let app = counting(&cache, WHILE);
    let get = || {
        let app = app.clone();
        std::thread::scope(|scope| scope.spawn(move || block_on(app.get("/", &[]))).join().unwrap())
    };
    assert_eq!(get().text(), "0");
    clock.advance(seconds(15));
    assert_eq!(get().text(), "1");
}

/// Polls on this thread until it is done.
fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = std::pin::pin!(future);
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    loop {
        if let std::task::Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
        std::thread::yield_now();
    }
}

#[tokio::test]
async fn an_unstorable_refresh_removes_the_expired_page() {
    type Refresh = fn() -> Response;
    let refreshes: [(&str, Refresh); 3] = [
        ("it is gone", || status(StatusCode::NOT_FOUND)),
        ("it is private", || answer(&[("cache-control", "private, no-store")], "")),
        ("it is one visitor's", || answer(&[("set-cookie", "sid=1")], "")),
    ];
    for (name, refresh) in refreshes {
        let (cache, clock) = cache();
        let layer = CacheLayer::new(&cache).ttl(seconds(60)).stale_while_revalidate(seconds(86_400));
        let app = App::new(layer, move |n, _| if n == 0 { answer(&[], "old") } else { refresh() });
        app.get("/", &[]).await;
        clock.advance(seconds(61));
        assert_eq!(app.get("/", &[]).await.text(), "old", "{name}");
        settled(&app, 2).await;
        for pause in [0, 80_000] {
            clock.advance(seconds(pause));
            let page = app.get("/", &[]).await;
            assert_eq!((page.text(), page.is_hit()), ("", false), "{name}");
        }
    }
}

#[tokio::test]
async fn a_page_invalidated_during_its_refresh_is_generated_again() {
    let (cache, clock) = cache();
    let layer = CacheLayer::new(&cache).ttl(seconds(60)).stale_while_revalidate(seconds(60)).tag("films");
    let app = App::slow(layer, |n, _| answer(&[], n.to_string()));
    app.get("/", &[]).await;
    clock.advance(seconds(61));
    assert_eq!(app.get("/", &[]).await.text(), "0");
    while app.handler_calls() < 2 {
        tokio::task::yield_now().await;
    }
    cache.invalidate_tag("films");
    assert_eq!(app.get("/", &[]).await.text(), "2");
    idle().await;
    assert_eq!(app.get("/", &[]).await.text(), "2");
}

#[tokio::test]
async fn every_failure_that_a_stale_page_replaces_is_reported() {
    let layers: [fn(CacheLayer) -> CacheLayer; 3] = [
        |layer| layer.stale_while_revalidate(seconds(60)),
        |layer| layer.stale_if_error(seconds(60)),
        |layer| layer.stale_while_revalidate(seconds(60)).stale_if_error(seconds(60)),
    ];
    for (at, windows) in layers.into_iter().enumerate() {
        let (cache, clock) = cache();
        let app = App::new(windows(CacheLayer::new(&cache).ttl(seconds(60))), |n, _| {
            if n == 0 { answer(&[], "old") } else { status(StatusCode::BAD_GATEWAY) }
        });
        app.get("/", &[]).await;
        clock.advance(seconds(61));
        assert_eq!(app.get("/", &[]).await.text(), "old");
        settled(&app, 2).await;
        assert_eq!(cache.stats().errors, 1, "{at}");
    }
}

#[tokio::test]
async fn an_error_of_the_service_is_replaced_by_a_stale_page() {
    let (cache, clock) = cache();
    let asked = Arc::new(AtomicUsize::new(0));
    let layer = CacheLayer::new(&cache).ttl(seconds(60)).stale_if_error(seconds(60));
    let service = layer.layer(tower::service_fn(move |_: Request| {
        let first = asked.fetch_add(1, Ordering::SeqCst) == 0;
        std::future::ready(if first { Ok(answer(&[], "page")) } else { Err("down") })
    }));
    let ask = || service.clone().oneshot(request("/", &[]));
    assert!(ask().await.is_ok());
    clock.advance(seconds(61));
    assert!(ask().await.is_ok());
    clock.advance(seconds(60));
    assert_eq!(ask().await.unwrap_err(), "down");
}

#[tokio::test]
async fn an_invalidated_page_does_not_replace_a_failure() {
    let (cache, _) = cache();
    let layer = CacheLayer::new(&cache).ttl(seconds(60)).tag("films");
    let layer = layer.stale_if_error(seconds(600)).stale_while_revalidate(seconds(600));
    let app = App::new(layer, |n, _| if n == 0 { answer(&[], "old") } else { status(StatusCode::BAD_GATEWAY) });
    app.get("/", &[]).await;
    cache.invalidate_tag("films");
    for _ in 0..2 {
        assert_eq!(app.get("/", &[]).await.status, 502);
    }
}

#[tokio::test]
async fn a_page_is_served_stale_no_longer_than_its_fragments() {
    let (cache, clock) = cache();
    let fragments = cache.clone();
    let layer = CacheLayer::new(&cache).ttl(seconds(3600)).stale_while_revalidate(seconds(86_400));
    let app = App::new(layer, move |n, _| {
        let options = Options::ttl(seconds(60)).stale(seconds(30));
        let text = fragments.get_or_set("fragment", options, || Ok::<_, Infallible>(n.to_string())).unwrap();
        answer(&[], text.to_string())
    });
    let control = app.get("/", &[]).await.header("cache-control");
    assert_eq!(control.as_deref(), Some("public, max-age=60, stale-while-revalidate=30"));
    clock.advance(seconds(89));
    assert_eq!(app.get("/", &[]).await.text(), "0");
    settled(&app, 2).await;
    clock.advance(seconds(91));
    let made = app.get("/", &[]).await;
    assert!(!made.is_hit(), "{made:?}");
}

#[tokio::test]
async fn a_reload_during_an_outage_keeps_the_page_for_others() {
    let (cache, clock) = cache();
    let layer = CacheLayer::new(&cache).ttl(seconds(60)).stale_if_error(seconds(600)).honor_reload(true);
    let app = App::new(layer, |n, _| if n == 0 { answer(&[], "page") } else { status(StatusCode::BAD_GATEWAY) });
    app.get("/", &[]).await;
    assert_eq!(app.get("/", &[("cache-control", "no-cache")]).await.status, 502);
    for pause in [0, 61, 500] {
        clock.advance(seconds(pause));
        assert_eq!(app.get("/", &[]).await.text(), "page", "{pause} s later");
    }
}
