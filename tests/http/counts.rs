//! What requests count as, by route.

use axum::http::StatusCode;
use axum::response::Response;
use minijinja_cache::http::CacheLayer;
use minijinja_cache::{FragmentCache, FragmentStats, Happened};

use crate::support::{App, answer, cache, idle, seconds, status};

/// The statistics of pages, which must equal those of the cache.
fn pages(cache: &FragmentCache) -> FragmentStats {
    let (all, total) = (cache.fragment_stats(), cache.stats());
    assert_eq!(all.len(), 1, "{all:#?}");
    let pages = all[0].clone();
    assert_eq!(pages.lookups(), total.hits + total.misses + total.bypasses, "{pages:#?}");
    assert_eq!((pages.hits, pages.stale_hits, pages.joined), (total.hits, total.stale_hits, total.waits));
    assert_eq!((pages.bypasses, pages.renders), (total.bypasses, total.renders), "{pages:#?}");
    assert_eq!(cache.miss_reasons().values().sum::<u64>(), pages.misses + pages.bypasses);
    pages
}

#[tokio::test]
async fn a_stale_page_served_during_a_refresh_is_no_miss() {
    for fails in [false, true] {
        let (cache, clock) = cache();
        let layer = CacheLayer::new(&cache).ttl(seconds(60));
        let layer = layer.stale_while_revalidate(seconds(60)).stale_if_error(seconds(60));
        let app = App::new(layer, move |n, _| match fails && n > 0 {
            true => status(StatusCode::BAD_GATEWAY),
            false => answer(&[], "page"),
        });
        app.get("/", &[]).await;
        clock.advance(seconds(61));
        let events = cache.subscribe_to_lookups();
        assert_eq!(app.get("/", &[]).await.text(), "page");
        idle().await;
        assert_eq!(app.handler_calls(), 2);
        let it = pages(&cache);
        assert_eq!((it.misses, it.stale_hits, it.hits), (1, 1, 0), "{it:#?}");
        assert_eq!((it.renders, it.errors), if fails { (1, 1) } else { (2, 0) });
        let told: Vec<Happened> = std::iter::from_fn(|| events.try_next()).map(|event| event.what).collect();
        let lookups = told.iter().filter(|what| matches!(what, Happened::LookedUp { .. })).count();
        assert_eq!(lookups, 1, "{told:#?}");
    }
}

#[tokio::test]
async fn a_stale_page_served_instead_of_an_error_is_no_miss_and_the_error_counts() {
    let (cache, clock) = cache();
    let layer = CacheLayer::new(&cache).ttl(seconds(60)).stale_if_error(seconds(60));
    let app = App::new(layer, |n, _| if n == 0 { answer(&[], "page") } else { status(StatusCode::BAD_GATEWAY) });
    app.get("/", &[]).await;
    clock.advance(seconds(61));
    for _ in 0..3 {
        assert_eq!(app.get("/", &[]).await.text(), "page");
    }
    let it = pages(&cache);
    assert_eq!((it.misses, it.stale_hits, it.renders, it.errors), (1, 3, 1, 1), "{it:#?}");
}

#[tokio::test]
async fn a_variant_is_counted_and_explained_once() {
    let (cache, _) = cache();
    let app = App::new(CacheLayer::new(&cache).ttl(seconds(60)), |n, _| {
        answer(&[("vary", if n < 3 { "foo" } else { "bar" })], "0123456789")
    });
    let (_, explained) = cache.explain_async(app.get("/", &[])).await;
    assert_eq!(explained.fragments.len(), 1);
    assert!(explained.fragments[0].bytes >= 10 && explained.fragments[0].rejected.is_none(), "{explained:#?}");
    let it = pages(&cache);
    assert_eq!((it.misses, it.renders), (1, 1), "{it:#?}");
    app.get("/", &[("foo", "1")]).await;
    app.get("/", &[("foo", "1")]).await;
    let it = pages(&cache);
    assert_eq!((it.misses, it.renders, it.hits), (2, 2, 1), "{it:#?}");
    // From here on it varies by something else as well.
    app.get("/", &[("foo", "2")]).await;
    app.get("/", &[("foo", "3")]).await;
    let it = pages(&cache);
    assert_eq!((it.misses, it.renders, it.rejected), (4, 4, 0), "{it:#?}");
}

#[tokio::test]
async fn a_reload_is_a_miss_and_no_hit() {
    for vary in ["", "foo"] {
        let (cache, _) = cache();
        let layer = CacheLayer::new(&cache).ttl(seconds(60)).stale_while_revalidate(seconds(60)).honor_reload(true);
        let app = App::new(layer, move |n, _| answer(&[("vary", vary)], n.to_string()));
        app.get("/", &[]).await;
        let reloaded = app.get("/", &[("cache-control", "no-cache")]).await;
        assert_eq!(reloaded.text(), "1");
        assert_eq!(reloaded.header("cache-status").as_deref(), Some("minijinja-cache; fwd=request; stored"));
        let it = pages(&cache);
        assert_eq!((it.hits, it.misses, it.renders), (0, 2, 2), "{vary:?} {it:#?}");
        assert_eq!(cache.miss_reasons().get("refused"), Some(&1), "{vary:?}");
        assert_eq!(app.get("/", &[]).await.text(), "1");
    }
}

#[tokio::test]
async fn concurrent_reloads_count_once_each_and_do_not_queue() {
    let (cache, _) = cache();
    let layer = CacheLayer::new(&cache).ttl(seconds(60)).stale_while_revalidate(seconds(60)).honor_reload(true);
    let app = App::slow(layer, |n, _| answer(&[], n.to_string()));
    app.get("/", &[]).await;
    let crowd = crate::support::crowd(&app, 8, &[("cache-control", "no-cache")]);
    for reply in crate::support::replies(crowd).await {
        assert_ne!(reply.text(), "0");
    }
    let it = pages(&cache);
    assert_eq!((it.lookups(), it.misses, it.renders, it.stale_hits), (9, 9, 9, 0), "{it:#?}");
}

#[tokio::test]
async fn a_page_that_is_not_stored_counts_as_computed() {
    type Case = (fn() -> Response, [u64; 4]);
    let cases: [Case; 3] = [
        (|| answer(&[("cache-control", "no-store")], "private"), [1, 1, 0, 1]),
        (|| status(StatusCode::BAD_GATEWAY), [1, 0, 1, 0]),
        (|| answer(&[], "x".repeat(100)), [1, 1, 0, 1]),
    ];
    for (respond, expected) in cases {
        let (cache, _) = cache();
        let layer = CacheLayer::new(&cache).ttl(seconds(60)).max_body_bytes(50);
        App::new(layer, move |_, _| respond()).get("/", &[]).await;
        let it = pages(&cache);
        assert_eq!([it.misses, it.renders, it.errors, it.rejected], expected, "{it:#?}");
    }
}

#[tokio::test]
async fn a_bypass_has_a_reason() {
    let (one, _) = cache();
    let page = |cache: &FragmentCache| App::new(CacheLayer::new(cache).ttl(seconds(60)), |_, _| answer(&[], "page"));
    page(&one).get("/", &[("authorization", "Basic YTpi")]).await;
    let it = pages(&one);
    assert_eq!((it.bypasses, it.misses), (1, 0), "{it:#?}");
    let off = FragmentCache::builder().enabled(false).build().unwrap();
    page(&off).get("/", &[]).await;
    assert_eq!(off.miss_reasons(), [("bypass-off", 1)].into());
    pages(&off);
}
