//! The span of a computation: what it says, what it is inside of, and when it is current.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::thread;

use minijinja::context;
use minijinja_cache::{FragmentCache, Options};
use tracing::Span;
use tracing_subscriber::filter::LevelFilter;

use crate::capture::Capture;
use crate::support::{cache, env_of, ok, p, show};

const SECRET: &str = "ada@example.org";

#[test]
fn a_computation_is_a_span_that_says_what_came_of_it() {
    let cache = FragmentCache::builder().name("films").build().unwrap();
    let env = env_of(&cache, &[("p", "\n{% cache ['bio', who] tags=['people'] %}Ada{% endcache %}")]);
    let capture = Capture::all();
    let page = || show(&env, "p", context! { who => SECRET });
    capture.hear(page);
    cache.invalidate_tag("people");
    capture.hear(page);

    let spans = capture.spans();
    let field = |at: usize, name: &str| spans[at].fields.get(name).map(String::as_str);
    assert_eq!(spans.len(), 2);
    for at in [0, 1] {
        assert_eq!(spans[at].name, "fragment");
        for (name, value) in [
            ("otel.name", "fragment p:2"),
            ("cache.name", "films"),
            ("fragment.label", "p:2"),
            ("fragment.kind", "block"),
            ("fragment.template", "p"),
            ("fragment.outcome", "miss"),
            ("fragment.bytes", "3"),
            ("fragment.stored", "true"),
        ] {
            assert_eq!(field(at, name), Some(value), "{name}");
        }
        for name in ["error.type", "otel.status_code", "fragment.rejection"] {
            assert_eq!(field(at, name), None);
        }
        assert!(spans[at].closed);
    }
    let reason = |at| (field(at, "fragment.reason"), field(at, "fragment.reason_detail"));
    assert_eq!(reason(0), (Some("cold"), None));
    assert_eq!(reason(1), (Some("tag-invalidated"), Some("people")));
    let hash = field(0, "fragment.key_hash").unwrap();
    assert!(hash.len() == 16 && hash.bytes().all(|digit| digit.is_ascii_hexdigit()), "{hash}");
    assert_eq!(hash, cache.recent_misses()[0].about.key.to_string());
    assert!(!capture.text().contains("ada"), "{}", capture.text());
}

#[test]
fn a_result_that_is_not_stored_says_why() {
    let cache = FragmentCache::builder().max_entry_bytes(2000).build().unwrap();
    let (env, large) = (env_of(&cache, &[("p", "{% cache 'k' %}{{ cache_skip() }}x{% endcache %}")]), "x".repeat(3000));
    let capture = Capture::all();
    capture.hear(|| {
        p(&env);
        cache.get_or_set("large", Options::default(), || ok(large.as_str())).unwrap();
    });
    let rejections = capture.spans().into_iter().map(|span| span.fields["fragment.rejection"].clone());
    assert_eq!(rejections.collect::<Vec<_>>(), ["uncacheable", "too-large"]);
    assert!(capture.spans().iter().all(|span| span.fields["fragment.stored"] == "false"));
}

#[test]
fn nested_fragments_are_child_spans_and_their_hits_events_inside() {
    let cache = cache();
    let inner = "{% cache 'inner' name='inner' %}i{% endcache %}";
    let outer = format!("{{% cache 'outer' name='outer' %}}{inner}{{% endcache %}}");
    let env = env_of(&cache, &[("p", &outer), ("inner", inner)]);
    let capture = Capture::all();
    capture.hear(|| p(&env));
    let spans = capture.spans();
    let told: Vec<_> = spans.iter().map(|span| (span.fields["fragment.label"].as_str(), span.parent)).collect();
    assert_eq!(told, [("outer", None), ("inner", Some(0))]);

    cache.invalidate("outer");
    capture.clear();
    capture.hear(|| p(&env));
    assert_eq!(capture.spans().len(), 1);
    let hit = capture.events().into_iter().find(|event| event.message == "fragment answered").unwrap();
    assert_eq!((hit.fields["fragment.label"].as_str(), hit.inside), ("inner", Some(0)));

    capture.clear();
    capture.hear(|| p(&env));
    assert_eq!(capture.lines(&["fragment.outcome", "fragment.label"]), ["TRACE fragment answered hit outer"]);
}

#[test]
fn all_that_computes_is_in_its_span_while_it_runs() {
    let cache = cache();
    let current = || Span::current().metadata().map(tracing::Metadata::name);
    let mut env =
        env_of(&cache, &[("p", "{% cache 'block' %}{{ look() }}{% endcache %}"), ("partial", "{{ look() }}")]);
    env.add_function("look", move || current().unwrap_or_default());
    let capture = Capture::all();
    capture.hear(|| {
        assert_eq!(p(&env), "fragment");
        assert_eq!(cache.render(&env, "partial", context! {}, "k", Options::default()).unwrap(), "fragment");
        assert_eq!(
            cache.get_or_set("t", Options::default(), || ok(current().unwrap_or_default())).unwrap(),
            "fragment"
        );
        let value = cache.get_or_set_value("v", Options::default(), || ok(current().unwrap_or_default().to_owned()));
        assert_eq!(value.unwrap(), "fragment");
        assert_eq!(current(), None);
    });
    let kinds: Vec<_> = capture.spans().iter().map(|span| span.fields["fragment.kind"].clone()).collect();
    assert_eq!(kinds, ["block", "partial", "text", "value"]);
}

/// Gives way once.
async fn give_way() {
    let mut gave = false;
    std::future::poll_fn(|context| {
        context.waker().wake_by_ref();
        if std::mem::replace(&mut gave, true) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

#[test]
fn a_futures_span_is_current_at_each_poll_on_whichever_thread_and_between_polls_on_none() {
    let cache = cache();
    let capture = Capture::all();
    let seen = || Span::current().id();
    let load = async move {
        let first = seen();
        give_way().await;
        let second = seen();
        assert!(first.is_some() && first == second);
        ok("x")
    };
    let mut call = Box::pin(cache.get_or_set_async("k", Options::default(), load));
    capture.hear(|| {
        assert!(call.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        assert_eq!(seen(), None);
    });
    let dispatch = capture.dispatch.clone();
    thread::scope(|scope| {
        let ended = scope.spawn(|| {
            tracing::dispatcher::with_default(&dispatch, || {
                assert!(call.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready());
                assert_eq!(seen(), None);
            });
        });
        ended.join().unwrap();
    });
    let spans = capture.spans();
    assert_eq!((spans.len(), spans[0].entered, spans[0].exited, spans[0].closed), (1, 2, 2, true));
}

#[test]
fn two_futures_on_one_thread_do_not_get_into_each_others_span() {
    let cache = cache();
    let capture = Capture::all();
    let load = |own: &'static str| async move {
        let first = Span::current();
        for _ in 0..3 {
            give_way().await;
            assert_eq!(Span::current().id(), first.id());
        }
        ok(own)
    };
    capture.hear(|| {
        let mut one = pin!(cache.get_or_set_async("one", Options::default(), load("one")));
        let mut other = pin!(cache.get_or_set_async("other", Options::default(), load("other")));
        let mut context = Context::from_waker(Waker::noop());
        let mut done = [false; 2];
        while done != [true; 2] {
            done[0] = done[0] || one.as_mut().poll(&mut context).is_ready();
            done[1] = done[1] || other.as_mut().poll(&mut context).is_ready();
        }
    });
    let spans = capture.spans();
    assert_eq!(spans.len(), 2);
    assert!(spans.iter().all(|span| span.entered == 4 && span.exited == 4 && span.parent.is_none()));
}

#[test]
fn a_scope_takes_the_span_along_to_another_thread_and_no_longer_than_that_lasts() {
    let cache = cache();
    let capture = Capture::all();
    let late = capture.hear(|| {
        let mut late = None;
        let there = |key: &str| cache.get_or_set(key, Options::default().label(key), || ok("x")).unwrap();
        cache
            .get_or_set("outer", Options::default().label("outer"), || {
                let scope = cache.current_scope();
                thread::scope(|threads| {
                    threads.spawn(|| capture.hear(|| scope.run(|| there("inner"))));
                });
                // Here it is current already, and is not entered once more.
                scope.run(|| there("beside"));
                late = Some(scope);
                ok("x")
            })
            .unwrap();
        late.unwrap()
    });
    capture.hear(|| late.run(|| cache.get_or_set("late", Options::default().label("late"), || ok("x")).unwrap()));
    let spans = capture.spans();
    let told: Vec<_> = spans.iter().map(|span| (span.fields["fragment.label"].as_str(), span.parent)).collect();
    assert_eq!(told, [("outer", None), ("inner", Some(0)), ("beside", Some(0)), ("late", None)]);
    assert_eq!((spans[0].entered, spans[0].exited), (2, 2));
    assert!(spans.iter().all(|span| span.closed));
}

#[test]
fn a_span_of_the_application_is_the_parent_and_is_current_again_afterwards() {
    let cache = cache();
    let capture = Capture::all();
    capture.hear(|| {
        let request = tracing::info_span!("request");
        let _inside = request.enter();
        cache.get_or_set("k", Options::default(), || ok("x")).unwrap();
        assert_eq!(Span::current(), request);
    });
    let spans = capture.spans();
    assert_eq!((spans[0].name, spans[1].name, spans[1].parent), ("request", "fragment", Some(0)));
}

#[test]
fn a_level_that_is_not_listened_to_makes_no_span() {
    let cache = cache();
    for level in [LevelFilter::OFF, LevelFilter::INFO] {
        let capture = Capture::at(level);
        capture.hear(|| {
            cache.get_or_set("k", Options::default(), || ok("x")).unwrap();
            cache.get_or_set("k", Options::default(), || ok("x")).unwrap();
            cache.invalidate("k");
        });
        assert!(capture.spans().is_empty() && capture.events().is_empty(), "{level}");
    }
}

#[cfg(all(feature = "http", feature = "axum"))]
#[test]
fn a_page_is_the_parent_of_what_its_handler_renders_on_another_thread() {
    use axum::{Router, body::Body, http::Request, routing::get};
    use minijinja_cache::{Scope, http::CacheLayer};
    use tower::ServiceExt;

    let cache = cache();
    let capture = Capture::all();
    let layer = CacheLayer::new(&cache).ttl(std::time::Duration::from_secs(60));
    let (rendering, dispatch) = (cache.clone(), capture.dispatch.clone());
    let handler = move |scope: Scope| async move {
        tokio::task::spawn_blocking(move || {
            let _heard = tracing::dispatcher::set_default(&dispatch);
            scope.run(|| rendering.get_or_set("k", Options::default(), || ok("x")).unwrap().to_string())
        })
        .await
        .unwrap()
    };
    let app = Router::new().route("/{page}", get(handler)).layer(layer);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let visit = || {
        let request = Request::get("/films").body(Body::empty()).unwrap();
        assert_eq!(runtime.block_on(app.clone().oneshot(request)).unwrap().status(), 200);
    };
    capture.hear(visit);
    capture.hear(visit);
    let spans = capture.spans();
    let told: Vec<_> = spans.iter().map(|span| (span.fields["fragment.kind"].as_str(), span.parent)).collect();
    assert_eq!(told, [("page", None), ("text", Some(0))]);
    assert!(spans.iter().all(|span| span.closed && span.entered == span.exited && span.entered > 0));
    let hits = capture.lines(&["fragment.outcome", "fragment.kind"]);
    assert!(hits.contains(&"TRACE fragment answered hit page".to_owned()), "{hits:?}");
}
