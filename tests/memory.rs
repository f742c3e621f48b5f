//! Long-running processes: ten thousand edits leave memory where it was.
#![allow(clippy::unwrap_used, missing_docs)]

use std::alloc::System;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use cap::Cap;
use minijinja::{Environment, context};
use minijinja_cache::{FragmentCache, Options};

/// Counts the bytes in use.
#[global_allocator]
static ALLOCATOR: Cap<System> = Cap::new(System, usize::MAX);

/// Tests in one process share the count, so they take turns.
static TURN: Mutex<()> = Mutex::new(());

/// Bytes that the second of two equal stretches of work left behind: the first fills tables and buffers, and what is
/// freed later.
fn left_behind(cache: &FragmentCache, mut work: impl FnMut(u32)) -> i64 {
    let mut stretch = |from: u32, to: u32| {
        (from..to).for_each(&mut work);
        cache.run_maintenance();
        i64::try_from(ALLOCATOR.allocated()).unwrap()
    };
    let before = stretch(0, 10_000);
    stretch(10_000, 20_000) - before
}

/// What may stay, whatever the number of rounds: 100 KiB for 10,000 of them.
const SLACK: i64 = 100 << 10;

#[test]
fn ten_thousand_edits_leave_memory_where_it_was() {
    let _turn = TURN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let cache = FragmentCache::builder().max_bytes(256 << 10).floor_slots(1024).build().unwrap();
    let sources: Arc<Mutex<HashMap<String, String>>> = Arc::default();
    let mut env = Environment::new();
    cache.add_to_environment(&mut env);
    let shelf = Arc::clone(&sources);
    env.set_loader(cache.loader(move |name| Ok(shelf.lock().unwrap().get(name).cloned())));
    let env = cache.environment(env);
    let page = "{% cache 'k' %}{% include 'x' %}{% include 'gone' ignore missing %}{% endcache %}";
    sources.lock().unwrap().insert("p".into(), page.into());
    let left = left_behind(&cache, |n| {
        sources.lock().unwrap().insert("x".into(), format!("{n:06}{}", "x".repeat(1000)));
        cache.invalidate_template("x");
        for _ in 0..2 {
            assert!(env.render("p", context! {}).unwrap().starts_with(&format!("{n:06}")));
        }
    });
    assert!(left < SLACK, "{left} bytes more after 10,000 edits");
    assert!(cache.stats().hits >= 10_000, "{:?}", cache.stats());
}

#[test]
fn names_that_visitors_make_up_leave_nothing_behind() {
    let _turn = TURN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let cache = FragmentCache::builder().max_bytes(256 << 10).floor_slots(1024).build().unwrap();
    let mut env = Environment::new();
    cache.add_to_environment(&mut env);
    env.set_loader(cache.loader(|name| {
        Ok((name == "p").then(|| "{% cache n %}{% include n ignore missing %}{{ cache_tag(n) }}{% endcache %}".into()))
    }));
    let left = left_behind(&cache, |n| {
        let n = format!("made up {n:06}");
        env.get_template("p").unwrap().render(context! { n => &n }).unwrap();
        cache.invalidate_template(&n);
        cache.invalidate_tag(&n);
        cache.namespace(&n).invalidate(&n);
    });
    assert!(left < SLACK, "{left} bytes more after 10,000 names");
}

#[test]
fn keys_without_end_stay_within_the_bound() {
    let _turn = TURN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let cache = FragmentCache::builder().max_bytes(256 << 10).floor_slots(1024).build().unwrap();
    let left = left_behind(&cache, |n| {
        let text = || Ok::<_, std::convert::Infallible>("x".repeat(500));
        cache.get_or_set(("user", n), Options::default().tag(format!("user:{n}")), text).unwrap();
        cache.get_or_set(("failed", n), Options::default(), || Err::<String, _>("outage")).unwrap_err();
    });
    assert!(left < SLACK, "{left} bytes more after 10,000 keys");
    assert!(cache.stats().bytes <= 256 << 10);
}
