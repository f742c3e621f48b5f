//! However a computation ends, its span is left and closed, and nobody's page fails for a subscriber.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Waker};

use minijinja::context;
use minijinja_cache::Options;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Span, Subscriber};

use crate::capture::{self, Capture};
use crate::support::{cache, env_of, ok, p};

/// All spans were left as often as entered, and are over; nothing is current.
fn assert_balanced(capture: &Capture) -> Vec<capture::Span> {
    let spans = capture.spans();
    assert!(!spans.is_empty());
    for span in &spans {
        assert!(span.entered == span.exited && span.entered > 0 && span.closed, "{span:?}");
    }
    capture.hear(|| assert!(Span::current().is_none()));
    spans
}

fn error_of(span: &capture::Span) -> (Option<&str>, Option<&str>) {
    let field = |name: &str| span.fields.get(name).map(String::as_str);
    (field("error.type"), field("otel.status_code"))
}

#[test]
fn after_an_error() {
    let (cache, capture) = (cache(), Capture::all());
    capture.hear(|| cache.get_or_set("k", Options::default(), || Err::<&str, _>("no")).unwrap_err());
    let env =
        env_of(&cache, &[("p", "{% cache 'a' %}{% cache 'b' %}{{ nothing.at.all }}{% endcache %}{% endcache %}")]);
    capture.hear(|| env.get_template("p").unwrap().render(context! {}).unwrap_err());
    let spans = assert_balanced(&capture);
    assert_eq!(spans.len(), 3);
    assert!(spans.iter().all(|span| error_of(span) == (Some("error"), Some("ERROR"))), "{spans:?}");
}

#[test]
fn after_a_panic() {
    let (cache, capture) = (cache(), Capture::all());
    capture.hear(|| {
        let panics = || -> Result<&str, ()> { panic!("a panic of the test") };
        let outer = || cache.get_or_set("inner", Options::default(), panics).map(|text| text.to_string());
        assert!(catch_unwind(AssertUnwindSafe(|| cache.get_or_set("outer", Options::default(), outer))).is_err());
        let polled = async { panic!("another one") };
        let mut call = Box::pin(cache.get_or_set_async::<_, String, (), _>("k", Options::default(), polled));
        let poll = || call.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready();
        assert!(catch_unwind(AssertUnwindSafe(poll)).is_err());
        assert!(Span::current().is_none());
    });
    let spans = assert_balanced(&capture);
    let errors: Vec<_> = spans.iter().map(error_of).collect();
    assert_eq!(errors[..2], [(Some("panic"), Some("ERROR")); 2]);
    // The future is dropped after its panic was caught.
    assert_eq!((errors.len(), errors[2].1), (3, Some("ERROR")));
}

#[test]
fn after_a_future_was_dropped_half_way_which_is_no_error() {
    let (cache, capture) = (cache(), Capture::all());
    capture.hear(|| {
        let mut call = Box::pin(cache.get_or_set_async("k", Options::default(), async {
            std::future::pending::<()>().await;
            ok("never")
        }));
        assert!(call.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        drop(call);
    });
    let spans = assert_balanced(&capture);
    assert_eq!(error_of(&spans[0]), (None, None));
    assert_eq!(spans[0].fields["fragment.rejection"], "cancelled");
    assert_eq!(cache.fragment_stats()[0].errors, 0);
    assert!(capture.events().iter().all(|event| event.level > tracing::Level::WARN));
}

#[test]
fn after_a_failure_that_a_function_of_the_application_swallows() {
    let (cache, capture) = (cache(), Capture::all());
    let bad = "{% cache 'inner' %}{% cache 'innermost' %}{{ nothing.at.all }}{% endcache %}{% endcache %}";
    let mut env = env_of(&cache, &[("p", "{% cache 'outer' %}{{ try() }}{{ seen() }}{% endcache %}"), ("bad", bad)]);
    env.add_function("try", |state: &mut minijinja::State<'_, '_>| {
        state.env().get_template("bad").and_then(|bad| bad.render(context! {})).unwrap_or_else(|_| "sorry".into())
    });
    let outer = std::sync::Arc::new(std::sync::Mutex::new(None));
    let seen = std::sync::Arc::clone(&outer);
    env.add_function("seen", move || {
        *seen.lock().unwrap() = Span::current().id();
        ""
    });
    capture.hear(|| assert_eq!(p(&env), "sorry"));
    let spans = assert_balanced(&capture);
    assert_eq!(spans.iter().map(|span| span.parent).collect::<Vec<_>>(), [None, Some(0), Some(1)]);
    // The registry counts from 1: what is current after the failure is the outer one's span, and not what it left.
    assert!(outer.lock().unwrap().is_some());
    assert_eq!(error_of(&spans[0]), (None, None));
    assert_eq!(spans[0].fields["fragment.rejection"], "uncacheable");
}

#[test]
fn after_a_macro_failed_and_left_its_fragment_open() {
    let (cache, capture) = (cache(), Capture::all());
    let page = "{% macro m() %}{% cache 'inner' %}{{ nothing.at.all }}{% endcache %}{% endmacro %}{{ try(m) }}";
    let mut env = env_of(&cache, &[("p", page)]);
    let calls = cache.clone();
    env.add_function("try", move |state: &mut minijinja::State<'_, '_>, m: minijinja::Value| {
        let outer = calls.get_or_set("outer", Options::default(), || {
            m.call(state, &[]).unwrap_err();
            ok("sorry")
        });
        assert!(Span::current().is_none(), "the fragment that was left open is still current");
        outer.unwrap().to_string()
    });
    capture.hear(|| assert_eq!(p(&env), "sorry"));
    let spans = assert_balanced(&capture);
    assert_eq!(spans.iter().map(|span| span.parent).collect::<Vec<_>>(), [None, Some(0)]);
    assert_eq!((error_of(&spans[0]), error_of(&spans[1])), ((None, None), (Some("error"), Some("ERROR"))));
}

#[test]
fn after_guards_that_were_dropped_in_the_wrong_order() {
    let (cache, capture) = (cache(), Capture::all());
    capture.hear(|| {
        let text = cache.get_or_set("outer", Options::default(), || {
            let (one, other) = (cache.current_scope().attach(), cache.current_scope().attach());
            drop(one);
            cache.get_or_set("inner", Options::default(), || ok("x"))?;
            // Left standing: a guard that outlives what it was opened in.
            std::mem::forget(other);
            ok("x")
        });
        assert_eq!(text.unwrap(), "x");
        cache.get_or_set("after", Options::default(), || ok("x")).unwrap();
    });
    let spans = assert_balanced(&capture);
    assert_eq!(spans.iter().map(|span| span.parent).collect::<Vec<_>>(), [None, Some(0), None]);
}

/// Panics whenever it is told something.
struct Panicking(AtomicU32);

impl Panicking {
    fn panic(&self) -> ! {
        self.0.fetch_add(1, Ordering::Relaxed);
        panic!("a subscriber's panic")
    }
}

impl Subscriber for Panicking {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {
        self.panic()
    }

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, _: &Event<'_>) {
        self.panic()
    }

    fn enter(&self, _: &Id) {
        self.panic()
    }

    fn exit(&self, _: &Id) {
        self.panic()
    }

    fn try_close(&self, _: Id) -> bool {
        self.panic()
    }
}

#[test]
fn a_subscriber_that_panics_fails_no_page_and_no_caching() {
    let cache = cache();
    let env = env_of(&cache, &[("p", "{% cache 'k' %}{% cache 'inner' %}x{% endcache %}{% endcache %}")]);
    let panicking = std::sync::Arc::new(Panicking(AtomicU32::new(0)));
    tracing::subscriber::with_default(std::sync::Arc::clone(&panicking), || {
        assert_eq!((p(&env), p(&env)), ("x".into(), "x".into()));
        cache.invalidate("k");
        assert_eq!(p(&env), "x");
        cache.get_or_set("e", Options::default(), || Err::<&str, _>("no")).unwrap_err();
    });
    assert!(panicking.0.load(Ordering::Relaxed) > 10);
    assert_eq!((cache.stats().hits, cache.stats().stores), (2, 3));
}
