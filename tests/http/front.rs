//! Headers for browsers and for caches in front: they show no more than this layer does.

use axum::http::StatusCode;
use axum::http::header::AUTHORIZATION;
use minijinja_cache::http::CacheLayer;
use minijinja_cache::{FragmentCache, Options};

use crate::support::{App, answer, cache, seconds, status};

/// With both windows and a lifetime for browsers.
fn windowed(cache: &FragmentCache, browser: u64) -> CacheLayer {
    let layer = CacheLayer::new(cache).ttl(seconds(60)).browser_ttl(seconds(browser));
    layer.stale_while_revalidate(seconds(30)).stale_if_error(seconds(40))
}

#[tokio::test]
async fn no_window_is_sent_with_a_browser_ttl() {
    for (browser, control) in [(0, "public, max-age=0, s-maxage=60"), (5, "public, max-age=5, s-maxage=60")] {
        let (cache, _) = cache();
        let app = App::new(windowed(&cache, browser), |_, _| answer(&[], "page"));
        for asked in ["made", "stored"] {
            assert_eq!(app.get("/", &[]).await.header("cache-control").as_deref(), Some(control), "{asked}");
        }
    }
}

#[tokio::test]
async fn the_layer_itself_uses_windows_that_it_does_not_send() {
    let (cache, clock) = cache();
    let app = App::new(windowed(&cache, 0), |n, _| match n {
        0 => answer(&[], "page"),
        _ => status(StatusCode::BAD_GATEWAY),
    });
    app.get("/", &[]).await;
    for pause in [89, 10] {
        clock.advance(seconds(pause));
        let shown = app.get("/", &[]).await;
        assert_eq!((shown.text(), shown.status), ("page", StatusCode::OK));
        assert_eq!(shown.header("cache-control").as_deref(), Some("public, max-age=0, s-maxage=60"));
    }
}

#[tokio::test]
async fn a_window_of_the_handler_is_not_sent_with_a_browser_ttl() {
    for said in ["stale-while-revalidate=30", "stale-if-error=30", "public, stale-while-revalidate=30"] {
        let (cache, _) = cache();
        let app = App::new(windowed(&cache, 0), move |_, _| answer(&[("cache-control", said)], "page"));
        let control = app.get("/", &[]).await.header("cache-control");
        assert_eq!(control.as_deref(), Some("public, max-age=0, s-maxage=60"), "{said}");
    }
}

#[tokio::test]
async fn a_page_for_one_visitor_has_no_window_with_a_browser_ttl() {
    for (browser, control) in [(0, "private, no-cache"), (5, "private, max-age=5")] {
        let (cache, _) = cache();
        let layer = windowed(&cache, browser).session_cookie("sid");
        let app = App::new(layer, |_, _| answer(&[("cache-control", "stale-while-revalidate=30")], "page"));
        let page = app.get("/", &[("cookie", "sid=1")]).await;
        assert_eq!(page.header("cache-control").as_deref(), Some(control));
    }
}

#[tokio::test]
async fn neither_another_status_nor_a_fragment_adds_a_window() {
    let (cache, _) = cache();
    let fragments = cache.clone();
    let layer = windowed(&cache, 0).status(StatusCode::NOT_FOUND, seconds(20));
    let app = App::new(layer, move |_, request| {
        let options = Options::ttl(seconds(10)).stale(seconds(3600));
        let text = fragments.get_or_set("f", options, || Ok::<_, std::convert::Infallible>("x")).unwrap();
        match request.uri().path() {
            "/gone" => status(StatusCode::NOT_FOUND),
            _ => answer(&[], text.to_string()),
        }
    });
    for (path, control) in [("/", "public, max-age=0, s-maxage=10"), ("/gone", "public, max-age=0, s-maxage=10")] {
        assert_eq!(app.get(path, &[]).await.header("cache-control").as_deref(), Some(control), "{path}");
    }
}

#[tokio::test]
async fn without_a_browser_ttl_the_windows_are_sent() {
    let (cache, _) = cache();
    let layer = CacheLayer::new(&cache).ttl(seconds(60)).stale_while_revalidate(seconds(30));
    let app = App::new(layer, |_, _| answer(&[], "page"));
    let control = app.get("/", &[]).await.header("cache-control");
    assert_eq!(control.as_deref(), Some("public, max-age=60, stale-while-revalidate=30"));
}

/// Who a page is for, in the words of its request.
fn named(layer: CacheLayer, said: &'static [(&'static str, &'static str)]) -> App {
    App::new(layer, move |_, request| {
        let whose = request.headers().get("authorization").map_or("everybody's", |_| "hers");
        answer(said, whose)
    })
}

#[tokio::test]
async fn vary_names_authorization_for_downstream_caches() {
    let ways: [fn(CacheLayer) -> CacheLayer; 6] = [
        |layer| layer,
        CacheLayer::ignore_other_cookies,
        |layer| layer.ignore_cookies(["theme"]),
        |layer| layer.ignore_other_cookies().key_cookies(["lang"]),
        |layer| layer.ignore_other_cookies().session_cookie("sid"),
        |layer| layer.ignore_other_cookies().vary("accept-language".parse().unwrap()),
    ];
    const SAID: [&[(&str, &str)]; 3] =
        [&[], &[("cache-control", "max-age=60")], &[("cache-control", "max-age=60"), ("vary", "foo")]];
    for (way, layer) in ways.into_iter().enumerate() {
        for said in SAID {
            let (cache, _) = cache();
            let app = named(layer(CacheLayer::new(&cache).ttl(seconds(60))), said);
            for _ in 0..2 {
                let page = app.get("/", &[]).await;
                assert_eq!(page.text(), "everybody's");
                let vary = page.header("vary").unwrap_or_default();
                assert!(vary.split(", ").any(|name| name == "authorization"), "way {way}, {said:?}: {vary:?}");
            }
            assert_eq!(app.get("/", &[("authorization", "Basic YTpi")]).await.text(), "hers", "way {way}, {said:?}");
        }
    }
}

#[tokio::test]
async fn vary_of_a_page_that_ignores_cookies_is_authorization_alone() {
    let (cache, _) = cache();
    let app = named(CacheLayer::new(&cache).ttl(seconds(60)).ignore_other_cookies(), &[]);
    assert_eq!(app.get("/", &[]).await.header("vary").as_deref(), Some("authorization"));
    let keyed = named(CacheLayer::new(&cache).ttl(seconds(60)).ignore_other_cookies().vary(AUTHORIZATION), &[]);
    assert_eq!(keyed.get("/keyed", &[]).await.header("vary").as_deref(), Some("authorization"));
}
