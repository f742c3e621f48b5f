//! Interleavings and habits that once broke a promise.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use minijinja::{Environment, Error, ErrorKind, State, Value, context};
use minijinja_cache::{FragmentCache, Options, lazy};

use crate::support::{cache, env_of, ok, p, show, timed};

/// A load of `inc` reads "old" and is held until the source has become `new` and another load has seen that.
fn load_overtaken_by_a_change(new: Option<&'static str>, in_a_clone: bool) {
    let cache = cache();
    let source = Arc::new(Mutex::new(Some("old".to_owned())));
    let (go, gate) = mpsc::channel::<()>();
    let (has_read, read) = mpsc::channel::<()>();
    let (shelf, gate) = (Arc::clone(&source), Mutex::new(Some(gate)));
    let mut env = Environment::new();
    cache.add_to_environment(&mut env);
    env.set_loader(cache.loader(move |name| {
        if name == "p" {
            return Ok(Some("{% cache 'k' %}[{% include 'inc' ignore missing %}]{% endcache %}".into()));
        }
        let text = shelf.lock().unwrap().clone();
        let held = gate.lock().unwrap().take();
        if let Some(gate) = held {
            has_read.send(()).unwrap();
            gate.recv().unwrap();
        }
        Ok(text)
    }));
    let other = if in_a_clone { env.clone() } else { Environment::new() };
    let env = &env;
    std::thread::scope(|threads| {
        let slow = threads.spawn(|| p(env));
        read.recv().unwrap();
        *source.lock().unwrap() = new.map(Into::into);
        cache.invalidate_template("inc");
        cache.invalidate("k");
        let seen_by = if in_a_clone { &other } else { env };
        let _ = seen_by.get_template("inc").map(|template| template.render(context! {}));
        go.send(()).unwrap();
        slow.join().unwrap();
    });
    let expected = format!("[{}]", new.unwrap_or_default());
    assert_eq!([p(env), p(env)], [expected.clone(), expected]);
}

#[test]
fn a_slow_load_does_not_bring_back_what_was_deleted() {
    load_overtaken_by_a_change(None, false);
}

#[test]
fn a_slow_load_does_not_bring_back_what_was_replaced() {
    load_overtaken_by_a_change(Some("new"), false);
    load_overtaken_by_a_change(Some("new"), true);
}

#[test]
fn an_old_lazy_value_read_in_an_inner_fragment_is_not_stored_in_the_outer_one() {
    let cache = cache();
    let env = env_of(
        &cache,
        &[
            ("head", "{% cache 'h' tags=['x'] %}{{ v }}{% endcache %}"),
            ("nest", "{% cache 'o' %}<{% cache 'i' tags=['x'] %}{{ v }}{% endcache %}>{% endcache %}"),
        ],
    );
    let shown = |name: &str, v: &Value| show(&env, name, context! { v => v.clone() });
    let old = lazy(|| Ok::<_, Infallible>("old"));
    cache.scope().run(|| shown("head", &old));
    cache.invalidate_tag("x");
    assert_eq!(cache.scope().run(|| shown("nest", &old)), "<old>");
    assert_eq!(shown("nest", &lazy(|| Ok::<_, Infallible>("new"))), "<new>");
}

#[test]
fn a_block_whose_options_failed_does_not_wait_for_itself() {
    let cache = cache();
    let mut env = Environment::new();
    cache.add_to_environment(&mut env);
    env.add_function("attempt", |state: &mut State<'_, '_>, call: Value| {
        call.call(state, &[]).unwrap_or_else(|_| Value::from("failed "))
    });
    env.add_function("fail", || -> Result<Value, Error> { Err(Error::new(ErrorKind::InvalidOperation, "no")) });
    let source =
        "{% macro m() %}{% cache 'k' tags=[fail()] %}x{% endcache %}{% endmacro %}{{ attempt(m) }}{{ attempt(m) }}";
    cache.add_template(&mut env, "p", source).unwrap();
    assert_eq!(p(&env), "failed failed ");
    assert_eq!(cache.stats().wait_timeouts, 0);
}

#[tokio::test]
async fn a_sync_caller_never_waits_for_a_future_that_replaces_another_type() {
    let cache = FragmentCache::builder().build().unwrap();
    let ask = |cache: &FragmentCache| cache.clone();
    let (release_number, number) = tokio::sync::oneshot::channel::<()>();
    let (release_text, text) = tokio::sync::oneshot::channel::<()>();
    let leader = ask(&cache);
    let leader = tokio::spawn(async move {
        let load = async {
            number.await.ok();
            ok(7_u32)
        };
        leader.get_or_set_value_async("k", Options::default(), load).await
    });
    tokio::task::yield_now().await;
    let follower = ask(&cache);
    let follower = tokio::spawn(async move {
        let load = async {
            text.await.ok();
            ok("text".to_owned())
        };
        follower.get_or_set_value_async("k", Options::default(), load).await
    });
    tokio::task::yield_now().await;
    release_number.send(()).unwrap();
    leader.await.unwrap().unwrap();
    for _ in 0..5 {
        tokio::task::yield_now().await;
    }
    assert_eq!(cache.get_or_set_value("k", Options::default(), || ok("sync".to_owned())).unwrap(), "sync");
    assert_eq!(cache.stats().wait_timeouts, 0);
    release_text.send(()).unwrap();
    follower.await.unwrap().unwrap();
}

#[test]
fn two_environments_of_one_name_with_the_same_templates_both_cache() {
    let cache = cache();
    let site = || {
        let mut env = Environment::new();
        cache.add_to_environment_as("site", &mut env);
        cache.add_template(&mut env, "inc", "i").unwrap();
        cache.add_template(&mut env, "p", "{% cache 'k' %}{% include 'inc' %}{% endcache %}").unwrap();
        env
    };
    let (first, second) = (site(), site());
    assert_eq!([p(&first), p(&second), p(&first)], ["i", "i", "i"]);
    assert_eq!((cache.stats().stores, cache.stats().hits), (1, 2));
}

#[test]
fn a_state_that_is_kept_does_not_hold_back_later_renders() {
    let (cache, clock) = timed();
    let env = env_of(&cache, &[("m", "{% cache 'z' %}z{% endcache %}"), ("p", "{% cache 'k' %}p{% endcache %}")]);
    let kept = env.get_template("m").unwrap().render_captured(context! {}).unwrap();
    clock.advance(Duration::from_secs(11));
    cache.invalidate("k");
    assert_eq!([p(&env), p(&env)], ["p", "p"]);
    assert_eq!(cache.stats().hits, 1);
    assert_eq!(kept.output(), "z");
}
