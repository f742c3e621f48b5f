//! Single flight: of all who miss one key at once, one computes, nobody is stuck, and nobody gets what is not his.

use std::convert::Infallible;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Barrier, Condvar, Mutex};
use std::thread;
use std::time::Duration;

use minijinja::{Environment, Error, ErrorKind, context};
use minijinja_cache::{FragmentCache, ManualClock, Options};

use crate::support::{STUCK, Ticks, cache, env_of, must_end, ok, p, show, until};

const CALLERS: usize = 64;

/// Opens once, for all who wait.
#[derive(Clone, Default)]
struct Gate(Arc<(Mutex<bool>, Condvar)>);

impl Gate {
    fn open(&self) {
        *self.0.0.lock().unwrap() = true;
        self.0.1.notify_all();
    }

    fn pass(&self) {
        let open = self.0.0.lock().unwrap();
        let wait = self.0.1.wait_timeout_while(open, STUCK, |open| !*open).unwrap().1;
        assert!(!wait.timed_out(), "nobody opened the gate");
    }
}

/// Runs `call` on many threads at once and gives what each returned.
fn at_once<T: Send>(callers: usize, call: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let start = Barrier::new(callers);
    thread::scope(|scope| {
        let (start, call) = (&start, &call);
        let threads: Vec<_> = (0..callers)
            .map(|n| {
                scope.spawn(move || {
                    start.wait();
                    call(n)
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

/// A body that does not end before all other callers have missed as well.
fn until_all_missed(cache: &FragmentCache) {
    until("all callers have missed", || cache.stats().misses >= CALLERS as u64);
}

#[test]
fn sixty_four_callers_of_a_cold_block_render_it_once() {
    let cache = cache();
    let (mut env, runs) = (env_of(&cache, &[("p", "{% cache 'k' %}{{ body() }}{% endcache %}")]), Ticks::default());
    let (seen, calls) = (cache.clone(), runs.clone());
    env.add_function("body", move || {
        until_all_missed(&seen);
        calls.tick()
    });
    assert_eq!(at_once(CALLERS, |_| p(&env)), vec!["1"; CALLERS]);
    let stats = cache.stats();
    assert_eq!((runs.count(), stats.misses, stats.waits, stats.stores), (1, 64, 63, 1));
}

fn page_with_an_import() -> (FragmentCache, Environment<'static>, Ticks) {
    let cache = cache();
    let mut env = Environment::new();
    cache.add_to_environment(&mut env);
    env.set_loader(cache.loader(|name| {
        Ok(match name {
            "p" => Some(
                "{% import 'lib' as lib %}{% cache 'k' %}{{ lib.m() }}{% include 'leaf' %}{{ tick() }}{% endcache %}"
                    .into(),
            ),
            "lib" => Some("{% macro m() %}m{% endmacro %}".into()),
            "leaf" => Some("l".into()),
            _ => None,
        })
    }));
    let runs = Ticks::add_to(&mut env);
    (cache, env, runs)
}

#[test]
fn sixty_four_callers_of_a_page_that_imports_render_the_block_once() {
    let (cache, env, runs) = page_with_an_import();
    // Twice: MiniJinja says which template it holds when it is looked up again.
    for _ in 0..2 {
        p(&env);
        cache.clear();
    }
    for round in 3..20 {
        at_once(CALLERS, |_| p(&env));
        assert_eq!(runs.count(), round);
        cache.clear();
    }
}

#[test]
fn sixty_four_callers_do_not_queue_up_while_templates_are_loaded_for_the_first_time() {
    for _ in 0..20 {
        let (_, env, runs) = page_with_an_import();
        at_once(CALLERS, |_| p(&env));
        assert!(runs.count() < CALLERS as u64 / 4, "{} renders", runs.count());
        let before = runs.count();
        p(&env);
        assert_eq!(runs.count(), before, "not stored");
    }
}

#[test]
fn sync_callers_of_one_key_compute_once() {
    let (cache, runs) = (cache(), Ticks::default());
    let results = at_once(CALLERS, |_| {
        let load = || {
            until_all_missed(&cache);
            ok(runs.tick().to_string())
        };
        cache.get_or_set("k", Options::default(), load).unwrap()
    });
    assert!(results.iter().all(|text| text == "1"));
    assert_eq!(runs.count(), 1);
}

#[test]
fn a_failing_leader_lets_the_next_one_try() {
    let (cache, runs) = (cache(), Ticks::default());
    let results = at_once(CALLERS, |_| {
        cache.get_or_set("k", Options::default(), || {
            let run = runs.tick();
            if run == 1 {
                until_all_missed(&cache);
            }
            if run <= 3 { Err(run) } else { Ok(run.to_string()) }
        })
    });
    let mut failed: Vec<u64> = results.iter().filter_map(|result| result.as_ref().err().copied()).collect();
    failed.sort_unstable();
    assert_eq!(failed, [1, 2, 3]);
    assert!(results.iter().flatten().all(|text| text == "4"));
    assert_eq!(runs.count(), 4);
}

#[test]
fn a_panicking_leader_lets_the_next_one_try() {
    let (cache, runs) = (cache(), Ticks::default());
    let results = at_once(CALLERS, |_| {
        let call = || {
            cache.get_or_set("k", Options::default(), || -> Result<String, Infallible> {
                let run = runs.tick();
                if run == 1 {
                    until_all_missed(&cache);
                    panic!("leader");
                }
                Ok(run.to_string())
            })
        };
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(call)).ok()
    });
    assert_eq!(results.iter().filter(|result| result.is_none()).count(), 1);
    assert!(results.iter().flatten().all(|text| text.as_ref().is_ok_and(|text| text == "2")));
}

#[test]
fn a_block_whose_body_fails_wakes_the_next_who_waits() {
    let (cache, runs) = (cache(), Ticks::default());
    let mut env = env_of(&cache, &[("p", "{% cache 'k' %}{{ body() }}{% endcache %}")]);
    let (seen, calls) = (cache.clone(), runs.clone());
    env.set_debug(true);
    env.add_function("body", move || match calls.tick() {
        1 => {
            until_all_missed(&seen);
            Err(Error::new(ErrorKind::InvalidOperation, "body"))
        }
        n => Ok(n),
    });
    // The errors are kept: what they hold of the render must keep nobody waiting.
    let results = at_once(CALLERS, |_| env.get_template("p").unwrap().render(context! {}));
    assert_eq!(results.iter().filter(|result| result.is_err()).count(), 1);
    assert_eq!((runs.count(), cache.stats().wait_timeouts), (2, 0));
}

#[test]
fn nesting_a_in_b_while_another_thread_nests_b_in_a_ends() {
    must_end(|| {
        let cache = FragmentCache::builder().wait_timeout(Duration::MAX).build().unwrap();
        let env = Arc::new(env_of(
            &cache,
            &[
                ("ab", "{% cache ['a', n] %}a{% cache ['b', n] %}b{% endcache %}{% endcache %}"),
                ("abc", "{% cache ['a', n] %}{{ cache_partial('leaf', ['c', n]) }}{% endcache %}"),
                ("leaf", "c"),
            ],
        ));
        for n in 0..500_u32 {
            let nest = |outer: &str, inner: &str| {
                cache.get_or_set((outer, n), Options::default(), || {
                    let inner = cache.get_or_set((inner, n), Options::default(), || ok("x"))?;
                    show(&env, "ab", context! { n });
                    show(&env, "abc", context! { n });
                    ok(inner)
                })
            };
            let nested = at_once(4, |at| if at % 2 == 0 { nest("a", "b") } else { nest("b", "a") });
            assert!(nested.into_iter().all(|text| text.is_ok_and(|text| text == "x")));
        }
    });
}

#[test]
fn a_closure_that_asks_for_its_own_key_does_not_wait_for_itself() {
    let text = must_end(|| {
        let cache = FragmentCache::builder().wait_timeout(Duration::MAX).build().unwrap();
        let inner = || cache.get_or_set("k", Options::default(), || ok("inner"));
        cache.get_or_set("k", Options::default(), || inner().map(|text| format!("{text}!"))).unwrap().to_string()
    });
    assert_eq!(text, "inner!");
}

/// Renders `source` on many threads; `body()` ends only once so many bodies run at once.
fn bodies_run_together(source: &str) {
    let cache = FragmentCache::builder().wait_timeout(Duration::MAX).build().unwrap();
    let mut env = env_of(&cache, &[("p", source)]);
    let (gate, inside) = (Gate::default(), Arc::new(AtomicU64::new(0)));
    let seen = cache.clone();
    env.add_function("body", move || {
        // The first body waits until all others wait for it; then all the others must get in at once.
        match inside.fetch_add(1, Ordering::SeqCst) {
            0 => until_all_missed(&seen),
            at if at + 1 == CALLERS as u64 => gate.open(),
            _ => gate.pass(),
        }
    });
    let env = Arc::new(env);
    must_end(move || at_once(CALLERS, |_| p(&env)));
}

#[test]
fn callers_of_a_body_that_may_not_be_stored_are_not_served_one_after_another() {
    bodies_run_together("{% cache 'k' %}{{ cache_skip() }}{{ body() }}{% endcache %}");
    bodies_run_together("{% cache 'k' %}{% cache 'i' 0 %}{{ body() }}{% endcache %}{% endcache %}");
    bodies_run_together("{% cache 'k' %}{{ body() }}{{ cache_ttl(0) }}{% endcache %}");
}

#[test]
fn a_wait_timeout_of_zero_means_not_to_wait() {
    let cache = FragmentCache::builder().wait_timeout(Duration::ZERO).build().unwrap();
    let (leading, led) = channel();
    let (gate, other) = (Gate::default(), cache.clone());
    let open = gate.clone();
    let leader = thread::spawn(move || {
        other.get_or_set("k", Options::default(), || {
            leading.send(()).unwrap();
            gate.pass();
            ok("leader")
        })
    });
    led.recv_timeout(STUCK).unwrap();
    assert_eq!(cache.get_or_set("k", Options::default(), || ok("own")).unwrap(), "own");
    open.open();
    leader.join().unwrap().unwrap();
    assert_eq!(
        cache.get_or_set("k", Options::default(), || ok("later")).unwrap(),
        "leader",
        "the impatient one stored"
    );
    assert_eq!((cache.stats().wait_timeouts, cache.stats().stores), (1, 1));
}

#[test]
fn nobody_joins_the_render_of_another_version() {
    must_end(|| {
        let cache = FragmentCache::builder().wait_timeout(Duration::MAX).build().unwrap();
        let version = |v: u32, text: &str| cache.get_or_set("k", Options::default().version(v), || ok(text));
        let one = cache.get_or_set("k", Options::default().version(1), || {
            let other = cache.clone();
            let two =
                thread::spawn(move || other.get_or_set("k", Options::default().version(2), || ok("two")).unwrap());
            assert_eq!(two.join().unwrap(), "two");
            ok("one")
        });
        assert_eq!(one.unwrap(), "one");
        // Whichever was stored last, none passes for the other.
        assert_ne!(version(1, "new one").unwrap(), "two");
        assert_ne!(version(2, "new two").unwrap(), "one");
    });
}

#[test]
fn a_pending_result_older_than_the_lifetime_is_not_taken_for_fresh() {
    let clock = ManualClock::new();
    let cache = FragmentCache::builder().clock(&clock).build().unwrap();
    let minute = || Options::ttl(Duration::from_secs(60));
    let (leading, led) = channel();
    let (gate, other) = (Gate::default(), cache.clone());
    let open = gate.clone();
    let leader = thread::spawn(move || {
        other.get_or_set("k", minute(), || {
            leading.send(()).unwrap();
            gate.pass();
            ok("old")
        })
    });
    led.recv_timeout(STUCK).unwrap();
    clock.advance(Duration::from_secs(61));
    let follower = {
        let cache = cache.clone();
        thread::spawn(move || cache.get_or_set("k", minute(), || ok("new")).unwrap())
    };
    until("the follower has missed", || cache.stats().misses == 2);
    open.open();
    assert_eq!(leader.join().unwrap().unwrap(), "old");
    assert_eq!(follower.join().unwrap(), "new");
}

#[test]
fn other_keys_are_served_while_a_body_runs() {
    must_end(|| {
        let cache = cache();
        cache.get_or_set("slow", Options::default(), || {
            let other = cache.clone();
            let fast = thread::spawn(move || other.get_or_set("fast", Options::default(), || ok("fast")).unwrap());
            assert_eq!(fast.join().unwrap(), "fast");
            ok("slow")
        })
    })
    .unwrap();
}

#[test]
fn look_ups_add_up_under_many_threads() {
    let cache = cache();
    at_once(32, |at| {
        (0..100).for_each(|n| drop(cache.get_or_set(n % 10, Options::default(), || ok(at.to_string())).unwrap()));
    });
    let stats = cache.stats();
    assert_eq!((stats.hits + stats.misses, stats.stores), (3200, 10), "{stats:?}");
}
