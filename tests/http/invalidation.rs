//! Pages that are no longer valid.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::http::{Method, StatusCode};
use axum::routing::{MethodRouter, get};
use minijinja_cache::http::CacheLayer;
use minijinja_cache::{FragmentCache, Invalidated, LocalStore};

use crate::support::{App, answer, cache, seconds, status};

fn app(cache: &FragmentCache) -> App {
    App::new(CacheLayer::new(cache).ttl(seconds(60)), |n, request| {
        let said = |name: &str| request.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
        if let Some(code) = said("x-status") {
            return status(StatusCode::from_u16(code.parse().unwrap()).unwrap());
        }
        let mut response = answer(&[], n.to_string());
        for name in ["location", "content-location"] {
            if let Some(value) = said(name) {
                response.headers_mut().insert(name, value.parse().unwrap());
            }
        }
        response
    })
}

async fn stored(app: &App, paths: &[&str]) {
    for path in paths {
        app.get(path, &[]).await;
        assert!(app.get(path, &[]).await.is_hit(), "{path}");
    }
}

#[tokio::test]
async fn a_successful_unsafe_request_invalidates_the_pages_of_its_path() {
    let (cache, _) = cache();
    let app = app(&cache);
    for method in ["POST", "PUT", "PATCH", "DELETE", "M-SEARCH"] {
        stored(&app, &["/a", "/a?page=2", "/b"]).await;
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let reply = app.send(method.clone(), "/a", &[]).await;
        assert_eq!(reply.header("cache-status").as_deref(), Some("minijinja-cache; fwd=method"));
        assert!(!app.get("/a", &[]).await.is_hit(), "{method}");
        assert!(!app.get("/a?page=2", &[]).await.is_hit(), "{method}");
        assert!(app.get("/b", &[]).await.is_hit(), "{method}");
    }
}

#[tokio::test]
async fn a_failed_or_safe_request_invalidates_nothing() {
    let (cache, _) = cache();
    let app = app(&cache);
    stored(&app, &["/a"]).await;
    for code in ["400", "404", "500", "503"] {
        app.send(Method::POST, "/a", &[("x-status", code)]).await;
        assert!(app.get("/a", &[]).await.is_hit(), "{code}");
    }
    for method in [Method::OPTIONS, Method::TRACE, Method::HEAD] {
        app.send(method.clone(), "/a", &[]).await;
        assert!(app.get("/a", &[]).await.is_hit(), "{method}");
    }
    app.send(Method::POST, "/a", &[("x-status", "303")]).await;
    assert!(!app.get("/a", &[]).await.is_hit(), "a redirect after a change is a success");
}

#[tokio::test]
async fn location_and_content_location_invalidate_on_the_same_host_only() {
    let (cache, _) = cache();
    let app = app(&cache);
    for name in ["location", "content-location"] {
        for (reference, path) in [
            ("/films/7", "/films/7"),
            ("/films/7?x=1#top", "/films/7"),
            ("http://example.org/films/7", "/films/7"),
            ("HTTP://EXAMPLE.org/films/7", "/films/7"),
            ("//example.org/films/7", "/films/7"),
            ("7", "/films/7"),
            ("./7", "/films/7"),
            ("../films/7", "/films/7"),
            ("", "/films/edit"),
        ] {
            stored(&app, &[path]).await;
            app.send(Method::POST, "/films/edit", &[(name, reference)]).await;
            assert!(!app.get(path, &[]).await.is_hit(), "{name}: {reference}");
        }
        for reference in ["http://evil.example/films/7", "//evil.example/films/7", "mailto:films/7", "/films/70"] {
            stored(&app, &["/films/7"]).await;
            app.send(Method::POST, "/films/edit", &[(name, reference)]).await;
            assert!(app.get("/films/7", &[]).await.is_hit(), "{name}: {reference}");
        }
    }
}

#[tokio::test]
async fn a_page_is_invalidated_by_path_by_host_and_by_clear() {
    let (cache, _) = cache();
    let pages = cache.namespace("pages");
    let app = app(&pages);
    let paths = ["/a", "/a?q=1", "http://other.example/a", "/b"];
    stored(&app, &paths).await;
    pages.invalidate_page("/a");
    for path in &paths[..3] {
        assert!(!app.get(path, &[]).await.is_hit(), "{path}");
    }
    assert!(app.get("/b", &[]).await.is_hit());
    stored(&app, &paths).await;
    pages.invalidate(("other.example", "/a"));
    assert!(!app.get("http://other.example/a", &[]).await.is_hit());
    assert!(app.get("/a", &[]).await.is_hit());
    // In another namespace it is another page.
    cache.invalidate_page("/a");
    assert!(app.get("/a", &[]).await.is_hit());
    pages.clear();
    assert!(!app.get("/a", &[]).await.is_hit());
}

#[tokio::test]
async fn all_variants_of_a_page_are_invalidated_together() {
    let (cache, _) = cache();
    let app = App::new(CacheLayer::new(&cache).ttl(seconds(60)), |n, _| answer(&[("vary", "foo")], n.to_string()));
    for foo in ["1", "2"] {
        app.get("/", &[("foo", foo)]).await;
    }
    cache.invalidate_page("/");
    for foo in ["1", "2"] {
        assert!(!app.get("/", &[("foo", foo)]).await.is_hit());
        assert!(app.get("/", &[("foo", foo)]).await.is_hit());
    }
}

#[test]
fn on_invalidate_is_called_for_pages() {
    let told = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&told);
    let cache = FragmentCache::builder()
        .on_invalidate(move |what| {
            log.lock().unwrap().push(format!("{what:?}"));
            assert_ne!(what, Invalidated::Everything, "a panic in here is counted and harms nobody");
        })
        .build()
        .unwrap();
    let blog = cache.namespace("shop").namespace("blog");
    cache.invalidate_tag("films");
    blog.invalidate_tag("posts");
    blog.invalidate_page("/a");
    blog.clear();
    cache.invalidate_template("page.html");
    cache.invalidate("a key is told to nobody");
    cache.clear();
    let expected = [
        r#"Tag("films")"#,
        r#"Tag("posts")"#,
        r#"Page("/a")"#,
        r#"Namespace("blog")"#,
        r#"Template("page.html")"#,
        "Everything",
    ];
    assert_eq!(*told.lock().unwrap(), expected);
    assert_eq!(cache.stats().errors, 1);
}

#[tokio::test]
async fn pages_and_their_invalidation_are_shared_between_nodes() {
    let store = LocalStore::new();
    let node = || FragmentCache::builder().shared(store.clone()).build().unwrap();
    let (one, two) = (node(), node());
    for cache in [&one, &two] {
        while !cache.shared_status().unwrap().in_touch {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
    }
    let apps = [&one, &two].map(|cache| {
        App::new(CacheLayer::new(cache).ttl(seconds(60)).tag("t"), |n, request| {
            let vary = if request.uri().path() == "/varied" { "foo" } else { "cookie" };
            answer(&[("vary", vary), ("content-type", "application/json")], format!("{n}"))
        })
    });
    for path in ["/", "/varied"] {
        let made = apps[0].get(path, &[("foo", "1")]).await;
        assert!(one.flush(seconds(5)));
        let shown = apps[1].get(path, &[("foo", "1")]).await;
        assert!(shown.is_hit(), "{path}: {shown:?}");
        assert_eq!((shown.text(), shown.header("etag")), (made.text(), made.header("etag")));
        assert_eq!(shown.header("content-type").as_deref(), Some("application/json"));
    }
    assert_eq!(apps[1].handler_calls(), 0);
    one.invalidate_tag("t").await.unwrap();
    for _ in 0..5000 {
        if !apps[1].get("/", &[]).await.is_hit() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
    assert_eq!(apps[1].handler_calls(), 1);
}

#[tokio::test]
async fn a_page_is_invalidated_by_any_percent_encoding_of_its_path() {
    let (cache, _) = cache();
    let app = app(&cache);
    let spellings = ["/film/7", "/film/%37", "/%66ilm/7"];
    for named in spellings {
        stored(&app, &spellings).await;
        cache.invalidate_page(named);
        for path in spellings {
            assert!(!app.get(path, &[]).await.is_hit(), "{path} by {named}");
        }
    }
    stored(&app, &["/caf%C3%A9", "/film/%zz"]).await;
    cache.invalidate_page("/café");
    cache.invalidate_page("/film/%ZZ");
    assert!(!app.get("/caf%C3%A9", &[]).await.is_hit());
    assert!(app.get("/film/%zz", &[]).await.is_hit(), "that is no byte in percent signs");
}

#[tokio::test]
async fn an_unsafe_request_that_is_cancelled_invalidates() {
    let (cache, _) = cache();
    let saved = Arc::new(AtomicUsize::new(0));
    let (read, write) = (Arc::clone(&saved), Arc::clone(&saved));
    let change = async move || {
        write.fetch_add(1, Ordering::SeqCst);
        std::future::pending::<()>().await;
    };
    let pages = get(async move || read.load(Ordering::SeqCst).to_string()).post(change);
    let layer = CacheLayer::new(&cache).ttl(seconds(60));
    let app = App::of(Router::new().route("/", pages).layer(layer), Arc::clone(&saved));
    assert_eq!(app.get("/", &[]).await.text(), "0");
    let change = tokio::spawn({
        let app = app.clone();
        async move { app.send(Method::POST, "/", &[]).await }
    });
    while app.handler_calls() == 0 {
        tokio::task::yield_now().await;
    }
    change.abort();
    assert!(change.await.unwrap_err().is_cancelled());
    assert_eq!(app.get("/", &[]).await.text(), "1");
}

#[tokio::test]
async fn an_unsafe_request_in_a_nested_router_invalidates_the_whole_path() {
    let (cache, _) = cache();
    let asked = Arc::new(AtomicUsize::new(0));
    let page = {
        let asked = Arc::clone(&asked);
        async move || asked.fetch_add(1, Ordering::SeqCst).to_string()
    };
    let part = |page: MethodRouter| Router::new().route("/x", page).layer(CacheLayer::new(&cache).ttl(seconds(60)));
    let page = get(page).post(|| async { "done" });
    let app = App::of(Router::new().nest("/a", part(page.clone())).nest("/b", part(page)), asked);
    stored(&app, &["/a/x", "/b/x"]).await;
    app.send(Method::POST, "/a/x", &[]).await;
    assert!(app.get("/b/x", &[]).await.is_hit());
    assert!(!app.get("/a/x", &[]).await.is_hit());
    cache.invalidate_page("/b/x");
    assert!(app.get("/a/x", &[]).await.is_hit());
    assert!(!app.get("/b/x", &[]).await.is_hit());
}

#[tokio::test]
async fn invalidation_on_change_can_be_switched_off() {
    let (cache, _) = cache();
    let layer = CacheLayer::new(&cache).ttl(seconds(60)).invalidate_on_change(false);
    let app = App::new(layer, |n, _| answer(&[("location", "/b")], n.to_string()));
    stored(&app, &["/a", "/b"]).await;
    app.send(Method::POST, "/a", &[]).await;
    for path in ["/a", "/b"] {
        assert!(app.get(path, &[]).await.is_hit(), "{path}");
    }
    assert_eq!(cache.stats().invalidations, 0);
}
