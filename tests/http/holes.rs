//! Pages with parts that are made for each visitor.

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

use crate::support::{App, cache, seconds};

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
        cache.add_template(&mut env, *name, *source).unwrap();
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
async fn a_page_is_made_once_and_its_holes_for_each_visitor() {
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
    assert_eq!(app.asked(), 1);
}

#[tokio::test]
async fn the_entity_tag_is_of_what_the_visitor_gets() {
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
async fn a_head_of_a_page_with_holes_tells_the_visitors_length() {
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
            assert_eq!(app.asked(), n);
        }
    }
}

#[tokio::test]
async fn a_hole_inside_a_fragment_or_without_anybody_to_fill_it_is_refused_in_words() {
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
