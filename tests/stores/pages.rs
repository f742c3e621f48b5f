//! Whole pages on real servers: how many round trips they take, how long they wait, and when they are fresh.

use std::time::{Duration, Instant};

use minijinja::{Environment, context};
use minijinja_cache::{CacheConfig, FragmentCache, MemcachedStore, Options, RedisStore, SharedTier};

use crate::backends::{in_touch, prefix, redis};
use crate::servers::{Memcached, Proxy, Redis, STUCK, wait_for};

const CARDS: &str = "{% for n in range(100) %}{% cache ['card', n] tags=['card'] %}<li>{{ n }}{{ tick() }}</li>{% endcache %}{% endfor %}";

fn node(tier: impl Into<SharedTier>) -> FragmentCache {
    in_touch(FragmentCache::builder().shared(tier))
}

fn environment(cache: &FragmentCache) -> Environment<'static> {
    let mut env = Environment::new();
    cache.add_to_environment_as("web", &mut env);
    cache.add_template(&mut env, "cards.html", CARDS).unwrap();
    env.add_function("tick", || "");
    env
}

fn show(env: &Environment<'_>) -> String {
    env.get_template("cards.html").unwrap().render(context! {}).unwrap()
}

/// Counted on the wire, less what the node asks for beside: invalidations, and whether the server is there.
#[test]
fn a_fresh_process_shows_a_hundred_cards_in_two_round_trips() {
    let server = Redis::start();
    let first = node(RedisStore::connect(&server.url()).unwrap());
    let page = show(&environment(&first));
    assert!(first.flush(STUCK));
    let proxy = Proxy::to(server.address());
    let beside = || server.calls("evalsha") + server.calls("eval") + server.calls("ping") + server.calls("subscribe");
    let trips = loop {
        let store = RedisStore::connect(&format!("redis://{}", proxy.address())).unwrap();
        let fresh = node(SharedTier::new(store).budget(Duration::from_secs(10)));
        let env = environment(&fresh);
        let (before, asked) = (proxy.traffic().round_trips, beside());
        assert_eq!(show(&env), page);
        let after = proxy.traffic().round_trips;
        let stats = fresh.stats();
        assert_eq!((stats.shared_hits, stats.renders), (100, 0), "{stats:?}");
        // Unless something else was under way just then.
        if beside() == asked {
            break after - before;
        }
    };
    println!("100 cards in a fresh process: {trips} round trips");
    assert!(trips <= 2, "{trips}");
}

#[test]
fn a_page_waits_for_the_store_no_longer_than_its_budget_all_cards_together() {
    let proxy = Proxy::to(redis().address());
    let store = RedisStore::connect(&format!("redis://{}", proxy.address())).unwrap().prefix(prefix());
    let tier = SharedTier::new(store).budget(Duration::from_millis(40)).staleness_bound(Duration::from_secs(3600));
    let cache = node(tier);
    let env = environment(&cache);
    show(&env);
    assert!(cache.flush(STUCK));
    cache.invalidate_tag("card").wait().unwrap();
    for (behaviour, slow) in [("late", true), ("silent", false)] {
        if slow {
            proxy.delay(Duration::from_millis(15));
        } else {
            proxy.stall();
        }
        let start = Instant::now();
        show(&env);
        let took = start.elapsed();
        // Each card by itself would be 100 times as much.
        assert!(took < Duration::from_millis(400), "{behaviour}: {took:?}");
        cache.invalidate_tag("card");
    }
    proxy.heal();
}

/// The bound of Memcached, which is asked every 25 ms and tells nothing by itself.
#[test]
fn another_nodes_invalidation_is_heard_of_within_the_bound() {
    let server = Memcached::start();
    let store = || MemcachedStore::connect([server.address().to_string()]).unwrap();
    let (here, there) = (node(store()), node(store()));
    let read = |cache: &FragmentCache, value: &str| {
        String::from(cache.get_or_set("k", Options::default(), || Ok::<_, ()>(value)).unwrap())
    };
    let mut latest = Duration::ZERO;
    for round in 0..40 {
        let old = read(&here, &format!("old {round}"));
        assert!(here.flush(STUCK));
        read(&there, "-");
        here.invalidate("k").wait().unwrap();
        let told = Instant::now();
        wait_for("heard", || read(&there, &format!("new {round}")) != old);
        latest = latest.max(told.elapsed());
    }
    println!("memcached: heard of within {latest:?} at the latest (asked every 25 ms, bound 1 s)");
    assert!(latest < Duration::from_secs(1), "{latest:?}");
}

#[test]
fn configurations_name_real_servers() {
    let memcached = Memcached::start();
    let (url, address) = (redis().url(), memcached.address().to_string());
    let configurations = [
        vec![("CACHE_TYPE", "redis".to_owned()), ("CACHE_REDIS_URL", url)],
        vec![
            ("CACHE_TYPE", "RedisCache".to_owned()),
            ("CACHE_REDIS_HOST", "127.0.0.1".to_owned()),
            ("CACHE_REDIS_PORT", redis().port().to_string()),
            ("CACHE_REDIS_DB", "3".to_owned()),
        ],
        vec![("CACHE_TYPE", "memcached".to_owned()), ("CACHE_MEMCACHED_SERVERS", address)],
    ];
    for mut variables in configurations {
        variables.push(("CACHE_KEY_PREFIX", prefix()));
        variables.push(("CACHE_SECRET", "secret".to_owned()));
        let node = || in_touch(CacheConfig::from_variables("CACHE_", variables.clone()).unwrap().builder().unwrap());
        let here = node();
        here.get_or_set("k", Options::default(), || Ok::<_, ()>("shared")).unwrap();
        assert!(here.flush(STUCK));
        assert_eq!(node().get_or_set("k", Options::default(), || Ok::<_, ()>("own")).unwrap(), "shared");
    }
}
