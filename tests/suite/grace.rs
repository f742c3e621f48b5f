//! Grace: an expired fragment is shown to those who would otherwise wait for somebody to render it anew.

use std::convert::Infallible;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use minijinja::context;
use minijinja_cache::{FragmentCache, ManualClock, Options};

use crate::support::{Ticks, env_of, ok, p, until};

fn cache() -> (FragmentCache, ManualClock) {
    let clock = ManualClock::new();
    (FragmentCache::builder().clock(&clock).build().unwrap(), clock)
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn options() -> Options {
    Options::ttl(seconds(60)).stale(seconds(30))
}

/// Computes "new" on another thread, and does not end before it is told to.
fn computing(cache: &FragmentCache) -> (thread::JoinHandle<String>, Sender<()>) {
    let (started, start): (Sender<()>, Receiver<()>) = channel();
    let (go, gate): (Sender<()>, Receiver<()>) = channel();
    let cache = cache.clone();
    let leader = thread::spawn(move || {
        let load = || {
            started.send(()).unwrap();
            gate.recv().unwrap();
            Ok::<_, Infallible>("new")
        };
        cache.get_or_set("k", options(), load).unwrap().to_string()
    });
    start.recv().unwrap();
    (leader, go)
}

/// Another caller waits for the one who computes, and both get what is new.
fn follows_to_the_end(cache: &FragmentCache, leader: thread::JoinHandle<String>, go: Sender<()>) {
    let following = cache.clone();
    let follower = thread::spawn(move || following.get_or_set("k", options(), || ok("mine")).unwrap().to_string());
    until("the follower has missed", || cache.stats().misses == 3);
    go.send(()).unwrap();
    assert_eq!((leader.join().unwrap(), follower.join().unwrap()), ("new".into(), "new".into()));
}

#[test]
fn while_one_computes_anew_the_others_get_the_expired_text() {
    let (cache, clock) = cache();
    cache.get_or_set("k", options(), || ok("old")).unwrap();
    clock.advance(seconds(89));
    let (leader, go) = computing(&cache);
    for _ in 0..3 {
        assert_eq!(cache.get_or_set("k", options(), || ok("mine")).unwrap(), "old");
    }
    go.send(()).unwrap();
    assert_eq!(leader.join().unwrap(), "new", "the one who computes gets what is new");
    assert_eq!(cache.get_or_set("k", options(), || ok("mine")).unwrap(), "new");
    let stats = cache.stats();
    assert_eq!((stats.stale_hits, stats.waits, stats.renders), (3, 0, 2));
    assert_eq!((stats.hits, stats.misses), (1, 5));
}

#[test]
fn beyond_its_grace_a_text_is_waited_for() {
    let (cache, clock) = cache();
    cache.get_or_set("k", options(), || ok("old")).unwrap();
    clock.advance(seconds(90));
    let (leader, go) = computing(&cache);
    follows_to_the_end(&cache, leader, go);
    assert_eq!(cache.stats().stale_hits, 0);
}

#[test]
fn what_was_invalidated_is_never_shown_for_its_grace() {
    let (cache, clock) = cache();
    cache.get_or_set("k", options(), || ok("old")).unwrap();
    clock.advance(seconds(70));
    cache.invalidate("k");
    let (leader, go) = computing(&cache);
    follows_to_the_end(&cache, leader, go);
}

#[test]
fn without_a_grace_nothing_expired_is_shown() {
    let (cache, clock) = cache();
    let ttl = || Options::ttl(seconds(60));
    cache.get_or_set("k", ttl(), || ok("old")).unwrap();
    clock.advance(seconds(60));
    assert_eq!(cache.get_or_set("k", ttl(), || ok("new")).unwrap(), "new");
}

#[test]
fn a_block_has_a_grace_and_what_contains_it_is_not_stored_with_it() {
    let (cache, clock) = cache();
    let (started, start) = channel();
    let (go, gate) = channel::<()>();
    let gate = std::sync::Mutex::new(gate);
    let page = "{% cache 'page' 600 %}[{% cache 'k' 60 stale=30 %}{{ body() }}{% endcache %}]{% endcache %}";
    let (mut env, runs) = (env_of(&cache, &[("p", page)]), Ticks::default());
    let calls = runs.clone();
    env.add_function("body", move || {
        let call = calls.tick();
        if calls.count() == 2 {
            started.send(()).unwrap();
            gate.lock().unwrap().recv().unwrap();
        }
        call
    });
    assert_eq!(p(&env), "[1]");
    clock.advance(seconds(70));
    thread::scope(|scope| {
        let leader = scope.spawn(|| p(&env));
        start.recv().unwrap();
        // The page itself is led by the other one and has no grace; one who may not wait renders for himself.
        let shown = cache.get_or_set("mine", Options::default(), || env.get_template("p")?.render(context! {}));
        assert_eq!(shown.unwrap(), "[1]");
        go.send(()).unwrap();
        assert_eq!(leader.join().unwrap(), "[2]");
    });
    let again = cache.get_or_set("mine", Options::default(), || env.get_template("p")?.render(context! {}));
    assert_eq!(again.unwrap(), "[2]", "what contained the expired block was not stored");
    assert_eq!(runs.count(), 2);
}
