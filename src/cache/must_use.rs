//! Checks that values which take effect only while they are kept are `#[must_use]`. These are doc tests, because only a
//! doc test can turn a warning into an error (`compile_fail`).

/// Two doc tests of one expression: assigned to a variable it compiles, as a statement it does not.
macro_rules! ends_when_dropped {
    ($name:ident, $call:literal) => {
        #[doc = "```"]
        #[doc = concat!(ends_when_dropped!(), "let _kept = ", $call, ";")]
        #[doc = "# Ok(())\n# }\n```"]
        #[doc = "```compile_fail"]
        #[doc = concat!(ends_when_dropped!(), $call, ";")]
        #[doc = "# Ok(())\n# }\n```"]
        struct $name;
    };
    () => {
        "#![deny(unused_must_use)]\nuse minijinja_cache::*;\nfn f(cache: &FragmentCache) -> Result<(), Box<dyn std::error::Error>> {\n"
    };
}

ends_when_dropped!(Scope, "cache.scope()");
ends_when_dropped!(CurrentScope, "cache.current_scope()");
ends_when_dropped!(Attached, "cache.scope().attach()");
ends_when_dropped!(Subscription, "cache.subscribe()");
ends_when_dropped!(SubscriptionToLookups, "cache.subscribe_to_lookups()");
ends_when_dropped!(Namespace, "cache.namespace(\"blog\")");
ends_when_dropped!(AsyncText, "cache.get_or_set_async(\"k\", Options::default(), async { Ok::<_, Error>(\"v\") })");
ends_when_dropped!(AsyncScope, "cache.scope().run_async(async {})");
ends_when_dropped!(OptionsTtl, "Options::ttl(std::time::Duration::from_secs(60))");
ends_when_dropped!(OptionsForever, "Options::forever()");
ends_when_dropped!(OptionsTag, "Options::default().tag(\"films\")");
ends_when_dropped!(Builder, "FragmentCache::builder().max_bytes(1 << 20)");

#[cfg(feature = "watch")]
mod watch {
    ends_when_dropped!(Watch, "cache.watch(\"templates\")?");
    ends_when_dropped!(
        WatchWith,
        "cache.watch_with(\"templates\", WatchMode::Poll(std::time::Duration::from_secs(1)))?"
    );
    ends_when_dropped!(WatchFile, "cache.watch_file(\"films.json\")?");
    ends_when_dropped!(WatchFileTag, "cache.watch_file(\"films.json\")?.invalidates(\"films\")");
}

#[cfg(feature = "shared")]
mod shared {
    ends_when_dropped!(SharedTier, "SharedTier::new(LocalStore::new())");
    ends_when_dropped!(Confirmed, "std::future::IntoFuture::into_future(cache.invalidate_tag(\"films\"))");
}

#[cfg(feature = "redis")]
mod redis {
    ends_when_dropped!(Redis, "RedisStore::connect(\"redis://localhost\")?.prefix(\"shop:\")");
}

#[cfg(feature = "memcached")]
mod memcached {
    ends_when_dropped!(Memcached, "MemcachedStore::connect([\"localhost:11211\"])?.pool_size(4)");
}

#[cfg(feature = "http")]
mod http {
    ends_when_dropped!(Cache, "http::CacheLayer::new(cache).tag(\"films\")");
    ends_when_dropped!(Conditional, "http::ConditionalLayer::new()");
    ends_when_dropped!(CacheControl, "http::CacheControl::public().must_revalidate()");
}

#[cfg(feature = "dashboard")]
mod dashboard {
    ends_when_dropped!(Dashboard, "Dashboard::new(cache)");
}
