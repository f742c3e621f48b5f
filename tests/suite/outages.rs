//! The shared tier in trouble: it can only help.

use std::time::{Duration, Instant};

use minijinja::{Environment, context};
use minijinja_cache::{FragmentCache, LocalStore, Options, SharedTier};

use crate::shared::{in_touch, node, told, written};
use crate::support::{Reports, STUCK, Ticks, must_end, ok, show, until};

const BOUND: Duration = Duration::from_millis(200);

fn read(cache: &FragmentCache, key: &str, value: &str) -> String {
    cache.get_or_set(key, Options::default().tag("t"), || ok(value)).unwrap().to_string()
}

fn bounded(store: &LocalStore) -> SharedTier {
    SharedTier::new(store.clone()).staleness_bound(BOUND)
}

/// Waits until the cache no longer believes what it knows.
fn out_of_touch(cache: &FragmentCache) {
    until("out of touch", || !cache.shared_status().unwrap().in_touch);
}

#[test]
fn a_store_that_is_down_fails_no_call_and_is_told_of_when_it_is_back() {
    let store = LocalStore::new();
    let (a, b) = (node(bounded(&store)), node(bounded(&store)));
    assert_eq!(read(&a, "k", "old"), "old");
    written(&a);
    assert_eq!(read(&b, "k", "-"), "old");
    store.set_down(true);
    a.invalidate_tag("t");
    assert_eq!(read(&a, "k", "new"), "new", "at once here");
    assert_eq!(a.shared_status().unwrap().untold, 1);
    store.set_down(false);
    until("told", || a.shared_status().unwrap().untold == 0);
    told(&a, &b);
    assert_ne!(read(&b, "k", "b's"), "old");
}

#[test]
fn an_invalidation_that_is_not_confirmed_in_time_says_so() {
    let store = LocalStore::new();
    let cache = FragmentCache::builder().shared(store.clone()).wait_timeout(Duration::from_millis(50)).build().unwrap();
    in_touch(&cache);
    cache.invalidate("k").wait().unwrap();
    store.set_down(true);
    let late = cache.invalidate("k").wait().unwrap_err();
    assert_eq!(late.kind(), minijinja_cache::ErrorKind::Store);
    assert!(late.to_string().contains("not confirmed within 50ms"), "{late}");
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let awaited = cache.invalidate("k");
    assert_eq!(runtime.block_on(async { awaited.await }).unwrap_err().to_string(), late.to_string());
    store.set_down(false);
    cache.invalidate("k").wait().unwrap();
}

/// What another node changed while this one heard nothing is not served later than the bound; what this node computed
/// itself is shared among its callers for as long as it is younger.
#[test]
fn out_of_touch_nothing_older_than_the_bound_is_served() {
    let store = LocalStore::new();
    let cache = node(bounded(&store));
    read(&cache, "k", "old");
    written(&cache);
    store.set_down(true);
    out_of_touch(&cache);
    assert_eq!(read(&cache, "k", "new"), "new");
    let renders = cache.stats().renders;
    let start = Instant::now();
    let mut last = "new".to_owned();
    let mut changes = 0;
    while start.elapsed() < BOUND * 3 {
        let now = read(&cache, "k", &format!("{:?}", start.elapsed()));
        changes += u32::from(now != last);
        last = now;
    }
    assert!(changes >= 1, "never renewed");
    let computed = cache.stats().renders - renders;
    assert!(computed <= 12, "computed {computed} times in three bounds");
    store.set_down(false);
    in_touch(&cache);
    let kept = read(&cache, "k", "kept");
    assert_eq!(read(&cache, "k", "-"), kept);
}

/// A fragment made just before the bound is over, of one that is as old as the bound, is not served for a bound more.
#[test]
fn what_contains_something_old_is_no_younger_than_that() {
    let store = LocalStore::new();
    let cache = node(bounded(&store));
    let version = std::sync::atomic::AtomicU64::new(0);
    let load = || ok(version.load(std::sync::atomic::Ordering::SeqCst).to_string());
    let outer = |n: u32| -> u64 {
        let inner = || cache.get_or_set("inner", Options::default(), load).map(String::from);
        cache.get_or_set(("outer", n), Options::default(), inner).unwrap().parse().unwrap()
    };
    outer(0);
    store.set_down(true);
    version.store(1, std::sync::atomic::Ordering::SeqCst);
    let cut = Instant::now();
    let mut made = 0;
    while cut.elapsed() < BOUND * 5 / 2 {
        made += 1;
        outer(made);
        for n in (0..made).rev().take(60) {
            let late = cut.elapsed();
            let shown = outer(n);
            assert!(shown == 1 || late < BOUND + Duration::from_millis(30), "{n} shows what is {late:?} old");
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn a_store_that_lost_its_floors_makes_entries_misses() {
    let store = LocalStore::new();
    let (a, b) = (node(store.clone()), node(store.clone()));
    read(&a, "k", "old");
    written(&a);
    assert_eq!(read(&b, "k", "-"), "old");
    store.lose_everything();
    told(&a, &b);
    assert_eq!(read(&b, "k", "new"), "new");
    written(&b);
    assert_eq!(read(&a, "k", "-"), "new");
}

#[test]
fn what_is_damaged_foreign_or_forged_is_a_miss_and_is_counted_and_replaced() {
    type Damage = fn(&mut Vec<u8>);
    let damages: [(&str, Damage); 4] = [
        ("cut", |value| value.truncate(value.len() - 1)),
        ("empty", Vec::clear),
        ("of another program", |value| *value = b"<b>foreign</b>".to_vec()),
        ("a changed bit", |value| *value.last_mut().unwrap() ^= 4),
    ];
    for (what, damage) in damages {
        let store = LocalStore::new();
        let (reports, sink) = Reports::collect();
        let a = node(store.clone());
        read(&a, "k", "old");
        written(&a);
        store.tamper(damage);
        let b = FragmentCache::builder().shared(store.clone()).on_error(sink).build().unwrap();
        in_touch(&b);
        assert_eq!(read(&b, "k", "new"), "new", "{what}");
        assert_eq!((b.stats().shared_rejects, b.stats().shared_hits), (1, 0), "{what}");
        assert!(reports.all().iter().any(|report| report.contains("shared store")), "{what}: {:?}", reports.all());
        written(&b);
        assert_eq!(read(&node(store), "k", "-"), "new", "{what}: replaced");
    }
}

#[test]
fn a_store_that_others_can_write_to_cannot_inject_markup_into_signed_fragments() {
    let store = LocalStore::new();
    let signed = |secret: &str| SharedTier::new(store.clone()).sign_with(secret);
    let markup = |cache: &FragmentCache, text: &str| {
        cache.get_or_set("k", Options::default().markup(), || ok(text)).unwrap().to_string()
    };
    let plain = node(store.clone());
    markup(&plain, "<script>");
    written(&plain);
    let honest = node(signed("secret"));
    assert_eq!(markup(&honest, "<b>"), "<b>");
    written(&honest);
    assert_eq!(markup(&node(signed("secret")), "-"), "<b>");
    assert_eq!(markup(&node(signed("another")), "own"), "own");
}

#[test]
fn the_last_invalidation_of_a_cache_that_is_dropped_is_told() {
    let store = LocalStore::new();
    let other = node(store.clone());
    for round in 0..20 {
        let cache = node(store.clone());
        let heard = other.stats().shared_invalidations;
        cache.invalidate_tag("first");
        let last = cache.invalidate_tag(&format!("last {round}"));
        drop(cache);
        last.wait().unwrap();
        until("heard", || other.stats().shared_invalidations >= heard + 2);
    }
}

#[test]
fn one_who_awaits_an_invalidation_is_woken_when_the_cache_is_dropped() {
    let store = LocalStore::new();
    let cache = node(store.clone());
    store.set_down(true);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_time().build().unwrap();
    let told = cache.invalidate("k");
    let waiting = runtime.spawn(async move { told.await });
    std::thread::sleep(Duration::from_millis(20));
    drop(cache);
    let ended = runtime.block_on(async { tokio::time::timeout(Duration::from_secs(4), waiting).await });
    assert!(ended.expect("woken before its patience is over").unwrap().is_err());
}

#[test]
fn callers_on_a_node_that_waits_for_anothers_lease_wait_with_it() {
    let store = LocalStore::new();
    let (nodes, runs) = leased(&store, STUCK);
    let compute = |cache: &FragmentCache, runs: &Ticks| {
        let value = cache.get_or_set("k", Options::default(), || {
            std::thread::sleep(Duration::from_millis(150));
            ok(runs.tick().to_string())
        });
        assert_eq!(value.unwrap(), "1");
    };
    std::thread::scope(|scope| {
        for at in 0..9 {
            let (cache, runs) = (&nodes[at % nodes.len()], runs.clone());
            scope.spawn(move || compute(cache, &runs));
        }
    });
    assert_eq!(runs.count(), 1);
}

#[test]
fn patience_without_end_is_no_panic() {
    let store = LocalStore::new();
    let cache = node(store.clone());
    assert!(cache.flush(Duration::MAX));
    for tier in
        [SharedTier::new(store.clone()).budget(Duration::MAX), SharedTier::new(store.clone()).lease(Duration::MAX)]
    {
        assert!(FragmentCache::builder().shared(tier).build().is_err());
    }
    let forever = cache.get_or_set("k", Options::default().lease(Duration::MAX), || ok("x"));
    assert_eq!(forever.unwrap(), "x");
}

/// Lets others compute what one node leases, and counts the runs.
fn leased(store: &LocalStore, span: Duration) -> (Vec<FragmentCache>, Ticks) {
    let nodes = (0..3).map(|_| node(SharedTier::new(store.clone()).lease(span))).collect();
    (nodes, Ticks::default())
}

#[test]
fn one_node_computes_what_all_nodes_miss_at_once() {
    let store = LocalStore::new();
    let (nodes, runs) = leased(&store, STUCK);
    for round in 1..=2 {
        let start = &std::sync::Barrier::new(nodes.len());
        std::thread::scope(|scope| {
            for cache in &nodes {
                let runs = runs.clone();
                scope.spawn(move || {
                    start.wait();
                    let value = cache.get_or_set("k", Options::default(), || {
                        std::thread::sleep(Duration::from_millis(30));
                        ok(runs.tick().to_string())
                    });
                    assert_eq!(value.unwrap(), *round.to_string());
                });
            }
        });
        assert_eq!(runs.count(), round);
        // The same for what is there and was invalidated.
        nodes[0].invalidate("k").wait().unwrap();
        nodes[1..].iter().for_each(|other| told(&nodes[0], other));
    }
}

#[test]
fn a_leader_that_fails_or_stores_nothing_lets_the_next_one_try() {
    let store = LocalStore::new();
    let (nodes, _) = leased(&store, STUCK);
    let failed: Result<_, &str> = nodes[0].get_or_set("k", Options::default(), || Err::<String, _>("failed"));
    assert_eq!(failed.unwrap_err(), "failed");
    let other = nodes[1].clone();
    assert_eq!(must_end(move || read(&other, "k", "next")), "next");
    // Nothing is stored of what took place before an invalidation.
    let here = nodes[0].clone();
    nodes[0]
        .get_or_set("x", Options::default(), || {
            here.invalidate("x");
            ok("old")
        })
        .unwrap();
    let other = nodes[2].clone();
    assert_eq!(must_end(move || read(&other, "x", "next")), "next");
}

#[test]
fn a_leader_that_died_costs_its_lease_and_no_more() {
    let store = LocalStore::new();
    let (nodes, _) = leased(&store, Duration::from_millis(80));
    let (dead, other) = (nodes[0].clone(), nodes[1].clone());
    // It never comes back.
    std::thread::spawn(move || {
        dead.get_or_set("k", Options::default(), || {
            std::thread::park();
            ok("never")
        })
    });
    until("the lease is taken", || nodes[0].stats().shared_misses == 1);
    assert_eq!(must_end(move || read(&other, "k", "next")), "next");
}

#[test]
fn during_a_rolling_deployment_old_and_new_neither_see_nor_evict_each_other() {
    let store = LocalStore::new();
    let deployed = |card: &str| {
        let cache = node(store.clone());
        let card = card.to_owned();
        let mut env = Environment::new();
        cache.add_to_environment_as("web", &mut env);
        env.set_loader(cache.loader(move |name| {
            Ok(match name {
                "p.html" => Some("{% cache 'k' %}{% include 'card.html' %}{% endcache %}".into()),
                "card.html" => Some(card.clone()),
                _ => None,
            })
        }));
        (cache, env)
    };
    for round in 0..3 {
        for (card, text) in [("old card", "old card"), ("{# new #}new card", "new card")] {
            let (cache, env) = deployed(card);
            assert_eq!(show(&env, "p.html", context! {}), text);
            assert_eq!(cache.stats().shared_hits, u64::from(round > 0), "round {round}, {text}");
            written(&cache);
        }
    }
    // From handlers too, where no environment is named.
    for (card, text) in [("old card", "old card"), ("{# new #}new card", "new card")] {
        let (cache, env) = deployed(card);
        let page = || env.get_template("card.html")?.render(context! {});
        assert_eq!(cache.get_or_set("h", Options::default(), page).unwrap(), text);
        written(&cache);
        let (fresh, env) = deployed(card);
        let page = || env.get_template("card.html")?.render(context! {});
        assert_eq!(fresh.get_or_set("h", Options::default(), page).unwrap(), text);
    }
}
