//! What is inside reaches everything that encloses it, on hits as on misses.

use std::time::Duration;

use minijinja::{Environment, Value, context};
use minijinja_cache::{FragmentCache, ManualClock, Options};

use crate::support::{STUCK, Ticks, cache, env_of, must_end, ok, p, show, timed};

/// The ways to enclose the template `inner`.
const ENCLOSING: [&str; 6] = ["block", "include", "partial", "render", "get_or_set", "value"];

struct Nested {
    cache: FragmentCache,
    clock: ManualClock,
    env: Environment<'static>,
    outer: Ticks,
    inner: Ticks,
}

/// An environment in which `inner` holds this source, and the outer levels count their runs.
fn nested(inner: &'static str) -> Nested {
    let (cache, clock) = timed();
    let mut env = Environment::new();
    cache.add_to_environment(&mut env);
    env.set_loader(cache.loader(move |name| {
        Ok(match name {
            "inner" => Some(inner.into()),
            "leaf" => Some("leaf".into()),
            "block" => Some("{% cache 'outer' 600 %}{{ outer() }}:{% include 'inner' %}{% endcache %}".into()),
            "include" => Some("{% cache 'outer' 600 %}{{ outer() }}:{% include 'middle' %}{% endcache %}".into()),
            "middle" => Some("{% cache 'middle' 600 %}{% include 'inner' %}{% endcache %}".into()),
            "partial" => Some("{{ cache_partial('body', 'outer', 600) }}".into()),
            "body" => Some("{{ outer() }}:{% include 'inner' %}".into()),
            _ => None,
        })
    }));
    let inner = Ticks::add_to(&mut env);
    let outer = Ticks::default();
    let calls = outer.clone();
    env.add_function("outer", move || calls.tick());
    Nested { cache, clock, env, outer, inner }
}

impl Nested {
    fn enclosed(&self, how: &str) -> String {
        let ttl = || Options::ttl(Duration::from_secs(600));
        let body = || self.env.get_template("body")?.render(context! {});
        match how {
            "render" => self.cache.render(&self.env, "body", context! {}, "outer", ttl()).unwrap().into(),
            "get_or_set" => self.cache.get_or_set("outer", ttl(), body).unwrap().into(),
            "value" => self.cache.get_or_set_value::<_, String, minijinja::Error>("outer", ttl(), body).unwrap(),
            template => show(&self.env, template, context! {}),
        }
    }

    /// Whether rendering the outer level again ran it again.
    fn is_stored(&self, how: &str) -> bool {
        self.enclosed(how);
        let runs = self.outer.count();
        self.enclosed(how);
        self.outer.count() == runs
    }
}

/// Asserts that `change` refreshes the outer level, whether the inner one missed or hit while it was made.
fn reaches(inner: &'static str, change: impl Fn(&Nested)) {
    for how in ENCLOSING {
        for warm in [false, true] {
            let nested = nested(inner);
            if warm {
                show(&nested.env, "inner", context! {});
            }
            assert!(nested.is_stored(how), "{how}, warm {warm}: not stored at all");
            let (outer, inner) = (nested.outer.count(), nested.inner.count());
            assert_eq!((outer, inner), (1, 1), "{how}, warm {warm}");
            change(&nested);
            nested.enclosed(how);
            assert_eq!(nested.outer.count(), 2, "{how}, warm {warm}: the outer level did not notice");
            assert!(nested.is_stored(how), "{how}, warm {warm}: not stored again");
        }
    }
}

/// Asserts that no enclosing level is stored, whether the inner one missed or hit.
fn keeps_out(inner: &'static str) {
    for how in ENCLOSING {
        let nested = nested(inner);
        assert!(!nested.is_stored(how), "{how}: stored around {inner}");
        assert!(!nested.is_stored(how), "{how}: stored the second time around {inner}");
    }
}

#[test]
fn tags_reach_every_enclosing_level() {
    reaches("{% cache 'inner' 600 tags=['t'] %}{{ tick() }}{% endcache %}", |n| {
        n.cache.invalidate_tag("t");
    });
    reaches("{% cache 'inner' 600 %}{{ tick() }}{{ cache_tag('a', ['t', 5]) }}{% endcache %}", |n| {
        n.cache.invalidate_tag("5");
    });
}

#[test]
fn keys_reach_every_enclosing_level() {
    reaches("{% cache 'inner' 600 %}{{ tick() }}{% endcache %}", |n| {
        n.cache.invalidate("inner");
    });
}

#[test]
fn templates_reach_every_enclosing_level() {
    reaches("{% cache 'inner' 600 %}{{ tick() }}{% include 'leaf' %}{% endcache %}", |n| {
        n.cache.invalidate_template("leaf");
    });
    reaches("{% cache 'inner' 600 %}{{ tick() }}{% include 'gone' ignore missing %}{% endcache %}", |n| {
        n.cache.invalidate_template("gone");
    });
}

#[test]
fn the_shortest_lifetime_wins_at_every_level() {
    reaches("{% cache 'inner' 10 %}{{ tick() }}{% endcache %}", |n| {
        n.clock.advance(Duration::from_secs(10));
    });
    reaches("{% cache 'inner' 600 %}{{ tick() }}{{ cache_ttl('10s') }}{% endcache %}", |n| {
        n.clock.advance(Duration::from_secs(10));
    });
}

#[test]
fn the_remaining_lifetime_of_an_inner_hit_counts() {
    for how in ENCLOSING {
        let nested = nested("{% cache 'inner' 100 %}{{ tick() }}{% endcache %}");
        show(&nested.env, "inner", context! {});
        nested.clock.advance(Duration::from_secs(60));
        nested.enclosed(how);
        nested.clock.advance(Duration::from_secs(39));
        nested.enclosed(how);
        assert_eq!(nested.outer.count(), 1, "{how}");
        nested.clock.advance(Duration::from_secs(1));
        nested.enclosed(how);
        assert_eq!(nested.outer.count(), 2, "{how}");
    }
}

#[test]
fn what_may_not_be_stored_keeps_out_all_that_encloses_it() {
    keeps_out("{% cache 'inner' 600 %}{{ cache_skip() }}{% endcache %}");
    keeps_out("{{ cache_skip() }}");
    keeps_out("{% cache 'inner' 0 %}x{% endcache %}");
    keeps_out("{% cache 'inner' if=false %}x{% endcache %}");
    keeps_out("{% cache 'inner' unless=true %}x{% endcache %}");
    keeps_out("{{ cache_ttl(0) }}");
    keeps_out("{{ cache_partial('leaf', 'l', 0) }}");
    keeps_out("{{ cache_partial('leaf', 'l', if=false) }}");
}

#[test]
fn a_bypassed_handler_call_inside_keeps_out_what_encloses_it() {
    let cache = cache();
    let nested = |inner: Options, key: &str| {
        let run = || cache.get_or_set("outer", Options::default(), || cache.get_or_set(key, inner.clone(), || ok("x")));
        run().unwrap();
        let misses = cache.stats().misses;
        run().unwrap();
        cache.stats().misses == misses
    };
    assert!(!nested(Options::ttl(Duration::ZERO), "k"));
    assert!(!nested(Options::default(), ""));
    assert!(nested(Options::default(), "k"));
}

#[test]
fn what_is_inside_reaches_a_future_around_it_across_awaits() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    let nested = nested("{% cache 'inner' 600 tags=['t'] %}{{ tick() }}{% endcache %}");
    let run = |n: u32| {
        runtime.block_on(nested.cache.get_or_set_async("outer", Options::forever(), async {
            tokio::task::yield_now().await;
            show(&nested.env, "inner", context! {});
            tokio::task::yield_now().await;
            ok(n.to_string())
        }))
    };
    assert_eq!((run(1).unwrap(), run(2).unwrap()), (run(3).unwrap(), run(4).unwrap()));
    nested.cache.invalidate_tag("t");
    assert_eq!(run(5).unwrap(), "5");
    assert_eq!(run(6).unwrap(), "5");
}

#[test]
fn futures_polled_in_turns_on_one_thread_keep_their_tags_apart() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let cache = cache();
    let env = env_of(&cache, &[("p", "{% cache tag tags=[tag] %}{{ tag }}{% endcache %}")]);
    let runs = Ticks::default();
    let one = |name: &'static str| {
        let (cache, env, runs) = (&cache, &env, &runs);
        cache.get_or_set_async(name, Options::default(), async move {
            tokio::task::yield_now().await;
            show(env, "p", context! { tag => name });
            tokio::task::yield_now().await;
            ok(runs.tick().to_string())
        })
    };
    let both = || runtime.block_on(async { tokio::try_join!(one("a"), one("b")) }).unwrap();
    both();
    assert_eq!(runs.count(), 2);
    cache.invalidate_tag("a");
    both();
    assert_eq!(runs.count(), 3, "only `a` was invalidated");
}

#[test]
fn what_a_scope_holds_reaches_what_encloses_the_scope() {
    let nested = nested("{% cache 'inner' 600 tags=['t'] %}{{ tick() }}{% endcache %}");
    let runs = Ticks::default();
    let run = || {
        let load = || nested.cache.scope().run(|| show(&nested.env, "inner", context! {}));
        let load = || ok(format!("{}{}", load(), runs.tick()));
        nested.cache.get_or_set("outer", Options::default(), load).unwrap()
    };
    assert_eq!((run(), run()), (run(), run()));
    assert_eq!(runs.count(), 1);
    nested.cache.invalidate_tag("t");
    run();
    assert_eq!(runs.count(), 2);
}

#[test]
fn a_wait_timeout_inside_does_not_make_the_enclosing_uncacheable() {
    let cache = FragmentCache::builder().wait_timeout(Duration::ZERO).build().unwrap();
    let other = cache.clone();
    let (entered, inside) = std::sync::mpsc::channel();
    let (leave, left) = std::sync::mpsc::channel::<()>();
    let leader = std::thread::spawn(move || {
        other.get_or_set("inner", Options::default(), || {
            entered.send(()).unwrap();
            left.recv_timeout(STUCK).unwrap();
            ok("leader")
        })
    });
    inside.recv_timeout(STUCK).unwrap();
    let outer = |n: u32| {
        cache.get_or_set("outer", Options::default(), || {
            let inner = cache.get_or_set("inner", Options::default(), || ok("own"))?;
            ok(format!("{inner}{n}"))
        })
    };
    assert_eq!(outer(1).unwrap(), "own1");
    assert_eq!(outer(2).unwrap(), "own1");
    leave.send(()).unwrap();
    leader.join().unwrap().unwrap();
}

#[test]
fn a_failure_that_a_function_swallows_is_not_stored_as_if_all_were_well() {
    let cache = cache();
    let mut env = env_of(
        &cache,
        &[
            ("p", "{% cache 'outer' %}{{ try() }}{% endcache %}"),
            ("bad", "{% cache 'inner' %}{% if broken() %}x{% endif %}{% endcache %}"),
        ],
    );
    let runs = Ticks::add_to(&mut env);
    let calls = runs.clone();
    env.add_function("broken", move || {
        if calls.tick() == 1 {
            Err(minijinja::Error::new(minijinja::ErrorKind::InvalidOperation, "outage"))
        } else {
            Ok(true)
        }
    });
    env.add_function("try", |state: &mut minijinja::State<'_, '_>| {
        state.env().get_template("bad").and_then(|bad| bad.render(context! {})).unwrap_or_else(|_| "sorry".into())
    });
    assert_eq!(p(&env), "sorry");
    assert_eq!(p(&env), "x", "the apology was stored");
    assert_eq!(p(&env), "x");
    assert_eq!(runs.count(), 2);
}

#[test]
fn fragments_of_two_caches_on_one_thread_do_not_pass_for_each_other() {
    let (a, b) = (cache(), cache());
    let env_a = env_of(&a, &[("p", "{% cache 'k' tags=['t'] %}{{ v }}{% endcache %}")]);
    let render = |v: u32| b.get_or_set("outer", Options::default(), || ok(show(&env_a, "p", context! { v }))).unwrap();
    render(1);
    a.invalidate_tag("t");
    assert_eq!(render(2), "2", "the other cache's invalidation passed unnoticed");
}

#[test]
fn a_tag_named_to_one_cache_inside_a_fragment_of_another_is_not_lost() {
    let (a, b) = (cache(), cache());
    let env_a = env_of(&a, &[("p", "{{ cache_tag('t') }}{{ v }}")]);
    let render = |v: u32| b.get_or_set("outer", Options::default(), || ok(show(&env_a, "p", context! { v }))).unwrap();
    render(1);
    a.invalidate_tag("t");
    assert_eq!(render(2), "2", "the tag was given to the wrong cache");
}

#[test]
fn nested_blocks_of_one_key_in_one_template_do_not_wait_for_themselves() {
    let rendered = must_end(|| {
        let cache = cache();
        let env = env_of(
            &cache,
            &[("p", "{% cache 'k' %}{% if n %}{{ n }}{% set n = n - 1 %}{% include 'p' %}{% endif %}{% endcache %}")],
        );
        show(&env, "p", context! { n => 3 })
    });
    assert_eq!(rendered, "321");
}

#[test]
fn a_guard_dropped_out_of_order_does_not_hang_the_thread() {
    must_end(|| {
        let cache = cache();
        let scope = cache.scope();
        let (outer, inner) = (scope.attach(), scope.attach());
        drop(outer);
        drop(inner);
    });
}

#[test]
fn an_enclosing_fragment_takes_in_what_a_lazy_value_read_elsewhere_depends_on() {
    let (cache, _) = timed();
    let env = env_of(&cache, &[("p", "{% cache 'a' %}{{ v }}{% endcache %}{% cache 'b' %}{{ v }}{% endcache %}")]);
    let render = |n: u32| {
        let inner = cache.clone();
        let v = minijinja_cache::lazy(move || {
            let tag = Options::default().tag("t");
            inner.get_or_set("data", tag, || ok(n.to_string())).map(|text| Value::from(text.to_string()))
        });
        show(&env, "p", context! { v })
    };
    assert_eq!([render(1), render(2)], ["11", "11"]);
    cache.invalidate_tag("t");
    assert_eq!(render(3), "33");
}

#[test]
fn what_encloses_a_hit_lives_no_longer_than_is_asked_of_the_hit() {
    let (cache, clock) = timed();
    let mut env =
        env_of(&cache, &[("p", "{% cache o 600 %}{% cache 'inner' t %}{{ tick() }}{% endcache %}{% endcache %}")]);
    Ticks::add_to(&mut env);
    let at = |outer: &str, ttl: u32| show(&env, "p", context! { o => outer, t => ttl });
    assert_eq!(at("a", 600), "1");
    assert_eq!(at("b", 60), "1");
    clock.advance(Duration::from_secs(60));
    assert_eq!([at("a", 600), at("b", 60)], ["1", "2"]);
}
