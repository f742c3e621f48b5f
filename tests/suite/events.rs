//! Events: who is told of what, and that no subscriber harms anybody.

use std::time::Duration;

use minijinja::context;
use minijinja_cache::{By, FragmentCache, Happened, LocalStore, MissReason, Options, Outcome, Subscription, Target};

use crate::support::{STUCK, cache, env_of, failure, ok, p, page};

fn words(events: &Subscription) -> Vec<String> {
    let word = |what: Happened| match what {
        Happened::LookedUp { outcome, .. } => outcome.name().to_owned(),
        Happened::Computed { rejected: Some(why), .. } => format!("computed, {why}"),
        Happened::Computed { .. } => "computed".to_owned(),
        Happened::Stored { .. } => "stored".to_owned(),
        Happened::Refreshed { reason, .. } => format!("refreshed: {reason}"),
        Happened::Failed { .. } => "failed".to_owned(),
        Happened::Invalidated { what, by } => format!("invalidated {what} by {by}"),
        Happened::Evicted { used, .. } => format!("evicted, used {used}"),
        Happened::Error { message, .. } => format!("error: {message}"),
        other => format!("{other:?}"),
    };
    std::iter::from_fn(|| events.try_next()).map(|event| word(event.what)).collect()
}

#[test]
fn changes_are_told_and_look_ups_only_to_those_who_ask_for_them() {
    let cache = cache();
    let (changes, lookups) = (cache.subscribe(), cache.subscribe_to_lookups());
    let get = || drop(cache.get_or_set("k", Options::default().tag("t").label("l"), || ok("v")).unwrap());
    get();
    get();
    cache.invalidate_tag("t");
    get();
    assert_eq!(words(&changes), ["invalidated tag \"t\" by call", "refreshed: tag \"t\" invalidated"]);
    assert_eq!(
        words(&lookups),
        [
            "miss",
            "computed",
            "stored",
            "hit",
            "invalidated tag \"t\" by call",
            "miss",
            "computed",
            "refreshed: tag \"t\" invalidated",
        ]
    );
}

#[test]
fn an_event_names_label_kind_and_hashed_key_and_one_key_has_one_hash() {
    let cache = cache();
    let events = cache.subscribe_to_lookups();
    let (env, _) = page(&cache, "{% cache ['who@example.org', 1] 60 tags=['t'] %}x{% endcache %}");
    p(&env);
    p(&env);
    cache.invalidate(("who@example.org", 1));
    let all: Vec<Happened> = events_of(&events);
    let mut keys = Vec::new();
    for what in &all {
        match what {
            Happened::LookedUp { about, .. } | Happened::Computed { about, .. } | Happened::Stored { about } => {
                assert_eq!((&*about.label, about.kind.name()), ("p:1", "block"));
                keys.push(about.key);
            }
            Happened::Invalidated { what: Target::Key(key), by: By::Call } => keys.push(*key),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(keys.len(), 5);
    assert!(keys.iter().all(|key| *key == keys[0]) && keys[0].to_string().len() == 16);
    assert!(!format!("{all:?}").contains("who@example"));
}

fn events_of(events: &Subscription) -> Vec<Happened> {
    std::iter::from_fn(|| events.try_next()).map(|event| event.what).collect()
}

#[test]
fn failures_and_evictions_and_every_way_to_invalidate_are_told() {
    let cache = FragmentCache::builder().max_bytes(10_000).max_entry_bytes(10_000).build().unwrap();
    let events = cache.subscribe_to_lookups();
    let env = env_of(&cache, &[("fails", "{% cache 'k' %}{{ nothing.at.all }}{% endcache %}")]);
    failure(&env, "fails", context! {});
    assert_eq!(words(&events), ["miss", "failed"]);
    cache.get_or_set("", Options::default(), || ok("v")).unwrap();
    let told = words(&events);
    assert!(told[0].starts_with("error: get_or_set: computed without caching") && told[1] == "bypass", "{told:?}");
    cache.invalidate_template("t");
    cache.namespace("blog").clear();
    cache.clear();
    assert_eq!(
        words(&events),
        [
            "invalidated template \"t\" by call",
            "invalidated namespace \"blog\" by call",
            "invalidated everything by call",
        ]
    );
    let changes = cache.subscribe();
    for key in 0..12 {
        cache.get_or_set(key, Options::forever(), || ok("x".repeat(3_000))).unwrap();
        cache.run_maintenance();
    }
    let told = words(&changes);
    assert!(told.len() >= 8 && told.iter().all(|word| word == "evicted, used false"), "{told:?}");
}

#[test]
fn what_another_node_invalidates_is_told_as_the_nodes() {
    let store = LocalStore::new();
    let node = || FragmentCache::builder().shared(store.clone()).build().unwrap();
    let (one, other) = (node(), node());
    // What a node missed before it is in touch counts as everything.
    crate::support::until("in touch", || other.shared_status().unwrap().in_touch);
    let events = other.subscribe();
    one.invalidate_tag("t").wait().unwrap();
    let event = events.wait(STUCK).expect("told");
    assert!(matches!(event.what, Happened::Invalidated { what: Target::Hashes(1), by: By::Node }), "{event:?}");
    store.set_down(true);
    other.invalidate_tag("u");
    let mut told = std::iter::from_fn(|| events.wait(STUCK)).map(|event| event.what);
    let own = Happened::Invalidated { what: Target::Tag("u".into()), by: By::Call };
    assert!(told.any(|what| what == own));
}

#[test]
fn one_who_does_not_take_his_events_loses_the_oldest_and_holds_up_nobody() {
    let cache = cache();
    let (slow, quick) = (cache.subscribe(), cache.subscribe());
    for n in 0..5_000 {
        cache.invalidate_tag(&n.to_string());
        assert!(quick.try_next().is_some());
    }
    assert_eq!((slow.missed(), quick.missed()), (904, 0));
    let first = slow.try_next().unwrap().what;
    assert!(matches!(first, Happened::Invalidated { what: Target::Tag(tag), .. } if &*tag == "904"));
    assert_eq!(words(&slow).len(), 4_095);
}

#[test]
fn a_subscriber_that_panics_is_gone_and_the_others_are_told() {
    let cache = cache();
    let (dies, lives) = (cache.subscribe(), cache.subscribe());
    let thread = std::thread::spawn(move || {
        let event = dies.wait(STUCK);
        panic!("on purpose: {event:?}");
    });
    cache.invalidate_tag("a");
    assert!(thread.join().is_err());
    cache.invalidate_tag("b");
    assert_eq!(words(&lives), ["invalidated tag \"a\" by call", "invalidated tag \"b\" by call"]);
}

#[test]
fn one_who_waits_is_told_when_the_cache_is_gone() {
    let cache = cache();
    let events = cache.subscribe();
    let thread = std::thread::spawn(move || events.count());
    cache.invalidate_tag("a");
    cache.invalidate_tag("b");
    drop(cache);
    assert_eq!(thread.join().unwrap(), 2);
}

#[tokio::test]
async fn a_future_waits_for_the_next_event_and_ends_with_the_cache() {
    let cache = cache();
    let mut events = cache.subscribe();
    let told = tokio::spawn(async move {
        let mut told = Vec::new();
        while let Some(event) = events.recv().await {
            told.push(event.what);
        }
        told
    });
    tokio::task::yield_now().await;
    cache.invalidate_tag("a");
    tokio::task::yield_now().await;
    cache.invalidate_tag("b");
    drop(cache);
    assert_eq!(told.await.unwrap().len(), 2);
}

#[test]
fn a_wait_has_an_end() {
    let cache = cache();
    let events = cache.subscribe();
    assert!(events.wait(Duration::from_millis(1)).is_none());
    assert!(events.wait(Duration::MAX.min(Duration::ZERO)).is_none());
}

#[test]
fn a_refresh_of_what_expired_says_so_and_a_first_time_is_none() {
    let clock = minijinja_cache::ManualClock::new();
    let cache = FragmentCache::builder().clock(&clock).build().unwrap();
    let events = cache.subscribe();
    let get = || drop(cache.get_or_set("k", Options::ttl(Duration::from_secs(1)), || ok("v")).unwrap());
    get();
    assert!(events.try_next().is_none());
    clock.advance(Duration::from_secs(1));
    get();
    let Some(Happened::Refreshed { reason, .. }) = events.try_next().map(|event| event.what) else { panic!() };
    assert_eq!(reason, MissReason::Expired);
    assert_eq!(Outcome::Miss(reason).to_string(), "miss (expired)");
}

/// Does what it is told to when it is woken, there and then.
struct OnWake<F>(F);

impl<F: Fn() + Send + Sync + 'static> std::task::Wake for OnWake<F> {
    fn wake(self: std::sync::Arc<Self>) {
        (self.0)();
    }
}

fn asleep(events: &mut Subscription, woken: impl Fn() + Send + Sync + 'static) {
    let waker = std::sync::Arc::new(OnWake(woken)).into();
    let mut next = std::pin::pin!(events.recv());
    assert!(next.as_mut().poll(&mut std::task::Context::from_waker(&waker)).is_pending());
}

#[test]
fn one_who_is_woken_may_subscribe_and_leave_there_and_then() {
    crate::support::must_end(|| {
        let cache = cache();
        let mut events = cache.subscribe();
        let leaving = std::sync::Mutex::new(Some(cache.subscribe()));
        let there = cache.clone();
        asleep(&mut events, move || {
            drop(there.subscribe_to_lookups());
            drop(leaving.lock().unwrap().take());
        });
        cache.invalidate_tag("a");
        cache.get_or_set("k", Options::default(), || ok("v")).unwrap();
        assert_eq!(words(&events), ["invalidated tag \"a\" by call"]);
    });
}

#[test]
fn one_who_panics_when_he_is_woken_fails_no_page_and_ends_no_counting() {
    let cache = FragmentCache::builder().max_bytes(10_000).max_entry_bytes(10_000).build().unwrap();
    let mut events = cache.subscribe();
    let fill = |keys: std::ops::Range<u32>| {
        for key in keys {
            let options = Options::forever().label("large");
            cache.get_or_set(key, options, || ok("x".repeat(3_000))).unwrap();
            cache.run_maintenance();
        }
        cache.fragment_stats()[0].evicted
    };
    // Evictions are told from within the store, which asks nobody again who has panicked.
    asleep(&mut events, || panic!("on purpose"));
    let before = fill(0..8);
    assert!(before > 0);
    assert!(fill(8..16) > before);
    asleep(&mut cache.subscribe(), || panic!("on purpose"));
    cache.invalidate_tag("a");
}

#[test]
fn all_who_wait_with_one_subscription_learn_of_the_end() {
    crate::support::must_end(|| {
        let cache = cache();
        let events = cache.subscribe();
        std::thread::scope(|threads| {
            for _ in 0..4 {
                threads.spawn(|| assert!(events.wait(Duration::MAX).is_none()));
            }
            std::thread::sleep(Duration::from_millis(50));
            drop(cache);
        });
    });
}

#[test]
fn a_computation_that_fails_is_told_to_all_and_a_first_result_in_place_of_none_is_no_refresh() {
    let cache = cache();
    let changes = cache.subscribe();
    let get =
        |outcome: Result<&str, ()>| drop(cache.get_or_set("k", Options::default(), || outcome.map(str::to_owned)));
    get(Err(()));
    assert_eq!(words(&changes), ["failed"]);
    let load = || {
        cache.invalidate("k");
        ok("v")
    };
    cache.get_or_set("k", Options::default(), load).unwrap();
    get(Ok("stored for the first time"));
    let told = words(&changes);
    assert!(told.len() == 1 && told[0].starts_with("invalidated"), "{told:?}");
}
