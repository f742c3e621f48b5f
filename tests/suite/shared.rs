//! Two nodes on one store, without a server: what is shared, what is not, and what an invalidation reaches.

use std::time::Duration;

use minijinja::{Environment, context};
use minijinja_cache::{FragmentCache, LocalStore, ManualClock, Options, SharedTier, Stats};

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
    let templates = [
        ("p.html", "{% cache 'k' tags=['t'] %}{% include 'x.html' %}{{ tick() }}{% endcache %}"),
        ("x.html", "<b>x</b>"),
    ];
    let nodes: Vec<_> =
        (0..2).map(|_| node(store.clone())).map(|cache| (environment(&cache, &templates), cache)).collect();
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

/// Shows a page in one process, and the same again in a fresh one: how often that one asked the store, and what it did.
fn in_a_fresh_process(templates: &[(&str, &str)]) -> (u64, Stats) {
    let store = LocalStore::new();
    let first = node(store.clone());
    let page = show(&environment(&first, templates).0, "p.html", context! {});
    written(&first);
    let fresh = node(store.clone());
    let (env, _) = environment(&fresh, templates);
    let before = store.reads();
    assert_eq!(show(&env, "p.html", context! {}), page);
    (store.reads() - before, fresh.stats())
}

#[test]
fn a_hundred_cards_take_a_fresh_process_two_round_trips() {
    let templates = [("p.html", "{% for n in range(100) %}{% cache ['card', n] %}{{ n }} {% endcache %}{% endfor %}")];
    let (reads, stats) = in_a_fresh_process(&templates);
    assert_eq!((reads, stats.shared_hits, stats.renders), (2, 100, 0));
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
}

#[test]
fn environments_without_a_name_share_nothing_and_say_so() {
    let store = LocalStore::new();
    let (reports, sink) = crate::support::Reports::collect();
    let cache = FragmentCache::builder().shared(store.clone()).on_error(sink).build().unwrap();
    in_touch(&cache);
    let (env, _) = crate::support::page(&cache, "{% cache 'k' %}{{ tick() }}{% endcache %}");
    assert_eq!(crate::support::p(&env), "1");
    written(&cache);
    assert_eq!(store.len(), 0);
    assert!(reports.all()[0].contains("add_to_environment_as"), "{:?}", reports.all());
}

#[test]
fn a_lifetime_counts_from_when_the_work_began_on_whichever_node() {
    let (store, clock) = (LocalStore::new(), ManualClock::new());
    let node = || {
        let cache = FragmentCache::builder().shared(store.clone()).clock(&clock).build().unwrap();
        in_touch(&cache);
        cache
    };
    let ttl = || Options::ttl(Duration::from_secs(10));
    let (a, b) = (node(), node());
    a.get_or_set("k", ttl(), || ok("old")).unwrap();
    written(&a);
    clock.advance(Duration::from_secs(6));
    let long = || Options::ttl(Duration::from_secs(3600));
    assert_eq!(b.get_or_set("k", long(), || ok("new")).unwrap(), "old");
    clock.advance(Duration::from_secs(4));
    assert_eq!(b.get_or_set("k", long(), || ok("new")).unwrap(), "new", "its remaining life, not a new one");
    // One who asks for younger than what is there computes.
    written(&b);
    clock.advance(Duration::from_secs(2));
    let c = node();
    assert_eq!(c.get_or_set("k", Options::ttl(Duration::from_secs(1)), || ok("newer")).unwrap(), "newer");
}

#[test]
fn nesting_is_as_right_on_a_hit_of_the_store() {
    let store = LocalStore::new();
    let templates =
        [("p.html", "{% cache 'outer' %}{{ tick() }}{% cache 'inner' tags=['t'] %}i{% endcache %}{% endcache %}")];
    let (a, b) = (node(store.clone()), node(store));
    let ((here, _), (there, ticks)) = (environment(&a, &templates), environment(&b, &templates));
    show(&here, "p.html", context! {});
    written(&a);
    assert_eq!(show(&there, "p.html", context! {}), "1i");
    assert_eq!(ticks.count(), 0);
    // The inner one's tag came along with the outer.
    b.invalidate_tag("t");
    show(&there, "p.html", context! {});
    assert_eq!(ticks.count(), 1);
    // And to what encloses a hit of the store.
    let closure = |cache: &FragmentCache, env: &Environment<'_>| {
        cache.get_or_set("page", Options::default(), || env.get_template("p.html")?.render(context! {})).unwrap()
    };
    written(&b);
    told(&b, &a);
    let old = closure(&a, &here);
    a.invalidate_tag("t");
    assert_ne!(closure(&a, &here), old);
}

#[test]
fn values_texts_and_markup_come_out_as_they_went_in() {
    let store = LocalStore::new();
    let (a, b) = (node(store.clone()), node(store));
    let value = vec![Some((1_u8, "x\0y".to_owned())), None];
    let nothing: Option<u32> = None;
    a.get_or_set_value("v", Options::default(), || ok(value.clone())).unwrap();
    a.get_or_set_value("none", Options::default(), || ok(nothing)).unwrap();
    a.get_or_set("m", Options::default().markup(), || ok("<b>")).unwrap();
    a.get_or_set("t", Options::default().vary("de").version(2), || ok("")).unwrap();
    written(&a);
    assert_eq!(b.get_or_set_value("v", Options::default(), || Err(())), Ok(value));
    assert_eq!(b.get_or_set_value("none", Options::default(), || Err(())), Ok(nothing), "none is a value");
    assert!(b.get_or_set("m", Options::default().markup(), || Err::<String, _>(())).unwrap().is_markup());
    assert_eq!(b.get_or_set("t", Options::default().vary("de").version(2), || Err::<String, _>(())).unwrap(), "");
    assert_eq!(b.get_or_set("t", Options::default().vary("de").version(3), || ok("three")).unwrap(), "three");
    assert_eq!(b.get_or_set("t", Options::default().vary("fr").version(2), || ok("fr")).unwrap(), "fr");
    let wrong: Result<u32, _> = b.get_or_set_value("v", Options::default(), || ok(7));
    assert_eq!(wrong, Ok(7), "what does not fit the type is a miss");
}

#[test]
fn without_memory_every_look_up_asks_the_store() {
    let store = LocalStore::new();
    let cache = FragmentCache::builder().memory(false).shared(store.clone()).build().unwrap();
    in_touch(&cache);
    read(&cache, "k", "1");
    written(&cache);
    let before = store.reads();
    assert_eq!([read(&cache, "k", "2"), read(&cache, "k", "3")], ["1", "1"]);
    assert_eq!((store.reads() - before, cache.stats().hits, cache.stats().shared_hits), (2, 0, 2));
    assert!(FragmentCache::builder().memory(false).build().unwrap_err().to_string().contains("no shared tier"));
}

#[test]
fn an_async_caller_asks_the_store_too() {
    let store = LocalStore::new();
    let (a, b) = (node(store.clone()), node(store));
    read(&a, "k", "a");
    written(&a);
    let runtime = tokio::runtime::Builder::new_multi_thread().build().unwrap();
    let asked = async move {
        let ask = |cache: FragmentCache| async move {
            cache.get_or_set_async("k", Options::default(), async { ok("b") }).await.unwrap().to_string()
        };
        let both = [tokio::spawn(ask(b.clone())), tokio::spawn(ask(b.clone()))];
        for one in both {
            assert_eq!(one.await.unwrap(), "a");
        }
        b.invalidate("k").await.unwrap();
        ask(b).await
    };
    assert_eq!(runtime.block_on(asked), "b");
}

#[test]
fn many_who_miss_at_once_ask_the_store_once() {
    let store = LocalStore::new();
    let (a, b) = (node(store.clone()), node(store.clone()));
    read(&a, "k", "a");
    written(&a);
    let before = store.reads();
    let (start, b) = (&std::sync::Barrier::new(8), &b);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(move || {
                start.wait();
                assert_eq!(read(b, "k", "b"), "a");
            });
        }
    });
    assert_eq!(store.reads() - before, 1);
}

/// A node that missed what was invalidated loads its templates again, as one does that heard of it.
#[test]
fn templates_that_were_invalidated_while_a_node_heard_nothing_are_loaded_again() {
    let (store, text) = (LocalStore::new(), std::sync::Arc::new(std::sync::Mutex::new("old")));
    let cache = node(store.clone());
    let mut env = Environment::new();
    cache.add_to_environment_as("web", &mut env);
    let source = text.clone();
    env.set_loader(
        cache.loader(move |_| Ok(Some(format!("{{% cache 'k' %}}{}{{% endcache %}}", source.lock().unwrap())))),
    );
    assert_eq!(show(&env, "p.html", context! {}), "old");
    *text.lock().unwrap() = "new";
    store.lose_everything();
    until("heard of", || show(&env, "p.html", context! {}) == "new");
}

/// What includes change the running template's name, and the page is still one.
#[test]
fn cards_in_included_templates_are_read_together_as_well() {
    let templates = [
        (
            "p.html",
            "{% for n in range(20) %}{% cache ['own', n] %}{{ n }}{% endcache %}{% include 'card.html' %}{% endfor %}",
        ),
        ("card.html", "{% cache ['card', n] %}<{{ n }}>{% endcache %}"),
    ];
    let (reads, stats) = in_a_fresh_process(&templates);
    assert_eq!((reads, stats.shared_hits), (2, 40));
}

/// What a deployment with these templates shows of `page`, and how many fragments it took from the store.
fn deployed(store: &LocalStore, templates: [(&str, &str); 2]) -> (String, u64) {
    let cache = node(store.clone());
    let mut env = Environment::new();
    cache.add_to_environment_as("web", &mut env);
    let templates = templates.map(|(name, source)| (name.to_owned(), source.to_owned()));
    env.set_loader(
        cache.loader(move |name| {
            Ok(templates.iter().find(|(known, _)| known == name).map(|(_, source)| source.clone()))
        }),
    );
    let shown = show(&env, "page", context! {});
    written(&cache);
    (shown, cache.stats().shared_hits)
}

/// Two deployments that differ in the footer of a layout share what its children cache; where they differ in what a
/// block can reach, each keeps its own.
#[test]
fn deployments_share_the_blocks_of_a_child_while_the_statements_of_its_layout_are_the_same() {
    let store = LocalStore::new();
    let child = "{% extends 'layout' %}{% block b %}{% cache 'k' %}{{ x }}{% endcache %}{% endblock %}";
    let deploy = |layout: &str| deployed(&store, [("layout", layout), ("page", child)]);
    assert_eq!(deploy("{% set x = 'a' %}{% block b %}{% endblock %}1"), ("a1".into(), 0));
    assert_eq!(deploy("{% set x = 'a' %}{% block b %}{% endblock %}2"), ("a2".into(), 1));
    assert_eq!(deploy("{% set x = 'b' %}{% block b %}{% endblock %}2"), ("b2".into(), 0));
    assert_eq!(deploy("{% set x = 'b' %}{% block b %}{% endblock %}3"), ("b3".into(), 1));
    assert_eq!(deploy("{% set x = 'a' %}{% block b %}{% endblock %}3"), ("a3".into(), 1));
}

/// The same of two deployments that differ around an include.
#[test]
fn deployments_share_the_blocks_of_what_a_page_includes_while_the_statements_of_the_page_are_the_same() {
    let store = LocalStore::new();
    let card = "{% cache 'k' %}{{ x }}{% endcache %}";
    let deploy = |page: &str| deployed(&store, [("page", page), ("card", card)]);
    assert_eq!(deploy("{% set x = 'a' %}{% include 'card' %}1"), ("a1".into(), 0));
    assert_eq!(deploy("{% set x = 'a' %}{% include 'card' %}2"), ("a2".into(), 1));
    assert_eq!(deploy("{% set x = 'b' %}{% include 'card' %}2"), ("b2".into(), 0));
    assert_eq!(deploy("{% set x = 'b' %}{% include 'card' %}3"), ("b3".into(), 1));
}
