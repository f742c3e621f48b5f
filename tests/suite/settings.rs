//! Settings as people write them: what is clear is read, what is not is refused by its name.

use std::time::Duration;

use minijinja_cache::{CacheConfig, CacheType, Error, FragmentCache};

fn variables(pairs: &[(&str, &str)]) -> Result<CacheConfig, Error> {
    CacheConfig::from_variables("CACHE_", pairs.iter().copied())
}

fn one(name: &str, value: &str) -> CacheConfig {
    variables(&[(name, value)]).unwrap_or_else(|error| panic!("{name}={value}: {error}"))
}

/// Why these are refused, when they are read or when the cache is built.
fn refusal(pairs: &[(&str, &str)]) -> String {
    match variables(pairs).and_then(|config| config.build()) {
        Ok(_) => panic!("{pairs:?} were taken"),
        Err(error) => error.to_string(),
    }
}

fn toml(text: &str) -> Result<CacheConfig, String> {
    toml::from_str(text).map_err(|error: toml::de::Error| error.to_string())
}

#[test]
fn sizes_are_read_in_the_units_that_people_write() {
    for (text, bytes) in [
        ("64M", 64 << 20),
        ("64m", 64 << 20),
        ("64 MiB", 64 << 20),
        ("64Mi", 64 << 20),
        ("64mib", 64 << 20),
        ("64 mb", 64_000_000),
        ("64MB", 64_000_000),
        ("1.5 GiB", 3 << 29),
        ("1.5G", 3 << 29),
        ("0.5k", 512),
        ("2T", 2 << 40),
        ("2 TiB", 2 << 40),
        ("1 kB", 1000),
        (" 512\t", 512),
        ("512 B", 512),
        ("1.1 GiB", 1_181_116_006),
        ("9007199254740993", (1 << 53) + 1),
        ("18446744073709551615", u64::MAX),
    ] {
        assert_eq!(one("CACHE_MAX_BYTES", text).max_bytes, Some(bytes), "{text}");
    }
    for text in [
        "",
        " ",
        "M",
        ".5M",
        "5.M",
        "1,5 GiB",
        "1.5",
        "0.5 B",
        "-1",
        "64 MiBs",
        "64 x",
        "1e3",
        "1 2",
        "99999999T",
        "1..5k",
    ] {
        let error = refusal(&[("CACHE_MAX_BYTES", text)]);
        assert!(error.contains("CACHE_MAX_BYTES") && error.contains("64 MiB"), "{text:?}: {error}");
    }
}

#[test]
fn durations_are_read_in_the_words_that_people_write() {
    let seconds = Duration::from_secs;
    for (text, ttl) in [
        ("forever", Duration::MAX),
        ("Forever", Duration::MAX),
        (" 5m ", seconds(300)),
        ("5M", seconds(300)),
        ("1H 30M", seconds(5400)),
        ("1.5h", seconds(5400)),
        ("5 min", seconds(300)),
        ("5 minutes", seconds(300)),
        ("2 days 1 hour", seconds(2 * 86_400 + 3600)),
        ("90 sec", seconds(90)),
        ("250 ms", Duration::from_millis(250)),
        ("0.25", Duration::from_millis(250)),
    ] {
        assert_eq!(one("CACHE_DEFAULT_TTL", text).default_ttl, Some(ttl), "{text}");
    }
    for text in ["", "five minutes", "5 fortnights", "-5m", "5 m 3 h", "1 5 m", "m", "never", "inf", "nan", "300 years"]
    {
        let error = refusal(&[("CACHE_DEFAULT_TTL", text)]);
        assert!(error.contains("CACHE_DEFAULT_TTL") && error.contains("1h 30m"), "{text:?}: {error}");
    }
}

#[test]
fn a_default_lifetime_of_forever_never_expires() {
    let clock = minijinja_cache::ManualClock::new();
    let cache = one("CACHE_DEFAULT_TTL", "forever").builder().unwrap().clock(&clock).build().unwrap();
    let read =
        |text: &'static str| cache.get_or_set("k", minijinja_cache::Options::default(), || crate::support::ok(text));
    read("first").unwrap();
    clock.advance(Duration::from_secs(100 * 365 * 86_400));
    assert_eq!(read("second").unwrap(), "first");
}

#[test]
fn switches_and_types_are_read_in_any_case_and_with_space_around() {
    for (text, yes) in
        [("TRUE", true), ("True", true), (" on ", true), ("Yes", true), ("OFF", false), ("False\n", false)]
    {
        assert_eq!(one("CACHE_MEASURE_POTENTIAL", text).measure_potential, Some(yes), "{text:?}");
    }
    for (text, kind) in [
        ("Redis", CacheType::Redis),
        ("REDIS", CacheType::Redis),
        (" redis\n", CacheType::Redis),
        ("redis_cluster", CacheType::RedisCluster),
        ("RedisCluster", CacheType::RedisCluster),
        ("Redis Sentinel", CacheType::RedisSentinel),
        ("Memory", CacheType::Memory),
        ("simplecache", CacheType::Memory),
        ("NULL", CacheType::Null),
        ("None", CacheType::Null),
        ("Valkey", CacheType::Redis),
        ("MEMCACHED", CacheType::Memcached),
    ] {
        assert_eq!(one("CACHE_TYPE", text).kind, kind, "{text:?}");
        assert_eq!(toml(&format!("type = {text:?}")).unwrap().kind, kind, "{text:?}");
        // Its own name is read again.
        assert_eq!(one("CACHE_TYPE", &kind.to_string()).kind, kind);
    }
    for (name, value) in [("CACHE_TYPE", ""), ("CACHE_TYPE", "filesystem"), ("CACHE_MEMORY", ""), ("CACHE_MEMORY", "2")]
    {
        let error = refusal(&[(name, value)]);
        assert!(error.contains(name), "{error}");
    }
}

#[test]
fn a_file_is_read_exactly_and_as_a_variable_would_be() {
    for number in ["9007199254740993", "9223372036854775807", "512", "1.5", "-1", "1.0", "1e30", "0.5", "nan", "true"] {
        let file = toml(&format!("max_bytes = {number}")).ok().and_then(|config| config.max_bytes);
        // As TOML's own notation stands for it.
        let text = match number {
            "1e30" => "1000000000000000000000000000000",
            "1.0" => "1",
            other => other,
        };
        let variable = variables(&[("CACHE_MAX_BYTES", text)]).ok().and_then(|config| config.max_bytes);
        assert_eq!(file, variable, "{number}");
    }
    assert_eq!(toml("max_bytes = 9007199254740993").unwrap().max_bytes, Some((1 << 53) + 1));
    let json: CacheConfig = serde_json::from_str("{\"max_bytes\": 18446744073709551615}").unwrap();
    assert_eq!(json.max_bytes, Some(u64::MAX));
    for seconds in ["90", "1.5", "0.0000000001", "9223372036", "9223372037", "1e18", "-1", "inf", "nan"] {
        let file = toml(&format!("default_ttl = {seconds}")).ok().and_then(|config| config.default_ttl);
        let text = if seconds == "1e18" { "1000000000000000000" } else { seconds };
        let variable = variables(&[("CACHE_DEFAULT_TTL", text)]).ok().and_then(|config| config.default_ttl);
        assert_eq!(file, variable, "{seconds}");
    }
    // A file may have comments, and space where it likes.
    let config = toml("# of the shop\ndefault_ttl = \" 5 minutes \" # five\nmax_bytes=64_000_000\n").unwrap();
    assert_eq!((config.default_ttl, config.max_bytes), (Some(Duration::from_secs(300)), Some(64_000_000)));
}

#[test]
fn counts_are_whole_numbers_and_no_sizes() {
    assert_eq!(one("CACHE_POOL_SIZE", " 32 ").pool_size, Some(32));
    for (name, value) in [("CACHE_POOL_SIZE", "16M"), ("CACHE_REDIS_PORT", "6 KiB"), ("CACHE_FLOOR_SLOTS", "1.5")] {
        let error = refusal(&[(name, value)]);
        assert!(error.contains(name) && error.contains("whole number"), "{error}");
    }
}

#[test]
fn a_variable_of_another_program_is_ignored_and_told_of() {
    let reports = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let told = std::sync::Arc::clone(&reports);
    let config = variables(&[
        ("CACHE_DEFAULT_TTL", "5m"),
        ("CACHE_DIR", "/var/cache/other"),
        ("CACHE_HOME", "/home"),
        ("CACHE_SERVER_BIND", "0.0.0.0"),
    ]);
    let config = config.unwrap();
    assert_eq!(config.default_ttl, Some(Duration::from_secs(300)));
    let cache = config.builder().unwrap().on_error(move |error| told.lock().unwrap().push(error.to_string()));
    let _cache: FragmentCache = cache.build().unwrap();
    let reports = reports.lock().unwrap();
    assert_eq!(reports.len(), 1, "{reports:?}");
    for name in ["CACHE_DIR", "CACHE_HOME", "CACHE_SERVER_BIND"] {
        assert!(reports[0].contains(name), "{reports:?}");
    }
    // Their values may be private.
    assert!(!reports[0].contains("/var/cache") && !reports[0].contains("DEFAULT_TTL"), "{reports:?}");
}

#[test]
fn a_misspelt_name_is_refused_with_the_one_that_was_meant() {
    for (name, meant) in [
        ("CACHE_DEFUALT_TTL", "CACHE_DEFAULT_TTL"),
        ("CACHE_DEFAULT_TLL", "CACHE_DEFAULT_TTL"),
        ("CACHE_TTL", "CACHE_DEFAULT_TTL"),
        ("CACHE_MAXBYTES", "CACHE_MAX_BYTES"),
        ("CACHE_SECERT", "CACHE_SECRET"),
        ("CACHE_TYP", "CACHE_TYPE"),
        ("CACHE_REDIS_PASS", "CACHE_REDIS_PASSWORD"),
        ("CACHE_MEMCACHED_SERVER", "CACHE_MEMCACHED_SERVERS"),
        ("CACHE_THRESHOLD", "CACHE_MAX_BYTES"),
    ] {
        let error = refusal(&[(name, "s3cret")]);
        assert!(error.contains(name) && error.contains(&format!("did you mean {meant},")), "{error}");
        assert!(!error.contains("s3cret"), "{error}");
    }
}

#[cfg(unix)]
#[test]
fn a_variable_that_is_no_text_is_fatal_only_if_it_is_a_setting() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    use std::process::Command;
    let of = |name: &str| {
        let mut run = Command::new(std::env::current_exe().unwrap());
        run.args(["--exact", "settings::child_reads_its_environment", "--nocapture"]);
        run.env("SETTINGS_TEST_CHILD", "1").env(format!("ODD_{name}"), OsStr::from_bytes(b"/caf\xe9"));
        String::from_utf8(run.output().unwrap().stdout).unwrap()
    };
    assert!(of("DIR").contains("read: true"), "{}", of("DIR"));
    assert!(of("NAME").contains("ODD_NAME is not valid UTF-8"), "{}", of("NAME"));
}

/// Runs in a process of its own, whose environment the test above sets.
#[cfg(unix)]
#[test]
fn child_reads_its_environment() {
    let read = CacheConfig::from_env("ODD_");
    if std::env::var_os("SETTINGS_TEST_CHILD").is_some() {
        println!("read: {} {read:?}", read.is_ok());
    } else {
        assert_eq!(read.unwrap(), CacheConfig::default());
    }
}

#[cfg(feature = "redis")]
mod redis {
    use super::{one, refusal, variables};

    /// Where the configuration leads to, as the store names it.
    fn place(pairs: &[(&str, &str)]) -> String {
        let pairs: Vec<_> = [("CACHE_TYPE", "redis")].into_iter().chain(pairs.iter().copied()).collect();
        let config = variables(&pairs).unwrap();
        let builder = config.builder().unwrap_or_else(|error| panic!("{pairs:?}: {error}"));
        format!("{builder:?}")
    }

    #[test]
    fn a_host_is_a_name_or_an_address() {
        for (host, shown) in [
            ("::1", "::1:6379/0"),
            ("[::1]", "::1:6379/0"),
            ("2001:db8::7", "2001:db8::7:6379/0"),
            ("fe80::1%eth0", "fe80::1%eth0:6379/0"),
            ("10.0.0.7", "10.0.0.7:6379/0"),
            (" cache.internal\n", "redis cache.internal:6379/0"),
            ("my_cache-1", "my_cache-1:6379/0"),
        ] {
            let place = place(&[("CACHE_REDIS_HOST", host)]);
            assert!(place.contains(shown), "{host}: {place}");
        }
        for host in [
            "a@b",
            "user:s3cret@host",
            "cache:6380",
            "redis://cache",
            "/run/redis.sock",
            "",
            "a b",
            "::1:x",
            "[cache]",
            "0.0.0.0",
            "::",
        ] {
            let error = refusal(&[("CACHE_TYPE", "redis"), ("CACHE_REDIS_HOST", host)]);
            assert!(error.contains("redis_host") && !error.contains("URL `"), "{host}: {error}");
            assert!(!error.contains("s3cret"), "{error}");
        }
    }

    #[test]
    fn parts_of_an_address_are_checked_by_their_names() {
        let place = place(&[("CACHE_REDIS_PORT", "6380"), ("CACHE_REDIS_DB", "3"), ("CACHE_REDIS_PASSWORD", "")]);
        assert!(place.contains("localhost:6380/3"), "{place}");
        for (name, value) in [
            ("CACHE_REDIS_PORT", "0"),
            ("CACHE_REDIS_PORT", "70000"),
            ("CACHE_REDIS_DB", "18446744073709551615"),
            ("CACHE_POOL_SIZE", "0"),
            ("CACHE_POOL_SIZE", "4294967295"),
            ("CACHE_REDIS_USERNAME", "ada"),
        ] {
            let error = refusal(&[("CACHE_TYPE", "redis"), (name, value)]);
            let setting = name.trim_start_matches("CACHE_").to_lowercase();
            assert!(error.contains(&setting), "{name}={value}: {error}");
        }
        for (kind, setting) in [("redis-cluster", "redis_cluster"), ("redis-sentinel", "redis_sentinels")] {
            assert!(refusal(&[("CACHE_TYPE", kind)]).contains(setting));
        }
    }

    #[test]
    fn urls_keep_their_login_to_themselves_and_name_the_setting() {
        for (url, shown) in [
            ("redis://:p%40ss%2F@[::1]:6380/2", "::1:6380/2"),
            (" redis://ada:secret@cache/1 \n", "cache:6379/1"),
            ("REDIS://cache", "cache:6379/0"),
        ] {
            let place = place(&[("CACHE_REDIS_URL", url)]);
            assert!(place.contains(shown) && !place.contains("secret") && !place.contains("p@ss"), "{url}: {place}");
        }
        for url in ["", "cache", "http://ada:secret@cache", "redis://ada:secret@cache:port"] {
            let error = refusal(&[("CACHE_TYPE", "redis"), ("CACHE_REDIS_URL", url)]);
            assert!(error.starts_with("redis_url: ") && !error.contains("secret"), "{url}: {error}");
        }
    }

    #[test]
    fn a_secret_is_taken_to_the_letter() {
        let config = one("CACHE_SECRET", " two words ");
        assert_eq!(config.secret.as_deref(), Some(" two words "));
        assert_eq!(one("CACHE_REDIS_PASSWORD", " x ").redis_password.as_deref(), Some(" x "));
        assert_eq!(one("CACHE_KEY_PREFIX", " shop: ").key_prefix.as_deref(), Some("shop:"));
        let error = refusal(&[("CACHE_TYPE", "redis"), ("CACHE_SECRET", "")]);
        assert!(error.contains("secret"), "{error}");
    }
}

#[cfg(feature = "memcached")]
#[test]
fn memcached_settings_are_refused_by_their_names() {
    for (pairs, setting) in [
        (&[("CACHE_MEMCACHED_SERVERS", "a@b")][..], "memcached_servers"),
        (&[], "memcached_servers"),
        (&[("CACHE_MEMCACHED_SERVERS", "a"), ("CACHE_POOL_SIZE", "100000")], "pool_size"),
        (&[("CACHE_MEMCACHED_SERVERS", "a"), ("CACHE_KEY_PREFIX", "a b")], "key_prefix"),
    ] {
        let pairs: Vec<_> = [("CACHE_TYPE", "Memcached")].into_iter().chain(pairs.iter().copied()).collect();
        let error = refusal(&pairs);
        assert!(error.contains(setting), "{error}");
    }
    let config = variables(&[("CACHE_TYPE", "memcached"), ("CACHE_MEMCACHED_SERVERS", " ::1 , [::1]:2,")]).unwrap();
    assert_eq!(config.memcached_servers, ["::1", "[::1]:2"]);
    let _ = config.builder().unwrap();
}
