//! The debug layer: content and position of comments, and responses that it does not change.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::{Method, StatusCode};
use axum::response::{Html, IntoResponse, Response};
use http_body_util::BodyExt;
use minijinja::{Environment, context};
use minijinja_cache::http::{CacheLayer, DebugLayer};
use minijinja_cache::{FragmentCache, Options};
use serde_json::Value;
use tokio::sync::Notify;
use tower::ServiceExt;
use tower_http::compression::CompressionLayer;

use crate::support::{App, Reply, answer, cache, environment, render, request, seconds};

const PAGE: &str = "<!doctype html><html><head><title>{% cache 'title' %}t{% endcache %}</title></head><body>\
    {% cache 'outer' 60 tags=['films'] %}<p>{% cache ['inner', 'ada@example.org'] 30 %}in{% endcache %}</p>{% endcache %}\
    <a title=\"{% cache 'attribute' %}x{% endcache %}\">{% cache 'bypassed' 0 %}b{% endcache %}</a></body></html>";

/// A debugged handler for all paths.
fn app(layer: DebugLayer, handle: impl Fn(&Request) -> Response + Clone + Send + Sync + 'static) -> App {
    let router = Router::new().fallback(move |request: Request| {
        let answer = handle(&request);
        async move { answer }
    });
    App::of(router.layer(layer), Arc::default())
}

fn debugged(cache: &FragmentCache) -> DebugLayer {
    DebugLayer::new(cache).enabled(true)
}

fn pages(layer: DebugLayer, env: &Arc<Environment<'static>>) -> App {
    let env = Arc::clone(env);
    app(layer, move |_| Html(render(&env, "page.html")).into_response())
}

/// The JSON in the comments of a page, in order; the last one is the summary.
fn comments(page: &str) -> (Vec<Value>, Value) {
    let json = |comment: &str| serde_json::from_str(comment).unwrap_or_else(|error| panic!("{error}: {comment}"));
    let found = page.split("<!-- ").skip(1).map(|rest| rest.split_once(" -->").unwrap().0);
    let (mut fragments, mut summary) = (Vec::new(), Value::Null);
    for comment in found {
        if let Some(rest) = comment.strip_prefix("fragments ") {
            summary = json(rest);
        } else if let Some(rest) = comment.strip_prefix("fragment ") {
            fragments.push(json(rest.split_once(' ').unwrap().1));
        }
    }
    (fragments, summary)
}

/// The page without comments and without the script.
fn bare(page: &str) -> String {
    let mut bare = String::new();
    for (at, part) in page.split("<!-- ").enumerate() {
        bare.push_str(if at == 0 { part } else { part.split_once(" -->").unwrap().1 });
    }
    bare.replace("<script defer src=\"?minijinja-cache-overlay\"></script>", "")
}

#[tokio::test]
async fn comments_describe_the_outcome_of_each_fragment() {
    let (cache, clock) = cache();
    let env = environment(&cache, &[("page.html", PAGE)]);
    let app = pages(debugged(&cache), &env);
    let first = app.get("/", &[]).await;
    assert_eq!(bare(first.text()), render(&env, "page.html"));
    let (fragments, summary) = comments(first.text());
    let outcomes = |all: &[Value]| all.iter().map(|it| it["outcome"].as_str().unwrap().to_owned()).collect::<Vec<_>>();
    assert_eq!(outcomes(&fragments), ["miss", "miss", "bypass"]);
    assert_eq!((&fragments[0]["label"], &fragments[0]["why"]), (&"page.html:1".into(), &"never stored".into()));
    assert_eq!(fragments[2]["why"], "lifetime 0");
    // In the title and in an attribute no comment can stand.
    let elsewhere = summary["elsewhere"].as_array().unwrap();
    assert_eq!(outcomes(elsewhere), ["miss", "miss"]);

    clock.advance(seconds(10));
    let (fragments, summary) = comments(app.get("/", &[]).await.text());
    assert_eq!(outcomes(&fragments), ["hit", "bypass"]);
    let outer = &fragments[0];
    assert_eq!((&outer["age_s"], &outer["left_s"]), (&10.into(), &20.into()), "{outer}");
    assert!(outer["saved_ms"].is_number() && outer["took_ms"].is_null());
    assert_eq!((&outer["tags"][0], &outer["kind"]), (&"films".into(), &"block".into()));
    assert!(summary["request"]["saved_ms"].is_number());

    cache.invalidate_tag("films");
    let (fragments, _) = comments(app.get("/", &[]).await.text());
    assert_eq!(fragments[0]["why"], "tag \"films\" invalidated");
    assert_eq!(outcomes(&fragments), ["miss", "hit", "bypass"]);
}

#[tokio::test]
async fn a_changed_page_is_not_stored_by_any_cache() {
    let (cache, _) = cache();
    let env = environment(&cache, &[("page.html", PAGE)]);
    let app = app(debugged(&cache), move |_| {
        let headers = [
            ("content-type", "text/html; charset=utf-8"),
            ("cache-control", "public, max-age=60"),
            ("cdn-cache-control", "max-age=600"),
            ("etag", "\"a\""),
            ("last-modified", "Tue, 01 Jan 2030 00:00:00 GMT"),
            ("expires", "Tue, 01 Jan 2030 00:00:00 GMT"),
            ("accept-ranges", "bytes"),
            ("cache-tag", "films"),
        ];
        answer(&headers, render(&env, "page.html"))
    });
    let reply = app.get("/", &[]).await;
    assert_eq!(reply.header("cache-control").as_deref(), Some("no-store"));
    assert_eq!(reply.header("content-length").unwrap(), reply.text().len().to_string());
    for name in ["cdn-cache-control", "etag", "last-modified", "expires", "accept-ranges", "cache-tag"] {
        assert_eq!(reply.header(name), None, "{name}");
    }
    let (_, summary) = comments(reply.text());
    assert_eq!(summary["request"]["cache-control"], "public, max-age=60");
    let head = app.send(Method::HEAD, "/", &[]).await;
    assert_eq!((head.text(), head.header("etag"), head.header("content-length")), ("", None, None));
    assert_eq!(head.header("cache-control").as_deref(), Some("no-store"));
}

#[tokio::test]
async fn a_layer_that_is_off_changes_nothing() {
    let (cache, _) = cache();
    let env = environment(&cache, &[("page.html", PAGE)]);
    let with = |layer: Option<DebugLayer>| {
        let env = Arc::clone(&env);
        let handle = async move || {
            let headers = [("content-type", "text/html"), ("etag", "\"a\""), ("cache-control", "max-age=60")];
            answer(&headers, render(&env, "page.html"))
        };
        let router = Router::new().fallback(handle);
        App::of(layer.into_iter().fold(router, Router::layer), Arc::default())
    };
    let plain = with(None);
    let debug = DebugLayer::new(&cache);
    let never = debugged(&cache).only_if(|request| request.headers.contains_key("x-debug"));
    for off in [with(Some(debug.clone().enabled(false))), with(Some(never.clone()))] {
        for path in ["/", "/?minijinja-cache-overlay"] {
            let (without, with) = (plain.get(path, &[]).await, off.get(path, &[]).await);
            assert_eq!((without.text(), &without.headers), (with.text(), &with.headers));
        }
        // The length is that of the body.
        let response = off.response(Method::GET, "/", &[]).await;
        assert_eq!(
            http_body::Body::size_hint(response.body()).exact(),
            Some(plain.get("/", &[]).await.text().len() as u64)
        );
    }
    assert!(with(Some(never)).get("/", &[("x-debug", "1")]).await.text().contains("<!-- fragment "));
    let default = with(Some(debug)).get("/", &[]).await.text().contains("<!-- fragment ");
    assert_eq!(default, cfg!(debug_assertions));
}

#[tokio::test]
async fn keys_are_shown_if_the_layer_is_set_so() {
    let (cache, _) = cache();
    let env = environment(&cache, &[("page.html", PAGE)]);
    let hidden = pages(debugged(&cache), &env).get("/", &[]).await;
    assert!(!format!("{hidden:?}").contains("ada@example"), "{hidden:?}");
    let (fragments, _) = comments(hidden.text());
    assert_eq!(fragments[0]["key_hash"].as_str().unwrap().len(), 16);
    cache.clear();
    let shown = pages(debugged(&cache).show_keys(true), &env).get("/", &[]).await;
    let (fragments, _) = comments(shown.text());
    assert_eq!(fragments[0]["key"], "\"outer\"");
    assert_eq!(fragments[1]["key"], "[\"inner\", \"ada@example.org\"]");
}

#[tokio::test]
async fn hostile_labels_keys_and_tags_cannot_end_their_comment() {
    let (cache, _) = cache();
    let evil = "--><script>alert(1)</script><!--";
    let env =
        environment(&cache, &[("page.html", "<!doctype html><p>{% cache k tags=[k] name=k %}a{% endcache %}</p>")]);
    let app = app(debugged(&cache).show_keys(true), move |_| {
        Html(env.get_template("page.html").unwrap().render(context! { k => evil }).unwrap()).into_response()
    });
    let reply = app.get("/", &[]).await;
    assert!(!reply.text().contains("alert(1)</script>"), "{}", reply.text());
    let (fragments, _) = comments(reply.text());
    assert_eq!((&fragments[0]["label"], &fragments[0]["tags"][0]), (&evil.into(), &evil.into()));
    assert!(reply.header("server-timing").unwrap().is_ascii());
}

#[tokio::test]
async fn a_response_that_is_no_html_has_no_marks() {
    let (cache, _) = cache();
    let env = environment(&cache, &[("part.html", "{% cache 'part' %}<b>part</b>{% endcache %}")]);
    for kind in ["application/json", "text/plain", "application/xhtml+xml", "application/ld+json", ""] {
        let env = Arc::clone(&env);
        let app = app(debugged(&cache), move |_| {
            let json = serde_json::json!({ "html": render(&env, "part.html") }).to_string();
            let headers = [("content-type", kind), ("etag", "\"a\"")];
            answer(if kind.is_empty() { &headers[1..] } else { &headers }, json)
        });
        let reply = app.get("/", &[]).await;
        assert_eq!(reply.text(), r#"{"html":"<b>part</b>"}"#, "{kind}");
        assert_eq!(reply.header("content-length").unwrap(), reply.text().len().to_string(), "{kind}");
        assert!(reply.header("server-timing").unwrap().contains("cache;desc=\"1 "), "{kind}");
    }
}

#[tokio::test]
async fn a_response_without_marks_is_unchanged() {
    let (cache, _) = cache();
    let app = app(debugged(&cache), |request| match request.uri().path() {
        "/style.css" => {
            answer(&[("content-type", "text/css"), ("etag", "\"a\""), ("cache-control", "max-age=9")], "a{}")
        }
        "/part" => {
            answer(&[("content-type", "text/html"), ("etag", "\"a\""), ("cache-control", "max-age=9")], "<b>a</b>")
        }
        "/image" => answer(&[("content-type", "image/png"), ("etag", "\"a\""), ("cache-control", "max-age=9")], "mjc"),
        _ => answer(&[("etag", "\"a\""), ("cache-control", "max-age=9")], Body::empty()),
    });
    for (path, body) in [("/style.css", "a{}"), ("/part", "<b>a</b>"), ("/image", "mjc"), ("/", "")] {
        let reply = app.get(path, &[]).await;
        assert_eq!((reply.text(), reply.header("etag").as_deref()), (body, Some("\"a\"")), "{path}");
        assert_eq!(reply.header("cache-control").as_deref(), Some("max-age=9"), "{path}");
        assert_eq!(reply.header("server-timing").as_deref(), Some("cache;desc=\"nothing\""), "{path}");
    }
}

/// Chunks that are there one at a time.
fn streamed(chunks: Vec<String>) -> Body {
    let chunks = chunks.into_iter().map(|chunk| Ok::<_, std::convert::Infallible>(Bytes::from(chunk)));
    Body::new(Chunks(chunks.collect()))
}

struct Chunks(std::collections::VecDeque<Result<Bytes, std::convert::Infallible>>);

impl http_body::Body for Chunks {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, Self::Error>>> {
        std::task::Poll::Ready(self.0.pop_front().map(|chunk| chunk.map(http_body::Frame::data)))
    }
}

#[tokio::test]
async fn marks_are_removed_from_streams_at_any_chunk_boundary() {
    let (cache, _) = cache();
    let env = environment(&cache, &[("part.html", "m{% cache 'part' %}part{% endcache %}mj")]);
    for length in [1, 2, 7, 22, 23, 24, 1000] {
        let env = Arc::clone(&env);
        let app = app(debugged(&cache), move |_| {
            let text = render(&env, "part.html").repeat(3);
            assert!(text.len() > 100, "it has marks");
            let chunks = text.as_bytes().chunks(length).map(|chunk| String::from_utf8(chunk.to_vec()).unwrap());
            answer(
                &[("content-type", "text/plain"), ("content-length", &text.len().to_string())],
                streamed(chunks.collect()),
            )
        });
        let reply = app.get("/", &[]).await;
        assert_eq!(reply.text(), "mpartmjmpartmjmpartmj", "{length}");
        assert_eq!(reply.header("content-length"), None);
    }
}

#[tokio::test]
async fn an_event_stream_is_not_waited_for() {
    let (cache, _) = cache();
    let app = app(debugged(&cache), |_| {
        let (sender, receiver) = tokio::sync::mpsc::channel::<Bytes>(1);
        sender.try_send(Bytes::from("data: 1\n\n")).unwrap();
        // It never ends.
        answer(&[("content-type", "text/event-stream")], Body::new(Events { receiver, _sender: sender }))
    });
    let mut response = app.response(Method::GET, "/", &[]).await;
    let first = response.body_mut().frame().await.unwrap().unwrap().into_data().unwrap();
    assert_eq!(first, "data: 1\n\n");
}

struct Events {
    receiver: tokio::sync::mpsc::Receiver<Bytes>,
    _sender: tokio::sync::mpsc::Sender<Bytes>,
}

impl http_body::Body for Events {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, Self::Error>>> {
        self.receiver.poll_recv(context).map(|data| data.map(|data| Ok(http_body::Frame::data(data))))
    }
}

#[tokio::test]
async fn a_page_that_is_too_large_has_neither_comments_nor_marks() {
    let (cache, _) = cache();
    let env = environment(&cache, &[("page.html", PAGE)]);
    let page = pages(debugged(&cache).max_body_bytes(100), &env).get("/", &[]).await;
    assert_eq!(page.text(), render(&env, "page.html"));
    assert_eq!(page.header("cache-control").as_deref(), Some("no-store"));
}

#[tokio::test]
async fn compression_works_inside_and_outside_of_the_layer() {
    let (cache, _) = cache();
    let env = environment(&cache, &[("page.html", PAGE)]);
    let handle = async move || Html(render(&env, "page.html") + &" ".repeat(100));
    let router = Router::new().fallback(handle);
    let inside = router.clone().layer(CompressionLayer::new()).layer(debugged(&cache));
    let reply = App::of(inside, Arc::default()).get("/", &[("accept-encoding", "gzip")]).await;
    assert!(reply.header("content-encoding").is_none() && reply.text().contains("<!-- fragment "));
    let outside = App::of(router.layer(debugged(&cache)).layer(CompressionLayer::new()), Arc::default());
    let response = outside.response(Method::GET, "/", &[("accept-encoding", "gzip")]).await;
    assert_eq!(response.headers()["content-encoding"], "gzip");
}

#[tokio::test]
async fn a_conditional_request_gets_the_full_page() {
    let (cache, _) = cache();
    let app = app(debugged(&cache), |request| match request.headers().contains_key("if-none-match") {
        true => answer(&[], Body::empty()).into_parts().0.status.as_u16().to_string().into_response(),
        false => Html("<!doctype html><p>a").into_response(),
    });
    let browser = app.get("/", &[("accept", "text/html,*/*"), ("if-none-match", "\"a\"")]).await;
    assert!(browser.text().contains("<p>a"));
    let other = app.get("/", &[("accept", "image/*"), ("if-none-match", "\"a\"")]).await;
    assert_eq!(other.text(), "200");
}

#[tokio::test]
async fn responses_without_a_body_are_unchanged() {
    let (cache, _) = cache();
    for status in [StatusCode::NOT_MODIFIED, StatusCode::NO_CONTENT] {
        let app = app(debugged(&cache), move |_| {
            let mut response = answer(&[("content-type", "text/html"), ("etag", "\"a\"")], Body::empty());
            *response.status_mut() = status;
            response
        });
        let reply = app.get("/", &[]).await;
        assert_eq!((reply.status, reply.text(), reply.header("etag").as_deref()), (status, "", Some("\"a\"")));
        assert!(reply.header("server-timing").is_some());
    }
}

/// Cached pages, of which requests with a header are debugged.
fn stored(cache: &FragmentCache, env: &Arc<Environment<'static>>) -> (App, Arc<AtomicUsize>) {
    let (env, made) = (Arc::clone(env), Arc::new(AtomicUsize::new(0)));
    let counted = Arc::clone(&made);
    let handle = async move || {
        counted.fetch_add(1, Ordering::SeqCst);
        Html(render(&env, "page.html"))
    };
    let layer = debugged(cache).only_if(|request| request.headers.contains_key("x-debug"));
    let router = Router::new().fallback(handle).layer(CacheLayer::new(cache).ttl(seconds(60)));
    (App::of(router.layer(layer), Arc::default()), made)
}

#[tokio::test]
async fn a_stored_page_has_no_marks_and_equals_the_page_without_the_layer() {
    let (cache, _) = cache();
    let page = PAGE.replace(" 0 %}", " 50 %}");
    let page: &'static str = page.leak();
    let env = environment(&cache, &[("page.html", page)]);
    let (app, made) = stored(&cache, &env);
    let debugged = app.get("/", &[("x-debug", "1")]).await;
    assert_eq!(comments(debugged.text()).0.len(), 3);
    let hit = app.get("/", &[]).await;
    assert!(hit.is_hit(), "{hit:?}");
    assert_eq!((hit.text(), made.load(Ordering::SeqCst)), (render(&env, "page.html").as_str(), 1));
    assert_eq!(hit.header("content-length").unwrap(), hit.text().len().to_string());
    // The tag is computed without marks, so that a page generated again has the same tag.
    cache.clear();
    let anew = app.get("/", &[]).await;
    assert_eq!((anew.header("etag"), anew.is_hit()), (hit.header("etag"), false));
    // The page was a hit, so its fragments were not looked up.
    let (fragments, summary) = comments(app.get("/", &[("x-debug", "1")]).await.text());
    assert_eq!(fragments, Vec::<Value>::new());
    let page = &summary["elsewhere"][0];
    assert_eq!((&page["kind"], &page["outcome"]), (&"page".into(), &"hit".into()), "{summary}");
}

#[tokio::test]
async fn a_debug_layer_inside_of_a_cache_layer_prevents_storing() {
    let (cache, _) = cache();
    let env = environment(&cache, &[("page.html", PAGE)]);
    let handle = async move || Html(render(&env, "page.html"));
    let router = Router::new().fallback(handle).layer(debugged(&cache));
    let app = App::of(router.layer(CacheLayer::new(&cache).ttl(seconds(60))), Arc::default());
    for _ in 0..2 {
        let reply = app.get("/", &[]).await;
        assert!(!reply.is_hit() && reply.text().contains("<!-- fragment "), "{reply:?}");
    }
}

#[tokio::test]
async fn stored_fragments_have_no_marks_of_nested_fragments() {
    let (cache, _) = cache();
    let page = "<!doctype html>{% cache 'outer' %}{% set a %}{% cache 'inner' %}inside{% endcache %}{% endset %}\
                {{ a }}{{ a|upper }}{{ a|length }}{% endcache %}";
    let env = environment(&cache, &[("page.html", page)]);
    let app = pages(debugged(&cache), &env);
    app.get("/", &[]).await;
    let stored = render(&env, "page.html");
    assert!(stored.starts_with("<!doctype html>insideINSIDE"), "{stored}");
    assert!(!app.get("/", &[]).await.text().contains("mjc"));
}

#[tokio::test]
async fn a_request_that_is_not_debugged_gets_no_marks_of_a_debugged_one() {
    let (cache, _) = cache();
    let env = environment(
        &cache,
        &[("miss.html", "{% cache 'miss' %}a{% endcache %}"), ("hit.html", "{% cache 'hit' %}b{% endcache %}")],
    );
    render(&env, "hit.html");
    let (rendered, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (env, here, there) = (env, Arc::clone(&rendered), Arc::clone(&go_on));
    let handle = move |request: Request| {
        let (env, rendered, go_on) = (Arc::clone(&env), Arc::clone(&here), Arc::clone(&there));
        async move {
            if request.uri().path() == "/hit" {
                return Html(render(&env, "hit.html"));
            }
            let page = render(&env, "miss.html");
            rendered.notify_one();
            go_on.notified().await;
            Html(page)
        }
    };
    let layer = debugged(&cache).only_if(|request| request.uri.path() == "/miss");
    let app = App::of(Router::new().fallback(handle).layer(layer), Arc::default());
    // Both on this thread, the second while the first is under way.
    let first = tokio::spawn({
        let app = app.clone();
        async move { app.get("/miss", &[]).await }
    });
    rendered.notified().await;
    assert_eq!(app.get("/hit", &[]).await.text(), "b");
    go_on.notify_one();
    assert!(first.await.unwrap().text().contains("<!-- fragment "));
}

#[tokio::test]
async fn the_script_is_served_at_any_path() {
    let (cache, _) = cache();
    let router = Router::new().nest(
        "/films",
        Router::new().route("/{id}", axum::routing::get(async || Html("<head>")).layer(debugged(&cache))),
    );
    let app = App::of(router, Arc::default());
    let page = app.get("/films/7?page=2", &[]).await;
    assert!(page.text().contains("<script defer src=\"?minijinja-cache-overlay\"></script>"), "{}", page.text());
    let script = app.get("/films/7?minijinja-cache-overlay", &[]).await;
    assert_eq!(script.header("content-type").as_deref(), Some("text/javascript; charset=utf-8"));
    assert!(script.text().contains("attachShadow"));
    let posted = app.send(Method::POST, "/films/7?minijinja-cache-overlay", &[]).await;
    assert_eq!(posted.status, StatusCode::METHOD_NOT_ALLOWED);
    let without = self::app(debugged(&cache).overlay(false), |_| Html("<head>").into_response());
    assert!(!without.get("/", &[]).await.text().contains("<script"));
    // With a base of its own the page names the whole address, also behind a router's prefix.
    let based = Router::new()
        .route("/{id}", axum::routing::get(async || Html("<head><base href='/x/'>")).layer(debugged(&cache)));
    let page = App::of(Router::new().nest("/films", based), Arc::default()).get("/films/7?a", &[]).await;
    assert!(page.text().contains("src=\"/films/7?minijinja-cache-overlay\""), "{}", page.text());
}

#[tokio::test]
async fn a_failed_fragment_has_the_outcome_error() {
    let (cache, _) = cache();
    let handled = cache.clone();
    let app = app(debugged(&cache), move |_| {
        let failed =
            handled.get_or_set("k", Options::default().label("größe \"a\\"), || Err::<String, _>(std::fmt::Error));
        (StatusCode::INTERNAL_SERVER_ERROR, Html(format!("<!doctype html>{}", failed.is_err()))).into_response()
    });
    let reply = app.get("/", &[]).await;
    assert_eq!(reply.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(comments(reply.text()).1["elsewhere"][0]["outcome"], "error");
    let timing = reply.header("server-timing").unwrap();
    assert!(
        timing.contains("cache;desc=\"1 error\"") && timing.contains("miss-cold;desc=\"1: gr??e \\\"a\\\\\""),
        "{timing}"
    );

    let service = tower::ServiceBuilder::new()
        .layer(debugged(&cache))
        .service(tower::service_fn(async |_: Request| Err::<Response, _>("no answer")));
    assert_eq!(service.oneshot(request("/", &[])).await.unwrap_err(), "no answer");
}

#[tokio::test]
async fn server_timing_has_a_limited_length() {
    let (cache, _) = cache();
    let handled = cache.clone();
    let app = app(debugged(&cache), move |_| {
        for n in 0..500 {
            let options = Options::default().label(format!("{n} {}", "long ".repeat(50)));
            handled.get_or_set(n, options, || Ok::<_, std::fmt::Error>("a")).unwrap();
        }
        Html("<!doctype html>").into_response()
    });
    let timing: Reply = app.get("/", &[]).await;
    let timing = timing.header("server-timing").unwrap();
    assert!(timing.len() < 2000 && timing.contains("cache;desc=\"500 miss\""), "{timing}");
}
