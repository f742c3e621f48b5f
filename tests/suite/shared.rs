//! Two nodes on one store, without a server: what is shared, what is not, and what an invalidation reaches.

use std::time::Duration;

use minijinja::{Environment, context};
use minijinja_cache::{FragmentCache, LocalStore, Options, SharedTier};

use crate::support::{Ticks, ok, show, until};

/// A cache in touch with a store.
pub fn node(tier: impl Into<SharedTier>) -> FragmentCache {
    let cache = FragmentCache::builder().shared(tier).build().unwrap();
    in_touch(&cache);
    cache
}

pub fn in_touch(cache: &FragmentCache) {
    until("in touch with the store", || cache.shared_status().unwrap().in_touch);
}

/// Waits until the store has what was put.
pub fn written(cache: &FragmentCache) {
    assert!(cache.flush(crate::support::STUCK));
}

/// Waits until what is invalid on one node is known to be on the other.
pub fn told(from: &FragmentCache, to: &FragmentCache) {
    let before = to.stats().shared_invalidations;
    from.invalidate_tag("a tag of its own, to know that all before it has come").wait().unwrap();
    until("the other node hears", || to.stats().shared_invalidations > before);
}

fn read(cache: &FragmentCache, key: &str, value: &str) -> String {
    cache.get_or_set(key, Options::default().tag("t"), || ok(value)).unwrap().to_string()
}

#[test]
fn what_one_node_computed_another_one_serves() {
    let store = LocalStore::new();
    let (a, b) = (node(store.clone()), node(store.clone()));
    assert_eq!(read(&a, "k", "from a"), "from a");
    written(&a);
    assert_eq!(read(&b, "k", "from b"), "from a");
    assert_eq!(b.stats().shared_hits, 1);
    let reads = store.reads();
    assert_eq!(read(&b, "k", "from b"), "from a");
    assert_eq!((b.stats().hits, store.reads()), (1, reads), "promoted to memory");
}

#[test]
fn an_invalidation_on_one_node_is_one_on_all() {
    let store = LocalStore::new();
    let (a, b) = (node(store.clone()), node(store));
    let ways: [&dyn Fn(&FragmentCache); 3] =
        [&|cache| drop(cache.invalidate("k")), &|cache| drop(cache.invalidate_tag("t")), &|cache| drop(cache.clear())];
    for (round, invalidate) in ways.into_iter().enumerate() {
        let (old, new) = (format!("old {round}"), format!("new {round}"));
        a.invalidate("k").wait().unwrap();
        told(&a, &b);
        assert_eq!(read(&a, "k", &old), old);
        written(&a);
        assert_eq!(read(&b, "k", "b's own"), old);
        invalidate(&b);
        assert_eq!(read(&b, "k", &new), new, "at once on the node that invalidates");
        told(&b, &a);
        assert_ne!(read(&a, "k", "a's own"), old, "and on the other when it was told");
    }
}

fn environment<'a>(cache: &FragmentCache, templates: &[(&str, &str)]) -> (Environment<'a>, Ticks) {
    let mut env = Environment::new();
    cache.add_to_environment_as("web", &mut env);
    for (name, source) in templates {
        cache.add_template(&mut env, name, source).unwrap();
    }
    let ticks = Ticks::add_to(&mut env);
    (env, ticks)
}

#[test]
fn fragments_of_named_environments_are_shared_with_what_they_include() {
    let store = LocalStore::new();
    let templates = [("p.html", "{% cache 'k' tags=['t'] %}{% include 'x.html' %}{{ tick() }}{% endcache %}"), ("x.html", "<b>x</b>")];
    let nodes: Vec<_> = (0..2).map(|_| node(store.clone())).map(|cache| (environment(&cache, &templates), cache)).collect();
    let [((env, _), a), ((other, ticks), b)] = &nodes[..] else { unreachable!() };
    assert_eq!(show(env, "p.html", context! {}), "<b>x</b>1");
    written(a);
    assert_eq!(show(other, "p.html", context! {}), "<b>x</b>1");
    assert_eq!((ticks.count(), b.stats().shared_hits), (0, 1));
    a.invalidate_template("x.html").wait().unwrap();
    told(a, b);
    show(other, "p.html", context! {});
    assert_eq!(ticks.count(), 1);
}

#[test]
fn a_hundred_cards_take_a_fresh_process_two_round_trips() {
    let store = LocalStore::new();
    let templates = [("p.html", "{% for n in range(100) %}{% cache ['card', n] %}{{ n }} {% endcache %}{% endfor %}")];
    let first = node(store.clone());
    let (env, _) = environment(&first, &templates);
    let page = show(&env, "p.html", context! {});
    written(&first);
    let fresh = node(store.clone());
    let (env, _) = environment(&fresh, &templates);
    let before = store.reads();
    assert_eq!(show(&env, "p.html", context! {}), page);
    assert_eq!((store.reads() - before, fresh.stats().shared_hits, fresh.stats().renders), (2, 100, 0));
}

#[test]
fn what_is_prefetched_is_in_memory() {
    let store = LocalStore::new();
    let (a, b) = (node(store.clone()), node(store.clone()));
    for key in ["x", "y"] {
        read(&a, key, key);
    }
    written(&a);
    let before = store.reads();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    assert_eq!(runtime.block_on(b.prefetch(["x", "y", "z"])), 2);
    assert_eq!(store.reads() - before, 1);
    assert_eq!([read(&b, "x", "-"), read(&b, "y", "-")], ["x", "y"]);
    assert_eq!((store.reads() - before, b.stats().hits), (1, 2));
    let _ = Duration::ZERO;
}
