//! Bodies that are rendered as they are read belong to the request all the same.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::http::Method;
use axum::routing::get;
use http_body::Frame;
use minijinja_cache::http::{CacheLayer, HoleRequest};
use minijinja_cache::{FragmentCache, Options};

use crate::support::{App, answer, cache, environment, render, seconds};

/// Renders when it is read, and not before.
struct Lazy<F>(Option<F>);

impl<F: FnOnce() -> String + Unpin> http_body::Body for Lazy<F> {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.take().map(|make| Ok(Frame::data(Bytes::from(make())))))
    }
}

fn lazy(make: impl FnOnce() -> String + Send + Unpin + 'static) -> Body {
    Body::new(Lazy(Some(make)))
}

#[tokio::test]
async fn fragments_of_a_streamed_body_belong_to_its_page() {
    let (cache, _) = cache();
    let env =
        environment(&cache, &[("page.html", "{% cache 'k' 7 tags=['t'] %}x{% endcache %}{{ cache_hole('who') }}")]);
    let layer = CacheLayer::new(&cache).ttl(seconds(60)).ignore_other_cookies().hole("who", who);
    let app = App::new(layer, move |_, _| {
        let env = Arc::clone(&env);
        answer(&[], lazy(move || render(&env, "page.html")))
    });
    for (visitor, expected) in [("ada", "xada"), ("bob", "xbob")] {
        let page = app.get("/", &[("cookie", visitor)]).await;
        assert_eq!((page.text(), page.is_hit()), (expected, visitor == "bob"));
        assert_eq!(page.header("cache-control").as_deref(), Some("private, no-cache"));
    }
    let status = app.get("/", &[]).await.header("cache-status");
    assert_eq!(status.as_deref(), Some("minijinja-cache; hit; ttl=7"));
    cache.invalidate_tag("t");
    assert!(!app.get("/", &[]).await.is_hit());
}

async fn who(hole: HoleRequest) -> Result<String, Infallible> {
    Ok(hole.headers().get("cookie").map_or("nobody", |cookie| cookie.to_str().unwrap()).to_owned())
}

#[tokio::test]
async fn a_body_that_is_passed_on_is_polled_inside_of_its_scope() {
    let (cache, _) = cache();
    let film = Arc::new(Mutex::new("old"));
    let (fragments, read) = (cache.clone(), Arc::clone(&film));
    let app = App::new(CacheLayer::new(&cache), move |_, _| {
        let (fragments, film) = (fragments.clone(), *read.lock().unwrap());
        answer(&[], lazy(move || text(&fragments, film)))
    });
    for headers in [&[][..], &[("cookie", "a=b")], &[("range", "bytes=0-")], &[("authorization", "Basic YTpi")]] {
        cache.clear();
        *film.lock().unwrap() = "old";
        let response = app.response(Method::GET, "/", headers).await;
        *film.lock().unwrap() = "new";
        cache.invalidate_tag("films");
        // Its data was read before the invalidation.
        to_bytes(response.into_body(), 1000).await.unwrap();
        assert_eq!(text(&cache, "new"), "new", "{headers:?}");
    }
}

fn text(cache: &FragmentCache, film: &'static str) -> String {
    let text = cache.get_or_set("film", Options::default().tag("films"), || Ok::<_, Infallible>(film));
    text.unwrap().to_string()
}

#[tokio::test]
async fn a_body_that_is_passed_on_has_its_holes() {
    let (cache, _) = cache();
    let env = environment(&cache, &[("page.html", "Hi {{ cache_hole('who') }}")]);
    let app = App::new(CacheLayer::new(&cache).hole("who", who), move |_, _| {
        let env = Arc::clone(&env);
        answer(&[], lazy(move || render(&env, "page.html")))
    });
    for headers in [&[("cookie", "ada")][..], &[("cookie", "ada"), ("range", "bytes=0-")]] {
        let page = app.get("/", headers).await;
        assert_eq!(page.text(), "Hi ada");
        assert_eq!(page.header("cache-control").as_deref(), Some("private, no-cache"));
    }
}

#[tokio::test]
async fn fragments_of_a_streamed_body_count_for_all_enclosing_layers() {
    for layers in [1, 2] {
        let (cache, _) = cache();
        let inner = cache.clone();
        let handler = async move || {
            let shown = move || {
                inner
                    .get_or_set("k", Options::ttl(seconds(100)).tag("t"), || Ok::<_, Infallible>("x"))
                    .unwrap()
                    .to_string()
            };
            answer(&[("cache-control", "public, max-age=600")], lazy(shown))
        };
        let mut router = Router::new().route("/", get(handler));
        for _ in 0..layers {
            router = router.layer(CacheLayer::new(&cache));
        }
        let app = App::of(router, Arc::default());
        app.get("/", &[]).await;
        assert!(app.get("/", &[]).await.is_hit(), "{layers}");
        cache.invalidate_tag("t");
        assert!(!app.get("/", &[]).await.is_hit(), "{layers}");
    }
}
