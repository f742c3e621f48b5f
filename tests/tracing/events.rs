//! Events: what is told beside computations, at which level, and with which fields.

use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use minijinja::context;
use minijinja_cache::{FragmentCache, Options};

use crate::capture::Capture;
use crate::support::{STUCK, cache, env_of, ok, show, timed, until};

const LOOKED_UP: [&str; 3] = ["fragment.outcome", "fragment.kind", "fragment.label"];

#[test]
fn a_hit_and_a_bypass() {
    let (cache, capture) = (cache(), Capture::all());
    let get = |options: Options| cache.get_or_set("k", options.label("bio"), || ok("x")).unwrap();
    get(Options::default());
    capture.hear(|| {
        get(Options::default());
        get(Options::ttl(Duration::ZERO));
    });
    assert_eq!(
        capture.lines(&[&LOOKED_UP[..], &["fragment.reason"]].concat()),
        ["TRACE fragment answered hit text bio", "DEBUG fragment bypassed bypass text bio bypass-lifetime"]
    );
    let events = capture.events();
    assert_eq!(events[0].fields["cache.name"], "default");
    assert_eq!(events[0].fields["fragment.key_hash"], events[1].fields["fragment.key_hash"]);
}

#[test]
fn a_stale_hit_and_a_join() {
    let ((cache, clock), capture) = (timed(), Capture::all());
    let options = || Options::ttl(Duration::from_secs(60)).stale(Duration::from_secs(30)).label("bio");
    let get = || cache.get_or_set("k", options(), || ok("mine")).unwrap();
    get();
    clock.advance(Duration::from_secs(70));
    let (started, start) = channel();
    let (go, gate) = channel::<()>();
    thread::scope(|threads| {
        let cache = &cache;
        let leader = move || {
            let load = || {
                started.send(()).unwrap();
                gate.recv_timeout(STUCK).unwrap();
                ok("new")
            };
            cache.get_or_set("k", options(), load).unwrap()
        };
        threads.spawn(leader);
        start.recv_timeout(STUCK).unwrap();
        assert_eq!(capture.hear(get), "mine");
        clock.advance(Duration::from_secs(30));
        let follower = threads.spawn(|| capture.hear(get));
        until("the follower has missed", || cache.stats().misses == 4);
        go.send(()).unwrap();
        assert_eq!(follower.join().unwrap(), "new");
    });
    assert_eq!(
        capture.lines(&LOOKED_UP),
        ["TRACE fragment answered stale text bio", "TRACE fragment answered joined text bio"]
    );
}

#[cfg(feature = "shared")]
#[test]
fn a_hit_in_the_shared_tier() {
    let (store, capture) = (minijinja_cache::LocalStore::new(), Capture::all());
    let node = || {
        let cache = FragmentCache::builder().shared(store.clone()).build().unwrap();
        until("in touch", || cache.shared_status().unwrap().in_touch);
        cache
    };
    let (a, b) = (node(), node());
    let get = |cache: &FragmentCache| cache.get_or_set("k", Options::default().label("bio"), || ok("x")).unwrap();
    get(&a);
    assert!(a.flush(STUCK));
    capture.hear(|| get(&b));
    assert_eq!(capture.lines(&LOOKED_UP[..2]), ["TRACE fragment answered shared text"]);
}

#[test]
fn invalidations_name_what_they_are_of_and_keys_by_their_hash() {
    let (cache, capture) = (cache(), Capture::all());
    capture.hear(|| {
        cache.invalidate("ada@example.org");
        cache.invalidate_tag("films");
        cache.invalidate_template("card.html");
        cache.namespace("blog").clear();
        cache.clear();
    });
    let lines = capture.lines(&["invalidation.target", "invalidation.name", "invalidation.by"]);
    assert_eq!(
        lines,
        [
            "DEBUG invalidated key call",
            "DEBUG invalidated tag films call",
            "DEBUG invalidated template card.html call",
            "DEBUG invalidated namespace blog call",
            "DEBUG invalidated everything call",
        ]
    );
    assert_eq!(capture.events()[0].fields["invalidation.key_hash"].len(), 16);
    assert!(!capture.text().contains("ada"));
}

#[test]
fn a_refresh_says_why_it_was_due() {
    let (cache, capture) = (cache(), Capture::all());
    let env = env_of(&cache, &[("p", "{% cache 'k' tags=['t'] name='bio' %}x{% endcache %}")]);
    let page = || show(&env, "p", context! {});
    page();
    cache.invalidate_tag("t");
    capture.hear(page);
    let lines = capture.lines(&["fragment.label", "fragment.reason", "fragment.reason_detail"]);
    assert_eq!(lines, ["DEBUG fragment refreshed bio tag-invalidated t"]);
}

#[test]
fn evictions_and_whether_anybody_had_used_what_goes() {
    let capture = Capture::all();
    let cache = FragmentCache::builder().max_bytes(4000).build().unwrap();
    capture.hear(|| {
        for n in 0_u32.. {
            let text = || ok("x".repeat(500));
            cache.get_or_set(n, Options::default().label("bio"), text).unwrap();
            cache.run_maintenance();
            if capture.events().iter().any(|event| event.message == "fragment evicted") {
                break;
            }
        }
    });
    let evicted = capture.events().into_iter().find(|event| event.message == "fragment evicted").unwrap();
    assert_eq!((evicted.level, evicted.fields["fragment.label"].as_str()), (tracing::Level::TRACE, "bio"));
    assert_eq!(evicted.fields["fragment.used"], "false");
    assert!(evicted.fields["fragment.bytes"].parse::<u32>().unwrap() > 500);
}

#[test]
fn a_failure_of_the_cache_is_a_warning_with_its_kind() {
    let (cache, capture) = (FragmentCache::builder().name("films").build().unwrap(), Capture::all());
    capture.hear(|| cache.get_or_set("", Options::default().label("bio"), || ok("x")).unwrap());
    let events = capture.events();
    let warning = events.iter().find(|event| event.level == tracing::Level::WARN).unwrap();
    assert_eq!((warning.fields["error.type"].as_str(), warning.fields["cache.name"].as_str()), ("key", "films"));
    assert!(warning.message.starts_with("bio: computed without caching"), "{}", warning.message);
}

/// The watcher has a thread of its own, so this asks for a subscriber of the whole process; the other tests have
/// theirs by thread.
#[cfg(feature = "watch")]
#[test]
fn a_saved_template_is_told_as_changed() {
    let capture = Capture::all();
    tracing::dispatcher::set_global_default(capture.dispatch.clone()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("saved-by-the-test.html");
    std::fs::write(&file, "{% cache 'k' %}old{% endcache %}").unwrap();
    let cache = cache();
    let mut env = minijinja::Environment::new();
    cache.add_to_environment(&mut env);
    env.set_loader(cache.path_loader(folder.path()).unwrap());
    let _watcher = cache.watch(folder.path()).unwrap();
    show(&env, "saved-by-the-test.html", context! {});
    std::fs::write(&file, "{% cache 'k' %}new{% endcache %}").unwrap();
    let expected = "DEBUG template changed template saved-by-the-test.html watch";
    let lines = || capture.lines(&["invalidation.target", "invalidation.name", "invalidation.by"]);
    until("the change is told", || lines().iter().any(|line| line == expected));
}
