//! Crowds: which requests wait for which, and how often the handler is called.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::Response;
use minijinja_cache::http::CacheLayer;
use minijinja_cache::{FragmentCache, Options};

use crate::support::{App, answer, cache, crowd, idle, replies, seconds, status};

fn page(n: usize, _: &Request) -> Response {
    answer(&[], n.to_string())
}

fn fails_first(n: usize, _: &Request) -> Response {
    if n == 0 { status(StatusCode::INTERNAL_SERVER_ERROR) } else { answer(&[], n.to_string()) }
}

#[tokio::test]
async fn after_one_failed_response_later_crowds_still_share_one_computation() {
    let (cache, clock) = cache();
    let app = App::slow(CacheLayer::new(&cache).ttl(seconds(5)), fails_first);
    assert_eq!(app.get("/", &[]).await.status, 500);
    for n in 1..4 {
        for reply in replies(crowd(&app, 100, &[])).await {
            assert_eq!(reply.text(), n.to_string());
        }
        assert_eq!(app.handler_calls(), n + 1);
        clock.advance(seconds(6));
    }
}

#[tokio::test]
async fn a_crowd_whose_leader_fails_computes_once_more() {
    let (cache, _) = cache();
    let app = App::slow(CacheLayer::new(&cache).ttl(seconds(60)), fails_first);
    let replies = replies(crowd(&app, 100, &[])).await;
    assert_eq!(replies.iter().filter(|reply| reply.status == 500).count(), 1);
    assert_eq!(app.handler_calls(), 2);
}

#[tokio::test]
async fn a_request_with_credentials_does_not_lead() {
    const STRANGER: &[(&str, &str)] = &[("authorization", "Basic eDp5")];
    let (cache, _) = cache();
    let app = App::slow(CacheLayer::new(&cache).ttl(seconds(60)), page);
    let stranger = crowd(&app, 1, STRANGER);
    tokio::task::yield_now().await;
    let others = crowd(&app, 100, &[]);
    for reply in replies(others).await {
        assert_eq!(reply.text(), "1");
    }
    assert_eq!(replies(stranger).await[0].text(), "0");
    assert!(app.get("/", &[]).await.is_hit());
    // Nor do requests that come after a page could not be stored.
    cache.clear();
    app.get("/", STRANGER).await;
    let asked = app.handler_calls();
    replies(crowd(&app, 100, &[])).await;
    assert_eq!(app.handler_calls(), asked + 1);
}

#[tokio::test]
async fn each_variant_of_a_cold_page_is_generated_once() {
    const FOO: [&[(&str, &str)]; 4] = [&[("foo", "0")], &[("foo", "1")], &[("foo", "2")], &[]];
    let (cache, _) = cache();
    let app = App::slow(CacheLayer::new(&cache).ttl(seconds(60)), |_, request| {
        answer(&[("vary", "foo")], request.headers().get("foo").map_or("none", |foo| foo.to_str().unwrap()).to_owned())
    });
    let visits: Vec<_> = FOO.iter().cycle().take(400).flat_map(|headers| crowd(&app, 1, headers)).collect();
    for (reply, text) in replies(visits).await.iter().zip(["0", "1", "2", "none"].iter().cycle()) {
        assert_eq!(reply.text(), *text);
    }
    assert_eq!(app.handler_calls(), FOO.len());
}

#[tokio::test]
async fn a_panic_of_the_handler_fails_one_request_of_a_crowd() {
    let (cache, _) = cache();
    let app = App::slow(CacheLayer::new(&cache).ttl(seconds(60)), |n, request| {
        assert!(n > 0, "the first visit fails");
        page(n, request)
    });
    let mut failed = 0;
    for visit in crowd(&app, 100, &[]) {
        match visit.await {
            Ok(reply) => assert_eq!(reply.text(), "1"),
            Err(_) => failed += 1,
        }
    }
    assert_eq!((failed, app.handler_calls()), (1, 2));
}

#[tokio::test]
async fn a_crowd_refreshes_an_expired_page_once() {
    let (cache, clock) = cache();
    let app = App::slow(CacheLayer::new(&cache).ttl(seconds(60)).stale_while_revalidate(seconds(60)), page);
    app.get("/", &[]).await;
    clock.advance(seconds(61));
    for reply in replies(crowd(&app, 500, &[])).await {
        assert_eq!(reply.text(), "0");
    }
    idle().await;
    idle().await;
    assert_eq!(app.handler_calls(), 2);
    assert_eq!(app.get("/", &[]).await.text(), "1");
}

#[tokio::test]
async fn a_crowd_calls_the_failing_handler_of_an_expired_page_once() {
    let (cache, clock) = cache();
    let layer = CacheLayer::new(&cache).ttl(seconds(60)).stale_if_error(seconds(600));
    let app = App::slow(
        layer,
        |n, request| {
            if n == 0 { page(n, request) } else { status(StatusCode::INTERNAL_SERVER_ERROR) }
        },
    );
    app.get("/", &[]).await;
    clock.advance(seconds(61));
    for reply in replies(crowd(&app, 50, &[])).await {
        assert_eq!((reply.status, reply.text()), (StatusCode::OK, "0"));
    }
    assert_eq!(app.handler_calls(), 2);
    for (pause, asked) in [(1, 2), (1, 3), (1, 3), (1, 4)] {
        clock.advance(seconds(pause));
        replies(crowd(&app, 50, &[])).await;
        assert_eq!(app.handler_calls(), asked);
    }
}

#[tokio::test]
async fn a_follower_of_an_invalidated_page_gets_one_generated_later() {
    type Invalidate = fn(&FragmentCache);
    let ways: [(&str, Invalidate); 4] = [
        ("its path", |cache| drop(cache.invalidate_page("/"))),
        ("its key", |cache| drop(cache.invalidate(("example.org", "/")))),
        ("its tag", |cache| drop(cache.invalidate_tag("films"))),
        ("everything", |cache| drop(cache.clear())),
    ];
    for (name, invalidate) in ways {
        let (cache, _) = cache();
        let app = App::slow(CacheLayer::new(&cache).ttl(seconds(60)).tag("films"), page);
        let waiting = crowd(&app, 50, &[]);
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
        assert_eq!(app.handler_calls(), 1);
        invalidate(&cache);
        let replies = replies(waiting).await;
        assert_eq!(replies.iter().filter(|reply| reply.text() == "1").count(), 49, "{name}");
        assert_eq!((app.handler_calls(), cache.stats().stores), (2, 1), "{name}");
        assert_eq!(app.get("/", &[]).await.text(), "1", "{name}");
    }
}

#[tokio::test]
async fn pages_generated_concurrently_share_the_fragments_they_wait_for() {
    for layered in [false, true] {
        let (cache, _) = cache();
        let made = Arc::new(AtomicUsize::new(0));
        let handler = {
            let (cache, made) = (cache.clone(), Arc::clone(&made));
            async move || {
                let sidebar = async {
                    made.fetch_add(1, Ordering::SeqCst);
                    idle().await;
                    Ok::<_, Infallible>("sidebar")
                };
                cache.get_or_set_async("sidebar", Options::default(), sidebar).await.unwrap().to_string()
            }
        };
        let router = Router::new().fallback(handler);
        let layer = CacheLayer::new(&cache).ttl(seconds(60));
        let app = App::of(if layered { router.layer(layer) } else { router }, Arc::default());
        let visit = |n: usize| {
            let app = app.clone();
            tokio::spawn(async move { app.get(&format!("/{n}"), &[]).await })
        };
        let visits = (0..20).map(visit).collect();
        for reply in replies(visits).await {
            assert_eq!(reply.text(), "sidebar");
        }
        assert_eq!(made.load(Ordering::SeqCst), 1, "with a layer: {layered}");
    }
}
