//! What handlers call: texts and values, options, namespaces, bounds, reports.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::time::Duration;

use minijinja::{Value, context};
use minijinja_cache::{ErrorKind, Fragment, FragmentCache, ManualClock, Options};

use crate::support::{Reports, Ticks, cache, env_of, failure, ok, show, timed};

fn text(cache: &FragmentCache, key: &str, options: Options, n: u32) -> String {
    cache.get_or_set(key, options, || ok(n.to_string())).unwrap().into()
}

#[test]
fn the_closure_runs_on_a_miss_and_not_on_a_hit() {
    let cache = cache();
    let runs = Ticks::default();
    for _ in 0..3 {
        assert_eq!(cache.get_or_set("k", Options::default(), || ok(runs.tick().to_string())).unwrap(), "1");
    }
    let stats = cache.stats();
    assert_eq!((stats.hits, stats.misses, stats.stores, stats.renders, runs.count()), (2, 1, 1, 1, 1));
}

#[test]
fn the_closures_own_error_comes_back_and_nothing_is_stored() {
    #[derive(Debug, PartialEq)]
    struct Outage(u32);
    let cache = cache();
    for n in 1..=2 {
        let error = cache.get_or_set("k", Options::default(), || Err::<String, _>(Outage(n))).unwrap_err();
        assert_eq!(error, Outage(n));
    }
    assert_eq!(text(&cache, "k", Options::default(), 3), "3");
    assert_eq!(cache.stats().stores, 1);
}

#[test]
fn an_infallible_closure_needs_no_error_handling() {
    let fragment: Result<Fragment, Infallible> = cache().get_or_set("k", Options::default(), || Ok("x"));
    let Ok(fragment) = fragment;
    assert_eq!(fragment, "x");
}

#[test]
fn a_panicking_closure_stores_nothing_and_leaves_the_key_usable() {
    let cache = cache();
    let run = || cache.get_or_set("k", Options::default(), || -> Result<String, Infallible> { panic!("loader") });
    assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(run)).is_err());
    assert_eq!(text(&cache, "k", Options::default(), 2), "2");
    assert_eq!(text(&cache, "k", Options::default(), 3), "2");
}

#[test]
fn an_empty_key_is_a_bypass_counted_and_reported() {
    let (reports, on_error) = Reports::collect();
    let cache = FragmentCache::builder().on_error(on_error).build().unwrap();
    assert_eq!(text(&cache, "", Options::default(), 1), "1");
    assert_eq!(text(&cache, "", Options::default().label("front page"), 2), "2");
    let stats = cache.stats();
    assert_eq!((stats.bypasses, stats.errors, stats.stores, stats.misses), (2, 2, 0, 0));
    assert!(reports.all()[0].starts_with("Key"), "{:?}", reports.all());
    assert!(reports.all()[1].contains("front page"), "{:?}", reports.all());
    let nothing: Option<u32> = None;
    assert_eq!(cache.get_or_set(nothing, Options::default(), || ok("x")).unwrap(), "x");
    assert_eq!(cache.get_or_set(Value::UNDEFINED, Options::default(), || ok("x")).unwrap(), "x");
    assert_eq!(cache.stats().stores, 0);
}

#[test]
fn an_undefined_value_inside_a_handlers_key_is_no_key_either() {
    let cache = cache();
    let run = |n: u32| {
        cache.get_or_set(vec![Value::from("user"), Value::UNDEFINED], Options::default(), || ok(n.to_string()))
    };
    assert_eq!([run(1).unwrap(), run(2).unwrap()], ["1", "2"], "one entry for all who have no id");
}

#[test]
fn zero_bypasses_and_forever_does_not_expire() {
    let (cache, clock) = timed();
    assert_eq!(text(&cache, "k", Options::ttl(Duration::ZERO), 1), "1");
    assert_eq!(text(&cache, "k", Options::forever(), 2), "2");
    assert_eq!(text(&cache, "k", Options::ttl(Duration::ZERO), 3), "3");
    clock.advance(Duration::from_secs(1 << 32));
    assert_eq!(text(&cache, "k", Options::forever(), 4), "2");
    assert_eq!(text(&cache, "big", Options::ttl(Duration::MAX), 5), "5");
    assert_eq!(text(&cache, "big", Options::ttl(Duration::MAX), 6), "5");
}

#[test]
fn variants_are_apart_and_another_version_is_a_miss_that_overwrites() {
    let cache = cache();
    let vary = |lang: &str| Options::default().vary(lang);
    assert_eq!([text(&cache, "k", vary("de"), 1), text(&cache, "k", vary("en"), 2)], ["1", "2"]);
    assert_eq!(text(&cache, "k", vary("de").vary("m"), 3), "3");
    assert_eq!(text(&cache, "k", Options::default(), 4), "4");
    assert_eq!([text(&cache, "k", vary("de"), 5), text(&cache, "k", vary("en"), 6)], ["1", "2"]);
    let version = |v: u32| Options::default().version(v);
    assert_eq!(text(&cache, "v", version(1), 1), "1");
    assert_eq!(text(&cache, "v", version(2), 2), "2");
    assert_eq!(text(&cache, "v", version(2), 3), "2");
    assert_eq!(text(&cache, "v", version(1), 4), "4", "version 1 was overwritten");
    assert_eq!(text(&cache, "v", version(2), 5), "5");
}

#[test]
fn tags_of_options_invalidate() {
    let cache = cache();
    let options = || Options::default().tag("a").tags(["b", "c"]);
    for (n, tag) in ["a", "b", "c"].into_iter().enumerate() {
        text(&cache, "k", options(), n as u32);
        cache.invalidate_tag("unrelated");
        assert_eq!(text(&cache, "k", options(), 99), n.to_string());
        cache.invalidate_tag(tag);
    }
}

#[test]
fn texts_markup_and_values_of_one_key_do_not_collide() {
    let cache = cache();
    assert_eq!(text(&cache, "k", Options::default(), 1), "1");
    let markup = cache.get_or_set("k", Options::default().markup(), || ok("<b>")).unwrap();
    assert!(markup.is_markup() && markup == "<b>");
    assert_eq!(cache.get_or_set_value("k", Options::default(), || ok(7)).unwrap(), 7);
    let plain = cache.get_or_set("k", Options::default(), || ok("never")).unwrap();
    assert!(!plain.is_markup() && plain == "1");
    cache.invalidate("k");
    assert_eq!(text(&cache, "k", Options::default(), 2), "2");
    assert_eq!(cache.get_or_set_value("k", Options::default(), || ok(8)).unwrap(), 8);
}

#[test]
fn a_text_is_escaped_where_a_template_prints_it_and_markup_is_not() {
    let cache = cache();
    let env = env_of(&cache, &[("p.html", "{{ t }}|{{ m }}")]);
    let render = || {
        let t = Value::from(cache.get_or_set("t", Options::default(), || ok("<i>")).unwrap());
        let m = Value::from(cache.get_or_set("m", Options::default().markup(), || ok("<b>")).unwrap());
        show(&env, "p.html", context! { t, m })
    };
    assert_eq!(render(), "&lt;i&gt;|<b>");
    assert_eq!(render(), "&lt;i&gt;|<b>");
}

#[test]
fn namespaces_have_their_own_keys_tags_and_clear() {
    let cache = cache();
    let (blog, shop) = (cache.namespace("blog"), cache.namespace("shop"));
    let inner = blog.namespace("inner");
    let all = [&cache, &blog, &shop, &inner];
    let fill = |n: u32| all.map(|c| text(c, "k", Options::default().tag("t"), n));
    assert_eq!(fill(1), ["1"; 4]);
    blog.invalidate("k");
    assert_eq!(fill(2), ["1", "2", "1", "1"]);
    blog.invalidate_tag("t");
    assert_eq!(fill(3), ["1", "3", "1", "1"]);
    blog.clear();
    assert_eq!(fill(4), ["1", "4", "1", "4"]);
    inner.clear();
    assert_eq!(fill(5), ["1", "4", "1", "5"]);
    cache.clear();
    assert_eq!(fill(6), ["6"; 4]);
    assert_eq!(text(&cache.namespace("blog"), "k", Options::default(), 7), "6", "a name is a namespace");
    assert_eq!(text(&cache.namespace("blog:inner"), "k", Options::default(), 8), "8");
    assert_eq!(text(&cache.namespace("").namespace("bloginner"), "k", Options::default(), 9), "9");
}

#[test]
fn a_namespaces_fragment_inside_another_is_reached_by_its_own_clear() {
    let cache = cache();
    let blog = cache.namespace("blog");
    let render = |n: u32| {
        let outer = || cache.get_or_set("outer", Options::default(), || Ok(text(&blog, "k", Options::default(), n)));
        outer().map(String::from).unwrap_or_else(|never: Infallible| match never {})
    };
    render(1);
    blog.clear();
    assert_eq!(render(2), "2");
}

#[test]
fn the_memory_bound_holds_and_what_was_used_recently_survives() {
    let cache = FragmentCache::builder().max_bytes(100 << 10).build().unwrap();
    let big = |key: u32| cache.get_or_set(key, Options::default(), || ok("x".repeat(2 << 10))).unwrap();
    let hot = || text(&cache, "hot", Options::default(), 1);
    hot();
    for key in 0..400 {
        big(key);
        let stored = cache.stats().stores;
        hot();
        assert_eq!(cache.stats().stores, stored, "evicted while in use, at {key}");
        cache.run_maintenance();
        assert!(cache.stats().bytes <= 100 << 10, "{:?}", cache.stats());
    }
    let stats = cache.stats();
    assert!(stats.entries > 30 && stats.entries < 50, "{stats:?}");
    assert!(stats.bytes > 80 << 10, "{stats:?}");
}

#[test]
fn what_is_larger_than_an_entry_may_be_is_served_and_not_stored() {
    let cache = FragmentCache::builder().max_bytes(1 << 20).max_entry_bytes(4096).build().unwrap();
    for round in 1..=2 {
        assert_eq!(cache.get_or_set("big", Options::default(), || ok("x".repeat(5000))).unwrap().len(), 5000);
        assert_eq!((cache.stats().stores, cache.stats().unstored), (0, round));
    }
    text(&cache, "small", Options::default(), 1);
    assert_eq!(cache.stats().stores, 1);
}

#[test]
fn a_cache_that_is_switched_off_runs_everything_and_still_refuses_wrong_use() {
    let (reports, on_error) = Reports::collect();
    let cache = FragmentCache::builder().enabled(false).on_error(on_error).build().unwrap();
    assert_eq!([text(&cache, "k", Options::default(), 1), text(&cache, "k", Options::default(), 2)], ["1", "2"]);
    text(&cache, "", Options::default(), 3);
    assert_eq!(reports.all().len(), 1);
    let mut env = env_of(&cache, &[("p", "{% cache k 60 %}{{ tick() }}{% endcache %}"), ("q", "{{ tick() }}")]);
    cache.add_template(&mut env, "r", "{{ cache_partial('q', 'k') }}").unwrap();
    Ticks::add_to(&mut env);
    assert_eq!([show(&env, "p", context! { k => 1 }), show(&env, "p", context! { k => 1 })], ["1", "2"]);
    assert_eq!([show(&env, "r", context! {}), show(&env, "r", context! {})], ["3", "4"]);
    failure(&env, "p", context! {});
    assert_eq!((cache.stats().hits, cache.stats().misses, cache.stats().stores), (0, 0, 0));
}

#[test]
fn jitter_never_lengthens_and_does_shorten() {
    let clock = ManualClock::new();
    let cache = FragmentCache::builder().clock(&clock).jitter(0.5).build().unwrap();
    let read = |n: u32| {
        (0..200)
            .filter(|key| text(&cache, &format!("k{key}"), Options::ttl(Duration::from_secs(100)), n) == "1")
            .count()
    };
    assert_eq!(read(1), 200);
    clock.advance(Duration::from_secs(49));
    assert_eq!(read(2), 200, "cut by more than the fraction");
    clock.advance(Duration::from_secs(26));
    let half = read(3);
    assert!(half > 40 && half < 160, "{half} of 200 left after three quarters");
    clock.advance(Duration::from_secs(25));
    assert_eq!(read(4), 0, "lengthened");
}

#[test]
fn settings_that_make_no_sense_are_errors_that_name_them() {
    let builder = FragmentCache::builder;
    for (named, built) in [
        ("max_bytes", builder().max_bytes(0).build()),
        ("default_ttl", builder().default_ttl(Duration::ZERO).build()),
        ("jitter", builder().jitter(-0.1).build()),
        ("jitter", builder().jitter(1.1).build()),
        ("jitter", builder().jitter(f64::NAN).build()),
        ("floor_slots", builder().floor_slots(0).build()),
        ("floor_slots", builder().floor_slots(usize::MAX).build()),
        ("max_entry_bytes", builder().max_entry_bytes(0).build()),
        ("max_entry_bytes", builder().max_bytes(10).max_entry_bytes(11).build()),
    ] {
        let error = built.err().unwrap_or_else(|| panic!("{named} was accepted"));
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(error.to_string().contains(named), "{error}");
    }
    builder().wait_timeout(Duration::MAX).default_ttl(Duration::MAX).max_bytes(u64::MAX).build().unwrap();
}

#[test]
fn a_report_that_panics_fails_no_page_and_is_counted() {
    let cache = FragmentCache::builder().on_error(|_| panic!("report")).build().unwrap();
    assert_eq!(text(&cache, "", Options::default(), 1), "1");
    assert_eq!(cache.stats().errors, 2);
    assert_eq!([text(&cache, "k", Options::default(), 2), text(&cache, "k", Options::default(), 3)], ["2", "2"]);
}

#[test]
fn one_slot_for_all_floors_costs_renders_and_never_freshness() {
    let cache = FragmentCache::builder().floor_slots(1).build().unwrap();
    assert_eq!(text(&cache, "a", Options::default().tag("t"), 1), "1");
    assert_eq!(text(&cache, "a", Options::default().tag("t"), 2), "1");
    cache.invalidate_tag("t");
    assert_eq!(text(&cache, "a", Options::default().tag("t"), 3), "3");
}

#[derive(serde::Serialize, serde::Deserialize)]
enum Role {
    Guest,
}

#[test]
fn nothing_shown_holds_the_text_of_a_key_or_what_is_stored() {
    const SECRET: &str = "ada@example.org";
    let (reports, on_error) = Reports::collect();
    let cache = FragmentCache::builder().on_error(on_error).build().unwrap();
    let options = || Options::default().vary(SECRET).version(SECRET);
    text(&cache, SECRET, options(), 1);
    cache.get_or_set_value(SECRET, Options::default(), || ok(SECRET.to_owned())).unwrap();
    cache.get_or_set_value(SECRET, Options::default(), || ok(7)).unwrap();
    cache.get_or_set_value("a", Options::default(), || ok(SECRET.to_owned())).unwrap();
    cache.get_or_set_value("a", Options::default(), || ok(true)).unwrap();
    cache.get_or_set_value("b", Options::default(), || ok(SECRET.to_owned())).unwrap();
    cache.get_or_set_value("b", Options::default(), || ok(Role::Guest)).unwrap();
    cache.get_or_set_value("c", Options::default(), || ok(vec![SECRET.to_owned()])).unwrap();
    cache.get_or_set_value("c", Options::default(), || ok(vec![Role::Guest])).unwrap();
    cache.invalidate(BTreeMap::from([(SECRET, f64::NAN)]));
    cache.invalidate(("", SECRET));
    let env =
        env_of(&cache, &[("p", "{% cache [k, missing] %}x{% endcache %}"), ("q", "{% cache k %}x{% endcache %}")]);
    show(&env, "q", context! { k => SECRET });
    let error = env.get_template("p").unwrap().render(context! { k => SECRET }).unwrap_err();
    assert!(!error.to_string().contains(SECRET), "{error}");
    let shown = format!("{cache:?} {:?} {:?} {:?} {:?}", cache.stats(), options(), cache.scope(), reports.all());
    assert!(!reports.all().is_empty());
    assert!(!shown.contains(SECRET), "{shown}");
}
