//! Numbers that a store cannot work with are refused when the cache is built.

use std::time::Duration;

use minijinja_cache::{CacheConfig, ErrorKind, FragmentCache, LocalStore, MemcachedStore, RedisStore, SharedTier};

fn redis() -> RedisStore {
    RedisStore::connect("redis://127.0.0.1").unwrap()
}

fn memcached() -> MemcachedStore {
    MemcachedStore::connect(["127.0.0.1"]).unwrap()
}

/// What building says, of a kind that names the configuration.
fn refusal(tier: impl Into<SharedTier>) -> String {
    let error = FragmentCache::builder().shared(tier).build().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    error.to_string()
}

#[test]
fn err_a_pool_of_so_many_connections_that_there_is_no_memory_for_them() {
    let range = "pool_size is {}: it must be from 1 to 1024 connections";
    for size in [0, 1025, u32::MAX] {
        let expected = range.replace("{}", &size.to_string());
        assert!(refusal(redis().pool_size(size)).contains(&expected));
        assert!(refusal(memcached().pool_size(size as usize)).contains(&expected));
    }
    assert!(refusal(memcached().pool_size(usize::MAX)).contains("pool_size"));
    for size in [1, 1024] {
        FragmentCache::builder().shared(redis().pool_size(size)).build().unwrap();
        FragmentCache::builder().shared(memcached().pool_size(size as usize)).build().unwrap();
    }
}

#[test]
fn err_a_pool_size_of_the_environment_that_is_out_of_range() {
    for (kind, place) in
        [("redis", ("CACHE_REDIS_URL", "redis://127.0.0.1")), ("memcached", ("CACHE_MEMCACHED_SERVERS", "127.0.0.1"))]
    {
        for size in ["0", "4294967295", "4294967296", "18446744073709551615"] {
            let variables = [("CACHE_TYPE", kind), place, ("CACHE_POOL_SIZE", size)];
            let built = CacheConfig::from_variables("CACHE_", variables).and_then(|config| config.build());
            let error = built.unwrap_err().to_string();
            assert!(error.contains("pool_size") && error.contains("1024") || error.contains("POOL_SIZE"), "{error}");
        }
    }
}

#[test]
fn err_spans_and_sizes_of_the_tier_that_make_no_sense() {
    let tier = || SharedTier::new(LocalStore::new());
    let (none, far) = (Duration::ZERO, Duration::MAX);
    for (tier, named) in [
        (tier().budget(none), "budget"),
        (tier().budget(far), "budget"),
        (tier().staleness_bound(none), "staleness_bound"),
        (tier().staleness_bound(Duration::from_millis(99)), "staleness_bound"),
        (tier().staleness_bound(far), "staleness_bound"),
        (tier().lease(none), "lease"),
        (tier().lease(far), "lease"),
        (tier().max_value_bytes(0), "max_value_bytes"),
        (tier().max_value_bytes(usize::MAX), "max_value_bytes"),
    ] {
        let message = refusal(tier);
        assert!(message.contains(named), "{message}");
    }
    for bytes in [0, usize::MAX] {
        FragmentCache::builder().shared(tier().compress_above(bytes)).build().unwrap();
    }
}
