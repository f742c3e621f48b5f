//! The mark of a hole is good for one request: no fragment and no page is stored with one in it.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use axum::http::StatusCode;
use minijinja::{Environment, Value, context};
use minijinja_cache::http::{CacheLayer, HoleRequest};
use minijinja_cache::{ErrorKind, FragmentCache, ManualClock, Options};

use crate::support::{App, answer, cache, environment, render, seconds};

async fn visitor(hole: HoleRequest) -> Result<String, Infallible> {
    Ok(hole.headers().get("cookie").map_or("nobody", |cookie| cookie.to_str().unwrap()).to_owned())
}

fn layer(cache: &FragmentCache) -> CacheLayer {
    CacheLayer::new(cache).ttl(seconds(60)).ignore_other_cookies().hole("who", visitor)
}

/// Each stores a fragment in which a hole was printed as a value.
const STORED: [(&str, &str); 13] = [
    ("set.html", "{% set nav %}{{ cache_hole('who') }}{% endset %}{% cache 'k' %}{{ nav }}{% endcache %}"),
    ("variable.html", "{% set nav = cache_hole('who') %}{% cache 'k' %}<p>{{ nav }}</p>{% endcache %}"),
    (
        "macro.html",
        "{% macro box(inner) %}{% cache 'k' vary=['x'] %}{{ inner }}{% endcache %}{% endmacro %}{{ box(cache_hole('who')) }}",
    ),
    (
        "caller.html",
        "{% macro box(inner) %}{% cache 'k' %}{{ inner }}{% endcache %}{% endmacro %}{% set nav = cache_hole('who') %}{{ box(nav ~ '!') }}",
    ),
    ("include.html", "{% set nav = cache_hole('who') %}{% cache 'k' %}{% include 'nav.html' %}{% endcache %}"),
    ("partial.html", "{{ cache_partial('nav.html', 'k', context={'nav': cache_hole('who')}) }}"),
    (
        "nested.html",
        "{% set nav = cache_hole('who') %}{% cache 'o' %}{% cache 'k' %}{{ nav }}{% endcache %}{% endcache %}",
    ),
    ("text.html", "{% set nav = cache_hole('who') %}{{ cache_partial('nav.txt', 'k', context={'nav': nav}) }}"),
    (
        "escaped.html",
        "{% autoescape false %}{% set nav %}{{ cache_hole('who') }}{% endset %}{% endautoescape %}{% cache 'k' %}{{ nav }}{% endcache %}",
    ),
    ("upper.html", "{% set nav = cache_hole('who') %}{% cache 'k' %}{{ nav|upper }}{% endcache %}"),
    ("json.html", "{% set nav = cache_hole('who') %}{% cache 'k' %}{{ [nav]|tojson }}{% endcache %}"),
    ("url.html", "{% set nav = cache_hole('who') %}{% cache 'k' %}{{ nav|replace(' ', '%20') }}{% endcache %}"),
    (
        "child.html",
        "{% extends 'layout.html' %}{% block nav %}{% set n = cache_hole('who') %}{% cache 'k' %}{{ n }}{% endcache %}{% endblock %}",
    ),
];

fn templates() -> Vec<(&'static str, &'static str)> {
    let used =
        [("nav.html", "<b>{{ nav }}</b>"), ("nav.txt", "{{ nav }}"), ("layout.html", "{% block nav %}{% endblock %}")];
    used.into_iter().chain(STORED).collect()
}

#[tokio::test]
async fn a_template_that_would_store_a_hole_is_an_error_that_names_the_hole() {
    for (name, _) in STORED {
        let (cache, _) = cache();
        let env = environment(&cache, &templates());
        let app = App::new(layer(&cache), move |_, _| answer(&[], render(&env, name)));
        for visitor in ["ada", "bob"] {
            let page = app.get("/", &[("cookie", visitor)]).await;
            assert!(page.text().contains("\"who\""), "{name}: {}", page.text());
            assert!(page.text().contains("cannot stand inside a cached fragment"), "{name}: {}", page.text());
        }
        assert_eq!(cache.stats().entries, 0, "{name}");
    }
}

#[tokio::test]
async fn a_partial_with_a_hole_is_an_error() {
    let (cache, _) = cache();
    let env = environment(&cache, &[("hole.html", "{{ cache_hole('who') }}"), ("nav.html", "<b>{{ nav }}</b>")]);
    let fragments = cache.clone();
    let app = App::new(layer(&cache), move |_, _| {
        let nav = Value::from_safe_string(render(&env, "hole.html"));
        let rendered = fragments.render(&env, "nav.html", context! { nav }, "k", Options::default());
        answer(&[], rendered.map_or_else(|error| format!("{error:#}"), |text| text.to_string()))
    });
    for _ in 0..2 {
        assert!(app.get("/", &[]).await.text().contains("the hole \"who\" cannot stand"), "it names the hole");
    }
    assert_eq!(cache.stats().stores, 0);
}

type Told = Arc<Mutex<Vec<(ErrorKind, String)>>>;

fn reporting() -> (FragmentCache, Told) {
    let told = Told::default();
    let heard = Arc::clone(&told);
    let report = move |error: &minijinja_cache::Error| heard.lock().unwrap().push((error.kind(), error.to_string()));
    (FragmentCache::builder().clock(&ManualClock::new()).on_error(report).build().unwrap(), told)
}

/// Ways of a handler to keep a text.
fn keep(cache: &FragmentCache, way: usize, nav: String) -> String {
    match way {
        0 => cache.get_or_set("k", Options::default().markup(), || Ok::<_, Infallible>(nav)).unwrap().to_string(),
        1 => cache.get_or_set("k", Options::default(), || Ok::<_, Infallible>(nav)).unwrap().to_string(),
        2 => cache.get_or_set_value("k", Options::default(), || Ok::<_, Infallible>(nav)).unwrap(),
        3 => cache.scope().run(|| keep(cache, 0, nav)),
        4 => {
            let (cache, scope) = (cache.clone(), cache.current_scope());
            std::thread::spawn(move || scope.run(|| keep(&cache, 0, nav))).join().unwrap()
        }
        5 => {
            let cache = cache.clone();
            std::thread::spawn(move || keep(&cache, 0, nav)).join().unwrap()
        }
        _ => {
            let inner = || Ok::<_, Infallible>(keep(cache, 4, nav));
            cache.get_or_set("outer", Options::default().markup(), inner).unwrap().to_string()
        }
    }
}

#[tokio::test]
async fn a_text_with_a_hole_is_reported_and_each_visitor_gets_their_own() {
    for way in 0..=6 {
        let (cache, told) = reporting();
        let env = environment(&cache, &[("hole.html", "<p>{{ cache_hole('who') }}</p>")]);
        let fragments = cache.clone();
        let app = App::new(layer(&cache), move |_, _| answer(&[], keep(&fragments, way, render(&env, "hole.html"))));
        for visitor in ["ada", "bob"] {
            let page = app.get("/", &[("cookie", visitor)]).await;
            assert_eq!(page.text(), format!("<p>{visitor}</p>"), "way {way}");
        }
        let told = told.lock().unwrap();
        assert!(!told.is_empty(), "way {way}");
        for (kind, message) in told.iter() {
            assert!(*kind == ErrorKind::Config && message.contains("\"who\""), "way {way}: {message}");
        }
        assert!(cache.get_or_set("k", Options::default().markup(), || Err::<&str, _>(())).is_err(), "way {way}");
    }
}

#[tokio::test]
async fn followers_of_a_fragment_with_a_hole_get_no_hole_of_another_visitor() {
    let (cache, _) = cache();
    let env = environment(&cache, &[("hole.html", "<p>{{ cache_hole('who') }}</p>")]);
    let fragments = cache.clone();
    let router = axum::Router::new().fallback(move || {
        let (env, fragments) = (Arc::clone(&env), fragments.clone());
        async move {
            let nav = render(&env, "hole.html");
            let load = async {
                crate::support::idle().await;
                Ok::<_, Infallible>(nav)
            };
            fragments.get_or_set_async("k", Options::default().markup(), load).await.unwrap().to_string()
        }
    });
    // Of no lifetime, so that visitors do not wait for one another's page.
    let layer = CacheLayer::new(&cache).hole("who", visitor);
    let app = App::of(router.layer(layer), Arc::default());
    let visits = ["ada", "bob", "cem"].map(|visitor| {
        let app = app.clone();
        tokio::spawn(async move { (visitor, app.get("/", &[("cookie", visitor)]).await) })
    });
    for visit in visits {
        let (visitor, page) = visit.await.unwrap();
        assert_eq!(page.text(), format!("<p>{visitor}</p>"));
    }
}

#[tokio::test]
async fn a_page_with_a_changed_mark_is_not_stored_and_its_hole_is_reported() {
    for changed in [
        "{{ cache_hole('other') }}{{ cache_hole('who')|upper }}",
        "{{ cache_hole('other') }}{{ [cache_hole('who')]|tojson }}",
        "{{ cache_hole('other') }}{{ cache_hole('who')|replace('-->', '') }}",
        "{{ cache_hole('other') }}{% autoescape false %}{% set x %}{{ cache_hole('who') }}{% endset %}{% endautoescape %}{{ x }}",
    ] {
        for asked in [&[][..], &[("authorization", "Basic YTpi")], &[("range", "bytes=0-")]] {
            let (cache, told) = reporting();
            let env = environment(&cache, &[("page.html", changed)]);
            let layer = layer(&cache).hole("other", visitor);
            let app = App::new(layer, move |_, _| {
                answer(&[("cache-control", "public, max-age=60")], render(&env, "page.html"))
            });
            for n in 1..=2 {
                let page = app.get("/", asked).await;
                assert_eq!(page.header("cache-control").as_deref(), Some("private, no-store"), "{changed}");
                assert_eq!((app.handler_calls(), cache.stats().stores), (n, 0), "{changed}");
                let told = std::mem::take(&mut *told.lock().unwrap());
                assert!(told.iter().any(|(_, message)| message.contains("\"who\"")), "{changed}: {told:?}");
            }
        }
    }
}

#[tokio::test]
async fn a_layer_stores_no_hole_of_an_outer_layer() {
    let (cache, told) = reporting();
    let env = environment(&cache, &[("hole.html", "<p>{{ cache_hole('who') }}</p>")]);
    let inner = CacheLayer::new(&cache.namespace("inner")).ttl(seconds(60)).ignore_other_cookies();
    // What stands between the two gives the handler a hole of the outer one.
    let router = axum::Router::new()
        .fallback(
            |request: axum::extract::Request| async move { request.headers()["x-nav"].to_str().unwrap().to_owned() },
        )
        .layer(inner)
        .layer(axum::middleware::from_fn(move |mut request: axum::extract::Request, next: axum::middleware::Next| {
            request.headers_mut().insert("x-nav", render(&env, "hole.html").parse().unwrap());
            next.run(request)
        }));
    let app = App::of(router.layer(CacheLayer::new(&cache).hole("who", visitor)), Arc::default());
    for visitor in ["ada", "bob"] {
        let page = app.get("/", &[("cookie", visitor)]).await;
        assert_eq!((page.text(), page.status), (&*format!("<p>{visitor}</p>"), StatusCode::OK));
    }
    assert_eq!(cache.stats().stores, 0);
    assert!(told.lock().unwrap().iter().all(|(_, message)| message.contains("\"who\"")));
}

/// A mark as the handler of another request saw it.
async fn mark_of_another_request(cache: &FragmentCache) -> String {
    let seen = Arc::new(Mutex::new(String::new()));
    let (env, kept) = (environment(cache, &[("hole.html", "{{ cache_hole('who') }}")]), Arc::clone(&seen));
    let layer = CacheLayer::new(&cache.namespace("other")).hole("who", visitor);
    let app = App::new(layer, move |_, _| {
        let mark = render(&env, "hole.html");
        kept.lock().unwrap().clone_from(&mark);
        answer(&[], mark)
    });
    app.get("/", &[]).await;
    let mark = seen.lock().unwrap().clone();
    assert!(mark.starts_with("<!--hole "), "{mark}");
    mark
}

#[tokio::test]
async fn text_that_looks_like_a_mark_does_not_prevent_storing() {
    let (cache, _) = cache();
    let replayed = mark_of_another_request(&cache).await;
    let digits = "340282366920938463463374607431768211455";
    let forged = [replayed, format!("<!--hole {digits}-->"), "<!--hole 0-->".into(), digits.repeat(3)];
    for forged in forged {
        let mut env = Environment::new();
        cache.add_to_environment(&mut env);
        let page = "{{ cache_hole('who') }}{% cache said %}{{ said|safe }}{% endcache %}{{ said|safe }}";
        cache.add_template(&mut env, "page.html", page).unwrap();
        let said = forged.clone();
        let app = App::new(layer(&cache.namespace(&forged)), move |_, _| {
            answer(&[], env.get_template("page.html").unwrap().render(context! { said => &said }).unwrap())
        });
        let before = cache.stats();
        for visitor in ["ada", "bob"] {
            let page = app.get("/", &[("cookie", visitor)]).await;
            assert_eq!(page.text(), format!("{visitor}{forged}{forged}"));
        }
        assert_eq!((app.handler_calls(), cache.stats().errors), (1, before.errors));
        assert_eq!(cache.stats().stores, before.stores + 2, "the fragment and the page");
    }
}
