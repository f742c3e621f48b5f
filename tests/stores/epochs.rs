//! One address, and another server behind it for a while; and servers whose clock is set back.

use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use minijinja_cache::{FragmentCache, MemcachedStore, Options, RedisStore, SharedTier};

use crate::backends::in_touch;
use crate::servers::{Memcached, Proxy, Redis, STUCK, wait_for};

fn node(tier: impl Into<SharedTier>) -> FragmentCache {
    in_touch(FragmentCache::builder().shared(tier))
}

fn redis_at(proxy: &Proxy) -> RedisStore {
    RedisStore::connect(&format!("redis://{}", proxy.address())).unwrap()
}

fn memcached_at(proxy: &Proxy) -> MemcachedStore {
    MemcachedStore::connect([proxy.address().to_string()]).unwrap()
}

fn read(cache: &FragmentCache, value: &str) -> String {
    let read = cache.get_or_set("k", Options::default().tag("t"), || Ok::<_, Infallible>(value));
    read.unwrap().into()
}

fn told(cache: &FragmentCache, tag: &str) {
    wait_for("the store to be told", || cache.invalidate_tag(tag).wait().is_ok());
}

/// Another server is there for a while, and is the one that is told of an invalidation.
fn another_for_a_while(cache: &FragmentCache, leave: impl FnOnce(), come_back: impl FnOnce()) {
    assert_eq!(read(cache, "old"), "old");
    assert!(cache.flush(STUCK));
    leave();
    told(cache, "t");
    come_back();
    // Questions to the first server again, on each connection there may be.
    (0..20).for_each(|_| told(cache, "other"));
    assert_eq!(read(cache, "new"), "new", "what was invalidated elsewhere");
}

#[test]
fn two_databases_of_redis_that_are_swapped_for_a_while_bring_nothing_old_back() {
    let redis = Redis::start();
    let swap = || _ = redis.run("SWAPDB 0 1").ok();
    another_for_a_while(&node(RedisStore::connect(&redis.url()).unwrap()), swap, swap);
}

#[test]
fn a_key_of_redis_that_is_renamed_for_a_while_brings_nothing_old_back() {
    let redis = Redis::start();
    let away = || _ = redis.run("RENAME mjc:floors aside").ok();
    let back = || _ = redis.run("RENAME aside mjc:floors").ok();
    another_for_a_while(&node(RedisStore::connect(&redis.url()).unwrap()), away, back);
}

#[test]
fn a_key_of_redis_that_is_restored_brings_nothing_old_back() {
    let redis = Redis::start();
    let cache = node(RedisStore::connect(&redis.url()).unwrap());
    let copy = || _ = redis.run("COPY mjc:floors aside REPLACE").ok();
    another_for_a_while(&cache, copy, || _ = redis.run("RENAME aside mjc:floors").ok());
}

#[test]
fn two_redis_servers_that_change_places_bring_nothing_old_back() {
    for closing in [true, false] {
        let servers = [Redis::start(), Redis::start()];
        let proxy = Proxy::to(servers[0].address());
        let cache = node(redis_at(&proxy));
        let lead_to = |at: usize| lead(&proxy, closing, servers[at].address());
        another_for_a_while(&cache, || lead_to(1), || lead_to(0));
    }
}

#[test]
fn an_older_epoch_of_the_second_redis_server_is_not_entered_either() {
    let servers = [Redis::start(), Redis::start()];
    // Its record of invalidations is there already, and so is what was computed.
    let before = node(RedisStore::connect(&servers[1].url()).unwrap());
    assert_eq!(read(&before, "ancient"), "ancient");
    assert!(before.flush(STUCK));
    let proxy = Proxy::to(servers[0].address());
    let cache = node(redis_at(&proxy));
    told(&cache, "t");
    lead(&proxy, true, servers[1].address());
    (0..3).for_each(|_| told(&cache, "other"));
    assert_eq!(read(&cache, "new"), "new");
}

#[test]
fn two_memcached_servers_that_change_places_bring_nothing_old_back() {
    for closing in [true, false] {
        let servers = [Memcached::start(), Memcached::start()];
        let proxy = Proxy::to(servers[0].address());
        let cache = node(memcached_at(&proxy));
        let lead_to = |at: usize| lead(&proxy, closing, servers[at].address());
        another_for_a_while(&cache, || lead_to(1), || lead_to(0));
    }
}

#[test]
fn a_log_of_memcached_that_is_restored_brings_nothing_old_back() {
    let memcached = Memcached::start();
    let cache = node(MemcachedStore::connect([memcached.address().to_string()]).unwrap());
    let mut log = Vec::new();
    assert_eq!(read(&cache, "old"), "old");
    assert!(cache.flush(STUCK));
    log.extend(memcached.get("mjc:floors").unwrap());
    assert_eq!(memcached.run("delete mjc:floors"), "DELETED");
    told(&cache, "t");
    // As it was, but for the flags, which repeat a part of the epoch.
    memcached.set("mjc:floors", &log, 0);
    (0..3).for_each(|_| told(&cache, "other"));
    assert_eq!(read(&cache, "new"), "new");
}

/// Closes the open connections, or leaves them where they are.
fn lead(proxy: &Proxy, closing: bool, to: std::net::SocketAddr) {
    if closing {
        proxy.cut();
    }
    proxy.retarget(to);
    proxy.heal();
}

/// Readers and an invalidator on a node whose address leads to either server by turns. The second one is there when the
/// pool grows, so that there are connections to both.
fn one_pool_with_two_servers(proxy: &Proxy, cache: &FragmentCache, servers: [std::net::SocketAddr; 2]) {
    const WRITES: u64 = 100;
    let (source, published, stop) = (AtomicU64::new(0), AtomicU64::new(0), AtomicBool::new(false));
    lead(proxy, false, servers[1]);
    // So slow that calls overlap.
    proxy.delay(Duration::from_millis(2));
    thread::scope(|scope| {
        let (source, published, stop) = (&source, &published, &stop);
        let reader = move |key: u32| {
            let mut stale = 0;
            while !stop.load(Ordering::SeqCst) {
                let least = published.load(Ordering::SeqCst);
                let load = || Ok::<_, Infallible>(source.load(Ordering::SeqCst).to_string());
                let served = cache.get_or_set(key, Options::default().tag("t"), load).unwrap();
                stale += u64::from(served.parse::<u64>().unwrap() < least);
            }
            stale
        };
        let readers: Vec<_> = (0..4).map(|key| scope.spawn(move || reader(key))).collect();
        for version in 1..=WRITES {
            source.store(version, Ordering::SeqCst);
            let told = cache.invalidate_tag("t");
            published.store(version, Ordering::SeqCst);
            // Confirmed by the one or the other; and more questions, to both.
            let _ = told.wait();
            (0..4).for_each(|_| _ = cache.invalidate_tag("other").wait());
            if version % 20 == 0 {
                proxy.retarget(servers[(version / 20 % 2) as usize]);
            }
        }
        stop.store(true, Ordering::SeqCst);
        let stale: u64 = readers.into_iter().map(|reader| reader.join().unwrap()).sum();
        assert_eq!(stale, 0, "stale reads on the node that invalidated");
    });
}

#[test]
fn a_pool_of_four_that_reaches_two_redis_servers_serves_nothing_old() {
    let servers = [Redis::start(), Redis::start()];
    let proxy = Proxy::to(servers[0].address());
    let cache = in_touch(FragmentCache::builder().memory(false).shared(redis_at(&proxy).pool_size(4)));
    one_pool_with_two_servers(&proxy, &cache, [servers[0].address(), servers[1].address()]);
}

#[test]
fn a_pool_of_four_that_reaches_two_memcached_servers_serves_nothing_old() {
    let servers = [Memcached::start(), Memcached::start()];
    let proxy = Proxy::to(servers[0].address());
    let cache = in_touch(FragmentCache::builder().memory(false).shared(memcached_at(&proxy).pool_size(4)));
    one_pool_with_two_servers(&proxy, &cache, [servers[0].address(), servers[1].address()]);
}

/// What is told to the server that the others have left holds for them too.
#[test]
fn what_a_node_tells_the_server_that_the_others_have_left_is_told_the_next_one() {
    let servers = [Redis::start(), Redis::start()];
    let (near, far) = (Proxy::to(servers[0].address()), Proxy::to(servers[0].address()));
    let (here, there) = (node(redis_at(&near)), node(redis_at(&far)));
    lead(&far, true, servers[1].address());
    told(&there, "other");
    assert_eq!(read(&there, "old"), "old");
    assert!(there.flush(STUCK));
    // Confirmed by the first server, which `there` does not ask any more.
    told(&here, "t");
    lead(&near, true, servers[1].address());
    told(&here, "other");
    wait_for("the other node to hear of it", || read(&there, "new") == "new");
    assert_eq!(read(&here, "new"), "new");
}

/// An entry that is made when the clock shows this machine's time, and is there yet when the clock is set back from
/// `high` to `low`, which is later still: as much younger as it was before the entry would seem to be.
fn set_back(redis: &Redis, high: i64, low: i64) {
    let store = || RedisStore::connect(&redis.url()).unwrap();
    let node = || in_touch(FragmentCache::builder().memory(false).default_ttl(FOREVER).shared(store()));
    let here = node();
    redis.set_clock(0);
    told(&here, "t");
    assert_eq!(read(&here, "old"), "old");
    assert!(here.flush(STUCK));
    redis.set_clock(high);
    told(&here, "other");
    assert_eq!(read(&here, "-"), "old", "{high} s old");
    redis.set_clock(low);
    told(&here, "other");
    assert_eq!(read(&here, "new"), "new", "set back from {high} to {low} s");
    // A process that comes afterwards finds what was computed afterwards.
    assert!(here.flush(STUCK));
    assert_eq!(read(&node(), "-"), "new");
}

const FOREVER: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

#[test]
fn a_clock_of_redis_that_is_set_back_makes_misses() {
    let redis = Redis::with_clock(&[]);
    for by in [2, 60, 3600, 365 * 24 * 3600] {
        set_back(&redis, 2 * by, by);
        set_back(&redis, by, 0);
    }
}

#[test]
fn a_clock_of_redis_that_is_set_back_while_no_node_is_there_makes_misses() {
    let redis = Redis::with_clock(&[]);
    let store = || RedisStore::connect(&redis.url()).unwrap();
    let node = || in_touch(FragmentCache::builder().memory(false).shared(store()));
    let before = node();
    assert_eq!(read(&before, "old"), "old");
    redis.set_clock(60);
    told(&before, "other");
    assert!(before.flush(STUCK));
    drop(before);
    redis.set_clock(10);
    assert_eq!(read(&node(), "new"), "new");
}

#[test]
fn a_clock_of_redis_that_goes_on_makes_no_misses() {
    let redis = Redis::with_clock(&[]);
    let cache = in_touch(FragmentCache::builder().memory(false).shared(RedisStore::connect(&redis.url()).unwrap()));
    assert_eq!(read(&cache, "old"), "old");
    assert!(cache.flush(STUCK));
    for ahead in [1, 2, 60] {
        redis.set_clock(ahead);
        told(&cache, "other");
        assert_eq!(read(&cache, "new"), "old");
    }
}
