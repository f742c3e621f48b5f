//! Hits computed again and compared.

use std::collections::HashMap;
use std::time::Duration;

use minijinja::context;
use minijinja_cache::{ErrorKind, FragmentCache, Happened, Options};

use crate::support::{Reports, Ticks, env_of, failure, ok, show};

fn cache() -> FragmentCache {
    FragmentCache::builder().shadow(1.0).build().unwrap()
}

#[test]
fn a_block_whose_key_lacks_what_it_reads_is_reported_with_place_and_text() {
    let (reports, sink) = Reports::collect();
    let cache = FragmentCache::builder().shadow(1.0).on_error(sink).build().unwrap();
    let events = cache.subscribe();
    let env = env_of(&cache, &[("p", "\n\n{% cache 'hi' 60 name='greeting' %}Dear {{ user }}, hello{% endcache %}")]);
    show(&env, "p", context! { user => "Ada" });
    // Everybody is shown his own while it is verified.
    assert_eq!(show(&env, "p", context! { user => "Bob" }), "\n\nDear Bob, hello");
    let difference = &cache.differences()[0];
    assert_eq!((&*difference.about.label, difference.place.as_deref()), ("greeting", Some("p:3")));
    assert_eq!((difference.offset, &*difference.cached), (5, "Dear Ada, hello"));
    assert_eq!(&*difference.computed, "Dear Bob, hello");
    let event = events.try_next().unwrap();
    let Happened::Error { kind, message } = event.what else { panic!("{event:?}") };
    assert_eq!(kind, ErrorKind::Difference);
    assert!(message.contains("greeting at p:3") && message.contains("from byte 5"), "{message}");
    assert!(matches!(events.try_next().unwrap().what, Happened::Differed(found) if found == *difference));
    let told = reports.all().concat();
    assert!(told.contains("missing in its key or vary") && !told.contains("Ada") && !told.contains("Bob"), "{told}");
    let stats = &cache.fragment_stats()[0];
    assert_eq!((stats.hits, stats.verified, stats.differing, stats.misses, stats.renders), (1, 1, 1, 1, 1));
}

#[test]
fn what_is_the_same_is_counted_and_not_reported() {
    let cache = cache();
    let mut env = env_of(
        &cache,
        &[
            ("card", "<b>{{ n }}</b>"),
            (
                "p",
                "{% cache n %}{{ tick() }}-{% cache 'in' %}i{% endcache %}{% endcache %}{{ cache_partial('card', n, context={'n': n}) }}",
            ),
        ],
    );
    env.add_function("tick", || "t");
    let pages: Vec<String> = (0..4).map(|_| show(&env, "p", context! { n => 1 })).collect();
    assert!(pages.iter().all(|page| page == "t-i<b>1</b>"), "{pages:?}");
    assert_eq!(cache.differences(), []);
    let verified: u64 = cache.fragment_stats().iter().map(|stats| stats.verified).sum();
    // Two of three in the page, and the inner one again each time the outer one was.
    assert_eq!(verified, 9);
    assert_eq!(cache.stats().stores, 3);
}

#[test]
fn nothing_is_verified_unless_asked_for() {
    let cache = crate::support::cache();
    let mut env = env_of(&cache, &[("p", "{% cache 'k' %}{{ tick() }}{% endcache %}")]);
    let ticks = Ticks::add_to(&mut env);
    (0..50).for_each(|_| drop(show(&env, "p", context! {})));
    assert_eq!((ticks.count(), cache.differences().len()), (1, 0));
    for nonsense in [-0.1, 1.1, f64::NAN] {
        let error = FragmentCache::builder().shadow(nonsense).build().unwrap_err();
        assert!(error.to_string().contains("shadow is"), "{error}");
    }
}

#[test]
fn what_handlers_cache_is_compared_as_text_and_values_without_regard_to_the_order_of_maps() {
    let cache = cache();
    let text = |value: &'static str| cache.get_or_set("k", Options::default().label("text"), || ok(value)).unwrap();
    assert_eq!((&*text("a"), &*text("b")), ("a", "b"));
    assert_eq!(cache.differences().len(), 1);
    let map = |size: u32| -> HashMap<u32, u32> {
        let load = || ok((0..size).map(|n| (n, n)).collect::<HashMap<_, _>>());
        cache.get_or_set_value("map", Options::default().label("map"), load).unwrap()
    };
    for _ in 0..8 {
        map(20);
    }
    assert_eq!(cache.differences().len(), 1);
    assert_eq!(map(21).len(), 21);
    assert_eq!(&*cache.differences()[0].about.label, "map");
}

#[tokio::test]
async fn futures_are_compared_too() {
    let cache = cache();
    for (value, expected) in [("a", "a"), ("b", "b")] {
        let load = async {
            tokio::task::yield_now().await;
            ok(value)
        };
        assert_eq!(cache.get_or_set_async("k", Options::default(), load).await.unwrap(), expected);
    }
    for value in [1, 2] {
        let load = async { ok(value) };
        assert_eq!(cache.get_or_set_value_async("v", Options::default(), load).await.unwrap(), value);
    }
    assert_eq!(cache.differences().len(), 2);
}

#[test]
fn a_closure_that_fails_leaves_the_hit_and_pauses_the_verifying() {
    let clock = minijinja_cache::ManualClock::new();
    let cache = FragmentCache::builder().shadow(1.0).clock(&clock).build().unwrap();
    let get = |outcome: Result<&'static str, &'static str>| cache.get_or_set("k", Options::default(), || outcome);
    assert_eq!(get(Ok("a")).unwrap(), "a");
    assert_eq!(get(Err("the database is down")).unwrap(), "a");
    assert_eq!(get(Ok("b")).unwrap(), "a");
    clock.advance(Duration::from_secs(10));
    assert_eq!(get(Ok("b")).unwrap(), "b");
    assert_eq!(cache.fragment_stats()[0].errors, 0);
}

#[test]
fn a_body_that_fails_fails_its_page_once_and_leaves_nothing_open() {
    let cache = cache();
    let env = env_of(&cache, &[("p", "{% cache 'k' %}{{ 1 if good else nothing.at.all }}{% endcache %}")]);
    show(&env, "p", context! { good => true });
    failure(&env, "p", context! { good => false });
    assert_eq!(show(&env, "p", context! { good => false }), "1");
    assert_eq!(cache.stats().stores, 1);
}

#[test]
fn what_encloses_is_told_of_the_hit_and_of_nothing_else() {
    let cache = cache();
    let env = env_of(
        &cache,
        &[(
            "p",
            "{% cache n %}{% cache 'in' %}{{ cache_skip() if skip }}{{ cache_tag('fresh') if skip }}x{% endcache %}{% endcache %}",
        )],
    );
    show(&env, "p", context! { n => 1, skip => false });
    show(&env, "p", context! { n => 2, skip => true });
    assert_eq!(cache.stats().stores, 3);
    let (_, explained) = cache.explain(|| show(&env, "p", context! { n => 2, skip => false }));
    assert!(explained.fragments[0].tags.is_empty());
}

#[test]
fn a_handlers_render_is_compared_with_what_it_renders_now() {
    let cache = cache();
    let env = env_of(&cache, &[("card", "{{ user }}")]);
    let card = |user: &str| cache.render(&env, "card", context! { user }, "card", Options::default()).unwrap();
    assert_eq!((&*card("ada"), &*card("bob")), ("ada", "bob"));
    assert_eq!((&*cache.differences()[0].about.label, cache.differences()[0].about.kind.name()), ("card", "partial"));
}

#[test]
fn many_threads_verify_at_once() {
    let cache = cache();
    let env = env_of(
        &cache,
        &[("p", "{% cache n % 3 %}{{ n % 3 }}{% cache n % 2 %}{{ n % 2 }}{% endcache %}{% endcache %}")],
    );
    std::thread::scope(|threads| {
        for start in 0..8 {
            let env = &env;
            threads.spawn(move || (start..200 + start).for_each(|n| drop(show(env, "p", context! { n }))));
        }
    });
    // The inner one of an outer one depends on more than the outer key says: found, and shown right.
    assert!(cache.differences().iter().all(|found| found.about.label.starts_with("p:1")));
    assert!(!cache.differences().is_empty() && cache.differences().len() <= 64);
}

#[test]
fn what_encloses_another_text_depends_on_what_that_was_made_of() {
    let cache = cache();
    let env = env_of(
        &cache,
        &[(
            "p",
            "{% cache n %}{% cache 'in' %}{{ n }}{{ cache_tag('second') if n == 2 }}{{ cache_skip() if n == 3 }}{% endcache %}{% endcache %}",
        )],
    );
    let stores = || cache.stats().stores;
    assert_eq!((show(&env, "p", context! { n => 1 }), stores()), ("1".into(), 2));
    // What it shows is not what the hit says, so it is not the hit's tags alone that it goes by.
    assert_eq!((show(&env, "p", context! { n => 2 }), stores()), ("2".into(), 3));
    cache.invalidate_tag("second");
    let (_, explained) = cache.explain(|| show(&env, "p", context! { n => 2 }));
    assert_eq!(explained.fragments[0].outcome.to_string(), "miss (tag \"second\" invalidated)");
    let before = stores();
    assert_eq!((show(&env, "p", context! { n => 3 }), stores()), ("3".into(), before));
}

#[test]
fn a_handlers_result_that_differs_takes_along_what_it_read() {
    let cache = cache();
    let inner = |value: u32| -> u32 {
        let load = || {
            let tag = format!("value:{value}");
            cache.get_or_set("read", Options::forever().vary(value).tag(tag), || ok("row")).unwrap();
            ok(value)
        };
        cache.get_or_set_value("in", Options::forever(), load).unwrap()
    };
    let outer = |value: u32| {
        let load = || ok(inner(value).to_string());
        cache.get_or_set(("out", value), Options::forever(), load).unwrap().to_string()
    };
    assert_eq!((outer(1), outer(2)), ("1".into(), "2".into()));
    cache.invalidate_tag("value:2");
    let (text, explained) = cache.explain(|| outer(2));
    assert_eq!((&*text, explained.fragments[0].outcome.name()), ("2", "miss"));
}
