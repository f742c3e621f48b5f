//! Whole pages in the cache: what is stored, and what is served.

use minijinja_cache::http::CacheLayer;

use crate::support::{App, answer, cache, seconds};

#[tokio::test]
async fn a_page_with_a_lifetime_is_made_once_and_served_for_that_long() {
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
