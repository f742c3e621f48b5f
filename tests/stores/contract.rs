//! What holds wherever entries live. `again` is a node that did not compute: the same one in memory, a fresh one on a
//! shared store.

use std::convert::Infallible;
use std::sync::Barrier;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use minijinja::{Environment, context};
use minijinja_cache::{FragmentCache, Options};
use serde::{Deserialize, Serialize};

use crate::backends::Backend;

/// Each behaviour, once for each backend.
macro_rules! everywhere {
    ($($behaviour:ident),* $(,)?) => {
        everywhere!(@ memory, Backend::memory(), $($behaviour),*);
        everywhere!(@ local, Backend::local(), $($behaviour),*);
        everywhere!(@ local_without_memory, Backend::local().without_memory(), $($behaviour),*);
        everywhere!(@ redis, Backend::redis(), $($behaviour),*);
        everywhere!(@ redis_without_memory, Backend::redis().without_memory(), $($behaviour),*);
        everywhere!(@ redis_cluster, Backend::cluster(), $($behaviour),*);
        everywhere!(@ memcached, Backend::memcached(), $($behaviour),*);
        everywhere!(@ memcached_without_memory, Backend::memcached().without_memory(), $($behaviour),*);
    };
    (@ $module:ident, $backend:expr, $($behaviour:ident),*) => {
        mod $module {
            use crate::backends::Backend;
            $(#[test] fn $behaviour() { super::$behaviour(&mut $backend); })*
        }
    };
}

everywhere!(
    what_was_computed_is_served_and_not_computed_again,
    values_of_every_kind_come_out_as_they_went_in,
    keys_of_every_kind_are_told_apart,
    a_lifetime_ends_wherever_the_entry_is_read,
    invalidating_reaches_what_was_computed_before,
    namespaces_are_apart_and_clear_within,
    versions_and_variants_are_told_apart,
    an_error_is_not_stored,
    what_is_uncacheable_is_not_stored,
    blocks_bring_their_tags_lifetimes_and_templates_along,
    an_entry_too_large_is_served_and_leaves_no_older_one_behind,
    nothing_from_before_an_invalidation_is_served_after_it,
);

fn ok<T>(value: T) -> Result<T, Infallible> {
    Ok(value)
}

fn text(cache: &FragmentCache, key: &str, options: Options, value: &str) -> String {
    cache.get_or_set(key, options, || ok(value)).unwrap().into()
}

fn tagged() -> Options {
    Options::default().tag("t")
}

fn what_was_computed_is_served_and_not_computed_again(backend: &mut Backend) {
    let here = backend.node();
    assert_eq!(text(&here, "k", Options::default(), "first"), "first");
    let again = backend.node();
    let runs = AtomicU64::new(0);
    for _ in 0..3 {
        let served = again.get_or_set("k", Options::default(), || {
            runs.fetch_add(1, Ordering::SeqCst);
            ok("again")
        });
        assert_eq!(served.unwrap(), "first");
        assert!(again.flush(crate::servers::STUCK));
    }
    assert_eq!(runs.into_inner(), 0);
    let stats = again.stats();
    assert_eq!(stats.shared_hits >= 1, backend.is_shared(), "{stats:?}");
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Shape {
    Nothing,
    Point { x: i64, y: Option<f32> },
    Many(Vec<Shape>),
}

fn values_of_every_kind_come_out_as_they_went_in(backend: &mut Backend) {
    let here = backend.node();
    let shape =
        Shape::Many(vec![Shape::Nothing, Shape::Point { x: i64::MIN, y: Some(0.5) }, Shape::Point { x: 0, y: None }]);
    let bytes: Vec<u8> = (0..=255).collect();
    let (none, no): (Option<String>, bool) = (None, false);
    let texts = ["", "0", "EOF;\n\0\r\n$bar\\ größe 🎬", &"<li>long</li>".repeat(20_000)];
    here.get_or_set_value("shape", Options::default(), || ok(shape.clone())).unwrap();
    here.get_or_set_value("bytes", Options::default(), || ok(bytes.clone())).unwrap();
    here.get_or_set_value("none", Options::default(), || ok(none.clone())).unwrap();
    here.get_or_set_value("false", Options::default(), || ok(no)).unwrap();
    for (at, value) in texts.into_iter().enumerate() {
        here.get_or_set(("text", at), Options::default(), || ok(value)).unwrap();
        here.get_or_set(("markup", at), Options::default().markup(), || ok(value)).unwrap();
    }
    let again = backend.node();
    assert_eq!(again.get_or_set_value("shape", Options::default(), || Err(())), Ok(shape));
    assert_eq!(again.get_or_set_value("bytes", Options::default(), || Err(())), Ok(bytes));
    assert_eq!(again.get_or_set_value("none", Options::default(), || Err(())), Ok(none));
    assert_eq!(again.get_or_set_value("false", Options::default(), || Err(())), Ok(no));
    for (at, value) in texts.into_iter().enumerate() {
        let served = again.get_or_set(("text", at), Options::default(), || Err::<String, _>(at)).unwrap();
        assert_eq!((&*served, served.is_markup()), (value, false));
        let served = again.get_or_set(("markup", at), Options::default().markup(), || Err::<String, _>(at)).unwrap();
        assert_eq!((&*served, served.is_markup()), (value, true));
    }
}

fn keys_of_every_kind_are_told_apart(backend: &mut Backend) {
    let long = "k".repeat(251);
    let keys = [
        "a b",
        "a\r\nflush_all\r\n",
        "a\0b",
        "{a}",
        "a:b",
        "größe",
        "🎬",
        &"é".repeat(126),
        &long,
        &long[..250],
        "*",
        "\u{7f}",
    ];
    let here = backend.node();
    for key in keys {
        text(&here, key, Options::default(), key);
    }
    here.get_or_set(1, Options::default(), || ok("the number")).unwrap();
    here.get_or_set("1", Options::default(), || ok("the text")).unwrap();
    let again = backend.node();
    for key in keys {
        assert_eq!(text(&again, key, Options::default(), "computed again"), key);
    }
    assert_eq!(again.get_or_set(1, Options::default(), || ok("-")).unwrap(), "the number");
    assert_eq!(again.get_or_set("1", Options::default(), || ok("-")).unwrap(), "the text");
}

fn a_lifetime_ends_wherever_the_entry_is_read(backend: &mut Backend) {
    let ttl = |seconds| Options::ttl(Duration::from_secs(seconds));
    let clock = backend.clock().clone();
    let here = backend.node();
    text(&here, "short", ttl(10), "old");
    text(&here, "long", ttl(3600), "old");
    here.get_or_set("ever", Options::forever(), || ok("old")).unwrap();
    clock.advance(Duration::from_secs(9));
    let again = backend.node();
    assert_eq!(text(&again, "short", ttl(3600), "new"), "old");
    clock.advance(Duration::from_secs(1));
    let later = backend.node();
    for node in [&again, &later] {
        assert_eq!(text(node, "long", ttl(3600), "new"), "old");
        assert_eq!(text(node, "ever", Options::forever(), "new"), "old");
    }
    assert_eq!(text(&again, "short", ttl(3600), "new"), "new", "not a second later for having been promoted");
    assert_eq!(text(&later, "long", ttl(5), "newer"), "newer", "older than this caller takes");
}

fn invalidating_reaches_what_was_computed_before(backend: &mut Backend) {
    let ways: [fn(&FragmentCache) -> minijinja_cache::Invalidation; 3] =
        [|cache| cache.invalidate("k"), |cache| cache.invalidate_tag("t"), FragmentCache::clear];
    for invalidate in ways {
        let here = backend.node();
        text(&here, "k", tagged(), "old");
        text(&here, "other", Options::default(), "kept");
        let again = backend.node();
        assert_eq!(text(&again, "k", tagged(), "-"), "old");
        let told = invalidate(&again);
        assert_eq!(text(&again, "k", tagged(), "new"), "new", "at once here");
        told.wait().unwrap();
        let third = backend.node();
        let served = text(&third, "k", tagged(), "newer");
        assert_ne!(served, "old");
        third.clear().wait().unwrap();
    }
}

fn namespaces_are_apart_and_clear_within(backend: &mut Backend) {
    let here = backend.node();
    let of = |cache: &FragmentCache, name: &str| cache.namespace(name);
    for name in ["blog", "shop"] {
        text(&of(&here, name), "k", Options::default(), name);
    }
    let again = backend.node();
    assert_eq!(text(&of(&again, "blog"), "k", Options::default(), "-"), "blog");
    of(&again, "blog").clear().wait().unwrap();
    let third = backend.node();
    assert_eq!(text(&of(&third, "blog"), "k", Options::default(), "new"), "new");
    assert_eq!(text(&of(&third, "shop"), "k", Options::default(), "new"), "shop");
}

fn versions_and_variants_are_told_apart(backend: &mut Backend) {
    let here = backend.node();
    for language in ["de", "en"] {
        text(&here, "k", Options::default().vary(language), language);
    }
    text(&here, "v", Options::default().version(1), "one");
    let again = backend.node();
    assert_eq!(text(&again, "k", Options::default().vary("en"), "-"), "en");
    assert_eq!(text(&again, "k", Options::default().vary("de"), "-"), "de");
    assert_eq!(text(&again, "v", Options::default().version(1), "-"), "one");
    assert_eq!(text(&again, "v", Options::default().version(2), "two"), "two");
    let third = backend.node();
    assert_eq!(text(&third, "v", Options::default().version(2), "-"), "two");
}

fn an_error_is_not_stored(backend: &mut Backend) {
    let here = backend.node();
    let failed = here.get_or_set("k", Options::default(), || Err::<String, _>("no"));
    assert_eq!(failed.unwrap_err(), "no");
    assert_eq!(text(&backend.node(), "k", Options::default(), "yes"), "yes");
}

fn what_is_uncacheable_is_not_stored(backend: &mut Backend) {
    let here = backend.node();
    assert_eq!(text(&here, "k", Options::ttl(Duration::ZERO), "1"), "1");
    let (env, _) = page(&here, "{% cache 'k' %}{{ tick() }}{{ cache_skip() }}{% endcache %}");
    assert_eq!([show(&env), show(&env)], ["1", "2"]);
    let again = backend.node();
    let (env, ticks) = page(&again, "{% cache 'k' %}{{ tick() }}{{ cache_skip() }}{% endcache %}");
    show(&env);
    assert_eq!(ticks.load(Ordering::SeqCst), 1);
    assert_eq!(again.stats().shared_hits, 0);
}

/// An environment that all nodes know, with one page, what it includes, and a count of runs.
fn page<'a>(cache: &FragmentCache, source: &str) -> (Environment<'a>, std::sync::Arc<AtomicU64>) {
    let mut env = Environment::new();
    cache.add_to_environment_as("web", &mut env);
    cache.add_template(&mut env, "part.html", "<i>part</i>").unwrap();
    cache.add_template(&mut env, "p.html", source).unwrap();
    let ticks = std::sync::Arc::new(AtomicU64::new(0));
    let count = std::sync::Arc::clone(&ticks);
    env.add_function("tick", move || count.fetch_add(1, Ordering::SeqCst) + 1);
    (env, ticks)
}

fn show(env: &Environment<'_>) -> String {
    env.get_template("p.html").unwrap().render(context! { x => "<" }).unwrap()
}

fn blocks_bring_their_tags_lifetimes_and_templates_along(backend: &mut Backend) {
    const PAGE: &str = "{% cache 'outer' 3600 %}{{ tick() }}{% cache ['inner', x] 10 tags=['t'] %}{{ x }}{% include 'part.html' %}{% endcache %}{% endcache %}";
    let clock = backend.clock().clone();
    let here = backend.node();
    let (env, ticks) = page(&here, PAGE);
    assert_eq!(show(&env), "1&lt;<i>part</i>");
    let again = backend.node();
    // In memory there is one node, and one environment.
    let (env, ticks) = if backend.is_shared() { page(&again, PAGE) } else { (env, ticks) };
    let renders = || ticks.load(Ordering::SeqCst);
    let before = renders();
    show(&env);
    assert_eq!(renders(), before, "served");
    // Each of what the inner one depends on ends the outer one too.
    let changes: [&dyn Fn(); 3] = [
        &|| again.invalidate_tag("t").wait().unwrap(),
        &|| again.invalidate_template("part.html").wait().unwrap(),
        &|| clock.advance(Duration::from_secs(10)),
    ];
    for (at, change) in changes.into_iter().enumerate() {
        change();
        show(&env);
        assert!(again.flush(crate::servers::STUCK));
        show(&env);
        assert_eq!(renders(), before + 1 + at as u64, "after change {at}");
    }
}

fn an_entry_too_large_is_served_and_leaves_no_older_one_behind(backend: &mut Backend) {
    let large = "x".repeat(3 << 20);
    let here = backend.node();
    text(&here, "k", Options::default().version(1), "small");
    assert!(here.flush(crate::servers::STUCK));
    assert_eq!(text(&here, "k", Options::default().version(2), &large), large);
    let again = backend.node();
    assert_ne!(text(&again, "k", Options::default().version(2), "new"), "small");
}

/// Readers and an invalidator on one node, whatever is behind it.
fn nothing_from_before_an_invalidation_is_served_after_it(backend: &mut Backend) {
    const WRITES: u64 = 150;
    let node = backend.node();
    let source = AtomicU64::new(0);
    let published = AtomicU64::new(0);
    let start = Barrier::new(3);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                start.wait();
                loop {
                    let least = published.load(Ordering::SeqCst);
                    let read = || ok(source.load(Ordering::SeqCst).to_string());
                    let served: u64 = node.get_or_set("k", tagged(), read).unwrap().parse().unwrap();
                    assert!(served >= least, "{served} after {least} was invalidated");
                    if served == WRITES {
                        return;
                    }
                }
            });
        }
        start.wait();
        for version in 1..=WRITES {
            source.store(version, Ordering::SeqCst);
            let _ = if version % 2 == 0 { node.invalidate("k") } else { node.invalidate_tag("t") };
            published.store(version, Ordering::SeqCst);
            if version % 8 == 0 {
                thread::sleep(Duration::from_millis(1));
            }
        }
    });
}
