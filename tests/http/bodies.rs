//! Only whole bodies are stored, and requests do not wait for a body that they could not use.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, Method};
use axum::response::Response;
use http_body::Frame;
use http_body_util::BodyExt;
use minijinja_cache::FragmentCache;
use minijinja_cache::http::CacheLayer;
use tokio::sync::Notify;
use tower::ServiceExt;
use tower_layer::Layer;

use crate::support::{App, answer, cache};

const KEPT: (&str, &str) = ("cache-control", "max-age=60");

/// The steps of a body. Dropping it is counted.
struct Script {
    steps: Vec<Step>,
    dropped: Arc<AtomicUsize>,
}

#[derive(Clone)]
enum Step {
    Data(&'static str),
    Trailers,
    Fail,
    /// Never goes on.
    Hang,
    /// The same piece for ever.
    Endless(&'static str),
}

impl http_body::Body for Script {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<std::io::Result<Frame<Bytes>>>> {
        if self.steps.is_empty() {
            return Poll::Ready(None);
        }
        if let Step::Endless(data) = self.steps[0] {
            return Poll::Ready(Some(Ok(Frame::data(Bytes::from(data)))));
        }
        if matches!(self.steps[0], Step::Hang) {
            return Poll::Pending;
        }
        Poll::Ready(Some(match self.steps.remove(0) {
            Step::Data(data) => Ok(Frame::data(Bytes::from(data))),
            Step::Trailers => {
                let mut trailers = HeaderMap::new();
                trailers.insert("x-sum", HeaderValue::from_static("1"));
                Ok(Frame::trailers(trailers))
            }
            _ => Err(std::io::Error::other("the source failed")),
        }))
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        self.dropped.fetch_add(1, Ordering::SeqCst);
    }
}

fn scripted(cache: &FragmentCache, headers: &'static [(&'static str, &'static str)], steps: &[Step]) -> App {
    let steps = steps.to_vec();
    App::new(CacheLayer::new(cache).max_body_bytes(1000), move |_, _| {
        answer(headers, Body::new(Script { steps: steps.clone(), dropped: Arc::default() }))
    })
}

#[tokio::test]
async fn a_stream_that_ends_is_stored_whole() {
    let (cache, _) = cache();
    let app = scripted(&cache, &[KEPT], &[Step::Data("a"), Step::Data("b"), Step::Data("c")]);
    assert_eq!(app.get("/", &[]).await.text(), "abc");
    let stored = app.get("/", &[]).await;
    assert_eq!((stored.text(), app.handler_calls()), ("abc", 1));
    assert_eq!(stored.header("content-length").as_deref(), Some("3"));
}

#[tokio::test]
async fn a_body_that_fails_half_way_reaches_the_client_and_not_the_store() {
    let (cache, _) = cache();
    let app = scripted(&cache, &[KEPT], &[Step::Data("half"), Step::Fail]);
    for n in 1..=3 {
        let reply = app.get("/", &[]).await;
        assert!(reply.body.unwrap_err().contains("the source failed"));
        assert_eq!(app.handler_calls(), n);
    }
}

#[tokio::test]
async fn a_body_of_another_length_than_announced_is_not_stored() {
    for length in ["3", "5"] {
        let (cache, _) = cache();
        let app = App::new(CacheLayer::new(&cache), move |_, _| {
            answer(
                &[KEPT, ("content-length", length)],
                Body::new(Script { steps: vec![Step::Data("four")], dropped: Arc::default() }),
            )
        });
        app.get("/", &[]).await;
        app.get("/", &[]).await;
        assert_eq!(app.handler_calls(), 2, "{length}");
    }
}

#[tokio::test]
async fn trailers_pass_through() {
    let (cache, _) = cache();
    let app = scripted(&cache, &[KEPT], &[Step::Data("a"), Step::Trailers]);
    for _ in 0..2 {
        assert_eq!(app.get("/", &[]).await.text(), "a");
    }
    assert_eq!(app.handler_calls(), 2);
}

#[tokio::test]
async fn a_body_beyond_the_limit_passes_through_unchanged() {
    let (cache, _) = cache();
    let app = scripted(&cache, &[KEPT], &vec![Step::Data("x"); 1001]);
    for n in 1..=2 {
        let reply = app.get("/", &[]).await;
        assert_eq!((reply.text().len(), reply.header("etag"), app.handler_calls()), (1001, None, n));
    }
    let known = App::new(CacheLayer::new(&cache.namespace("known")).max_body_bytes(1000), |_, _| {
        answer(&[KEPT], "x".repeat(1001))
    });
    for n in 1..=2 {
        let reply = known.get("/", &[]).await;
        assert_eq!((reply.text().len(), reply.header("etag"), known.handler_calls()), (1001, None, n));
    }
}

#[tokio::test]
async fn an_endless_stream_costs_no_more_memory_than_the_limit() {
    let (cache, _) = cache();
    let dropped = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&dropped);
    let service = CacheLayer::new(&cache).max_body_bytes(1000).layer(tower::service_fn(move |_: Request| {
        let body = Script { steps: vec![Step::Endless("0123456789")], dropped: Arc::clone(&counted) };
        async move { Ok::<_, Infallible>(answer(&[KEPT], Body::new(body))) }
    }));
    let request = Request::builder().uri("/").body(Body::empty()).unwrap();
    let mut body = service.oneshot(request).await.unwrap().into_body();
    let mut read = 0;
    while read < 1_000_000 {
        read += body.frame().await.unwrap().unwrap().into_data().unwrap().len();
    }
    drop(body);
    assert_eq!(dropped.load(Ordering::SeqCst), 1);
    cache.run_maintenance();
    assert_eq!(cache.stats().entries, 0);
}

#[tokio::test]
async fn an_unstorable_event_stream_starts_at_once() {
    let (cache, _) = cache();
    let app = scripted(&cache, &[("content-type", "text/event-stream")], &[Step::Data("data: 1"), Step::Hang]);
    let response = app.response(Method::GET, "/", &[]).await;
    let mut body = response.into_body();
    assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "data: 1");
}

#[tokio::test]
async fn a_slow_body_is_streamed_after_the_wait_timeout() {
    let cache = FragmentCache::builder().wait_timeout(Duration::from_millis(20)).build().unwrap();
    let app = scripted(&cache, &[KEPT], &[Step::Data("begun"), Step::Hang]);
    let mut body = app.response(Method::GET, "/", &[]).await.into_body();
    assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "begun");
    drop(body);
    assert_eq!(cache.stats().stores, 0);
}

#[tokio::test]
async fn a_thousand_requests_for_a_cold_page_generate_it_once() {
    let (cache, _) = cache();
    let (asked, go) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
    let app = waiting(&cache, &asked, &go);
    let visits: Vec<_> = (0..1000)
        .map(|_| {
            tokio::spawn({
                let app = app.clone();
                async move { app.get("/", &[]).await.text().to_owned() }
            })
        })
        .collect();
    while asked.load(Ordering::SeqCst) == 0 {
        tokio::task::yield_now().await;
    }
    for _ in 0..1100 {
        tokio::task::yield_now().await;
    }
    go.notify_waiters();
    for visit in visits {
        assert_eq!(visit.await.unwrap(), "page 0");
    }
    assert_eq!(asked.load(Ordering::SeqCst), 1);
}

/// A handler that answers after a notification.
fn waiting(cache: &FragmentCache, asked: &Arc<AtomicUsize>, go: &Arc<Notify>) -> App {
    let (counted, gate) = (Arc::clone(asked), Arc::clone(go));
    let handler = async move || {
        let n = counted.fetch_add(1, Ordering::SeqCst);
        gate.notified().await;
        answer(&[KEPT], format!("page {n}"))
    };
    App::of(
        axum::Router::new().route("/", axum::routing::get(handler)).layer(CacheLayer::new(cache)),
        Arc::clone(asked),
    )
}

#[tokio::test]
async fn a_follower_leads_after_the_leader_is_cancelled() {
    let (cache, _) = cache();
    let (asked, go) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
    let app = waiting(&cache, &asked, &go);
    let visit = |app: &App| {
        let app = app.clone();
        tokio::spawn(async move { app.get("/", &[]).await.text().to_owned() })
    };
    let first = visit(&app);
    while asked.load(Ordering::SeqCst) == 0 {
        tokio::task::yield_now().await;
    }
    let others = [visit(&app), visit(&app)];
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    first.abort();
    while asked.load(Ordering::SeqCst) == 1 {
        tokio::task::yield_now().await;
    }
    go.notify_waiters();
    for visit in others {
        assert_eq!(visit.await.unwrap(), "page 1");
    }
    assert_eq!(app.get("/", &[]).await.text(), "page 1");
}

#[tokio::test]
async fn unstorable_pages_are_waited_for_once_and_then_generated_concurrently() {
    let (cache, _) = cache();
    let app = App::new(CacheLayer::new(&cache), |n, _| answer(&[], n.to_string()));
    assert_eq!(app.get("/", &[]).await.text(), "0");
    let both = tokio::join!(app.get("/", &[]), app.get("/", &[]));
    assert_ne!(both.0.text(), both.1.text());
    assert_eq!(cache.stats().waits, 0);
}

#[tokio::test]
async fn a_panic_of_the_handler_blocks_no_later_request() {
    let (cache, _) = cache();
    let app = App::new(CacheLayer::new(&cache), |n, _| -> Response {
        assert!(n > 0, "the first visit fails");
        answer(&[KEPT], n.to_string())
    });
    let failing = app.clone();
    assert!(tokio::spawn(async move { failing.get("/", &[]).await }).await.is_err());
    assert_eq!(app.get("/", &[]).await.text(), "1");
    assert!(app.get("/", &[]).await.is_hit());
}

/// A buffer that records when it is dropped.
struct Buffer(Vec<u8>, Arc<AtomicUsize>);

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        self.1.fetch_sub(1, Ordering::SeqCst);
    }
}

#[tokio::test]
async fn a_page_from_a_large_buffer_does_not_keep_the_buffer() {
    let (cache, _) = cache();
    let kept = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&kept);
    let app = App::new(CacheLayer::new(&cache), move |_, _| {
        counted.fetch_add(1, Ordering::SeqCst);
        answer(&[KEPT], Bytes::from_owner(Buffer(vec![b'x'; 1 << 20], Arc::clone(&counted))).slice(..10))
    });
    app.get("/", &[]).await;
    assert_eq!(app.get("/", &[]).await.text(), "x".repeat(10));
    assert_eq!((app.handler_calls(), kept.load(Ordering::SeqCst)), (1, 0));
}

#[tokio::test]
async fn a_body_of_very_many_empty_frames_is_not_read_whole() {
    let (cache, _) = cache();
    let app = scripted(&cache, &[KEPT], &vec![Step::Data(""); 6000]);
    for n in 1..=2 {
        assert_eq!(app.get("/", &[]).await.text(), "");
        assert_eq!((app.handler_calls(), cache.stats().stores), (n, 0));
    }
}

async fn poll_once<F: Future>(future: &mut Pin<&mut F>) -> Option<F::Output> {
    std::future::poll_fn(|context| match future.as_mut().poll(context) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending => Poll::Ready(None),
    })
    .await
}

/// The answer, if nothing has to be waited for.
async fn at_once(app: &App) -> Option<Response> {
    let mut response = std::pin::pin!(app.response(Method::GET, "/", &[]));
    poll_once(&mut response).await
}

#[tokio::test]
async fn an_event_stream_starts_at_once_with_any_lifetime() {
    for control in ["max-age=60", "public, s-maxage=60, stale-while-revalidate=60"] {
        let (cache, _) = cache();
        let app = App::new(CacheLayer::new(&cache).ttl(Duration::from_secs(60)), move |_, _| {
            let steps = vec![Step::Data("data: 1"), Step::Hang];
            let headers = [("content-type", "text/event-stream; charset=utf-8"), ("cache-control", control)];
            answer(&headers, Body::new(Script { steps, dropped: Arc::default() }))
        });
        for _ in 0..2 {
            let mut body = at_once(&app).await.unwrap().into_body();
            assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "data: 1");
        }
        assert_eq!(app.handler_calls(), 2);
    }
}

#[tokio::test]
async fn a_body_that_was_too_slow_is_not_waited_for_again() {
    let cache = FragmentCache::builder().wait_timeout(Duration::from_millis(50)).build().unwrap();
    let app = scripted(&cache, &[KEPT], &[Step::Data("begun"), Step::Hang]);
    assert!(at_once(&app).await.is_none());
    app.response(Method::GET, "/", &[]).await;
    for n in 0..3 {
        let mut body = at_once(&app).await.unwrap_or_else(|| panic!("visit {n} is held back")).into_body();
        assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "begun");
    }
}
