//! Why a miss was one.

use std::time::Duration;

use minijinja::{Environment, context};
use minijinja_cache::{Bypass, FragmentCache, LocalStore, ManualClock, Miss, MissReason, Options, Rejection};

use crate::support::{cache, env_of, ok, p, page, show, timed};

fn last(cache: &FragmentCache) -> MissReason {
    cache.recent_misses().first().expect("a miss").reason.clone()
}

fn get(cache: &FragmentCache, options: Options) {
    cache.get_or_set("k", options, || ok("v")).unwrap();
}

#[test]
fn the_first_time_is_cold_and_a_lifetime_that_ended_has_expired() {
    let (cache, clock) = timed();
    let options = || Options::ttl(Duration::from_secs(10));
    get(&cache, options());
    assert_eq!(last(&cache), MissReason::Cold);
    clock.advance(Duration::from_secs(10));
    get(&cache, options());
    assert_eq!(last(&cache), MissReason::Expired);
    // As it does for one who asks for something younger.
    clock.advance(Duration::from_secs(2));
    get(&cache, Options::ttl(Duration::from_secs(1)));
    assert_eq!(last(&cache), MissReason::Expired);
}

#[test]
fn an_invalidation_is_told_by_what_it_was_of() {
    let cache = cache();
    let options = || Options::default().tag("films").tag("film:7");
    let blog = cache.namespace("blog");
    type Case<'a> = (&'a dyn Fn(), MissReason);
    let cases: [Case<'_>; 4] = [
        (&|| drop(cache.invalidate("k")), MissReason::KeyInvalidated),
        (&|| drop(cache.invalidate_tag("film:7")), MissReason::TagInvalidated("film:7".into())),
        (&|| drop(cache.invalidate_tag("films")), MissReason::TagInvalidated("films".into())),
        (&|| drop(cache.clear()), MissReason::Cleared),
    ];
    for (invalidate, reason) in cases {
        get(&cache, options());
        invalidate();
        get(&cache, options());
        assert_eq!(last(&cache), reason);
    }
    get(&blog, options());
    blog.clear();
    get(&blog, options());
    assert_eq!(last(&cache), MissReason::NamespaceCleared);
}

#[test]
fn what_is_inside_is_told_apart_from_the_fragment_itself() {
    let cache = cache();
    let (env, _) = page(&cache, "{% cache 'out' %}{% cache 'in' tags=['t'] %}x{% endcache %}{% endcache %}");
    p(&env);
    cache.invalidate("in");
    p(&env);
    let reasons: Vec<MissReason> = cache.recent_misses().into_iter().map(|miss| miss.reason).take(2).collect();
    assert_eq!(reasons, [MissReason::KeyInvalidated, MissReason::InnerKeyInvalidated]);
    cache.invalidate_tag("t");
    p(&env);
    assert!(cache.recent_misses()[..2].iter().all(|miss| miss.reason == MissReason::TagInvalidated("t".into())));
}

#[test]
fn a_changed_template_is_named_whether_it_was_included_or_holds_the_block() {
    let cache = cache();
    let mut env = env_of(&cache, &[("inner", "1"), ("p", "{% cache 'k' %}{% include 'inner' %}{% endcache %}")]);
    p(&env);
    cache.add_template(&mut env, "inner", "2").unwrap();
    p(&env);
    assert_eq!(last(&cache), MissReason::TemplateChanged("inner".into()));
    cache.invalidate_template("inner");
    p(&env);
    assert_eq!(last(&cache), MissReason::TemplateChanged("inner".into()));
    cache.add_template(&mut env, "p", "{% cache 'k' %}other {% include 'inner' %}{% endcache %}").unwrap();
    p(&env);
    assert_eq!(last(&cache), MissReason::TemplateChanged("p".into()));
    // A key that was never there before is cold all the same.
    cache.add_template(&mut env, "p", "{% cache 'new' %}third{% endcache %}").unwrap();
    p(&env);
    assert_eq!(last(&cache), MissReason::Cold);
}

#[test]
fn a_changed_template_is_named_where_its_block_shares_a_name_with_anothers() {
    let cache = cache();
    let source = |text: &str| format!("{{% cache 'k' name='hero' %}}{text}{{% endcache %}}");
    let mut env = env_of(&cache, &[("first", &source("1")), ("second", &source("2"))]);
    show(&env, "first", context! {});
    show(&env, "second", context! {});
    cache.add_template(&mut env, "second", &source("edited")).unwrap();
    show(&env, "second", context! {});
    assert_eq!(last(&cache), MissReason::TemplateChanged("second".into()));
}

#[test]
fn two_blocks_of_one_key_in_one_template_are_no_change_of_it() {
    let cache = cache();
    let (env, _) = page(&cache, "{% cache 'k' %}1{% endcache %}{% cache 'k' %}2{% endcache %}");
    p(&env);
    assert!(cache.recent_misses().iter().all(|miss| miss.reason == MissReason::Cold), "{:?}", cache.recent_misses());
}

#[test]
fn a_template_that_was_missing_and_comes_is_a_change() {
    let cache = cache();
    let mut env = env_of(&cache, &[("p", "{% cache 'k' %}{% include 'late' ignore missing %}x{% endcache %}")]);
    p(&env);
    cache.add_template(&mut env, "late", "l").unwrap();
    assert_eq!(p(&env), "lx");
    // Without a loader of ours nobody saw what was looked for.
    assert_eq!(last(&cache), MissReason::EnvironmentChanged);
    let mut env = Environment::new();
    cache.add_to_environment(&mut env);
    env.set_loader(cache.loader(|name| {
        Ok((name == "q").then(|| "{% cache 'k' %}{% include 'later' ignore missing %}x{% endcache %}".to_owned()))
    }));
    show(&env, "q", context! {});
    cache.invalidate_template("later");
    show(&env, "q", context! {});
    assert_eq!(last(&cache), MissReason::TemplateChanged("later".into()));
}

#[test]
fn versions_and_variants_are_told_apart_from_keys() {
    let cache = cache();
    get(&cache, Options::default().version(1));
    get(&cache, Options::default().version(2));
    assert_eq!(last(&cache), MissReason::Version);
    get(&cache, Options::default().vary("de"));
    assert_eq!(last(&cache), MissReason::OtherVariant);
    let (env, _) = page(&cache, "{% cache 'k' vary=[lang] %}x{% endcache %}");
    show(&env, "p", context! { lang => "de" });
    assert_eq!(last(&cache), MissReason::Cold);
    show(&env, "p", context! { lang => "fr" });
    assert_eq!(last(&cache), MissReason::OtherVariant);
}

#[test]
fn what_was_evicted_is_known_to_have_been_there() {
    let cache = FragmentCache::builder().max_bytes(10_000).max_entry_bytes(10_000).build().unwrap();
    let fill = |key: u32| drop(cache.get_or_set(key, Options::forever(), || ok("x".repeat(3_000))).unwrap());
    for key in 0..12 {
        fill(key);
        cache.run_maintenance();
    }
    fill(0);
    assert_eq!(last(&cache), MissReason::Evicted);
}

#[test]
fn what_expired_and_was_freed_has_expired() {
    let cache = cache();
    let options = || Options::ttl(Duration::from_millis(200));
    get(&cache, options());
    crate::support::until("it is freed", || {
        cache.run_maintenance();
        cache.stats().entries == 0
    });
    get(&cache, options());
    assert_eq!(last(&cache), MissReason::Expired);
}

#[test]
fn a_bypass_says_why() {
    let cache = cache();
    let template = "{% cache 'k' ttl if=wanted %}x{% endcache %}";
    let (env, _) = page(&cache, template);
    let show = |ttl: u32, wanted: bool| show(&env, "p", context! { ttl, wanted });
    show(0, true);
    assert_eq!(last(&cache), MissReason::Bypassed(Bypass::Lifetime));
    show(60, false);
    assert_eq!(last(&cache), MissReason::Bypassed(Bypass::Condition));
    get(&cache, Options::ttl(Duration::ZERO));
    assert_eq!(last(&cache), MissReason::Bypassed(Bypass::Lifetime));
    cache.get_or_set("", Options::default(), || ok("v")).unwrap();
    assert_eq!(last(&cache), MissReason::Bypassed(Bypass::Key));
    let off = FragmentCache::builder().enabled(false).build().unwrap();
    get(&off, Options::default());
    assert_eq!(last(&off), MissReason::Bypassed(Bypass::Off));
    assert_eq!(off.miss_reasons()["bypass-off"], 1);
}

#[test]
fn what_is_never_stored_says_what_kept_it_from_being_so() {
    let cache = FragmentCache::builder().max_entry_bytes(1_000).build().unwrap();
    let (env, _) = page(&cache, "{% cache 'k' %}{{ cache_skip() }}x{% endcache %}");
    p(&env);
    assert_eq!(last(&cache), MissReason::Cold);
    p(&env);
    assert_eq!(last(&cache), MissReason::Rejected(Rejection::Uncacheable));
    let large = || drop(cache.get_or_set("large", Options::default(), || ok("x".repeat(2_000))).unwrap());
    large();
    large();
    assert_eq!(last(&cache), MissReason::Rejected(Rejection::TooLarge));
    let raced = || {
        let load = || {
            cache.invalidate("raced");
            ok("v")
        };
        cache.get_or_set("raced", Options::default(), load).unwrap();
    };
    raced();
    raced();
    assert_eq!(last(&cache), MissReason::Rejected(Rejection::Invalidated));
}

#[test]
fn a_store_that_does_not_answer_is_why() {
    let store = LocalStore::new();
    let cache = FragmentCache::builder().shared(store.clone()).build().unwrap();
    crate::support::until("in touch", || cache.shared_status().unwrap().in_touch);
    get(&cache, Options::default());
    assert_eq!(last(&cache), MissReason::Cold);
    store.set_down(true);
    cache.get_or_set("other", Options::default(), || ok("v")).unwrap();
    assert_eq!(last(&cache), MissReason::StoreFailed);
}

#[test]
fn a_value_of_another_type_is_unreadable() {
    let cache = cache();
    let _: u32 = cache.get_or_set_value("k", Options::default(), || ok(7)).unwrap();
    let text: String = cache.get_or_set_value("k", Options::default(), || ok("t".to_owned())).unwrap();
    assert_eq!((&*text, last(&cache)), ("t", MissReason::Unreadable));
}

#[test]
fn the_ring_keeps_the_last_and_counts_all() {
    let cache = cache();
    for n in 0..1_000 {
        cache.get_or_set(n, Options::default().label("n"), || ok("v")).unwrap();
    }
    let misses = cache.recent_misses();
    assert_eq!(misses.len(), 256);
    assert!(misses.is_sorted_by(|newer: &Miss, older| newer.at >= older.at));
    assert_eq!(cache.miss_reasons(), [("cold", 1_000)].into());
    let key = |n: u32| {
        let cache = FragmentCache::builder().clock(&ManualClock::new()).build().unwrap();
        cache.get_or_set(n, Options::default(), || ok("v")).unwrap();
        cache.recent_misses()[0].about.key
    };
    assert_eq!((misses[0].about.key, misses[255].about.key), (key(999), key(744)));
}

#[test]
fn what_has_expired_and_is_not_freed_yet_was_not_evicted() {
    let cache = cache();
    let options = || Options::ttl(Duration::from_millis(20));
    // Maintenance runs once a second, so it falls into one or two of ten rounds.
    for _ in 0..10 {
        get(&cache, options());
        std::thread::sleep(Duration::from_millis(25));
        get(&cache, options());
        assert_eq!(last(&cache), MissReason::Expired);
    }
}

#[test]
fn a_template_of_the_same_name_in_another_environment_is_no_change() {
    let cache = cache();
    let (one, _) = page(&cache, "{% cache 'k' %}one{% endcache %}");
    p(&one);
    let (mut other, _) = page(&cache, "{% cache 'k' %}other{% endcache %}");
    p(&other);
    assert_eq!(last(&cache), MissReason::Cold);
    cache.add_template(&mut other, "p", "{% cache 'k' %}edited{% endcache %}").unwrap();
    p(&other);
    assert_eq!(last(&cache), MissReason::TemplateChanged("p".into()));
}

#[test]
fn without_memory_nothing_is_evicted_and_a_variant_that_was_stored_is_not_another_one() {
    let cache = FragmentCache::builder().shared(LocalStore::new()).memory(false).build().unwrap();
    crate::support::until("in touch", || cache.shared_status().unwrap().in_touch);
    let options = || Options::forever().vary("de");
    get(&cache, options());
    assert!(cache.flush(crate::support::STUCK));
    cache.invalidate("k");
    get(&cache, options());
    assert_eq!(last(&cache), MissReason::Cold);
}

#[test]
fn what_the_shared_tier_had_is_known_to_have_been_here() {
    let store = LocalStore::new();
    let node = || FragmentCache::builder().shared(store.clone()).build().unwrap();
    let (one, other) = (node(), node());
    crate::support::until("in touch", || [&one, &other].iter().all(|node| node.shared_status().unwrap().in_touch));
    // Not stored the first time, and later found in the shared tier.
    let raced = || {
        other.invalidate("k");
        ok("v")
    };
    other.get_or_set("k", Options::default(), raced).unwrap();
    assert!(other.flush(crate::support::STUCK));
    get(&one, Options::default());
    assert!(one.flush(crate::support::STUCK));
    crate::support::until("it is found there", || {
        get(&other, Options::default());
        other.stats().shared_hits == 1 || other.stats().stores > 0
    });
    other.invalidate("k");
    get(&other, Options::default());
    assert_eq!(last(&other), MissReason::KeyInvalidated);
}
