//! A wait timeout of zero: requests do not wait for each other, but holes, bodies and invalidations are waited for.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::response::{Html, IntoResponse};
use axum::routing::get;
use http_body::Frame;
use minijinja_cache::http::{CacheLayer, HoleRequest};
use minijinja_cache::{FragmentCache, Options};

use crate::support::{App, environment, idle, render, seconds};

fn impatient() -> FragmentCache {
    FragmentCache::builder().wait_timeout(Duration::ZERO).build().unwrap()
}

#[tokio::test]
async fn holes_are_filled_by_futures_that_wait() {
    let cache = impatient();
    let env = environment(&cache, &[("page.html", "<{{ cache_hole('slow') }}|{{ cache_hole('quick') }}>")]);
    let layer = CacheLayer::new(&cache)
        .ttl(seconds(60))
        .hole("slow", async |_: HoleRequest| {
            idle().await;
            Ok::<_, Infallible>("slow")
        })
        .hole("quick", async |_: HoleRequest| {
            tokio::task::yield_now().await;
            Ok::<_, Infallible>("quick")
        });
    let handler = async move || Html(render(&env, "page.html"));
    let app = App::of(Router::new().route("/", get(handler)).layer(layer), Arc::new(AtomicUsize::new(0)));
    // Made, and from the cache.
    for _ in 0..2 {
        assert_eq!(app.get("/", &[]).await.text(), "<slow|quick>");
    }
    let stats = cache.stats();
    assert_eq!((stats.errors, stats.stores), (0, 1));
}

/// A body whose frames are not ready at once.
struct Late {
    pending: usize,
    pieces: Vec<&'static str>,
}

impl http_body::Body for Late {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.pending += 1;
        if !self.pending.is_multiple_of(3) {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(self.pieces.pop().map(|piece| Ok(Frame::data(Bytes::from(piece)))))
    }
}

#[tokio::test]
async fn a_body_of_several_frames_is_stored() {
    let cache = impatient();
    let app = App::new(CacheLayer::new(&cache).ttl(seconds(60)), |_, _| {
        Body::new(Late { pending: 0, pieces: vec!["b", "a"] }).into_response()
    });
    for _ in 0..2 {
        assert_eq!(app.get("/", &[]).await.text(), "ab");
    }
    assert_eq!(app.handler_calls(), 1);
}

#[tokio::test]
async fn requests_do_not_wait_for_each_other() {
    let cache = impatient();
    let app = App::slow(CacheLayer::new(&cache).ttl(seconds(60)), |n, _| n.to_string().into_response());
    let both = tokio::join!(app.get("/", &[]), app.get("/", &[]));
    assert_eq!((both.0.text(), both.1.text(), app.handler_calls()), ("0", "1", 2));
}

#[cfg(feature = "shared")]
#[tokio::test]
async fn an_awaited_invalidation_is_given_time() {
    let store = minijinja_cache::LocalStore::new();
    let cache = FragmentCache::builder().wait_timeout(Duration::ZERO).shared(store).build().unwrap();
    cache.get_or_set("k", Options::default(), || Ok::<_, Infallible>("text")).unwrap();
    cache.invalidate("k").await.unwrap();
    tokio::task::spawn_blocking(move || cache.invalidate("k").wait()).await.unwrap().unwrap();
}
