//! What compresses, outside of the layers and inside.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::body::to_bytes;
use axum::http::{HeaderValue, Method, StatusCode};
use axum::response::Html;
use axum::routing::get;
use minijinja_cache::FragmentCache;
use minijinja_cache::http::{CacheLayer, ConditionalLayer, HoleRequest};
use tower_http::compression::CompressionLayer;

use crate::support::{App, cache, environment, render, seconds};

const GZIP: (&str, &str) = ("accept-encoding", "gzip");

/// A page long enough to be compressed, and the number of its renders.
fn pages() -> (Router, Arc<AtomicUsize>) {
    let made = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&made);
    let handler = async move || {
        counted.fetch_add(1, Ordering::SeqCst);
        Html("text ".repeat(200))
    };
    (Router::new().route("/", get(handler)), made)
}

fn stored(cache: &FragmentCache) -> CacheLayer {
    CacheLayer::new(cache).ttl(seconds(60))
}

/// Encoding, entity tag and length of an answer.
async fn content(app: &App, headers: &[(&str, &str)]) -> (Option<String>, String, usize) {
    let response = app.response(Method::GET, "/", headers).await;
    let text = |name| response.headers().get(name).map(|value: &HeaderValue| value.to_str().unwrap().to_owned());
    let (encoding, tag) = (text("content-encoding"), text("etag").unwrap());
    (encoding, tag, to_bytes(response.into_body(), usize::MAX).await.unwrap().len())
}

#[tokio::test]
async fn compression_outside_of_the_layer_shares_a_weak_tag() {
    let (cache, _) = cache();
    let (router, made) = pages();
    for app in [
        App::of(router.clone().layer(ConditionalLayer::new()).layer(CompressionLayer::new()), Arc::default()),
        App::of(router.layer(stored(&cache)).layer(CompressionLayer::new()), Arc::default()),
    ] {
        let (plain, compressed) = (content(&app, &[]).await, content(&app, &[GZIP]).await);
        assert_eq!((plain.0, plain.2), (None, 1000));
        assert!(compressed.0.as_deref() == Some("gzip") && compressed.2 < 200);
        assert!(plain.1 == compressed.1 && plain.1.starts_with("W/\""), "{}", plain.1);
        let known = app.get("/", &[GZIP, ("if-none-match", &plain.1)]).await;
        assert_eq!(known.status, StatusCode::NOT_MODIFIED);
    }
    assert_eq!(made.load(Ordering::SeqCst), 4, "three for the layer without a store, and one for that with one");
}

#[tokio::test]
async fn compression_inside_of_the_layer_stores_each_encoding_with_its_own_tag() {
    let (cache, _) = cache();
    let (router, made) = pages();
    let app = App::of(router.layer(CompressionLayer::new()).layer(stored(&cache)), Arc::default());
    for _ in 0..2 {
        let (plain, compressed) = (content(&app, &[]).await, content(&app, &[GZIP]).await);
        assert_eq!((plain.0, plain.2), (None, 1000));
        assert!(compressed.0.as_deref() == Some("gzip") && compressed.2 < 200);
        assert_ne!(plain.1, compressed.1);
    }
    assert_eq!(made.load(Ordering::SeqCst), 2);
    let vary = app.get("/", &[]).await.header("vary").unwrap();
    assert!(vary.contains("accept-encoding"), "{vary}");
}

#[tokio::test]
async fn a_page_with_holes_is_compressed_outside_of_the_layer_only() {
    let (cache, _) = cache();
    let env = environment(&cache, &[("page.html", "{{ cache_hole('who') }}{{ text }}{{ 'text ' * 200 }}")]);
    let router = Router::new().route("/", get(async move || Html(render(&env, "page.html"))));
    let layer = stored(&cache).hole("who", |_: HoleRequest| async { Ok::<_, std::convert::Infallible>("you ") });
    let layers = (CompressionLayer::new(), layer, CompressionLayer::new());
    let app = App::of(router.layer(layers.0).layer(layers.1).layer(layers.2), Arc::default());
    for _ in 0..2 {
        assert!(app.get("/", &[]).await.text().starts_with("you text "));
        assert_eq!(content(&app, &[GZIP]).await.0.as_deref(), Some("gzip"));
    }
}
