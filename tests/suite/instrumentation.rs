//! What the cache tells of its work, whoever is told: events, counts and explanations say the same, and say it once.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Waker};
use std::thread;
use std::time::Duration;

use minijinja::context;
use minijinja_cache::{FragmentCache, Happened, Options, Subscription};

use crate::support::{Reports, cache, env_of, must_end, ok, p, show, timed};

/// What a subscription has, each event in a few words.
fn told(events: &Subscription) -> Vec<String> {
    let words = |what: Happened| match what {
        Happened::LookedUp { about, outcome } => format!("{} {outcome}", about.label),
        Happened::Computed { about, rejected, .. } => format!("{} computed, rejected: {rejected:?}", about.label),
        Happened::Stored { about } => format!("{} stored", about.label),
        Happened::Refreshed { about, reason, .. } => format!("{} refreshed: {reason}", about.label),
        Happened::Failed { about } => format!("{} failed", about.label),
        Happened::Invalidated { what, by } => format!("invalidated by {by}: {}", what.name()),
        Happened::Error { kind, .. } => format!("error: {}", kind.name()),
        other => format!("{other:?}"),
    };
    std::iter::from_fn(|| events.try_next()).map(|event| words(event.what)).collect()
}

fn count(told: &[String], what: &str) -> usize {
    told.iter().filter(|line| line.contains(what)).count()
}

fn named(label: &str) -> Options {
    Options::ttl(Duration::from_secs(60)).stale(Duration::from_secs(60)).label(label)
}

fn get(cache: &FragmentCache, key: &str) -> String {
    cache.get_or_set(key, named(key), || ok("x")).unwrap().to_string()
}

fn fail(cache: &FragmentCache, key: &str) {
    cache.get_or_set(key, named(key), || Err::<&str, _>("no")).unwrap_err();
}

#[test]
fn a_script_of_everything_is_counted_to_the_last_event() {
    let (cache, clock) = timed();
    let events = cache.subscribe_to_lookups();
    fail(&cache, "foo");
    fail(&cache, "bar");
    get(&cache, "foo");
    get(&cache, "foo");
    get(&cache, "foo");
    clock.advance(Duration::from_secs(61));
    // What stands inside a computation of the same key waits for nobody, and has the expired text.
    let leader = cache.get_or_set("foo", named("foo"), || {
        assert_eq!(get(&cache, "foo"), "x");
        fail(&cache, "bar");
        assert_eq!(get(&cache, "foo"), "x");
        Err::<&str, _>("no")
    });
    leader.unwrap_err();
    cache.invalidate("foo");
    get(&cache, "foo");
    cache.invalidate("bar");

    let told = told(&events);
    for (what, times) in [
        (" miss (", 6),
        (" hit", 2),
        (" stale", 2),
        ("computed, rejected: None", 2),
        (" failed", 4),
        ("invalidated", 2),
    ] {
        assert_eq!(count(&told, what), times, "{what}: {told:#?}");
    }
    assert_eq!((count(&told, "foo stored"), count(&told, "foo refreshed")), (1, 1), "{told:#?}");
    let stats = cache.fragment_stats();
    let of = |label: &str| stats.iter().find(|stats| stats.label == label).unwrap();
    let (foo, bar) = (of("foo"), of("bar"));
    assert_eq!((foo.misses, foo.hits, foo.stale_hits, foo.renders, foo.errors), (4, 2, 2, 2, 2));
    assert_eq!((bar.misses, bar.hits, bar.renders, bar.errors), (2, 0, 0, 2));
    assert_eq!((cache.stats().stores, cache.stats().invalidations), (2, 2));
}

#[test]
fn a_miss_is_three_events_in_order_and_a_hit_is_one() {
    let cache = cache();
    let events = cache.subscribe_to_lookups();
    get(&cache, "foo");
    assert_eq!(told(&events), ["foo miss (never stored)", "foo computed, rejected: None", "foo stored"]);
    get(&cache, "foo");
    assert_eq!(told(&events), ["foo hit"]);
}

#[cfg(feature = "shared")]
#[test]
fn memory_the_shared_tier_and_an_expired_entry_are_told_apart_each_with_the_hash_of_its_key() {
    use crate::shared::{node, written};
    let store = minijinja_cache::LocalStore::new();
    let (a, b) = (node(store.clone()), node(store));
    get(&a, "foo");
    written(&a);
    let events = b.subscribe_to_lookups();
    get(&b, "foo");
    get(&b, "foo");
    let mut outcomes = Vec::new();
    for event in std::iter::from_fn(|| events.try_next()) {
        let Happened::LookedUp { about, outcome } = event.what else { continue };
        assert_eq!(about.key, a.recent_misses()[0].about.key);
        assert_eq!(about.kind.name(), "text");
        outcomes.push(outcome.name());
    }
    assert_eq!(outcomes, ["shared", "hit"]);

    let (cache, clock) = timed();
    get(&cache, "foo");
    clock.advance(Duration::from_secs(61));
    let events = cache.subscribe_to_lookups();
    cache.get_or_set("foo", named("foo"), || ok(get(&cache, "foo"))).unwrap();
    assert_eq!(told(&events)[..2], ["foo miss (expired)", "foo stale"]);
}

#[test]
fn a_hit_inside_is_not_the_outer_ones_and_an_outer_hit_tells_nothing_of_the_inside() {
    let cache = cache();
    let inner = "{% cache 'inner' name='inner' %}i{% endcache %}";
    let outer = format!("{{% cache 'outer' name='outer' %}}{inner}{{% endcache %}}");
    let env = env_of(&cache, &[("p", &outer)]);
    p(&env);
    cache.invalidate("outer");
    let events = cache.subscribe_to_lookups();
    p(&env);
    let first = told(&events);
    assert_eq!((count(&first, "outer hit"), count(&first, "inner hit"), count(&first, "outer miss")), (0, 1, 1));
    p(&env);
    assert_eq!(told(&events), ["outer hit"]);
}

#[test]
fn a_collection_of_two_is_none_of_two_hits_and_then_both() {
    let cache = cache();
    let list = "{% for film in films %}{{ cache_partial('card', ['card', film], context={'film': film}) }}{% endfor %}";
    let env = env_of(&cache, &[("p", list), ("card", "<b>{{ film }}</b>")]);
    let list = || show(&env, "p", context! { films => [1, 2] });
    let (_, first) = cache.explain(list);
    let (_, second) = cache.explain(list);
    assert_eq!((first.count("hit"), first.fragments.len()), (0, 2));
    assert_eq!((second.count("hit"), second.fragments.len()), (2, 2));
}

#[test]
fn without_a_subscriber_no_event_is_made_and_looking_up_is_told_to_those_alone_who_ask_for_it() {
    let cache = cache();
    get(&cache, "foo");
    cache.invalidate("foo");
    let (changes, lookups) = (cache.subscribe(), cache.subscribe_to_lookups());
    assert!(told(&changes).is_empty() && told(&lookups).is_empty(), "of what was before nothing was kept");
    get(&cache, "bar");
    get(&cache, "bar");
    assert!(told(&changes).is_empty());
    assert_eq!(told(&lookups).len(), 4);
    drop(lookups);
    get(&cache, "bar");
    cache.invalidate("bar");
    assert_eq!(told(&changes), ["invalidated by call: key"]);
}

#[test]
fn what_is_refused_by_its_version_or_does_not_decode_is_a_miss_and_no_hit() {
    let cache = cache();
    let events = cache.subscribe_to_lookups();
    for version in [1, 2] {
        cache.get_or_set("foo", named("foo").version(version), || ok("x")).unwrap();
    }
    assert_eq!(cache.get_or_set_value("v", named("v"), || ok(vec![1, 2])).unwrap(), [1, 2]);
    assert_eq!(cache.get_or_set_value("v", named("v"), || ok("text".to_owned())).unwrap(), "text");
    let told = told(&events);
    assert!(told.contains(&"foo miss (another version)".to_owned()), "{told:#?}");
    assert!(told.contains(&"v miss (stored as something else)".to_owned()), "{told:#?}");
    assert_eq!((cache.stats().hits, cache.stats().misses, count(&told, " hit")), (0, 4, 0));
}

#[test]
fn two_keys_and_the_first_again_are_two_misses_and_a_hit_of_the_first() {
    let cache = cache();
    let events = cache.subscribe_to_lookups();
    for key in ["foo", "bar", "foo"] {
        cache.get_or_set(key, Options::default(), || ok("x")).unwrap();
    }
    let lookups: Vec<_> = std::iter::from_fn(|| events.try_next())
        .filter_map(|event| match event.what {
            Happened::LookedUp { about, outcome } => Some((about.key, outcome.name())),
            _ => None,
        })
        .collect();
    let [(foo, "miss"), (bar, "miss"), (again, "hit")] = lookups[..] else { panic!("{lookups:?}") };
    assert!(foo != bar && foo == again);
}

#[cfg(feature = "shared")]
#[test]
fn many_keys_at_once_are_one_round_trip_and_many_invalidations_of_another_node_arrive_counted() {
    use crate::shared::{node, told as heard, written};
    let store = minijinja_cache::LocalStore::new();
    let (a, b) = (node(store.clone()), node(store.clone()));
    get(&a, "foo");
    get(&a, "bar");
    written(&a);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let reads = store.reads();
    assert_eq!(runtime.block_on(b.prefetch(["foo", "bar", "none"])), 2);
    assert_eq!(store.reads(), reads + 1);
    let events = b.subscribe_to_lookups();
    for key in ["foo", "bar", "none"] {
        get(&b, key);
    }
    let lookups = told(&events);
    assert_eq!((count(&lookups, " hit"), count(&lookups, " miss")), (2, 1), "{lookups:#?}");

    heard(&a, &b);
    let before = told(&events);
    assert!(before.iter().all(|line| line == "invalidated by node: hashes"), "{before:#?}");
    b.namespace("blog").clear();
    assert_eq!(count(&told(&events), "invalidated by call: namespace"), 1);
}

#[test]
fn a_callback_that_panics_and_a_subscriber_that_is_gone_disturb_nothing() {
    let cache = FragmentCache::builder()
        .on_error(|_| panic!("a panic of the test"))
        .on_invalidate(|_| panic!("another one"))
        .build()
        .unwrap();
    let events = cache.subscribe_to_lookups();
    let listener = thread::spawn(move || {
        assert!(events.wait(crate::support::STUCK).is_some());
        panic!("a subscriber's panic");
    });
    get(&cache, "foo");
    assert!(listener.join().is_err());
    assert_eq!(cache.get_or_set("", named("none"), || ok("computed")).unwrap(), "computed");
    cache.invalidate_tag("t");
    assert_eq!((get(&cache, "foo"), cache.stats().hits), ("x".into(), 1));
    // The empty key, the panic over it, and the panic over the tag.
    assert_eq!(cache.stats().errors, 3);
}

#[cfg(feature = "shared")]
#[test]
fn what_is_damaged_what_cannot_be_written_and_what_fails_is_each_reported_once() {
    use crate::shared::{in_touch, node, written};
    let store = minijinja_cache::LocalStore::new();
    let a = node(store.clone());
    get(&a, "foo");
    written(&a);
    store.tamper(|value| value.truncate(value.len() / 2));
    let (reports, report) = Reports::collect();
    let b = FragmentCache::builder().shared(store.clone()).on_error(report).build().unwrap();
    in_touch(&b);
    let events = b.subscribe_to_lookups();
    get(&b, "foo");
    assert_eq!((b.stats().shared_rejects, reports.all().len()), (1, 1), "{:?}", reports.all());
    assert_eq!(count(&told(&events), "error: store"), 1);

    store.set_down(true);
    get(&b, "bar");
    crate::support::until("the failure is counted", || b.stats().shared_failures > 0);
    fail(&b, "baz");
    assert_eq!(count(&told(&events), "baz failed"), 1);
    assert!(b.recent_misses().iter().any(|miss| &*miss.about.label == "baz"));
    store.set_down(false);
}

#[test]
fn a_caller_who_gives_up_waiting_is_no_error() {
    let cache = cache();
    let (reports, events) = (Reports::default(), cache.subscribe_to_lookups());
    let context = &mut Context::from_waker(Waker::noop());
    let never = |key: &'static str| {
        cache.get_or_set_async(key, named(key), async {
            std::future::pending::<()>().await;
            ok("never")
        })
    };
    let (mut leader, mut follower) = (Box::pin(never("foo")), Box::pin(never("foo")));
    assert!(leader.as_mut().poll(context).is_pending());
    assert!(follower.as_mut().poll(context).is_pending());
    drop(follower);
    // Nor is it one of whoever computes, if nobody wants the result.
    drop(leader);
    assert_eq!(told(&events), ["foo miss (never stored)"]);
    assert_eq!((cache.stats().errors, cache.fragment_stats()[0].errors, reports.all().len()), (0, 0, 0));
    assert_eq!(get(&cache, "foo"), "x");
}

#[cfg(feature = "shared")]
#[test]
fn an_invalidation_is_told_although_no_other_node_can_be() {
    let store = minijinja_cache::LocalStore::new();
    let cache = crate::shared::node(store.clone());
    let events = cache.subscribe();
    store.set_down(true);
    cache.invalidate("foo");
    let first = told(&events);
    assert_eq!(count(&first, "invalidated by call: key"), 1, "{first:#?}");
    store.set_down(false);
}

#[test]
fn a_line_names_the_template_and_the_fragment_with_hit_or_miss() {
    let cache = cache();
    let env =
        env_of(&cache, &[("films.html", "\n\n{% cache 'k' %}x{% endcache %}"), ("p", "{% include 'films.html' %}")]);
    let line = || cache.explain(|| p(&env)).1.to_string();
    assert!(line().starts_with("block films.html:3 ["), "{}", line());
    assert!(line().ends_with("]: hit\n"));
    cache.clear();
    cache.run_maintenance();
    assert!(line().ends_with("]: miss (everything cleared)\n"));
}

#[test]
fn hits_and_misses_are_the_look_ups_of_a_hundred_threads_and_memory_is_what_is_in_it() {
    const THREADS: u64 = 100;
    const CALLS: u64 = 50;
    let cache = cache();
    let lookups = Arc::new(AtomicU64::new(0));
    must_end({
        let (cache, lookups) = (cache.clone(), Arc::clone(&lookups));
        move || {
            thread::scope(|threads| {
                for thread in 0..THREADS {
                    let (cache, lookups) = (&cache, &lookups);
                    threads.spawn(move || {
                        for call in 0..CALLS {
                            let options = Options::default().label("shared");
                            cache.get_or_set((thread * call) % 97, options, || ok("x".repeat(100))).unwrap();
                            lookups.fetch_add(1, Ordering::Relaxed);
                        }
                    });
                }
            });
        }
    });
    let (stats, fragments) = (cache.stats(), cache.fragment_stats());
    assert_eq!(stats.hits + stats.misses + stats.bypasses, THREADS * CALLS);
    assert_eq!(fragments[0].lookups(), lookups.load(Ordering::Relaxed));
    cache.run_maintenance();
    let (stats, fragments) = (cache.stats(), cache.fragment_stats());
    assert_eq!((fragments[0].entries, fragments[0].bytes), (stats.entries, stats.bytes));
    assert_eq!(stats.entries, 97);
    cache.clear();
    cache.run_maintenance();
    assert_eq!((cache.stats().entries, cache.fragment_stats()[0].entries, cache.fragment_stats()[0].bytes), (0, 0, 0));
}
