//! Configuration from files and variables.

use std::time::Duration;

use minijinja_cache::{CacheConfig, CacheType};

fn toml(text: &str) -> Result<CacheConfig, toml::de::Error> {
    toml::from_str(text)
}

fn variables(pairs: &[(&str, &str)]) -> Result<CacheConfig, String> {
    CacheConfig::from_variables("CACHE_", pairs.iter().copied()).map_err(|error| error.to_string())
}

#[test]
fn the_example_file_says_what_it_shows() {
    let text = include_str!("../../examples/cache.toml");
    let config = toml(text).unwrap();
    assert_eq!(config.kind, CacheType::Redis);
    assert_eq!(config.default_ttl, Some(Duration::from_secs(600)));
    assert_eq!((config.max_bytes, config.jitter), (Some(128 << 20), Some(0.1)));
    assert_eq!(config.key_prefix.as_deref(), Some("catalogue:"));
    // Every line that is commented out is a setting too, and each by itself is read.
    let settings = text.lines().filter_map(|line| line.strip_prefix("# ")).filter(|line| {
        line.split_once(" = ").is_some_and(|(name, _)| name.chars().all(|c| c == '_' || c.is_ascii_lowercase()))
    });
    let mut seen = 0;
    for setting in settings {
        toml(setting).unwrap_or_else(|error| panic!("{setting}: {error}"));
        seen += 1;
    }
    assert!(seen >= 12, "{seen}");
}

#[test]
fn a_file_and_variables_say_the_same() {
    let file = toml(
        "type = 'memcached'\ndefault_ttl = 90\nmax_bytes = '1 MiB'\nwait_timeout = 1.5\njitter = 1\nshadow = 0.01\nmemory = false\n\
         measure_potential = true\n\
         memcached_servers = ['a:1', 'b:2']\nlease = '2s'\nstaleness_bound = '500ms'\npool_size = 4",
    );
    let same = variables(&[
        ("CACHE_TYPE", "memcached"),
        ("CACHE_DEFAULT_TIMEOUT", "90"),
        ("CACHE_MAX_BYTES", "1048576"),
        ("CACHE_WAIT_TIMEOUT", "1.5"),
        ("CACHE_JITTER", "1"),
        ("CACHE_SHADOW", "0.01"),
        ("CACHE_MEMORY", "off"),
        ("CACHE_MEASURE_POTENTIAL", "yes"),
        ("CACHE_MEMCACHED_SERVERS", "a:1, b:2,"),
        ("CACHE_LEASE", "2"),
        ("CACHE_STALENESS_BOUND", "0.5"),
        ("CACHE_POOL_SIZE", "4"),
        ("PATH", "not ours"),
    ]);
    assert_eq!(file.unwrap(), same.unwrap());
}

#[test]
fn flasks_types_are_known_by_their_names() {
    for (name, kind) in [
        ("SimpleCache", CacheType::Memory),
        ("simple", CacheType::Memory),
        ("NullCache", CacheType::Null),
        ("redis", CacheType::Redis),
        ("RedisCache", CacheType::Redis),
        ("RedisSentinelCache", CacheType::RedisSentinel),
        ("RedisClusterCache", CacheType::RedisCluster),
        ("MemcachedCache", CacheType::Memcached),
    ] {
        assert_eq!(variables(&[("CACHE_TYPE", name)]).unwrap().kind, kind);
    }
}

#[test]
fn unknown_names_and_nonsense_are_errors_that_name_the_setting() {
    let unknown = toml("defualt_ttl = 5").unwrap_err().to_string();
    assert!(unknown.contains("defualt_ttl") && unknown.contains("default_ttl"), "{unknown}");
    for (name, value, needle) in [
        ("CACHE_THRESHOLD", "500", "max_bytes"),
        ("CACHE_DEFAULT_TTL", "five minutes", "five minutes"),
        ("CACHE_DEFAULT_TTL", "-1", "-1"),
        ("CACHE_MAX_BYTES", "64 mbs", "64 mbs"),
        ("CACHE_MAX_BYTES", "1.5", "1.5"),
        ("CACHE_MEMORY", "maybe", "true or false"),
        ("CACHE_TYPE", "filesystem", "filesystem"),
        ("CACHE_JITTER", "half", "half"),
    ] {
        let error = variables(&[(name, value)]).unwrap_err();
        assert!(error.contains(name) && error.contains(needle), "{error}");
    }
    for text in ["default_ttl = -3", "max_bytes = 2.5", "memory = 'x'", "memcached_servers = [1]", "max_bytes = true"] {
        assert!(toml(text).is_err(), "{text}");
    }
}

#[test]
fn settings_of_another_type_are_refused() {
    for (pairs, needle) in [
        (&[("CACHE_LEASE", "2s")][..], "lease is given, but the type is memory"),
        (&[("CACHE_TYPE", "memcached"), ("CACHE_REDIS_URL", "redis://x")], "redis_url is given"),
        (&[("CACHE_TYPE", "redis"), ("CACHE_MEMCACHED_SERVERS", "x")], "goes with memcached"),
    ] {
        let error = variables(pairs).unwrap().build().unwrap_err().to_string();
        assert!(error.contains(needle), "{error}");
    }
    let bad = variables(&[("CACHE_MAX_BYTES", "0")]).unwrap().build().unwrap_err().to_string();
    assert!(bad.contains("max_bytes is 0"), "{bad}");
}

#[test]
fn what_is_built_behaves_as_configured() {
    let off = variables(&[("CACHE_TYPE", "null")]).unwrap().build().unwrap();
    off.get_or_set("k", minijinja_cache::Options::default(), || crate::support::ok("x")).unwrap();
    assert_eq!((off.stats().bypasses, off.stats().stores), (1, 0));
    let on = CacheConfig::default().build().unwrap();
    on.get_or_set("k", minijinja_cache::Options::default(), || crate::support::ok("x")).unwrap();
    assert_eq!(on.stats().stores, 1);
}

#[test]
#[cfg(feature = "redis")]
fn redis_settings_become_an_address_and_show_no_secret() {
    let config = variables(&[
        ("CACHE_TYPE", "redis"),
        ("CACHE_REDIS_HOST", "127.0.0.1"),
        ("CACHE_REDIS_PORT", "1"),
        ("CACHE_REDIS_PASSWORD", "s3cret/@"),
        ("CACHE_SECRET", "a secret"),
    ])
    .unwrap();
    let cache = config.build().unwrap();
    let shown = format!("{config:?} {:?} {:?}", cache.shared_status(), config.builder().unwrap());
    assert!(shown.contains("127.0.0.1:1"), "{shown}");
    assert!(!shown.contains("s3cret") && !shown.contains("a secret"), "{shown}");
    let both = variables(&[("CACHE_TYPE", "redis"), ("CACHE_REDIS_URL", "redis://h"), ("CACHE_REDIS_DB", "1")]);
    assert!(both.unwrap().build().unwrap_err().to_string().contains("redis_url is given together"));
}

#[test]
#[cfg(not(feature = "redis"))]
fn a_type_this_program_was_not_built_for_is_an_error() {
    let error = variables(&[("CACHE_TYPE", "redis")]).unwrap().build().unwrap_err().to_string();
    assert!(error.contains("without the feature `redis`"), "{error}");
}
