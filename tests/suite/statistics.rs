//! What is counted by fragment.

use std::sync::Barrier;
use std::time::Duration;

use minijinja::context;
use minijinja_cache::{FragmentCache, FragmentKind, FragmentStats, LocalStore, Options};

use crate::support::{cache, env_of, failure, ok, p, page, show, timed};

fn of(cache: &FragmentCache, label: &str) -> FragmentStats {
    let all = cache.fragment_stats();
    let found: Vec<_> = all.iter().filter(|stats| stats.label == label).collect();
    assert_eq!(found.len(), 1, "{label} in {all:#?}");
    found[0].clone()
}

#[test]
fn a_block_is_counted_under_its_template_and_line_or_its_name() {
    let cache = cache();
    let source = "\n{% cache 'a' 60 %}A{% endcache %}\n\n{% cache 'b' 60 name='hero' %}B{% endcache %}";
    let (env, _) = page(&cache, source);
    (0..3).for_each(|_| drop(p(&env)));
    let plain = of(&cache, "p:2");
    assert_eq!((plain.kind, plain.misses, plain.hits, plain.renders), (FragmentKind::Block, 1, 2, 1));
    assert_eq!((plain.lookups(), plain.rendered_bytes, plain.entries), (3, 1, 1));
    assert!((plain.hit_ratio() - 2.0 / 3.0).abs() < 1e-9);
    assert_eq!((of(&cache, "hero").misses, of(&cache, "hero").hits), (1, 2));
}

#[test]
fn a_name_that_is_computed_counts_the_miss_and_the_hits_alike() {
    let cache = cache();
    let (env, _) = page(&cache, "{% cache who 60 name='for ' ~ kind %}x{% endcache %}");
    for _ in 0..2 {
        show(&env, "p", context! { who => 1, kind => "guests" });
    }
    let named = of(&cache, "for guests");
    assert_eq!((named.misses, named.hits, named.renders), (1, 1, 1));
    assert!(cache.fragment_stats().iter().all(|stats| stats.label != "p:1" || stats.lookups() == 0));
}

#[test]
fn a_partial_is_counted_under_its_template_from_templates_and_handlers() {
    let cache = cache();
    let env = env_of(&cache, &[("card", "c"), ("p", "{{ cache_partial('card', 1) }}")]);
    p(&env);
    cache.render(&env, "card", context! {}, 1, Options::default()).unwrap();
    let card = of(&cache, "card");
    assert_eq!((card.kind, card.misses, card.hits), (FragmentKind::Partial, 1, 1));
}

#[test]
fn what_a_handler_caches_is_counted_under_the_place_of_the_call_or_its_label() {
    let cache = cache();
    let there = format!("{}:{}", file!(), line!() + 1);
    let text = || cache.get_or_set("k", Options::default(), || ok("v")).unwrap();
    text();
    text();
    let value: u32 = cache.get_or_set_value("n", Options::default().label("n"), || ok(7)).unwrap();
    let by_place = of(&cache, &there);
    assert_eq!((by_place.kind, by_place.misses, by_place.hits), (FragmentKind::Text, 1, 1));
    assert_eq!((value, of(&cache, "n").kind), (7, FragmentKind::Value));
}

#[tokio::test]
async fn a_future_is_counted_under_the_place_it_was_made_at() {
    let cache = cache();
    let there = format!("{}:{}", file!(), line!() + 1);
    let future = cache.get_or_set_async("k", Options::default(), async { ok("v") });
    future.await.unwrap();
    assert_eq!(of(&cache, &there).misses, 1);
}

#[test]
fn errors_and_results_that_are_not_stored_are_told_apart() {
    let cache = cache();
    let env = env_of(
        &cache,
        &[
            ("fails", "{% cache 'k' %}{{ nothing.at.all }}{% endcache %}"),
            ("skips", "{% cache 'k' %}{{ cache_skip() }}x{% endcache %}"),
            ("off", "{% cache 'k' 0 %}x{% endcache %}"),
        ],
    );
    failure(&env, "fails", context! {});
    show(&env, "skips", context! {});
    show(&env, "off", context! {});
    let fails = of(&cache, "fails:1");
    assert_eq!((fails.misses, fails.errors, fails.renders, fails.rejected), (1, 1, 0, 0));
    let skips = of(&cache, "skips:1");
    assert_eq!((skips.misses, skips.errors, skips.renders, skips.rejected, skips.entries), (1, 0, 1, 1, 0));
    let off = of(&cache, "off:1");
    assert_eq!((off.misses, off.bypasses, off.lookups()), (0, 1, 1));
}

#[test]
fn an_entry_that_is_evicted_says_its_age_and_whether_it_was_of_use() {
    let clock = minijinja_cache::ManualClock::new();
    let cache = FragmentCache::builder().max_bytes(20_000).max_entry_bytes(20_000).clock(&clock).build().unwrap();
    let get = |key: u32, label: &str| {
        let options = Options::forever().label(label);
        cache.get_or_set(key, options, || ok("x".repeat(4_000))).unwrap();
    };
    get(1, "used");
    get(1, "used");
    get(2, "unused");
    clock.advance(Duration::from_secs(7));
    for key in 3..20 {
        get(key, "others");
        cache.run_maintenance();
    }
    let (used, unused) = (of(&cache, "used"), of(&cache, "unused"));
    assert_eq!((used.evicted, used.evicted_unused, used.entries, used.bytes), (1, 0, 0, 0));
    assert_eq!((unused.evicted, unused.evicted_unused), (1, 1));
    assert_eq!(used.age_at_eviction, Some(Duration::from_secs(7)));
    let others = of(&cache, "others");
    let total = cache.stats();
    assert_eq!((others.entries, others.bytes), (total.entries, total.bytes));
}

#[test]
fn those_who_join_and_those_who_are_served_stale_are_no_misses() {
    let (cache, clock) = timed();
    let options = || Options::ttl(Duration::from_secs(10)).stale(Duration::from_secs(10)).label("slow");
    let (both, done) = (Barrier::new(2), Barrier::new(2));
    std::thread::scope(|threads| {
        let follower = threads.spawn(|| {
            both.wait();
            let text = cache.get_or_set("k", options(), || ok("mine")).unwrap();
            assert_eq!(text, "first");
        });
        cache
            .get_or_set("k", options(), || {
                both.wait();
                crate::support::until("a follower", || cache.stats().misses == 2);
                // It counts its miss, and then boards.
                std::thread::sleep(Duration::from_millis(50));
                ok("first")
            })
            .unwrap();
        follower.join().unwrap();
        let slow = of(&cache, "slow");
        assert_eq!(slow.misses + slow.joined + slow.hits, 2);
        assert_eq!(slow.renders, 1);

        clock.advance(Duration::from_secs(15));
        let refresher = threads.spawn(|| {
            cache.get_or_set("k", options(), || {
                done.wait();
                done.wait();
                ok("second")
            })
        });
        done.wait();
        assert_eq!(cache.get_or_set("k", options(), || ok("mine")).unwrap(), "first");
        done.wait();
        refresher.join().unwrap().unwrap();
    });
    let slow = of(&cache, "slow");
    assert_eq!((slow.stale_hits, slow.renders), (1, 2));
}

#[test]
fn what_another_node_computed_is_a_hit_of_the_shared_tier_for_the_one_who_asks() {
    let store = LocalStore::new();
    let node = || FragmentCache::builder().shared(store.clone()).build().unwrap();
    let (one, other) = (node(), node());
    crate::support::until("in touch", || [&one, &other].iter().all(|node| node.shared_status().unwrap().in_touch));
    let get = |cache: &FragmentCache, label: &str| {
        cache.get_or_set("k", Options::default().label(label), || ok("v")).unwrap();
    };
    get(&one, "here");
    assert!(one.flush(Duration::from_secs(30)));
    get(&other, "there");
    get(&other, "there");
    let there = of(&other, "there");
    assert_eq!((there.shared_hits, there.hits, there.misses, there.renders), (1, 1, 0, 0));
    assert_eq!(there.render_time_saved, other.stats().render_time_saved);
}

#[tokio::test]
async fn what_is_prefetched_counts_as_nothing_until_it_is_hit_under_its_kind() {
    let store = LocalStore::new();
    let node = || FragmentCache::builder().shared(store.clone()).build().unwrap();
    let (one, other) = (node(), node());
    crate::support::until("in touch", || [&one, &other].iter().all(|node| node.shared_status().unwrap().in_touch));
    let read = |cache: &FragmentCache| {
        cache.get_or_set("text", Options::default(), || ok("v")).unwrap();
        let _: u32 = cache.get_or_set_value("value", Options::default(), || ok(7)).unwrap();
    };
    read(&one);
    assert!(one.flush(Duration::from_secs(30)));
    assert_eq!(other.prefetch(["text", "value"]).await, 2);
    let stats = other.stats();
    assert_eq!((stats.shared_hits, stats.hits, stats.misses), (0, 0, 0));
    read(&other);
    let mut hits: Vec<_> = other.fragment_stats().iter().map(|it| (it.kind, it.hits, it.lookups())).collect();
    hits.sort();
    assert_eq!(hits, [(FragmentKind::Text, 1, 1), (FragmentKind::Value, 1, 1)]);
}

#[test]
fn counts_of_fragments_add_up_to_those_of_the_cache_under_threads() {
    let cache = cache();
    let env = env_of(
        &cache,
        &[("p", "{% cache ['k', n % 7] 60 %}{% cache ['in', n % 3] 60 %}x{% endcache %}{% endcache %}")],
    );
    std::thread::scope(|threads| {
        for thread in 0..20 {
            let (cache, env) = (&cache, &env);
            threads.spawn(move || {
                for n in 0..200 {
                    show(env, "p", context! { n => n + thread });
                    cache.get_or_set(n % 11, Options::default().label("text"), || ok("t")).unwrap();
                    if n % 50 == 0 {
                        cache.invalidate(n % 11);
                    }
                }
            });
        }
    });
    let (all, total) = (cache.fragment_stats(), cache.stats());
    let sum = |of: fn(&FragmentStats) -> u64| all.iter().map(of).sum::<u64>();
    assert_eq!(sum(|it| it.hits), total.hits);
    assert_eq!(sum(|it| it.misses + it.joined + it.stale_hits), total.misses);
    assert_eq!(sum(|it| it.joined), total.waits);
    assert_eq!(sum(|it| it.renders), total.renders);
    assert_eq!(sum(|it| it.misses), sum(|it| it.renders + it.errors));
    let reasons: u64 = cache.miss_reasons().values().sum();
    assert_eq!(reasons, sum(|it| it.misses + it.bypasses));
    cache.run_maintenance();
    let (all, total) = (cache.fragment_stats(), cache.stats());
    assert_eq!(all.iter().map(|it| it.entries).sum::<u64>(), total.entries);
    assert_eq!(all.iter().map(|it| it.bytes).sum::<u64>(), total.bytes);
    assert_eq!(all.iter().map(|it| it.render_time_saved).sum::<Duration>(), total.render_time_saved);
}

#[test]
fn a_hit_inside_is_not_the_outer_ones_and_a_hit_outside_asks_nothing_inside() {
    let cache = cache();
    let (env, _) = page(&cache, "{% cache 'out' 60 %}\n{% cache 'in' 60 %}x{% endcache %}\n{% endcache %}");
    p(&env);
    cache.invalidate("out");
    p(&env);
    let (outer, inner) = (of(&cache, "p:1"), of(&cache, "p:2"));
    assert_eq!((outer.hits, outer.misses, inner.hits, inner.misses), (0, 2, 1, 1));
    p(&env);
    let (outer, inner) = (of(&cache, "p:1"), of(&cache, "p:2"));
    assert_eq!((outer.hits, inner.lookups()), (1, 2));
}

#[test]
fn what_is_told_can_be_serialized_in_the_words_it_is_displayed_in_and_without_keys() {
    let cache = cache();
    let events = cache.subscribe_to_lookups();
    let get = || cache.get_or_set("secret@example.org", Options::default().tag("t").label("bio"), || ok("v")).unwrap();
    let (_, explained) = cache.explain(get);
    get();
    cache.invalidate_tag("t");
    get();
    cache.get_or_set("k", Options::ttl(Duration::ZERO), || ok("v")).unwrap();
    let stats = serde_json::to_value(&cache.fragment_stats()[0]).unwrap();
    assert_eq!((&stats["label"], &stats["kind"], &stats["hits"]), (&"bio".into(), &"text".into(), &1.into()));
    assert_eq!(serde_json::to_value(cache.stats()).unwrap()["misses"], 2);
    let misses = cache.recent_misses();
    let told = serde_json::to_value(&misses).unwrap();
    assert_eq!(told[0]["reason"]["bypassed"], "lifetime");
    assert_eq!(told[1]["reason"]["tag-invalidated"], "t");
    assert_eq!(told[2]["reason"], misses[2].reason.name());
    assert_eq!(told[2]["about"]["key"], misses[2].about.key.to_string());
    let told: Vec<_> = std::iter::from_fn(|| events.try_next()).map(|it| serde_json::to_value(it).unwrap()).collect();
    assert_eq!(told[3]["what"]["looked-up"]["outcome"], "hit");
    assert_eq!(told[4]["what"]["invalidated"], serde_json::json!({ "what": { "tag": "t" }, "by": "call" }));
    let all = format!("{told:?}{}", serde_json::to_string(&explained).unwrap());
    assert!(!all.contains("secret") && all.contains("\"cold\""), "{all}");
}

#[test]
fn keys_appear_in_no_label() {
    let cache = cache();
    let (env, _) = page(&cache, "{% cache ['secret@example.org', 1] 60 %}x{% endcache %}");
    p(&env);
    let _ = cache.get_or_set("secret@example.org", Options::default(), || ok("x"));
    let told = format!("{:?}{:?}{:?}", cache.fragment_stats(), cache.recent_misses(), cache.miss_reasons());
    assert!(!told.contains("secret"), "{told}");
}
