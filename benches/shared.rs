//! What the shared tier costs, as ratios within one run, on a real Redis server and Memcached: the figures of the
//! README.
//!
//! `cargo bench --bench shared --all-features`
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used, clippy::print_stdout)]

mod measure;
#[path = "../tests/servers/mod.rs"]
mod servers;

use std::cell::RefCell;
use std::convert::Infallible;
use std::hint::black_box;
use std::time::{Duration, Instant};

use memcache::exp::{MetaCommand, MetaConnection, MetaOp};
use minijinja::{Environment, context};
use minijinja_cache::{FragmentCache, MemcachedStore, Options, RedisStore, SharedTier};

use measure::{Subject, measure, median, only};
use servers::{Memcached, Redis, STUCK, wait_for};

fn in_touch(builder: minijinja_cache::Builder) -> FragmentCache {
    let cache = builder.build().unwrap();
    wait_for("in touch", || cache.shared_status().unwrap().in_touch);
    cache
}

/// 4.6 kB, as the page of `ratios.rs`; and not to be compressed, so that both sides move the same bytes.
fn tier(store: impl Into<SharedTier>) -> SharedTier {
    SharedTier::new(store).compress_above(usize::MAX)
}

fn get_or_set(cache: &FragmentCache, html: &str) -> usize {
    cache.get_or_set("list", Options::default(), || Ok::<_, Infallible>(html)).unwrap().len()
}

fn environment(cache: &FragmentCache) -> Environment<'static> {
    let mut env = Environment::new();
    cache.add_to_environment_as("web", &mut env);
    env.set_loader(cache.loader(|_| Ok(Some("<ul>{% cache 'list' 300 %}{{ html }}{% endcache %}</ul>".into()))));
    env
}

fn main() {
    let html = "<li class=\"film\"><a href=\"/film/1\">The film with number 1</a> <span>1950</span></li>".repeat(57);
    let (redis, memcached) = (Redis::start(), Memcached::start());
    let through = |store: SharedTier| {
        let cache = in_touch(FragmentCache::builder().memory(false).shared(store));
        get_or_set(&cache, &html);
        assert!(cache.flush(STUCK));
        cache
    };
    let by_redis = through(tier(RedisStore::connect(&redis.url()).unwrap()));
    let by_memcached = through(tier(MemcachedStore::connect([memcached.address().to_string()]).unwrap()));

    // What a bare client does to get the very bytes.
    let bare = RefCell::new(redis::Client::open(redis.url()).unwrap().get_connection().unwrap());
    let keys: Vec<String> = redis::cmd("KEYS").arg("mjc:{*").query(&mut *bare.borrow_mut()).unwrap();
    let value: Vec<u8> = redis::cmd("GET").arg(&keys[0]).query(&mut *bare.borrow_mut()).unwrap();
    memcached.set("bare", &value, 0);
    let meta = RefCell::new(MetaConnection::connect(memcached.address()).unwrap());
    let ask = MetaCommand::new(MetaOp::Get, "bare").flag("v");
    assert_eq!(meta.borrow_mut().execute(&ask).unwrap().into_value().as_deref(), Some(&*value));

    let by_local = through(tier(minijinja_cache::LocalStore::new()));
    let alone = FragmentCache::builder().build().unwrap();
    let in_front =
        in_touch(FragmentCache::builder().shared(RedisStore::connect(&redis.url()).unwrap().prefix("front:")));
    let (env_alone, env_in_front) = (environment(&alone), environment(&in_front));
    let render =
        |env: &Environment<'_>| env.get_template("p").unwrap().render(context! { html => &html }).unwrap().len();

    let subjects = vec![
        Subject {
            name: "Redis, bare GET",
            run: Box::new(|| {
                let value: Vec<u8> = redis::cmd("GET").arg(&keys[0]).query(&mut *bare.borrow_mut()).unwrap();
                black_box(value);
            }),
        },
        Subject { name: "Redis, get_or_set", run: Box::new(|| _ = black_box(get_or_set(&by_redis, &html))) },
        Subject {
            name: "Memcached, bare mg",
            run: Box::new(|| _ = black_box(meta.borrow_mut().execute(&ask).unwrap().into_value())),
        },
        Subject { name: "Memcached, get_or_set", run: Box::new(|| _ = black_box(get_or_set(&by_memcached, &html))) },
        Subject { name: "local store, get_or_set", run: Box::new(|| _ = black_box(get_or_set(&by_local, &html))) },
        Subject { name: "memory, get_or_set", run: Box::new(|| _ = black_box(get_or_set(&alone, &html))) },
        Subject { name: "in front, get_or_set", run: Box::new(|| _ = black_box(get_or_set(&in_front, &html))) },
        Subject { name: "memory, in a template", run: Box::new(|| _ = black_box(render(&env_alone))) },
        Subject { name: "in front, in a template", run: Box::new(|| _ = black_box(render(&env_in_front))) },
    ];
    if only(&subjects) {
        return;
    }
    let times = measure(&subjects);
    for (subject, time) in subjects.iter().zip(&times) {
        println!("{:<26} {time:>10.0} ns", subject.name);
    }
    let time = |name: &str| times[subjects.iter().position(|subject| subject.name == name).unwrap()];
    println!("\nratio                                                        here   at most");
    let row = |what: &str, ratio: f64, bound: f64| println!("{what:<58} {ratio:>7.2} {bound:>9.2}");
    row("a hit in Redis / a bare GET of the same bytes", time("Redis, get_or_set") / time("Redis, bare GET"), 1.3);
    row(
        "a hit in Memcached / a bare mg of the same bytes",
        time("Memcached, get_or_set") / time("Memcached, bare mg"),
        1.3,
    );
    row(
        "get_or_set hit in memory, with Redis behind / without",
        time("in front, get_or_set") / time("memory, get_or_set"),
        1.0,
    );
    row(
        "hit in a template, with Redis behind / without",
        time("in front, in a template") / time("memory, in a template"),
        1.0,
    );
    invalidation(&redis);
}

/// Invalidating a tag on many entries, and how many commands that is to the server.
fn invalidation(redis: &Redis) {
    const ENTRIES: u32 = 100_000;
    let tier = SharedTier::new(RedisStore::connect(&redis.url()).unwrap().prefix("many:"));
    let cache =
        in_touch(FragmentCache::builder().max_bytes(1 << 30).shared(tier.staleness_bound(Duration::from_secs(60))));
    for n in 0..ENTRIES {
        cache.get_or_set(n, Options::forever().tag("all"), || Ok::<_, Infallible>("x")).unwrap();
        if n % 1000 == 0 {
            assert!(cache.flush(STUCK));
        }
    }
    assert!(cache.flush(STUCK));
    let keys = redis.keys();
    let asked = redis.calls("evalsha");
    let rounds = 200;
    let times = (0..rounds).map(|_| {
        let start = Instant::now();
        cache.invalidate_tag("all").wait().unwrap();
        start.elapsed().as_secs_f64() * 1e6
    });
    let each = median(times.collect());
    let calls = redis.calls("evalsha") - asked;
    println!(
        "\ninvalidating a tag of {ENTRIES} entries ({keys} keys in Redis), confirmed: {each:.0} µs; \
         {rounds} times were {calls} calls of the one script, its pushes and its heartbeat among them"
    );
}
