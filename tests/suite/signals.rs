//! Signals of the application.

use std::sync::atomic::{AtomicU32, Ordering};

use minijinja_cache::{By, FragmentCache, Happened, Options, Signal, Target};

use crate::support::{Reports, cache, ok};

fn misses_of(cache: &FragmentCache, tag: &str) -> u64 {
    let before = cache.stats().misses;
    cache.get_or_set(tag, Options::forever().tag(tag), || ok("v")).unwrap();
    cache.stats().misses - before
}

#[test]
fn a_signal_invalidates_the_tags_of_what_was_sent_and_no_others() {
    let cache = cache();
    let saved: Signal<u32> = Signal::new("film saved");
    cache.on_signal(&saved, |film| [format!("film:{film}"), "films".to_owned()]);
    for tag in ["film:1", "film:2", "films"] {
        misses_of(&cache, tag);
    }
    let events = cache.subscribe();
    saved.send(&1);
    assert_eq!((misses_of(&cache, "film:1"), misses_of(&cache, "film:2"), misses_of(&cache, "films")), (1, 0, 1));
    let event = events.try_next().unwrap();
    let by = By::Signal("film saved".into());
    assert_eq!(event.what, Happened::Invalidated { what: Target::Tag("film:1".into()), by });
}

#[test]
fn a_signal_without_listeners_and_one_of_a_text_are_signals_too() {
    static RENAMED: Signal<str> = Signal::new("renamed");
    RENAMED.send("nobody listens");
    let cache = cache();
    cache.on_signal(&RENAMED, |name| [name.to_uppercase()]);
    misses_of(&cache, "ADA");
    RENAMED.send("ada");
    assert_eq!((misses_of(&cache, "ADA"), RENAMED.name()), (1, "renamed"));
}

#[test]
fn it_reaches_the_namespace_it_was_connected_in() {
    let cache = cache();
    let blog = cache.namespace("blog");
    let signal: Signal<()> = Signal::new("s");
    blog.on_signal(&signal, |()| ["t"]);
    misses_of(&cache, "t");
    misses_of(&blog, "t");
    signal.send(&());
    assert_eq!((misses_of(&cache, "t"), misses_of(&blog, "t")), (0, 1));
}

#[test]
fn a_connection_ends_when_it_is_told_to_or_with_its_cache() {
    let asked = std::sync::Arc::new(AtomicU32::new(0));
    let signal: Signal<()> = Signal::new("s");
    let connect = |cache: &FragmentCache| {
        let asked = std::sync::Arc::clone(&asked);
        cache.on_signal(&signal, move |()| {
            asked.fetch_add(1, Ordering::SeqCst);
            ["t"]
        })
    };
    let (one, other) = (cache(), cache());
    let connection = connect(&one);
    drop(connect(&other));
    signal.send(&());
    assert_eq!(asked.load(Ordering::SeqCst), 2);
    connection.disconnect();
    signal.send(&());
    assert_eq!(asked.load(Ordering::SeqCst), 3);
    drop(other);
    signal.send(&());
    assert_eq!(asked.load(Ordering::SeqCst), 3);
    assert_eq!(std::sync::Arc::strong_count(&asked), 1);
}

#[test]
fn one_that_panics_is_reported_and_the_others_are_told() {
    let (reports, sink) = Reports::collect();
    let cache = FragmentCache::builder().on_error(sink).build().unwrap();
    let signal: Signal<u32> = Signal::new("s");
    cache.on_signal(&signal, |_| -> [&str; 1] { panic!("on purpose") });
    cache.on_signal(&signal, |_| ["t"]);
    misses_of(&cache, "t");
    signal.send(&1);
    assert_eq!(misses_of(&cache, "t"), 1);
    assert!(reports.all().iter().any(|report| report.contains("signal \"s\"")), "{:?}", reports.all());
}

#[test]
fn a_listener_may_send_and_connect_while_it_is_told() {
    static OUTER: Signal<u32> = Signal::new("outer");
    static INNER: Signal<u32> = Signal::new("inner");
    let cache = cache();
    cache.on_signal(&INNER, |n| [format!("inner:{n}")]);
    let handle = cache.clone();
    cache.on_signal(&OUTER, move |n| {
        INNER.send(n);
        handle.on_signal(&OUTER, |_| ["late"]);
        ["outer"]
    });
    misses_of(&cache, "inner:1");
    misses_of(&cache, "late");
    OUTER.send(&1);
    assert_eq!((misses_of(&cache, "inner:1"), misses_of(&cache, "late")), (1, 0));
    OUTER.send(&1);
    assert_eq!(misses_of(&cache, "late"), 1);
}

#[test]
fn work_that_began_before_a_signal_is_not_stored_after_it() {
    let cache = cache();
    let signal: Signal<()> = Signal::new("s");
    cache.on_signal(&signal, |()| ["t"]);
    let load = || {
        signal.send(&());
        ok("old")
    };
    cache.get_or_set("k", Options::forever().tag("t"), load).unwrap();
    assert_eq!(cache.stats().stores, 0);
}

#[test]
fn a_signal_that_is_never_sent_forgets_caches_that_are_gone() {
    static NEVER: Signal<()> = Signal::new("never sent");
    let alive = std::sync::Arc::new(());
    for _ in 0..100 {
        let captured = std::sync::Arc::clone(&alive);
        cache().on_signal(&NEVER, move |()| {
            let _ = &captured;
            ["t"]
        });
    }
    // The last one has gone too, and nobody has come since.
    assert_eq!(std::sync::Arc::strong_count(&alive), 2);
}

#[test]
fn a_closure_that_panics_half_way_through_its_tags_invalidates_none() {
    let cache = cache();
    let signal: Signal<()> = Signal::new("s");
    cache.on_signal(&signal, |()| (0..3).map(|n| if n < 2 { n.to_string() } else { panic!("on purpose") }));
    misses_of(&cache, "0");
    signal.send(&());
    assert_eq!((misses_of(&cache, "0"), cache.stats().errors), (0, 1));
}
