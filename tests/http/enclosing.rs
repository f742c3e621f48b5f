//! Pages around fragments, fragments around pages, layers inside of layers, and work on other threads.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::middleware::{self, Next};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use minijinja::{Environment, context};
use minijinja_cache::http::{CacheLayer, HoleRequest};
use minijinja_cache::{FragmentCache, LocalStore, ManualClock, Options};

use crate::support::{App, answer, cache, seconds};

fn text(text: impl Into<String>) -> Result<String, Infallible> {
    Ok(text.into())
}

/// A page with a text cached for ten seconds, which may be served stale for long.
fn page_of_a_text(cache: &FragmentCache) -> App {
    let inner = cache.clone();
    let layer = CacheLayer::new(cache).ttl(seconds(1000)).stale_while_revalidate(seconds(500));
    App::new(layer, move |n, _| {
        let shown = inner.get_or_set("k", Options::ttl(seconds(10)), || text(format!("new {n}"))).unwrap();
        answer(&[], shown.to_string())
    })
}

#[tokio::test]
async fn a_page_is_not_served_longer_than_its_fragments_are_valid() {
    for found in [false, true] {
        let (cache, clock) = cache();
        if found {
            cache.get_or_set("k", Options::ttl(seconds(1000)), || text("old")).unwrap();
        }
        let app = page_of_a_text(&cache);
        assert_eq!(app.get("/", &[]).await.header("cache-control").as_deref(), Some("public, max-age=10"));
        clock.advance(seconds(100));
        assert!(!app.get("/", &[]).await.is_hit(), "found: {found}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_is_not_served_longer_than_its_fragments_on_another_node() {
    let (store, clock) = (LocalStore::new(), ManualClock::new());
    let node = async || {
        let cache = FragmentCache::builder().shared(store.clone()).clock(&clock).build().unwrap();
        while !cache.shared_status().unwrap().in_touch {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        cache
    };
    let (one, two) = (node().await, node().await);
    let apps = [page_of_a_text(&one), page_of_a_text(&two)];
    apps[0].get("/", &[]).await;
    assert!(one.flush(seconds(5)));
    assert!(apps[1].get("/", &[]).await.is_hit());
    clock.advance(seconds(100));
    assert!(!apps[1].get("/", &[]).await.is_hit());
}

#[tokio::test]
async fn a_layer_does_not_serve_pages_of_a_layer_inside_of_it() {
    let (cache, _) = cache();
    let mut env = Environment::new();
    cache.add_to_environment(&mut env);
    cache.add_template(&mut env, "p.html", "<p>{{ cache_hole('who') }}</p>").unwrap();
    let env = Arc::new(env);
    let handler = async move || Html(env.get_template("p.html").unwrap().render(context! {}).unwrap());
    let inside = CacheLayer::new(&cache).ttl(seconds(60)).ignore_other_cookies();
    let inside = inside.hole("who", |_: HoleRequest| async { text("you") });
    let guarded = middleware::from_fn(|request: Request, next: Next| async move {
        if request.headers().contains_key("x-key") {
            next.run(request).await
        } else {
            StatusCode::FORBIDDEN.into_response()
        }
    });
    let router = Router::new().route("/", get(handler)).layer(inside).layer(guarded).layer(CacheLayer::new(&cache));
    let app = App::of(router, Arc::default());
    let key = ("x-key", "secret");
    for ask in [&[key][..], &[key, ("cookie", "a=b")], &[key]] {
        assert_eq!(app.get("/", ask).await.text(), "<p>you</p>");
    }
    assert_eq!(app.get("/", &[]).await.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn work_of_a_fragment_on_another_thread_belongs_to_the_fragment() {
    let (cache, _) = cache();
    let mut env = Environment::new();
    cache.add_to_environment(&mut env);
    cache.add_template(&mut env, "p.html", "{% cache 'in' 100 tags=['t'] %}x{% endcache %}").unwrap();
    cache.add_template(&mut env, "hole.html", "{{ cache_hole('who') }}").unwrap();
    let (env, runs) = (Arc::new(env), Arc::new(AtomicUsize::new(0)));
    let (inner, counted) = (cache.clone(), Arc::clone(&runs));
    let handler = async move |axum::extract::Path(name): axum::extract::Path<String>| -> Response {
        let scopes = inner.clone();
        let rendered = inner.get_or_set_async(name.as_str(), Options::ttl(seconds(1000)).markup(), async {
            counted.fetch_add(1, Ordering::SeqCst);
            let (scope, env, name) = (scopes.current_scope(), Arc::clone(&env), name.clone());
            let render = move || scope.run(|| env.get_template(&name)?.render(context! {}));
            tokio::task::spawn_blocking(render).await.unwrap()
        });
        match rendered.await {
            Ok(page) => Html(page.to_string()).into_response(),
            Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
        }
    };
    let layer = CacheLayer::new(&cache).hole("who", |_: HoleRequest| async { text("you") });
    let app = App::of(Router::new().route("/{name}", get(handler)).layer(layer), Arc::default());
    for expected in [1, 1] {
        assert_eq!(app.get("/p.html", &[]).await.text(), "x");
        assert_eq!(runs.load(Ordering::SeqCst), expected);
    }
    cache.invalidate_tag("t");
    app.get("/p.html", &[]).await;
    assert_eq!(runs.load(Ordering::SeqCst), 2, "the text depends on the fragment inside");
    let refused = app.get("/hole.html", &[]).await;
    assert!(refused.text().contains("cache_hole"), "{}", refused.text());
}

#[tokio::test]
async fn a_fragment_depends_on_a_fresh_or_stale_page_that_it_requested() {
    for expired in [false, true] {
        let (cache, clock) = cache();
        let layer = CacheLayer::new(&cache).ttl(seconds(10)).stale_while_revalidate(seconds(100)).tag("t");
        let app = App::new(layer, |n, _| answer(&[], n.to_string()));
        app.get("/", &[]).await;
        if expired {
            clock.advance(seconds(20));
        }
        let runs = AtomicUsize::new(0);
        for _ in 0..2 {
            let load = async {
                runs.fetch_add(1, Ordering::SeqCst);
                text(app.get("/", &[]).await.text())
            };
            cache.get_or_set_async("box", Options::ttl(seconds(1000)), load).await.unwrap();
            cache.invalidate_tag("t");
        }
        assert_eq!(runs.into_inner(), 2, "expired: {expired}");
    }
}

/// The data of a render was read before its call. So an invalidation while it waits for another render concerns it.
#[test]
fn a_render_that_waited_starts_at_its_call() {
    let cache = FragmentCache::builder().build().unwrap();
    let mut env = Environment::new();
    cache.add_to_environment(&mut env);
    cache.add_template(&mut env, "u.html", "{{ gate() }}{{ user }}").unwrap();
    let ((entered, enter), (go, gate)) = (channel::<()>(), channel::<()>());
    let (first, gate) = (std::sync::Mutex::new(Some(entered)), std::sync::Mutex::new(gate));
    env.add_function("gate", move || {
        if let Some(entered) = first.lock().unwrap().take() {
            entered.send(()).unwrap();
            gate.lock().unwrap().recv().unwrap();
        }
        String::new()
    });
    let options = || Options::ttl(seconds(60)).tag("u");
    let render = |user: &str| cache.render(&env, "u.html", context! { user }, "u", options()).unwrap().to_string();
    std::thread::scope(|scope| {
        let leader = scope.spawn(|| render("old"));
        enter.recv().unwrap();
        let follower = scope.spawn(|| render("old"));
        while cache.stats().misses < 2 {
            std::thread::yield_now();
        }
        cache.invalidate_tag("u");
        go.send(()).unwrap();
        assert_eq!((leader.join().unwrap(), follower.join().unwrap()), ("old".into(), "old".into()));
    });
    assert_eq!(render("new"), "new");
}
