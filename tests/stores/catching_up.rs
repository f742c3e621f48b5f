//! A node that comes back to a store where much was invalidated meanwhile.

use std::convert::Infallible;
use std::time::{Duration, Instant};

use minijinja_cache::{FragmentCache, MemcachedStore, Options, RedisStore, SharedTier};

use crate::backends::in_touch;
use crate::servers::{Memcached, Proxy, Redis, STUCK, wait_for};

const BOUND: Duration = Duration::from_millis(100);
const SOON: Duration = Duration::from_secs(30);

fn read(cache: &FragmentCache, tag: &str, value: &str) -> String {
    cache.get_or_set(tag, Options::default().tag(tag), || Ok::<_, Infallible>(value)).unwrap().into()
}

fn is_in_touch(cache: &FragmentCache) -> bool {
    cache.shared_status().unwrap().in_touch
}

/// In portions that a node keeps one by one.
fn invalidate(cache: &FragmentCache, tags: usize) {
    for from in (0..tags).step_by(4000) {
        (from..tags.min(from + 4000)).for_each(|tag| drop(cache.invalidate_tag(&format!("tag{tag}"))));
        assert!(cache.flush(STUCK));
    }
}

/// `here` invalidates so many tags while the other node is away, with a bound of 100 ms.
fn comes_back(here: &SharedTier, far: SharedTier, proxy: &Proxy, tags: usize) -> FragmentCache {
    let here = in_touch(FragmentCache::builder().shared(here.clone()));
    let far = in_touch(FragmentCache::builder().memory(false).shared(far.staleness_bound(BOUND)));
    for tag in ["kept", "tag0", &format!("tag{}", tags - 1)] {
        assert_eq!(read(&far, tag, "old"), "old");
    }
    assert!(far.flush(STUCK));
    proxy.cut();
    wait_for("out of touch", || !is_in_touch(&far));
    invalidate(&here, tags);
    proxy.heal();
    let back = Instant::now();
    wait_for("in touch again", || is_in_touch(&far));
    assert!(back.elapsed() < SOON, "{:?}", back.elapsed());
    // It knows them all.
    for tag in ["tag0", &format!("tag{}", tags - 1)] {
        assert_eq!(read(&far, tag, "new"), "new");
    }
    far
}

fn redis(address: impl std::fmt::Display) -> SharedTier {
    RedisStore::connect(&format!("redis://{address}")).unwrap().into()
}

#[test]
fn a_node_that_is_behind_by_all_the_floors_there_are_is_soon_in_touch() {
    let server = Redis::start();
    let proxy = Proxy::to(server.address());
    let far = comes_back(&redis(server.address()), redis(proxy.address()), &proxy, 65_536);
    // And one that knows nothing at all.
    let fresh = in_touch(FragmentCache::builder().shared(redis(proxy.address()).staleness_bound(BOUND)));
    assert!(far.flush(STUCK));
    assert_eq!(read(&fresh, "tag0", "newer"), "new");
}

#[test]
fn what_was_not_invalidated_is_still_served_by_a_node_that_was_behind() {
    let server = Redis::start();
    let proxy = Proxy::to(server.address());
    let far = comes_back(&redis(server.address()), redis(proxy.address()), &proxy, 20_000);
    assert_eq!(read(&far, "kept", "new"), "old");
}

#[test]
fn a_node_that_is_behind_on_a_slow_link_is_soon_in_touch() {
    let server = Redis::start();
    let proxy = Proxy::to(server.address());
    let cut = Proxy::to(proxy.address());
    // A megabyte takes seconds, and a page much less.
    proxy.drip(4096, Duration::from_millis(5));
    comes_back(&redis(server.address()), redis(cut.address()), &cut, 65_536);
}

#[test]
fn a_node_that_is_behind_by_more_than_the_store_keeps_is_soon_in_touch() {
    let server = Redis::start();
    let proxy = Proxy::to(server.address());
    let far = comes_back(&redis(server.address()), redis(proxy.address()), &proxy, 70_000);
    assert_eq!(read(&far, "kept", "new"), "new", "what is not kept one by one counts for all");
}

#[test]
fn a_node_that_is_behind_the_log_of_memcached_is_soon_in_touch() {
    let server = Memcached::start();
    let proxy = Proxy::to(server.address());
    let store =
        |address: std::net::SocketAddr| SharedTier::from(MemcachedStore::connect([address.to_string()]).unwrap());
    comes_back(&store(server.address()), store(proxy.address()), &proxy, 65_536);
}
