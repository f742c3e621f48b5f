//! Layers inside of layers.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::extract::Request;
use axum::http::HeaderName;
use axum::response::Response;
use axum::routing::get;
use minijinja_cache::http::{CacheLayer, ConditionalLayer, HoleRequest};
use minijinja_cache::{FragmentCache, Options};
use tower_layer::Layer;

use crate::support::{App, answer, cache, environment, render, seconds};

const FOO: HeaderName = HeaderName::from_static("foo");

/// Pages that count, in two layers, the outer of which tells more of them apart.
fn twice(outer: CacheLayer, inner: CacheLayer) -> App {
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&asked);
    let handler = async move || counted.fetch_add(1, Ordering::SeqCst).to_string();
    App::of(Router::new().fallback(handler).layer(inner).layer(outer), asked)
}

#[tokio::test]
async fn a_page_of_an_inner_layer_adds_its_tags_to_the_outer_page() {
    let (cache, _) = cache();
    for by in ["tag", "path"] {
        let inner = CacheLayer::new(&cache.namespace(by)).ttl(seconds(60)).tag("films");
        let app = twice(CacheLayer::new(&cache.namespace(by)).vary(FOO), inner);
        // Both miss, then only the outer one.
        assert_eq!(app.get("/", &[("foo", "a")]).await.text(), "0");
        assert_eq!(app.get("/", &[("foo", "b")]).await.text(), "0");
        match by {
            "tag" => drop(cache.namespace(by).invalidate_tag("films")),
            _ => drop(cache.namespace(by).invalidate_page("/")),
        }
        for foo in ["a", "b"] {
            assert_eq!(app.get("/", &[("foo", foo)]).await.text(), "1", "{by}");
        }
    }
}

#[tokio::test]
async fn an_outer_page_lives_no_longer_than_the_inner_one() {
    let (cache, clock) = cache();
    let app = twice(CacheLayer::new(&cache).vary(FOO), CacheLayer::new(&cache).ttl(seconds(60)));
    app.get("/", &[("foo", "a")]).await;
    clock.advance(seconds(40));
    app.get("/", &[("foo", "b")]).await;
    clock.advance(seconds(19));
    for foo in ["a", "b"] {
        let page = app.get("/", &[("foo", foo)]).await;
        assert_eq!((page.text(), page.header("age").as_deref()), ("0", Some("59")));
    }
    clock.advance(seconds(1));
    for foo in ["b", "a"] {
        assert_eq!(app.get("/", &[("foo", foo)]).await.text(), "1");
    }
}

#[tokio::test]
async fn an_inner_layer_does_not_store_a_hole_of_an_outer_layer() {
    for ttl in [None, Some(seconds(60))] {
        let (cache, _) = cache();
        let env = environment(&cache, &[("page.html", "Hi {{ cache_hole('who') }}!")]);
        let layer = CacheLayer::new(&cache);
        let who =
            |hole: HoleRequest| async move { Ok::<_, Infallible>(hole.headers()["foo"].to_str().unwrap().to_owned()) };
        let app = |inner: CacheLayer| {
            let (env, outer) = (Arc::clone(&env), layer.clone().ttl(seconds(60)).vary(FOO).hole("who", who));
            let handler = async move || render(&env, "page.html");
            App::of(Router::new().fallback(handler).layer(inner).layer(outer), Arc::default())
        };
        let inner = ttl.map_or(layer.clone(), |ttl| layer.clone().ttl(ttl));
        let page = app(inner.clone()).get("/refused", &[("foo", "ada")]).await;
        assert!(page.text().contains("a CacheLayer without holes would store it"), "{page:?}");
        let filled = app(inner.vary(FOO).hole("who", who));
        for foo in ["ada", "bob", "ada"] {
            assert_eq!(filled.get("/", &[("foo", foo)]).await.text(), format!("Hi {foo}!"));
        }
    }
}

#[tokio::test]
async fn a_page_with_a_fragment_of_another_cache_is_not_stored() {
    let (cache, _) = cache();
    let (other, _) = crate::support::cache();
    let fragment = async move || {
        let text = async { Ok::<_, Infallible>("x") };
        other.get_or_set_async("k", Options::default(), text).await.unwrap().to_string()
    };
    let layer = CacheLayer::new(&cache).ttl(seconds(60));
    let app = App::of(Router::new().route("/", get(fragment)).layer(layer), Arc::default());
    for _ in 0..2 {
        let page = app.get("/", &[]).await;
        assert_eq!(page.header("cache-control").as_deref(), Some("private, no-store"));
        assert!(!page.is_hit());
    }
}

#[tokio::test]
async fn cache_layer_and_conditional_layer_work_inside_of_each_other() {
    fn page(cache: &FragmentCache, validated_inside: bool) -> App {
        let handler = |_: Request| async { Ok::<Response, Infallible>(answer(&[], "page")) };
        let stored = CacheLayer::new(cache).ttl(seconds(60));
        let router = Router::new();
        App::of(
            match validated_inside {
                true => {
                    router.route_service("/", stored.layer(ConditionalLayer::new().layer(tower::service_fn(handler))))
                }
                false => {
                    router.route_service("/", ConditionalLayer::new().layer(stored.layer(tower::service_fn(handler))))
                }
            },
            Arc::default(),
        )
    }
    for validated_inside in [true, false] {
        let app = page(&cache().0, validated_inside);
        let tag = app.get("/", &[]).await.header("etag").unwrap();
        let page = app.get("/", &[]).await;
        assert_eq!((page.text(), page.is_hit(), page.header("etag")), ("page", true, Some(tag.clone())));
        assert_eq!(app.get("/", &[("if-none-match", &tag)]).await.status, 304);
    }
}
