//! Pages with holes, which are filled for each visitor.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::extract::{Path, Request};
use axum::http::{Method, StatusCode};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use minijinja::{Environment, context};
use minijinja_cache::FragmentCache;
use minijinja_cache::http::{CacheLayer, HoleRequest};

use crate::support::{App, answer, cache, environment, render, seconds};

const PAGES: &[(&str, &str)] = &[
    ("page.html", "<p>{{ cache_hole('who') }}</p>{{ text }}<p>{{ cache_hole('who', 7, 'x<y') }}</p>"),
    ("twice.html", "{% set hole %}{{ cache_hole('who') }}{% endset %}{{ hole }}|{{ hole }}"),
    ("inside.html", "{% cache 'k' 60 %}{{ cache_hole('who') }}{% endcache %}"),
    ("unknown.html", "a{{ cache_hole('nobody') }}b"),
    ("bad.html", "{{ cache_hole('who', [1]) }}"),
    ("skip.html", "{{ cache_skip() }}{{ cache_hole('who') }}"),
];

async fn who(hole: HoleRequest) -> Result<String, std::io::Error> {
    let cookie = hole.headers().get("cookie").map_or("nobody", |cookie| cookie.to_str().unwrap());
    if cookie == "fail" {
        return Err(std::io::Error::other("no such visitor"));
    }
    let arguments: Vec<&str> = (0..2).filter_map(|at| hole.argument(at)).collect();
    Ok(format!("{cookie}{arguments:?}"))
}

fn app(cache: &FragmentCache, layer: CacheLayer) -> App {
    let mut env = Environment::new();
    cache.add_to_environment(&mut env);
    for (name, source) in PAGES {
        cache.add_template(&mut env, name, source).unwrap();
    }
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&asked);
    let handler = async move |Path(name): Path<String>, request: Request| -> Response {
        counted.fetch_add(1, Ordering::SeqCst);
        assert!(!request.headers().contains_key("cookie"), "a page for all is made without cookies");
        let text = "<!--hole 0000 0-->";
        match env.get_template(&name).unwrap().render(context! { text }) {
            Ok(page) => Html(page).into_response(),
            Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error:#}")).into_response(),
        }
    };
    App::of(Router::new().route("/{name}", get(handler)).layer(layer), asked)
}

fn layer(cache: &FragmentCache) -> CacheLayer {
    CacheLayer::new(cache).ttl(seconds(60)).ignore_other_cookies().hole("who", who)
}

#[tokio::test]
async fn a_page_is_generated_once_and_its_holes_are_filled_for_each_visitor() {
    let (cache, _) = cache();
    let app = app(&cache, layer(&cache));
    for visitor in ["ada", "bob", "ada"] {
        let page = app.get("/page.html", &[("cookie", visitor)]).await;
        let expected = format!("<p>{visitor}[]</p>&lt;!--hole 0000 0--&gt;<p>{visitor}[\"7\", \"x<y\"]</p>");
        assert_eq!(page.text(), expected);
        assert_eq!(page.header("cache-control").as_deref(), Some("private, no-cache"));
        assert_eq!(page.header("content-type").as_deref(), Some("text/html; charset=utf-8"));
        assert!(page.header("content-length").is_none_or(|length| length == expected.len().to_string()));
    }
    assert_eq!(app.handler_calls(), 1);
}

#[tokio::test]
async fn the_entity_tag_is_computed_from_the_filled_page() {
    let (cache, _) = cache();
    let app = app(&cache, layer(&cache));
    let tag = async |visitor| app.get("/page.html", &[("cookie", visitor)]).await.header("etag").unwrap();
    let (ada, bob) = (tag("ada").await, tag("bob").await);
    assert_ne!(ada, bob);
    assert_eq!(tag("ada").await, ada);
    let known = app.get("/page.html", &[("cookie", "ada"), ("if-none-match", &ada)]).await;
    assert_eq!((known.status, known.text()), (StatusCode::NOT_MODIFIED, ""));
    let others = app.get("/page.html", &[("cookie", "bob"), ("if-none-match", &ada)]).await;
    assert_eq!(others.status, StatusCode::OK);
    assert!(others.text().contains("bob"));
}

#[tokio::test]
async fn head_of_a_page_with_holes_has_the_length_of_the_filled_page() {
    let (cache, _) = cache();
    let app = app(&cache, layer(&cache));
    let page = app.get("/page.html", &[("cookie", "ada lovelace")]).await;
    let head = app.send(Method::HEAD, "/page.html", &[("cookie", "ada lovelace")]).await;
    assert_eq!((head.status, head.text()), (StatusCode::OK, ""));
    assert_eq!(head.header("content-length"), Some(page.text().len().to_string()));
    assert_eq!(head.header("etag"), page.header("etag"));
}

#[tokio::test]
async fn a_hole_that_is_printed_twice_is_filled_twice() {
    let (cache, _) = cache();
    let app = app(&cache, layer(&cache));
    for _ in 0..2 {
        assert_eq!(app.get("/twice.html", &[("cookie", "ada")]).await.text(), "ada[]|ada[]");
    }
}

#[tokio::test]
async fn a_hole_that_cannot_be_filled_stays_empty_and_is_reported() {
    let (cache, _) = cache();
    let app = app(&cache, layer(&cache));
    assert_eq!(app.get("/twice.html", &[("cookie", "fail")]).await.text(), "|");
    assert_eq!(app.get("/unknown.html", &[]).await.text(), "ab");
    assert_eq!(cache.stats().errors, 3);
    assert_eq!(app.get("/twice.html", &[("cookie", "ada")]).await.text(), "ada[]|ada[]");
}

#[tokio::test]
async fn holes_of_a_page_that_is_not_stored_are_filled_too() {
    let (cache, _) = cache();
    let undeclared = CacheLayer::new(&cache).ignore_other_cookies().hole("who", who);
    for (path, layer) in [("/page.html", undeclared), ("/skip.html", layer(&cache))] {
        let app = app(&cache, layer);
        for n in 1..=2 {
            let page = app.get(path, &[("cookie", "ada")]).await;
            assert!(page.text().contains("ada[]") && !page.text().contains("<!--hole "), "{}", page.text());
            assert_eq!(app.handler_calls(), n);
        }
    }
}

#[tokio::test]
async fn a_hole_in_a_fragment_or_without_a_layer_is_a_template_error() {
    let (cache, _) = cache();
    let app = app(&cache, layer(&cache));
    let refused = app.get("/inside.html", &[]).await;
    assert_eq!(refused.status, 500);
    assert!(refused.text().contains("cannot stand inside a cached fragment"), "{}", refused.text());
    assert!(app.get("/bad.html", &[]).await.text().contains("takes strings, numbers and booleans"));

    let mut env = Environment::new();
    cache.add_to_environment(&mut env);
    cache.add_template(&mut env, "page.html", "{{ cache_hole('who') }}").unwrap();
    let render = || env.get_template("page.html").unwrap().render(context! {});
    for result in [render(), cache.scope().run(render)] {
        assert!(result.unwrap_err().to_string().contains("no http::CacheLayer with holes"));
    }
}

const GREETING: &[(&str, &str)] = &[
    ("greeting.html", "Hi {{ cache_hole('who') }}!"),
    ("never.html", "{% cache 'k' %}{{ cache_skip() }}{% endcache %}Hi {{ cache_hole('who') }}!"),
];

/// A template that greets its visitor with these headers, for any method.
fn greets(cache: &FragmentCache, layer: CacheLayer, headers: &'static [(&'static str, &'static str)]) -> App {
    let env = environment(cache, GREETING);
    App::new(layer, move |_, _| answer(headers, render(&env, "greeting.html")))
}

async fn visitor(hole: HoleRequest) -> Result<String, std::io::Error> {
    Ok(hole.headers().get("cookie").map_or("nobody", |cookie| cookie.to_str().unwrap()).to_owned())
}

#[tokio::test]
async fn holes_are_filled_with_caching_switched_off_and_for_all_methods() {
    let off = FragmentCache::builder().enabled(false).build().unwrap();
    for cache in [off, cache().0] {
        let app = greets(&cache, CacheLayer::new(&cache).ttl(seconds(60)).hole("who", visitor), &[]);
        for method in ["GET", "POST", "PUT", "OPTIONS", "M-SEARCH"] {
            let method = Method::from_bytes(method.as_bytes()).unwrap();
            let page = app.send(method.clone(), "/", &[("cookie", "ada")]).await;
            assert_eq!(page.text(), "Hi ada!", "{method}");
            assert_eq!(page.header("cache-control").as_deref(), Some("private, no-cache"), "{method}");
        }
    }
}

#[tokio::test]
async fn a_page_with_holes_is_private_and_filled_with_any_cache_control() {
    let ways: [&[(&str, &str)]; 5] = [
        &[],
        &[("cookie", "ada")],
        &[("authorization", "Basic YTpi")],
        &[("range", "bytes=0-")],
        &[("accept-encoding", "gzip")],
    ];
    for (control, code, told) in [
        ("no-store", 200, "private, no-store"),
        ("private, max-age=9", 200, "private, no-cache"),
        ("public, max-age=9", 200, "private, no-cache"),
        ("public, max-age=9", 404, "private, no-cache"),
        ("no-cache", 500, "private, no-cache"),
    ] {
        for headers in ways {
            let (cache, _) = cache();
            let env = environment(&cache, GREETING);
            let app = App::new(CacheLayer::new(&cache).hole("who", visitor), move |_, request| {
                assert!(!request.headers().contains_key("accept-encoding"));
                let mut page = answer(&[("cache-control", control)], render(&env, "greeting.html"));
                *page.status_mut() = StatusCode::from_u16(code).unwrap();
                page
            });
            let expected = if headers.contains(&("cookie", "ada")) { "Hi ada!" } else { "Hi nobody!" };
            for _ in 0..2 {
                let page = app.get("/", headers).await;
                assert_eq!((page.status.as_u16(), page.text()), (code, expected), "{control} {headers:?}");
                assert_eq!(page.header("cache-control").as_deref(), Some(told), "{control} {code} {headers:?}");
            }
        }
    }
}

#[tokio::test]
async fn a_hole_does_not_lift_the_restrictions_of_a_fragment() {
    let (cache, _) = cache();
    let env = environment(&cache, GREETING);
    let layer = CacheLayer::new(&cache).ttl(seconds(60)).hole("who", visitor);
    let app = App::new(layer, move |_, _| answer(&[], render(&env, "never.html")));
    for _ in 0..2 {
        let page = app.get("/", &[]).await;
        assert_eq!(page.text(), "Hi nobody!");
        assert_eq!(page.header("cache-control").as_deref(), Some("private, no-store"));
        assert_eq!((page.header("etag"), page.is_hit()), (None, false));
    }
}

#[tokio::test]
async fn a_page_whose_holes_cannot_be_found_is_reported_and_not_stored() {
    let (cache, _) = cache();
    let env = environment(&cache, GREETING);
    let layer = CacheLayer::new(&cache).ttl(seconds(60)).hole("who", visitor);
    // As something that compresses would.
    let app = App::new(layer, move |_, _| {
        answer(&[("content-encoding", "x-turned")], render(&env, "greeting.html").chars().rev().collect::<String>())
    });
    for n in 1..=2 {
        let page = app.get("/", &[]).await;
        assert_eq!(page.header("cache-control").as_deref(), Some("private, no-store"));
        assert_eq!((cache.stats().errors, cache.stats().stores), (n, 0));
    }
}

#[tokio::test]
async fn a_page_with_holes_that_is_too_large_is_reported_and_not_stored() {
    let (cache, _) = cache();
    let layer = CacheLayer::new(&cache).ttl(seconds(60)).max_body_bytes(3).hole("who", visitor);
    let page = greets(&cache, layer, &[("etag", "\"all\"")]).get("/", &[]).await;
    assert_eq!(page.header("cache-control").as_deref(), Some("private, no-store"));
    assert_eq!((cache.stats().errors, cache.stats().stores), (1, 0));
}

#[tokio::test]
async fn a_hole_that_panics_or_never_ends_stays_empty() {
    let cache = FragmentCache::builder().wait_timeout(std::time::Duration::from_millis(20)).build().unwrap();
    let layer = || CacheLayer::new(&cache).ttl(seconds(60));
    let panics = layer().hole("who", |_| async {
        assert!(std::hint::black_box(false), "nobody there");
        Ok::<_, std::io::Error>("")
    });
    let hangs = layer().hole("who", |_| std::future::pending::<Result<String, std::io::Error>>());
    for (n, layer) in [panics, hangs].into_iter().enumerate() {
        let app = greets(&cache, layer, &[]);
        let page = tokio::time::timeout(seconds(20), app.get("/", &[])).await;
        assert_eq!(page.expect("the page waits for its hole").text(), "Hi !");
        assert_eq!(cache.stats().errors, n as u64 + 1);
    }
}

#[tokio::test]
async fn text_of_visitors_is_never_a_hole() {
    let (cache, _) = cache();
    let env = environment(&cache, &[("page.html", "{{ cache_hole('who') }}|{{ query }}")]);
    let layer = CacheLayer::new(&cache).ttl(seconds(60)).ignore_other_cookies();
    let app = App::new(layer.hole("who", visitor), move |_, request| {
        let query = minijinja::Value::from_safe_string(request.uri().query().unwrap().to_owned());
        answer(&[], env.get_template("page.html").unwrap().render(context! { query }).unwrap())
    });
    for mark in ["%3C!--hole", "!--hole-0--", "--hole-0000-0--"] {
        for who in ["<!--hole 0-->", "<!--hole 0000 0-->"] {
            let page = app.get(&format!("/?{mark}"), &[("cookie", who)]).await;
            assert_eq!(page.text(), format!("{who}|{mark}"));
        }
    }
}

#[tokio::test]
async fn targeted_headers_do_not_make_a_page_with_holes_public() {
    const HEADERS: &[(&str, &str)] = &[
        ("cache-control", "public, max-age=60"),
        ("cdn-cache-control", "max-age=600"),
        ("surrogate-control", "max-age=600"),
    ];
    for (name, limit) in [("filled", 1 << 20), ("left open", 3)] {
        for headers in [&[][..], &[("range", "bytes=0-")], &[("cookie", "ada")]] {
            let (cache, _) = cache();
            let layer = CacheLayer::new(&cache).max_body_bytes(limit).hole("who", visitor);
            let app = greets(&cache, layer, HEADERS);
            for _ in 0..2 {
                let page = app.get("/", headers).await;
                for (targeted, value) in &HEADERS[1..] {
                    assert_ne!(page.header(targeted).as_deref(), Some(*value), "{name} {headers:?}: {targeted}");
                }
            }
        }
    }
}
