//! Invalidation against renders on other threads: nothing older than what was invalidated is ever shown again.
//!
//! The storms share one shape: a writer raises a version, invalidates, and publishes the version as a floor; readers
//! read the floor, then a page, and must find nothing older. They run for about a second each, and for longer where
//! the machine is so busy that too little happened.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use minijinja::{Environment, context};
use minijinja_cache::{FragmentCache, Options, Stats, lazy};

use crate::data::{Db, blocks, versioned};
use crate::support::{STUCK, cache, env_of, ok, p, show};

const STORM: Duration = Duration::from_millis(800);
const READERS: usize = 4;

/// `write(version)` changes and invalidates; `read()` shows a page of versions.
pub fn storm(cache: &FragmentCache, write: impl Fn(u64) + Sync, read: impl Fn() -> String + Sync) {
    storm_until(|stats| stats.hits > 100 && stats.stores > 10 && stats.invalidations > 10, cache, write, read);
}

/// The same, until enough has happened.
pub fn storm_until(
    enough: impl Fn(&Stats) -> bool,
    cache: &FragmentCache,
    write: impl Fn(u64) + Sync,
    read: impl Fn() -> String + Sync,
) {
    let (floor, over, reads) = (AtomicU64::new(0), AtomicBool::new(false), AtomicU64::new(0));
    let stale = Mutex::new(Vec::new());
    write(0);
    thread::scope(|scope| {
        for _ in 0..READERS {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    let oldest = floor.load(Ordering::SeqCst);
                    let page = read();
                    reads.fetch_add(1, Ordering::Relaxed);
                    let versions = page.split_whitespace().map(|version| version.parse::<u64>().unwrap());
                    if versions.min().unwrap() < oldest {
                        stale.lock().unwrap().push((oldest, page));
                    }
                }
            });
        }
        let start = Instant::now();
        let mut version = 0;
        while start.elapsed() < STORM || (!enough(&cache.stats()) && start.elapsed() < STUCK) {
            version += 1;
            write(version);
            floor.store(version, Ordering::SeqCst);
            // Leave time for some hits between changes.
            let seen = reads.load(Ordering::Relaxed);
            while reads.load(Ordering::Relaxed) < seen + 20 && start.elapsed() < STUCK {
                thread::yield_now();
            }
        }
        over.store(true, Ordering::Relaxed);
    });
    let stale = stale.into_inner().unwrap();
    assert!(stale.is_empty(), "{} stale pages, such as {:?}", stale.len(), &stale[..stale.len().min(5)]);
    let stats = cache.stats();
    assert!(enough(&stats), "no storm: {stats:?}");
}

fn storm_of_blocks(source: &str, invalidate: impl Fn(&FragmentCache) + Sync) {
    let (cache, db) = (cache(), Db::default());
    let env = blocks(&db, &cache, source);
    let write = |version| {
        db.write(version);
        invalidate(&cache);
    };
    storm(&cache, write, || p(&env));
}

#[test]
fn nothing_older_than_an_invalidation_of_its_key_is_shown() {
    storm_of_blocks("{% cache 'k' %}{{ db() }}{% endcache %}", |cache| drop(cache.invalidate("k")));
}

#[test]
fn nothing_older_than_an_invalidation_of_its_tag_is_shown() {
    storm_of_blocks("{% cache 'k' tags=['t'] %}{{ db() }}{% endcache %}", |cache| drop(cache.invalidate_tag("t")));
    storm_of_blocks("{% cache 'k' %}{{ db() }} {{ cache_tag('t') }}{% endcache %}", |cache| {
        drop(cache.invalidate_tag("t"));
    });
}

#[test]
fn nothing_older_than_a_clear_is_shown() {
    storm_of_blocks("{% cache 'k' %}{{ db() }}{% endcache %}", |cache| drop(cache.clear()));
}

#[test]
fn nothing_older_is_shown_by_what_encloses_it() {
    let nested = "{% cache 'k' %}{% cache 'm' %}{{ db() }} {% include 'part' %}{% endcache %} {{ cache_partial('part', 'z') }}{% endcache %}";
    storm_of_blocks(nested, |cache| {
        cache.invalidate("m");
        cache.invalidate_tag("t");
    });
    storm_of_blocks("{% cache 'k' %}{% include 'part' %}{% endcache %}", |cache| drop(cache.invalidate("inner")));
}

#[test]
fn data_read_early_in_the_render_is_as_old_as_the_render() {
    storm_of_blocks("{% set x = db() %}{% cache 'k' tags=['t'] %}{{ x }}{% endcache %}", |cache| {
        drop(cache.invalidate_tag("t"));
    });
}

#[test]
fn nothing_older_than_a_clear_of_its_namespace_is_shown() {
    let (all, db) = (cache(), Db::default());
    let blog = all.namespace("site").namespace("blog");
    let env = blocks(&db, &blog, "{% cache 'k' %}{{ db() }}{% endcache %}");
    let write = |version| {
        db.write(version);
        all.namespace("site").clear();
    };
    storm(&all, write, || p(&env));
}

#[test]
fn data_read_in_a_scope_before_the_render_is_as_old_as_the_scope() {
    let (cache, db) = (cache(), Db::default());
    let env = env_of(&cache, &[("p", "{% cache 'o' %}{% cache 'k' tags=['t'] %}{{ x }}{% endcache %}{% endcache %}")]);
    let write = |version| {
        db.write(version);
        cache.invalidate_tag("t");
    };
    let read = || {
        cache.scope().run(|| {
            let x = db.read();
            show(&env, "p", context! { x })
        })
    };
    storm(&cache, write, read);
}

#[test]
fn a_lazy_value_is_as_old_as_its_query() {
    let (cache, db) = (cache(), Db::default());
    let env = env_of(
        &cache,
        &[(
            "p",
            "{{ x }} {% cache 'k' tags=['t'] %}{{ x }}{% endcache %} {% cache 'l' tags=['t'] %}{{ x }}{% endcache %}",
        )],
    );
    let write = |version| {
        db.write(version);
        cache.invalidate_tag("t");
    };
    let read = || {
        let db = db.clone();
        show(&env, "p", context! { x => lazy(move || ok(db.read())) })
    };
    storm(&cache, write, read);
}

#[test]
fn texts_and_values_of_handlers_are_never_older_than_an_invalidation() {
    let (cache, db) = (cache(), Db::default());
    let write = |version| {
        db.write(version);
        cache.invalidate_tag("t");
        cache.invalidate("v");
    };
    let read = || {
        let tagged = || Options::default().tag("t");
        let text = cache.get_or_set("k", tagged(), || ok(db.read().to_string())).unwrap();
        let value = cache.get_or_set_value("v", Options::default(), || ok(db.read())).unwrap();
        let both = cache.get_or_set("both", Options::default(), || {
            let inner = cache.get_or_set_value("v", Options::default(), || ok(db.read()))?;
            ok(format!("{inner} {}", cache.get_or_set("k", tagged(), || ok(db.read().to_string()))?))
        });
        format!("{text} {value} {}", both.unwrap())
    };
    storm(&cache, write, read);
}

#[test]
fn futures_are_never_older_than_an_invalidation() {
    let (cache, db) = (cache(), Db::default());
    let env = env_of(&cache, &[("p", "{% cache 'k' tags=['t'] %}{{ x }}{% endcache %}")]);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    let write = |version| {
        db.write(version);
        cache.invalidate_tag("t");
    };
    let read = || {
        runtime.block_on(async {
            let load = async {
                let x = db.read();
                tokio::task::yield_now().await;
                ok(x.to_string())
            };
            let text = cache.get_or_set_async("a", Options::default().tag("t"), load).await.unwrap();
            let page = cache.scope().run_async(async {
                let x = db.read();
                tokio::task::yield_now().await;
                show(&env, "p", context! { x })
            });
            format!("{text} {}", page.await)
        })
    };
    storm(&cache, write, read);
}

#[test]
fn nothing_made_from_a_template_is_older_than_its_change() {
    for (page, name) in [
        ("{% cache 'k' %}{% include 'x' %}{% endcache %}", "x"),
        ("{% import 'lib' as l %}{% cache 'k' %}{{ l.m() }}{% endcache %}", "lib"),
        ("{% extends 'base' %}{% block b %}{% cache 'k' %}{{ super() }}{% endcache %}{% endblock %}", "base"),
        ("{{ cache_partial('x', 'k') }}", "x"),
    ] {
        let (cache, db) = (cache(), Db::default());
        let env = versioned(&cache, &db, page);
        let write = |version| {
            db.write(version);
            cache.invalidate_template(name);
        };
        storm(&cache, write, || p(&env));
    }
}

#[test]
fn adding_a_template_to_ones_own_clone_is_seen_at_once_whatever_other_clones_store() {
    let cache = cache();
    let env = env_of(&cache, &[("p", "{% cache 'k' %}{% include 'x' %}{% endcache %}"), ("x", "0")]);
    let (version, start) = (Mutex::new(0_u64), Instant::now());
    thread::scope(|scope| {
        for _ in 0..READERS {
            scope.spawn(|| {
                let mut env = env.clone();
                while start.elapsed() < STORM {
                    let mine = {
                        let mut version = version.lock().unwrap();
                        *version += 1;
                        cache.add_template(&mut env, "x", &version.to_string()).unwrap();
                        *version
                    };
                    for _ in 0..5 {
                        let shown: u64 = p(&env).parse().unwrap();
                        assert!(shown >= mine, "{shown} after {mine} was added");
                    }
                }
            });
        }
    });
    assert!(cache.stats().stores > 10, "{:?}", cache.stats());
}

#[cfg(feature = "watch")]
#[test]
fn once_a_saved_file_was_seen_nothing_older_is_shown() {
    let (cache, folder) = (cache(), tempfile::TempDir::new().unwrap());
    let save = |version: u64| std::fs::write(folder.path().join("x"), version.to_string()).unwrap();
    std::fs::write(folder.path().join("p"), "{% cache 'k' %}{% include 'x' %}{% endcache %}").unwrap();
    save(0);
    let mut env = Environment::new();
    cache.add_to_environment(&mut env);
    env.set_loader(cache.path_loader(folder.path()).unwrap());
    let _watcher = cache.watch(folder.path()).unwrap();
    let read = || p(&env);
    let write = |version: u64| {
        // A reader may find the file while it is being written; so rename.
        std::fs::write(folder.path().join(".x"), version.to_string()).unwrap();
        std::fs::rename(folder.path().join(".x"), folder.path().join("x")).unwrap();
        let start = Instant::now();
        while read().parse::<u64>().unwrap() < version {
            assert!(start.elapsed() < Duration::from_secs(10), "{version} was never seen");
            thread::yield_now();
        }
    };
    storm(&cache, write, read);
}
