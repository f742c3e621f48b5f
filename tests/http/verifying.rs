//! Pages that are generated again after they were served, and compared.

use axum::http::{Method, StatusCode};
use minijinja_cache::http::{CacheLayer, HoleRequest};
use minijinja_cache::{FragmentCache, FragmentKind, ManualClock};

use crate::support::{App, answer, environment, idle, render, seconds, status};

fn cache() -> (FragmentCache, ManualClock) {
    let clock = ManualClock::new();
    (FragmentCache::builder().shadow(1.0).clock(&clock).build().unwrap(), clock)
}

fn layer(cache: &FragmentCache) -> CacheLayer {
    CacheLayer::new(cache).ttl(seconds(60)).label("front page")
}

#[tokio::test]
async fn a_page_that_depends_on_an_unkeyed_header_is_reported() {
    let (cache, _) = cache();
    let app = App::new(layer(&cache), |_, request| {
        let language = request.headers().get("accept-language").map_or("en", |value| value.to_str().unwrap());
        answer(&[], format!("Hello in {language}"))
    });
    app.get("/", &[("accept-language", "de")]).await;
    let shown = app.get("/", &[("accept-language", "fr")]).await;
    assert_eq!((shown.text(), shown.is_hit()), ("Hello in de", true));
    idle().await;
    let difference = &cache.differences()[0];
    assert_eq!((&*difference.about.label, difference.about.kind), ("front page", FragmentKind::Page));
    assert_eq!((difference.offset, &*difference.cached), ("Hello in ".len(), "Hello in de"));
    assert_eq!(&*difference.computed, "Hello in fr");
    // The stored page is kept, and was generated once for the cache.
    assert_eq!((app.handler_calls(), cache.stats().stores), (2, 1));
    let stats = cache.fragment_stats();
    let page = stats.iter().find(|stats| stats.label == "front page").unwrap();
    assert_eq!((page.hits, page.misses, page.verified, page.differing), (1, 1, 1, 1));
}

#[tokio::test]
async fn an_equal_page_is_counted_and_its_handler_sees_no_ignored_cookies() {
    let (cache, _) = cache();
    let app = App::new(layer(&cache).ignore_other_cookies(), |_, request| {
        answer(&[], format!("{:?}", request.headers().get("cookie")))
    });
    for cookie in ["a=1", "b=2", "c=3"] {
        assert_eq!(app.get("/", &[("cookie", cookie)]).await.text(), "None");
        idle().await;
    }
    // The same for a conditional request.
    let etag = app.get("/", &[]).await.header("etag").unwrap();
    assert_eq!(app.get("/", &[("if-none-match", &etag)]).await.status, StatusCode::NOT_MODIFIED);
    assert_eq!(app.send(Method::HEAD, "/", &[]).await.text(), "");
    idle().await;
    assert_eq!((cache.differences().len(), app.handler_calls()), (0, 6));
    assert_eq!(cache.fragment_stats()[0].verified, 5);
}

#[tokio::test]
async fn another_status_is_a_difference_and_a_failure_pauses_verification() {
    let (cache, clock) = cache();
    let app = App::new(layer(&cache), |n, _| match n {
        0 => answer(&[], "there"),
        1 => status(StatusCode::INTERNAL_SERVER_ERROR),
        _ => status(StatusCode::NOT_FOUND),
    });
    for asked in [1, 2, 2, 2] {
        assert_eq!(app.get("/", &[]).await.text(), "there");
        idle().await;
        assert_eq!(app.handler_calls(), asked);
    }
    clock.advance(seconds(10));
    assert_eq!(app.get("/", &[]).await.text(), "there");
    idle().await;
    let difference = &cache.differences()[0];
    assert_eq!((&*difference.cached, &*difference.computed), ("200 OK there", "404 Not Found "));
}

#[tokio::test]
async fn pages_with_holes_are_not_verified_but_their_fragments_are() {
    let (cache, _) = cache();
    let env =
        environment(&cache, &[("page", "{% cache 'who' name='who' %}for all{% endcache %}{{ cache_hole('name') }}")]);
    let layer = layer(&cache).hole("name", |_: HoleRequest| async { Ok::<_, std::convert::Infallible>("Ada") });
    let app = App::new(layer, move |_, _| answer(&[("content-type", "text/html")], render(&env, "page")));
    for _ in 0..3 {
        assert_eq!(app.get("/", &[]).await.text(), "for allAda");
        idle().await;
    }
    assert_eq!((app.handler_calls(), cache.differences().len()), (1, 0));
}

#[tokio::test]
async fn the_fragments_of_a_verified_page_are_verified_with_it() {
    let (cache, _) = cache();
    let env = environment(&cache, &[("page", "{% cache 'k' name='part' %}part{% endcache %}")]);
    let app = App::new(layer(&cache), move |_, _| answer(&[("content-type", "text/html")], render(&env, "page")));
    for _ in 0..2 {
        app.get("/", &[]).await;
        idle().await;
    }
    let stats = cache.fragment_stats();
    assert!(stats.iter().all(|stats| (stats.verified, stats.differing) == (1, 0)), "{stats:#?}");
}
