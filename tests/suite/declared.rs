//! The tags that a caller declares count for it, whatever the entry was stored with.

use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use minijinja::{Environment, Value, context};
use minijinja_cache::{FragmentCache, Options};

use crate::support::{Ticks, cache, env_of, must_end, ok, p, page, show, timed};

fn tagged(tags: &[&str]) -> Options {
    Options::forever().tags(tags.iter().copied())
}

/// What a handler is given for the key `k`, with these tags.
fn text(cache: &FragmentCache, ticks: &Ticks, tags: &[&str]) -> String {
    cache.get_or_set("k", tagged(tags), || ok(ticks.tick().to_string())).unwrap().into()
}

#[test]
fn a_handler_that_declares_an_invalidated_tag_is_not_served_what_was_stored_without_it() {
    let (cache, ticks) = (cache(), Ticks::default());
    assert_eq!(text(&cache, &ticks, &[]), "1");
    assert_eq!(text(&cache, &ticks, &["t"]), "1", "nothing was invalidated");
    cache.invalidate_tag("t");
    assert_eq!(text(&cache, &ticks, &[]), "1", "this caller does not declare it");
    assert_eq!(text(&cache, &ticks, &["u", "t"]), "2");
    assert_eq!(text(&cache, &ticks, &["t"]), "2");
    assert_eq!(text(&cache, &ticks, &[]), "2");
    cache.invalidate_tag("u");
    assert_eq!(text(&cache, &ticks, &[]), "3", "the entry was stored with it");
}

#[test]
fn a_tag_of_another_namespace_does_not_count() {
    let (cache, ticks) = (cache(), Ticks::default());
    let blog = cache.namespace("blog");
    assert_eq!(text(&blog, &ticks, &[]), "1");
    cache.invalidate_tag("t");
    assert_eq!(text(&blog, &ticks, &["t"]), "1");
    blog.invalidate_tag("t");
    assert_eq!(text(&blog, &ticks, &["t"]), "2");
}

#[test]
fn values_and_futures_heed_the_tags_of_their_caller() {
    let (cache, ticks) = (cache(), Ticks::default());
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let value = |tags: &[&str]| -> u64 { cache.get_or_set_value("k", tagged(tags), || ok(ticks.tick())).unwrap() };
    let later = |tags: &[&str]| -> u64 {
        let loading = cache.get_or_set_value_async("k", tagged(tags), async { ok(ticks.tick()) });
        runtime.block_on(loading).unwrap()
    };
    let text = |tags: &[&str]| -> String {
        let loading = cache.get_or_set_async("k", tagged(tags), async { ok(ticks.tick().to_string()) });
        runtime.block_on(loading).unwrap().into()
    };
    assert_eq!((value(&[]), later(&["t"]), text(&[])), (1, 1, "2".into()));
    cache.invalidate_tag("t");
    assert_eq!((value(&[]), later(&["t"]), value(&["t"]), text(&["t"])), (1, 3, 3, "4".into()));
    cache.invalidate_tag("u");
    assert_eq!((value(&["u"]), later(&["u"]), text(&[]), text(&["u"])), (5, 5, "4".into(), "6".into()));
}

#[test]
fn a_head_that_was_edited_to_declare_a_tag_is_heeded() {
    for (before, after) in [
        ("'k'", "'k' tags=['t']"),
        ("'k' 300", "'k' 300 tags=['t']"),
        ("'k'", "'k' tags=['a', 't', 'b']"),
        ("'k' tags=['a']", "'k' tags=['a', ['t']]"),
        ("'k'", "'k' tags=[('t' if true)]"),
        ("'k' if=true", "'k' if=true tags=['t']"),
        ("'k' vary=['de']", "'k' vary=['de'] tags=('t', 's')"),
        ("'k' ~ 1 ~ 2", "'k' ~ 1 ~ 2 tags=['t']"),
        ("'k' ~ 1 ttl=300", "'k' ~ 1 tags=['t'], ttl=150 + 150"),
    ] {
        let cache = cache();
        let source = |head: &str| format!("{{% cache {head} %}}{{{{ tick() }}}}{{% endcache %}}");
        let (mut env, _) = page(&cache, &source(before));
        assert_eq!((p(&env), p(&env)), ("1".into(), "1".into()), "{before}");
        cache.add_template(&mut env, "p", &source(after)).unwrap();
        assert_eq!(p(&env), "1", "{after}: nothing was invalidated");
        cache.add_template(&mut env, "p", &source(before)).unwrap();
        cache.invalidate_tag("t");
        assert_eq!(p(&env), "1", "{before}");
        cache.add_template(&mut env, "p", &source(after)).unwrap();
        assert_eq!((p(&env), p(&env)), ("2".into(), "2".into()), "{after}");
        cache.invalidate_tag("t");
        assert_eq!(p(&env), "3", "{after}");
    }
}

#[test]
fn computed_tags_are_those_of_this_render() {
    let cache = cache();
    let (env, _) = page(&cache, "{% cache 'k' tags=['user:' ~ id] %}{{ tick() }}{% endcache %}");
    let shown = |id: u64| show(&env, "p", context! { id });
    assert_eq!((shown(1), shown(2)), ("1".into(), "1".into()));
    cache.invalidate_tag("user:2");
    assert_eq!((shown(1), shown(2), shown(2)), ("1".into(), "2".into(), "2".into()));
    cache.invalidate_tag("user:1");
    assert_eq!((shown(2), shown(1)), ("2".into(), "3".into()));
}

#[test]
fn a_bad_tag_is_an_error_on_hits_too_and_none_where_the_cache_is_not_asked() {
    let cache = cache();
    let (env, _) = page(&cache, "{% cache 'k' tags=tags if=not off %}{{ tick() }}{% endcache %}");
    let render = |tags: Value, off: bool| env.get_template("p").unwrap().render(context! { tags, off });
    assert_eq!(render(Value::from(vec!["t"]), false).unwrap(), "1");
    for bad in [Value::from("t"), Value::from(7), Value::from(vec![""]), Value::UNDEFINED] {
        let error = render(bad.clone(), false).unwrap_err().to_string();
        assert!(error.contains("cache `'k'`") && error.contains("tag"), "{error}");
        assert!(render(bad, true).is_ok());
    }
    assert_eq!(render(Value::from(()), false).unwrap(), "1");
}

#[test]
fn partials_of_templates_and_of_handlers_heed_the_tags_of_their_caller() {
    let cache = cache();
    let mut env = env_of(
        &cache,
        &[
            ("card", "{{ tick() }}"),
            ("p", "{{ cache_partial('card', 'k', tags=tags) }}"),
            ("bare", "{{ cache_partial('card', 'k') }}"),
        ],
    );
    Ticks::add_to(&mut env);
    let shown = |tags: &[&str]| show(&env, "p", context! { tags => Value::from_iter(tags.iter().copied()) });
    let rendered = |tags: &[&str]| cache.render(&env, "card", context! {}, "k", tagged(tags)).unwrap().to_string();
    assert_eq!(
        (show(&env, "bare", context! {}), shown(&["t"]), rendered(&["t"])),
        ("1".into(), "1".into(), "1".into())
    );
    cache.invalidate_tag("t");
    assert_eq!((show(&env, "bare", context! {}), rendered(&["t"])), ("1".into(), "2".into()));
    cache.invalidate_tag("u");
    assert_eq!((rendered(&["t"]), shown(&["u"]), shown(&["t", "u"])), ("2".into(), "3".into(), "3".into()));
}

#[test]
fn what_encloses_a_hit_depends_on_the_tags_declared_there() {
    let outer = |inner: &str| format!("{{% cache 'out' %}}{{{{ tick() }}}}{inner}{{% endcache %}}");
    let cache = cache();
    let mut env =
        env_of(&cache, &[("card", "c"), ("before", "{% cache 'in' %}i{% endcache %}{{ cache_partial('card', 1) }}")]);
    let ticks = Ticks::add_to(&mut env);
    show(&env, "before", context! {});
    cache.add_template(&mut env, "block", &outer("{% include 'inner' %}")).unwrap();
    cache.add_template(&mut env, "inner", "{% cache 'in' tags=['block'] %}i{% endcache %}").unwrap();
    cache.add_template(&mut env, "partial", &outer("{{ cache_partial('card', 1, tags=['partial']) }}")).unwrap();
    for tag in ["block", "partial"] {
        show(&env, "inner", context! {});
        let shown = || show(&env, tag, context! {});
        let first = shown();
        assert_eq!(shown(), first);
        cache.invalidate_tag(tag);
        assert_ne!(shown(), first, "{tag}");
    }
    // The same of a handler's.
    text(&cache, &ticks, &[]);
    let enclosing = || -> String {
        let load = || ok(format!("{} around {}", ticks.tick(), text(&cache, &ticks, &["t"])));
        cache.get_or_set("around", Options::forever(), load).unwrap().into()
    };
    let first = enclosing();
    assert_eq!(enclosing(), first);
    cache.invalidate_tag("t");
    assert_ne!(enclosing(), first);
}

#[test]
fn every_thread_heeds_the_tags_that_are_declared_on_it() {
    let (cache, ticks) = (cache(), Ticks::default());
    assert_eq!(text(&cache, &ticks, &[]), "1");
    cache.invalidate_tag("t");
    // In front on this thread, in memory alone on the others.
    assert_eq!(text(&cache, &ticks, &[]), "1");
    thread::scope(|scope| {
        let elsewhere = scope.spawn(|| (text(&cache, &ticks, &[]), text(&cache, &ticks, &["t"])));
        assert_eq!(elsewhere.join().unwrap(), ("1".into(), "2".into()));
    });
    assert_eq!(text(&cache, &ticks, &["t"]), "2");
}

#[test]
fn a_caller_does_not_join_a_flight_from_before_its_tag_was_invalidated() {
    must_end(|| {
        let (cache, ticks) = (cache(), Ticks::default());
        let (running, runs) = channel();
        let (go_on, goes_on) = channel::<()>();
        thread::scope(|scope| {
            let (cache, ticks) = (&cache, &ticks);
            let leader = scope.spawn(move || {
                let load = || {
                    running.send(()).unwrap();
                    goes_on.recv().unwrap();
                    ok(ticks.tick().to_string())
                };
                cache.get_or_set("k", Options::forever(), load).unwrap().to_string()
            });
            runs.recv().unwrap();
            cache.invalidate_tag("t");
            assert_eq!(text(cache, ticks, &["t"]), "1");
            go_on.send(()).unwrap();
            assert_eq!(leader.join().unwrap(), "2");
        });
        assert_eq!(text(&cache, &ticks, &["t"]), "3", "the leader's result is the one that was stored last");
    });
}

#[test]
fn an_expired_entry_is_not_served_in_its_grace_to_one_whose_tag_was_invalidated() {
    must_end(|| {
        let (cache, clock) = timed();
        let ticks = Ticks::default();
        let options = || Options::ttl(Duration::from_secs(10)).stale(Duration::from_secs(100));
        let get =
            |options: Options| cache.get_or_set("k", options, || ok(ticks.tick().to_string())).unwrap().to_string();
        assert_eq!(get(options()), "1");
        clock.advance(Duration::from_secs(20));
        let (running, runs) = channel();
        let (go_on, goes_on) = channel::<()>();
        thread::scope(|scope| {
            let (cache, options) = (&cache, &options);
            let leader = scope.spawn(move || {
                let load = || {
                    running.send(()).unwrap();
                    goes_on.recv().unwrap();
                    ok("led")
                };
                cache.get_or_set("k", options(), load).unwrap().to_string()
            });
            runs.recv().unwrap();
            assert_eq!(get(options()), "1", "another one computes it");
            assert_eq!(get(options().tag("t")), "1", "nothing was invalidated");
            cache.invalidate_tag("t");
            assert_eq!(get(options()), "1", "this caller does not declare it");
            assert_eq!(get(options().tag("t")), "2");
            go_on.send(()).unwrap();
            leader.join().unwrap();
        });
    });
}

#[test]
fn a_render_that_began_before_the_invalidation_of_its_tag_is_shown_and_not_stored() {
    let (cache, ticks) = (cache(), Ticks::default());
    assert_eq!(text(&cache, &ticks, &[]), "1");
    let scope = cache.scope();
    cache.invalidate_tag("t");
    assert_eq!(scope.run(|| text(&cache, &ticks, &["t"])), "2");
    assert_eq!(text(&cache, &ticks, &["t"]), "3");
}

#[test]
fn the_reason_of_such_a_miss_names_the_tag() {
    let (cache, ticks) = (cache(), Ticks::default());
    text(&cache, &ticks, &[]);
    cache.invalidate_tag("films");
    let (_, explanation) = cache.explain(|| text(&cache, &ticks, &["films"]));
    let fragment = &explanation.fragments[0];
    assert!(format!("{:?}", fragment.outcome).contains("films"), "{fragment:?}");
}

#[cfg(feature = "shared")]
mod shared {
    use minijinja_cache::LocalStore;

    use super::*;
    use crate::shared::{in_touch, told, written};

    fn node(store: &LocalStore) -> FragmentCache {
        let cache = FragmentCache::builder().shared(store.clone()).build().unwrap();
        in_touch(&cache);
        cache
    }

    #[test]
    fn another_deployments_entry_is_no_answer_once_a_tag_was_invalidated_that_it_does_not_have() {
        let (store, ticks) = (LocalStore::new(), Ticks::default());
        let (old, new) = (node(&store), node(&store));
        assert_eq!(text(&old, &ticks, &[]), "1");
        written(&old);
        old.invalidate_tag("t").wait().unwrap();
        told(&old, &new);
        assert_eq!(text(&new, &ticks, &["t"]), "2");
        written(&new);
        let third = node(&store);
        assert_eq!(text(&third, &ticks, &["t"]), "2");
    }

    #[test]
    fn what_was_read_from_the_store_after_an_invalidation_began_before_it() {
        for prefetched in [false, true] {
            let (store, ticks) = (LocalStore::new(), Ticks::default());
            let (old, new) = (node(&store), node(&store));
            assert_eq!(text(&old, &ticks, &[]), "1");
            written(&old);
            old.invalidate_tag("t").wait().unwrap();
            told(&old, &new);
            if prefetched {
                let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
                assert_eq!(runtime.block_on(new.prefetch(["k"])), 1);
            }
            // In memory here since, with a stamp of this node from after the invalidation.
            assert_eq!(text(&new, &ticks, &[]), "1");
            assert_eq!(text(&new, &ticks, &["t"]), "2", "prefetched: {prefetched}");
        }
    }

    #[test]
    fn an_invalidation_that_the_store_was_not_told_of_counts_where_it_was_made() {
        let (store, ticks) = (LocalStore::new(), Ticks::default());
        let (old, new) = (node(&store), node(&store));
        assert_eq!(text(&old, &ticks, &[]), "1");
        written(&old);
        store.set_down(true);
        new.invalidate_tag("t");
        store.set_down(false);
        assert_eq!(text(&new, &ticks, &["t"]), "2");
    }

    #[test]
    fn an_edited_head_is_heeded_on_a_node_that_did_not_render_the_old_one() {
        let store = LocalStore::new();
        let deployed = |head: &str| -> (FragmentCache, Environment<'static>, Ticks) {
            let cache = node(&store);
            let mut env = Environment::new();
            cache.add_to_environment_as("web", &mut env);
            let page = format!("{{% cache {head} %}}{{{{ tick() }}}}{{% endcache %}}");
            env.set_loader(cache.loader(move |name| Ok((name == "p").then(|| page.clone()))));
            let ticks = Ticks::add_to(&mut env);
            (cache, env, ticks)
        };
        let (old, env, _) = deployed("'k'");
        assert_eq!(p(&env), "1");
        written(&old);
        let (_, env, ticks) = deployed("'k' tags=['t']");
        assert_eq!((p(&env), ticks.count()), ("1".into(), 0), "nothing was invalidated");
        old.invalidate_tag("t").wait().unwrap();
        let (last, env, ticks) = deployed("'k' tags=['t']");
        told(&old, &last);
        assert_eq!((p(&env), ticks.count()), ("1".into(), 1));
    }
}
