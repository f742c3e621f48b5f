//! The fragments of a page restrict its headers and its lifetime in the cache.

use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::http::header::CACHE_CONTROL;
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use minijinja::{Environment, context};
use minijinja_cache::http::{CacheControl, CacheLayer, TagHeader};
use minijinja_cache::{FragmentCache, Options, Scope};
use tower::ServiceExt;
use tower_layer::Layer;

use crate::support::{App, answer, cache, environment, render, request, seconds};

/// An application that renders templates by their name, in ways that handlers do.
fn app(cache: &FragmentCache, layer: CacheLayer, templates: &[(&'static str, &'static str)]) -> App {
    let mut env = Environment::new();
    cache.add_to_environment_as("web", &mut env);
    for (name, source) in templates {
        cache.add_template(&mut env, name, source).unwrap();
    }
    let env = Arc::new(env);
    let render = |env: &Environment<'_>, name: &str| Html(env.get_template(name).unwrap().render(context! {}).unwrap());
    let (here, there, taken) = (Arc::clone(&env), Arc::clone(&env), Arc::clone(&env));
    let cache = cache.clone();
    let router = Router::new()
        .route(
            "/here/{name}",
            get(async move |axum::extract::Path(name): axum::extract::Path<String>| render(&here, &name)),
        )
        .route(
            "/there/{name}",
            get(async move |axum::extract::Path(name): axum::extract::Path<String>| {
                let scope = cache.current_scope();
                tokio::task::spawn_blocking(move || scope.run(|| render(&there, &name))).await.unwrap()
            }),
        )
        .route(
            "/taken/{name}",
            get(async move |scope: Scope, axum::extract::Path(name): axum::extract::Path<String>| {
                scope.tag("taken");
                let page = tokio::task::spawn_blocking(move || scope.run(|| render(&taken, &name))).await.unwrap();
                declared(page, CacheControl::public().max_age(seconds(600)))
            }),
        );
    App::of(router.layer(layer), Arc::default())
}

fn declared(page: impl IntoResponse, control: CacheControl) -> Response {
    let mut response = page.into_response();
    response.headers_mut().insert(CACHE_CONTROL, control.into());
    response
}

const PAGES: &[(&str, &str)] = &[
    ("plain.html", "plain"),
    ("short.html", "{% cache 'a' 300 %}a{% endcache %}{% cache 'b' 100 tags=['films', 'b'] %}b{% endcache %}"),
    ("never.html", "{% cache 'a' 300 %}a{% endcache %}{% cache 'n' %}{{ cache_skip() }}n{% endcache %}"),
];

#[tokio::test]
async fn without_a_lifetime_a_page_is_private_even_if_its_fragments_are_cached() {
    let (cache, _) = cache();
    let app = app(&cache, CacheLayer::new(&cache), PAGES);
    for path in ["/here/plain.html", "/here/short.html", "/there/short.html"] {
        for _ in 0..2 {
            let page = app.get(path, &[]).await;
            assert_eq!(page.header("cache-control").as_deref(), Some("private, no-cache"), "{path}");
            assert!(page.header("etag").is_some());
            assert!(!page.is_hit());
        }
    }
}

#[tokio::test]
async fn a_page_lives_as_long_as_its_fragment_with_the_shortest_lifetime() {
    let (cache, clock) = cache();
    let app = app(&cache, CacheLayer::new(&cache).ttl(seconds(600)), PAGES);
    for (path, lifetime) in [("plain", 600), ("short", 100)] {
        for way in ["here", "there"] {
            let page = app.get(&format!("/{way}/{path}.html"), &[]).await;
            assert_eq!(page.header("cache-control"), Some(format!("public, max-age={lifetime}")), "{way} {path}");
        }
    }
    // Fragments that were found tighten as those that were rendered did.
    clock.advance(seconds(30));
    let page = app.get("/taken/short.html", &[]).await;
    assert_eq!(page.header("cache-control").as_deref(), Some("public, max-age=70"));
    clock.advance(seconds(69));
    assert!(app.get("/here/short.html", &[]).await.is_hit());
    clock.advance(seconds(1));
    assert!(!app.get("/here/short.html", &[]).await.is_hit());
}

#[tokio::test]
async fn an_uncacheable_fragment_makes_its_page_private_and_not_stored() {
    let (cache, _) = cache();
    let app = app(&cache, CacheLayer::new(&cache).ttl(seconds(600)), PAGES);
    for way in ["here", "there", "taken"] {
        for _ in 0..2 {
            let page = app.get(&format!("/{way}/never.html"), &[]).await;
            assert_eq!(page.header("cache-control").as_deref(), Some("private, no-store"), "{way}");
            assert_eq!((page.header("etag"), page.is_hit()), (None, false));
        }
    }
}

#[tokio::test]
async fn a_page_has_the_tags_of_its_fragments_on_hits_too() {
    for (header, name, list) in [
        (TagHeader::CacheGroups, "cache-groups", r#""b", "every", "films""#),
        (TagHeader::CacheTag, "cache-tag", "b,every,films"),
        (TagHeader::SurrogateKey, "surrogate-key", "b every films"),
    ] {
        let (cache, _) = cache();
        let layer = CacheLayer::new(&cache).ttl(seconds(600)).tag("every").tag_header(header);
        let app = app(&cache, layer, PAGES);
        for path in ["/here/short.html", "/here/short.html", "/there/short.html"] {
            assert_eq!(app.get(path, &[]).await.header(name).as_deref(), Some(list), "{path}");
        }
        assert!(app.get("/here/short.html", &[]).await.is_hit());
        // What is private is for no cache in front.
        assert_eq!(app.get("/here/short.html", &[("cookie", "a=b")]).await.header(name), None);
        // Pages and fragments go by the same floor.
        cache.invalidate_tag("films");
        assert!(!app.get("/here/short.html", &[]).await.is_hit());
        cache.invalidate_tag("every");
        assert!(!app.get("/here/short.html", &[]).await.is_hit());
    }
}

#[tokio::test]
async fn a_page_with_too_many_tags_for_the_header_is_private() {
    let (cache, _) = cache();
    let layer = CacheLayer::new(&cache).ttl(seconds(600)).tag_header(TagHeader::CacheGroups);
    let layer = layer.tags_by(|_| (0..40).map(|n| n.to_string()));
    let app = app(&cache, layer, PAGES);
    let page = app.get("/here/plain.html", &[]).await;
    assert_eq!(page.header("cache-control").as_deref(), Some("private, max-age=600"));
    assert_eq!(page.header("cache-groups"), None);
    assert_eq!(cache.stats().errors, 1);
    assert!(app.get("/here/plain.html", &[]).await.is_hit());
}

#[tokio::test]
async fn the_scope_of_a_handler_counts_for_the_page() {
    let (cache, _) = cache();
    let app = app(&cache, CacheLayer::new(&cache), PAGES);
    app.get("/taken/plain.html", &[]).await;
    assert!(app.get("/taken/plain.html", &[]).await.is_hit());
    cache.invalidate_tag("taken");
    assert!(!app.get("/taken/plain.html", &[]).await.is_hit());
}

#[tokio::test]
async fn a_scope_limits_and_forbids_like_a_template() {
    let (cache, _) = cache();
    let handler = {
        let cache = cache.clone();
        async move |axum::extract::Path(what): axum::extract::Path<String>| {
            match what.as_str() {
                "shorten" => cache.current_scope().expire_within(seconds(7)),
                _ => cache.current_scope().skip(),
            }
            what
        }
    };
    let layer = CacheLayer::new(&cache).ttl(seconds(60));
    let app = App::of(Router::new().route("/{what}", get(handler)).layer(layer), Arc::default());
    let control = async |path| app.get(path, &[]).await.header("cache-control").unwrap();
    assert_eq!(control("/shorten").await, "public, max-age=7");
    assert_eq!(control("/skip").await, "private, no-store");
}

#[tokio::test]
async fn a_page_with_data_from_before_an_invalidation_is_not_stored() {
    let (cache, _) = cache();
    let handler = {
        let cache = cache.clone();
        async move || {
            cache.current_scope().tag("films");
            // Somebody else, after the data was read.
            cache.invalidate_tag("films");
            "films"
        }
    };
    let layer = CacheLayer::new(&cache).ttl(seconds(60));
    let app = App::of(Router::new().route("/", get(handler)).layer(layer), Arc::default());
    app.get("/", &[]).await;
    assert!(!app.get("/", &[]).await.is_hit());
    assert_eq!(cache.stats().stores, 0);
}

#[tokio::test]
async fn cached_values_and_texts_of_a_handler_restrict_its_page() {
    let (cache, _) = cache();
    let handler = {
        let cache = cache.clone();
        async move || {
            let options = Options::ttl(seconds(20)).tag("genres");
            cache
                .get_or_set_value_async("genres", options, async { Ok::<_, std::convert::Infallible>(7) })
                .await
                .unwrap();
            "genres"
        }
    };
    let layer = CacheLayer::new(&cache).ttl(seconds(60));
    let app = App::of(Router::new().route("/", get(handler)).layer(layer), Arc::default());
    assert_eq!(app.get("/", &[]).await.header("cache-control").as_deref(), Some("public, max-age=20"));
    cache.invalidate_tag("genres");
    assert!(!app.get("/", &[]).await.is_hit());
}

#[tokio::test]
async fn an_entity_tag_is_the_same_on_every_node_and_changes_with_a_template() {
    let etag = async |templates: &[(&'static str, &'static str)]| {
        let (cache, clock) = cache();
        clock.advance(seconds(templates.len() as u64));
        let app = app(&cache, CacheLayer::new(&cache), templates);
        cache.invalidate_tag("whatever");
        let tags = [app.get("/here/page.html", &[]).await, app.get("/here/page.html", &[]).await];
        let tags = tags.map(|page| page.header("etag").unwrap());
        assert_eq!(tags[0], tags[1], "hits and misses make one page");
        tags[0].clone()
    };
    let page = ("page.html", "{% cache 'k' 60 %}{% include 'part.html' %}{% endcache %}");
    let first = etag(&[page, ("part.html", "text")]).await;
    assert_eq!(etag(&[page, ("part.html", "text"), ("other.html", "")]).await, first);
    assert!(first.starts_with("W/\""), "{first}");
    // The same text of another template.
    assert_ne!(etag(&[page, ("part.html", "text{# edited #}")]).await, first);
    assert_ne!(etag(&[page, ("part.html", "other")]).await, first);
}

#[tokio::test]
async fn editing_a_template_refreshes_the_pages_that_used_it() {
    let (cache, _) = cache();
    let app = app(&cache, CacheLayer::new(&cache).ttl(seconds(600)), PAGES);
    app.get("/here/short.html", &[]).await;
    app.get("/here/plain.html", &[]).await;
    cache.invalidate_template("short.html");
    assert!(!app.get("/here/short.html", &[]).await.is_hit());
    assert!(app.get("/here/plain.html", &[]).await.is_hit());
}

#[tokio::test]
async fn targeted_headers_are_removed_if_the_page_becomes_private() {
    let (cache, _) = cache();
    let handler = async || {
        let targeted = [("cdn-cache-control", "max-age=600"), ("surrogate-control", "max-age=600")];
        (targeted, [("cache-control", "public, max-age=60")], "text")
    };
    let router = || Router::new().route("/", get(handler));
    let layer = |name: &str| CacheLayer::new(&cache.namespace(name));
    let told = async |layer: CacheLayer, ask: &[(&str, &str)]| {
        let page = App::of(router().layer(layer), Arc::default()).get("/", ask).await;
        (page.header("cdn-cache-control").is_some(), page.header("surrogate-control").is_some())
    };
    assert_eq!(told(layer("plain"), &[]).await, (true, true), "nothing was tightened");
    let personal = [
        (layer("session").session_cookie("sid"), &[("cookie", "sid=ada")][..]),
        (layer("role").vary_by("role", |_| "admin"), &[]),
        (layer("tags").tag_header(TagHeader::CacheGroups).tags_by(|_| (0..40).map(|n| n.to_string())), &[]),
    ];
    for (n, (layer, ask)) in personal.into_iter().enumerate() {
        assert_eq!(told(layer, ask).await, (false, false), "{n}");
    }
}

#[tokio::test]
async fn the_tags_of_the_layer_are_sent_with_every_public_page() {
    let ways: [&[(&str, &str)]; 4] =
        [&[], &[("cache-control", "no-store")], &[("range", "bytes=0-1")], &[("upgrade", "websocket")]];
    for limit in [1 << 20, 3] {
        for headers in ways {
            let (cache, _) = cache();
            let layer = CacheLayer::new(&cache).ttl(seconds(60)).tag("films").max_body_bytes(limit);
            let app = App::new(layer.tag_header(TagHeader::SurrogateKey), |_, _| answer(&[], "large"));
            let page = app.get("/", headers).await;
            assert_eq!(page.header("cache-control").as_deref(), Some("public, max-age=60"), "{limit} {headers:?}");
            assert_eq!(page.header("surrogate-key").as_deref(), Some("films"), "{limit} {headers:?}");
        }
    }
}

/// A page with these headers, of one template.
fn says(cache: &FragmentCache, headers: &'static [(&'static str, &'static str)], template: &'static str) -> App {
    let env = environment(cache, &[("page.html", template)]);
    App::new(CacheLayer::new(cache).ttl(seconds(60)), move |_, _| answer(headers, render(&env, "page.html")))
}

#[tokio::test]
async fn an_uncacheable_fragment_removes_permitting_directives_only() {
    let (cache, _) = cache();
    const HEADERS: &[(&str, &str)] = &[
        ("cache-control", "public, max-age=60, no-transform, must-revalidate"),
        ("cdn-cache-control", "max-age=600"),
        ("surrogate-control", "max-age=600"),
        ("expires", "Tue, 31 Dec 2199 23:59:59 GMT"),
    ];
    let app = says(&cache, HEADERS, "{% cache 'k' %}{{ cache_skip() }}x{% endcache %}");
    let page = app.get("/", &[]).await;
    let control = page.header("cache-control").unwrap();
    for kept in ["no-transform", "private", "no-store"] {
        assert!(control.contains(kept), "{control}");
    }
    assert!(!control.contains("public") && !control.contains("max-age"), "{control}");
    for name in ["cdn-cache-control", "surrogate-control", "expires"] {
        assert_eq!(page.header(name), None);
    }
}

#[tokio::test]
async fn a_page_without_a_lifetime_gets_no_heuristic_one_downstream() {
    const HEADERS: &[(&str, &str)] = &[("cache-control", "public"), ("last-modified", "Mon, 01 Jan 2024 00:00:00 GMT")];
    let (cache, _) = cache();
    let env = environment(&cache, &[("page.html", "{% cache 'k' 5 %}x{% endcache %}")]);
    let app = App::new(CacheLayer::new(&cache), move |_, _| answer(HEADERS, render(&env, "page.html")));
    assert_eq!(app.get("/", &[]).await.header("cache-control").as_deref(), Some("public, no-cache"));
}

#[tokio::test]
async fn fragments_restrict_generated_stored_and_bypassed_pages_alike() {
    const OWN: [&[(&str, &str)]; 4] = [
        &[],
        &[("cache-control", "public, max-age=60")],
        &[("cache-control", "max-age=60, s-maxage=90, stale-while-revalidate=9")],
        &[("expires", "Tue, 31 Dec 2199 23:59:59 GMT")],
    ];
    let ways: [&[(&str, &str)]; 4] =
        [&[], &[("cookie", "x=1")], &[("range", "bytes=0-")], &[("authorization", "Basic YTpi")]];
    for (template, longest) in [
        ("{% cache 'k' 10 %}x{% endcache %}", Some(10)),
        ("{% cache 'k' 0.5 %}x{% endcache %}", Some(0)),
        ("{% cache 'k' 0 %}x{% endcache %}", None),
        ("{% cache 'k' 10 %}{% cache 'j' %}{{ cache_skip() }}{% endcache %}x{% endcache %}", None),
    ] {
        for (own, headers) in OWN.into_iter().flat_map(|own| ways.map(|headers| (own, headers))) {
            let (cache, clock) = cache();
            let app = says(&cache, own, template);
            for _ in 0..3 {
                let page = app.get("/", headers).await;
                let control = CacheControl::read(&page.headers);
                match longest {
                    Some(longest) => assert!(control.effective_lifetime().unwrap_or_default() <= seconds(longest)),
                    None => assert!(control.is_private() && control.is_no_store(), "{page:?}"),
                }
                assert!(page.header("expires").is_none() || control.effective_lifetime().is_some(), "{page:?}");
                clock.advance(std::time::Duration::from_millis(200));
            }
        }
    }
}

#[tokio::test]
async fn a_service_that_works_in_call_is_inside_of_the_scope() {
    let (cache, _) = cache();
    let env = environment(&cache, PAGES);
    let service = CacheLayer::new(&cache).ttl(seconds(60)).layer(tower::service_fn(move |_: Request| {
        let page = render(&env, "never.html");
        std::future::ready(Ok::<_, std::convert::Infallible>(answer(&[], page)))
    }));
    for _ in 0..2 {
        let page = service.clone().oneshot(request("/", &[])).await.unwrap();
        assert_eq!(page.headers()["cache-control"], "private, no-store");
        assert_eq!(page.headers()["cache-status"], "minijinja-cache; fwd=miss");
    }
}

#[tokio::test]
async fn a_handler_that_takes_its_scope_works_with_caching_switched_off() {
    let cache = FragmentCache::builder().enabled(false).build().unwrap();
    let handler = async |scope: Scope| {
        scope.tag("films");
        "page"
    };
    let app = App::of(Router::new().route("/", get(handler)).layer(CacheLayer::new(&cache)), Arc::default());
    let page = app.get("/", &[]).await;
    assert_eq!((page.status.as_u16(), page.text()), (200, "page"));
}

#[tokio::test]
async fn an_unreadable_expires_is_removed() {
    // A Tuesday; most caches do not look at that.
    const EXPIRES: &[(&str, &str)] = &[("expires", "Fri, 31 Dec 2199 23:59:59 GMT")];
    let (cache, _) = cache();
    let app = says(&cache, EXPIRES, "{% cache 'k' 10 %}x{% endcache %}");
    let page = app.get("/", &[]).await;
    assert!(page.header("expires").is_none() || page.header("cache-control").is_some(), "{page:?}");
}

#[tokio::test]
async fn a_page_with_too_many_tags_has_no_targeted_headers() {
    let (cache, _) = cache();
    let layer = CacheLayer::new(&cache).tag_header(TagHeader::CacheGroups).tags_by(|_| (0..40).map(|n| n.to_string()));
    let app = App::new(layer, |_, _| {
        answer(&[("cache-control", "public, max-age=60"), ("cdn-cache-control", "max-age=600")], "page")
    });
    let page = app.get("/", &[]).await;
    assert_eq!(page.header("cache-control").as_deref(), Some("private, max-age=60"));
    assert_ne!(page.header("cdn-cache-control").as_deref(), Some("max-age=600"));
}
