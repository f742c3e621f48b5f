//! Threads of a cache end with it. Counted in a process of its own: other tests have threads too.
#![cfg(unix)]
#![allow(clippy::unwrap_used, missing_docs, unreachable_pub)]

use std::convert::Infallible;
use std::time::{Duration, Instant};

use minijinja_cache::{FragmentCache, MemcachedStore, Options, RedisStore, SharedTier};

#[path = "servers/mod.rs"]
mod servers;

use servers::{Memcached, Proxy, Redis, STUCK, wait_for};

fn threads() -> usize {
    std::fs::read_dir("/proc/self/task").unwrap().count()
}

/// Some caches that were used by several threads.
fn use_and_drop(tier: &dyn Fn() -> SharedTier) {
    let caches: Vec<_> = (0..4).map(|_| FragmentCache::builder().shared(tier()).build().unwrap()).collect();
    for cache in &caches {
        wait_for("in touch", || cache.shared_status().unwrap().in_touch);
        std::thread::scope(|scope| {
            for thread in 0..4 {
                scope.spawn(move || cache.get_or_set(thread, Options::default(), || Ok::<_, Infallible>("x")).unwrap());
            }
        });
        assert!(cache.flush(STUCK));
    }
}

/// Threads of a cache may need a moment: those that listen look up four times a second, and connecting takes a second
/// at the most.
const MOMENT: Duration = Duration::from_secs(10);

#[test]
fn the_threads_of_a_cache_end_with_it() {
    let (redis, memcached) = (Redis::start(), Memcached::start());
    let proxy = Proxy::to(redis.address());
    let stores: [&dyn Fn() -> SharedTier; 3] = [
        &|| RedisStore::connect(&redis.url()).unwrap().into(),
        &|| MemcachedStore::connect([memcached.address().to_string()]).unwrap().into(),
        &|| RedisStore::connect(&format!("redis://{}", proxy.address())).unwrap().into(),
    ];
    for (at, tier) in stores.into_iter().enumerate() {
        let before = threads();
        if at < 2 {
            use_and_drop(tier);
        } else {
            // A server that is gone, or says nothing.
            proxy.freeze();
            for _ in 0..4 {
                let cache = FragmentCache::builder().shared(tier()).build().unwrap();
                cache.get_or_set("k", Options::default(), || Ok::<_, Infallible>("x")).unwrap();
            }
            proxy.cut();
        }
        let dropped = Instant::now();
        while threads() > before {
            assert!(dropped.elapsed() < MOMENT, "{} threads were {before} before, store {at}", threads());
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}
