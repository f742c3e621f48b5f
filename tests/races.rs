//! Invalidation against renders under way: after an invalidation returned, nothing from before it is returned to a
//! caller who arrives later. A "database" only ever counts up; whoever invalidates publishes what a later reader must
//! at least see.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use minijinja::{Environment, Value, context};
use minijinja_cache::{FragmentCache, Options, lazy};

const READERS: usize = 4;
const STRESS: Duration = Duration::from_millis(700);

/// What is true, and what has been announced.
#[derive(Default)]
struct World {
    truth: AtomicU64,
    announced: AtomicU64,
}

impl World {
    fn read(&self) -> u64 {
        self.truth.load(Ordering::SeqCst)
    }
}

/// Readers call `read` while one writer changes the truth, invalidates, and announces. Returns how many reads were
/// older than what was announced before they began, and how many there were.
fn stress(world: &World, read: impl Fn() -> u64 + Sync, invalidate: impl Fn() + Sync) -> (u64, u64) {
    let (stale, reads, over) = (AtomicU64::new(0), AtomicU64::new(0), AtomicBool::new(false));
    std::thread::scope(|threads| {
        for _ in 0..READERS {
            threads.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    let least = world.announced.load(Ordering::SeqCst);
                    let seen = read();
                    reads.fetch_add(1, Ordering::Relaxed);
                    if seen < least {
                        stale.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
        let end = Instant::now() + STRESS;
        while Instant::now() < end {
            let next = world.truth.fetch_add(1, Ordering::SeqCst) + 1;
            invalidate();
            world.announced.store(next, Ordering::SeqCst);
            std::thread::yield_now();
        }
        over.store(true, Ordering::Relaxed);
    });
    (stale.into_inner(), reads.into_inner())
}

fn assert_never_stale(world: &World, read: impl Fn() -> u64 + Sync, invalidate: impl Fn() + Sync) {
    let (stale, reads) = stress(world, read, invalidate);
    assert!(reads > 100, "only {reads} reads");
    assert_eq!(stale, 0, "of {reads} reads");
}

fn page(source: &str) -> (FragmentCache, Environment<'static>, Arc<World>) {
    let world = Arc::new(World::default());
    let cache = FragmentCache::builder().build().unwrap();
    let mut env = Environment::new();
    cache.add_to_environment(&mut env);
    let reads = Arc::clone(&world);
    env.add_function("db", move || reads.read());
    cache.add_template(&mut env, "page", source).unwrap();
    (cache, env, world)
}

fn render(env: &Environment<'_>, context: Value) -> u64 {
    env.get_template("page").unwrap().render(context).unwrap().trim().parse().unwrap()
}

const BLOCK: &str = "{% cache 'k' 60 tags=['t'] %}{{ db() }}{% endcache %}";
const NESTED: &str = "{% cache 'outer' 60 %}{% cache 'k' 60 tags=['t'] %}{{ db() }}{% endcache %}{% endcache %}";

#[test]
fn a_race_against_a_plain_map_is_lost_so_the_stress_can_fail() {
    let world = World::default();
    let map = Mutex::new(None);
    let read = || {
        if let Some(seen) = *map.lock().unwrap() {
            return seen;
        }
        let seen = world.read();
        std::thread::yield_now();
        *map.lock().unwrap() = Some(seen);
        seen
    };
    let (stale, _) = stress(&world, read, || *map.lock().unwrap() = None);
    assert!(stale > 0, "a cache without floors serves stale values under this load");
}

#[test]
fn invalidating_a_key() {
    let (cache, env, world) = page(BLOCK);
    assert_never_stale(
        &world,
        || render(&env, context! {}),
        || {
            cache.invalidate("k");
        },
    );
}

#[test]
fn invalidating_a_tag() {
    let (cache, env, world) = page(BLOCK);
    assert_never_stale(
        &world,
        || render(&env, context! {}),
        || {
            cache.invalidate_tag("t");
        },
    );
}

#[test]
fn clearing() {
    let (cache, env, world) = page(BLOCK);
    assert_never_stale(
        &world,
        || render(&env, context! {}),
        || {
            cache.clear();
        },
    );
}

#[test]
fn clearing_a_namespace() {
    let cache = FragmentCache::builder().build().unwrap();
    let blog = cache.namespace("blog");
    let world = World::default();
    let read = || blog.get_or_set_value("k", Options::default(), || Ok::<_, Infallible>(world.read())).unwrap();
    assert_never_stale(&world, read, || {
        blog.clear();
    });
}

#[test]
fn invalidating_the_key_inside_an_enclosing_fragment() {
    let (cache, env, world) = page(NESTED);
    assert_never_stale(
        &world,
        || render(&env, context! {}),
        || {
            cache.invalidate("k");
        },
    );
}

#[test]
fn invalidating_the_tag_inside_an_enclosing_fragment() {
    let (cache, env, world) = page(NESTED);
    assert_never_stale(
        &world,
        || render(&env, context! {}),
        || {
            cache.invalidate_tag("t");
        },
    );
}

#[test]
fn invalidating_what_a_closure_computed() {
    let cache = FragmentCache::builder().build().unwrap();
    let world = World::default();
    let read =
        || cache.get_or_set_value("k", Options::default().tag("t"), || Ok::<_, Infallible>(world.read())).unwrap();
    assert_never_stale(&world, read, || {
        cache.invalidate_tag("t");
    });
}

#[test]
fn data_read_before_the_render_inside_a_scope() {
    let (cache, env, world) = page("{% cache 'k' 60 tags=['t'] %}{{ seen }}{% endcache %}");
    let read = || {
        cache.scope().run(|| {
            let seen = world.read();
            std::thread::yield_now();
            render(&env, context! { seen })
        })
    };
    assert_never_stale(&world, read, || {
        cache.invalidate_tag("t");
    });
}

#[test]
fn data_read_by_a_handler_before_a_closure_inside_a_scope() {
    let cache = FragmentCache::builder().build().unwrap();
    let world = World::default();
    let read = || {
        cache.scope().run(|| {
            let seen = world.read();
            std::thread::yield_now();
            cache.get_or_set_value("k", Options::default(), || Ok::<_, Infallible>(seen)).unwrap()
        })
    };
    assert_never_stale(&world, read, || {
        cache.invalidate("k");
    });
}

#[test]
fn data_read_by_the_template_before_the_block() {
    let (cache, env, world) = page("{% set seen = db() %}{% cache 'k' 60 tags=['t'] %}{{ seen }}{% endcache %}");
    assert_never_stale(
        &world,
        || render(&env, context! {}),
        || {
            cache.invalidate_tag("t");
        },
    );
}

#[test]
fn a_lazy_value_read_in_one_fragment_and_used_in_another() {
    let (cache, env, world) = page("{% set first = rows[0] %}{% cache 'k' 60 tags=['t'] %}{{ rows[0] }}{% endcache %}");
    let world = &world;
    let read = || {
        let of = Arc::clone(world);
        render(&env, context! { rows => lazy(move || Ok::<_, Infallible>(vec![of.read()])) })
    };
    assert_never_stale(world, read, || {
        cache.invalidate_tag("t");
    });
}

/// Templates that change, and an environment that loads them.
struct Shelf {
    cache: FragmentCache,
    env: Environment<'static>,
    sources: Arc<Mutex<HashMap<String, String>>>,
}

impl Shelf {
    fn new(templates: &[(&str, &str)]) -> Shelf {
        let cache = FragmentCache::builder().build().unwrap();
        let sources: HashMap<String, String> =
            templates.iter().map(|(name, source)| ((*name).to_owned(), (*source).to_owned())).collect();
        let sources = Arc::new(Mutex::new(sources));
        let mut env = Environment::new();
        cache.add_to_environment(&mut env);
        let shelf = Arc::clone(&sources);
        env.set_loader(cache.loader(move |name| Ok(shelf.lock().unwrap().get(name).cloned())));
        Shelf { cache, env, sources }
    }

    fn put(&self, name: &str, source: &str) {
        self.sources.lock().unwrap().insert(name.to_owned(), source.to_owned());
        self.cache.invalidate_template(name);
    }
}

#[test]
fn replacing_an_included_template() {
    let shelf = Shelf::new(&[("page", "{% cache 'k' 60 %}{% include 'part' %}{% endcache %}"), ("part", "0")]);
    let world = World::default();
    assert_never_stale(&world, || render(&shelf.env, context! {}), || shelf.put("part", &world.read().to_string()));
}

#[test]
fn replacing_an_imported_template() {
    let source = "{% import 'lib' as lib %}{% cache 'k' 60 %}{{ lib.version() }}{% endcache %}";
    let shelf = Shelf::new(&[("page", source), ("lib", "{% macro version() %}0{% endmacro %}")]);
    let world = World::default();
    let replace = || shelf.put("lib", &format!("{{% macro version() %}}{}{{% endmacro %}}", world.read()));
    assert_never_stale(&world, || render(&shelf.env, context! {}), replace);
}

#[test]
fn saving_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let part = folder.path().join("part");
    std::fs::write(folder.path().join("page"), "{% cache 'k' 60 %}{% include 'part' %}{% endcache %}").unwrap();
    std::fs::write(&part, "0").unwrap();
    let cache = FragmentCache::builder().build().unwrap();
    let mut env = Environment::new();
    cache.add_to_environment(&mut env);
    env.set_loader(cache.path_loader(folder.path()).unwrap());
    let _watcher = cache.watch(folder.path()).unwrap();
    let world = World::default();
    // Whoever saves is told by the watcher, not by a return: he announces once a reader has seen the change.
    let save = || {
        let next = folder.path().join(".next");
        std::fs::write(&next, world.read().to_string()).unwrap();
        std::fs::rename(&next, &part).unwrap();
        let saved = Instant::now();
        while render(&env, context! {}) < world.read() {
            assert!(saved.elapsed() < Duration::from_secs(10), "a saved file was never noticed");
            std::thread::yield_now();
        }
    };
    assert_never_stale(&world, || render(&env, context! {}), save);
}

/// Runs `change` when a template calls `hook()`, the first time.
fn with_hook(shelf: &mut Shelf, change: impl Fn(&FragmentCache) + Send + Sync + 'static) {
    let (done, cache) = (AtomicBool::new(false), shelf.cache.clone());
    shelf.env.add_function("hook", move || {
        if !done.swap(true, Ordering::SeqCst) {
            change(&cache);
        }
        ""
    });
}

#[test]
fn a_template_replaced_between_its_loading_and_the_storing_is_shown_and_not_stored() {
    let mut shelf =
        Shelf::new(&[("page", "{% cache 'k' 60 %}{% include 'part' %}{{ hook() }}{% endcache %}"), ("part", "1")]);
    let sources = Arc::clone(&shelf.sources);
    with_hook(&mut shelf, move |cache| {
        sources.lock().unwrap().insert("part".into(), "2".into());
        cache.invalidate_template("part");
    });
    assert_eq!(render(&shelf.env, context! {}), 1);
    assert_eq!(shelf.cache.stats().stores, 0);
    assert_eq!(render(&shelf.env, context! {}), 2);
    assert_eq!(shelf.cache.stats().stores, 1);
}

#[test]
fn a_library_replaced_between_its_import_and_the_block_is_shown_and_not_stored() {
    let source = "{% import 'lib' as lib %}{{ hook() }}{% cache 'k' 60 %}{{ lib.version() }}{% endcache %}";
    let mut shelf = Shelf::new(&[("page", source), ("lib", "{% macro version() %}1{% endmacro %}")]);
    let sources = Arc::clone(&shelf.sources);
    with_hook(&mut shelf, move |cache| {
        sources.lock().unwrap().insert("lib".into(), "{% macro version() %}2{% endmacro %}".into());
        cache.invalidate_template("lib");
    });
    assert_eq!(render(&shelf.env, context! {}), 1);
    assert_eq!(render(&shelf.env, context! {}), 2);
    assert_eq!(render(&shelf.env, context! {}), 2);
    assert_eq!(shelf.cache.stats().hits, 1);
}

#[test]
fn a_tag_invalidated_during_the_body_is_shown_and_not_stored() {
    let mut shelf = Shelf::new(&[("page", "{% cache 'k' 60 %}1{{ hook() }}{{ cache_tag('late') }}{% endcache %}")]);
    with_hook(&mut shelf, |cache| {
        cache.invalidate_tag("late");
    });
    assert_eq!(render(&shelf.env, context! {}), 1);
    assert_eq!(shelf.cache.stats().stores, 0);
    assert_eq!(render(&shelf.env, context! {}), 1);
    assert_eq!(shelf.cache.stats().stores, 1);
}

#[test]
fn sixty_four_threads_on_a_cold_key_render_once() {
    let (cache, env, _) = page("{% cache 'k' 60 %}{{ db() }}{{ slow() }}{% endcache %}");
    let mut env = env;
    env.add_function("slow", || {
        std::thread::sleep(Duration::from_millis(30));
        ""
    });
    let start = std::sync::Barrier::new(64);
    std::thread::scope(|threads| {
        for _ in 0..64 {
            threads.spawn(|| {
                start.wait();
                assert_eq!(render(&env, context! {}), 0);
            });
        }
    });
    let stats = cache.stats();
    assert_eq!((stats.renders, stats.hits + stats.waits), (1, 63), "{stats:?}");
}

#[test]
fn nesting_a_in_b_while_another_nests_b_in_a_ends() {
    let cache = FragmentCache::builder().build().unwrap();
    let round = |outer: &str, inner: &str| {
        let text = |text: &str| Ok::<_, Infallible>(text.to_owned());
        cache
            .get_or_set(outer, Options::default(), || {
                std::thread::yield_now();
                cache.get_or_set(inner, Options::default(), || text(inner)).map(String::from)
            })
            .unwrap()
    };
    for _ in 0..500 {
        cache.clear();
        std::thread::scope(|threads| {
            threads.spawn(|| round("a", "b"));
            threads.spawn(|| round("b", "a"));
        });
    }
    assert_eq!(cache.stats().wait_timeouts, 0, "nobody had to give up waiting");
}

#[test]
fn followers_of_a_failing_or_panicking_leader_take_over() {
    let cache = FragmentCache::builder().build().unwrap();
    for panics in [false, true] {
        cache.clear();
        let (attempts, start) = (AtomicU64::new(0), std::sync::Barrier::new(8));
        let compute = || {
            std::thread::sleep(Duration::from_millis(5));
            match attempts.fetch_add(1, Ordering::SeqCst) {
                0 if panics => panic!("on purpose"),
                0 => Err("on purpose"),
                _ => Ok("fine".to_owned()),
            }
        };
        let outcomes: Vec<bool> = std::thread::scope(|threads| {
            let callers: Vec<_> = (0..8)
                .map(|_| {
                    threads.spawn(|| {
                        start.wait();
                        cache.get_or_set("k", Options::default(), compute).is_ok_and(|text| text == "fine")
                    })
                })
                .collect();
            callers.into_iter().map(|caller| caller.join().unwrap_or(false)).collect()
        });
        assert_eq!(outcomes.iter().filter(|fine| **fine).count(), 7, "only the leader failed");
        assert_eq!(attempts.into_inner(), 2, "the next one computed, and the others got that");
    }
}
