//! Invalidation in the middle of a render, a closure, or between two of them, step by step.

use std::thread;

use minijinja::{Environment, context};
use minijinja_cache::{FragmentCache, Options, lazy};

use crate::data::{Db, blocks, versioned};
use crate::support::{Ticks, cache, ok, p, show};

/// An environment with `change()`, which does something the first time it is called.
fn with_change(env: &mut Environment<'_>, change: impl Fn() + Send + Sync + 'static) {
    let runs = Ticks::default();
    env.add_function("change", move || {
        if runs.tick() == 1 {
            change();
        }
        ""
    });
}

/// Asserts that a page during whose first render the templates change shows the old once and then the new.
fn shown_once(page: &'static str, name: &'static str) {
    let (cache, db) = (cache(), Db::default());
    let mut env = versioned(&cache, &db, page);
    let (changed, data) = (cache.clone(), db.clone());
    with_change(&mut env, move || {
        data.write(1);
        changed.invalidate_template(name);
    });
    assert_eq!(p(&env), "0", "{page}");
    assert_eq!(cache.stats().stores, 0, "{page}: stored what is old");
    assert_eq!([p(&env), p(&env)], ["1", "1"], "{page}");
    assert!(cache.stats().hits >= 1, "{page}: not stored again");
}

#[test]
fn a_template_replaced_after_it_was_used_is_shown_once_and_not_stored() {
    shown_once("{% cache 'k' %}{% include 'x' %}{{ change() }}{% endcache %}", "x");
    shown_once("{% import 'lib' as l %}{{ change() }}{% cache 'k' %}{{ l.m() }}{% endcache %}", "lib");
    shown_once("{% from 'lib' import m %}{{ change() }}{% cache 'k' %}{{ m() }}{% endcache %}", "lib");
    shown_once("{% import 'lib' as l %}{% cache 'k' %}{{ change() }}{{ l.m() }}{% endcache %}", "lib");
    shown_once("{% cache 'k' %}{% import 'lib' as l %}{{ change() }}{{ l.m() }}{% endcache %}", "lib");
    shown_once(
        "{% extends 'base' %}{% block b %}{{ change() }}{% cache 'k' %}{{ super() }}{% endcache %}{% endblock %}",
        "base",
    );
}

/// Asserts that data that `page` read before it was invalidated under the tag `t` is shown once and not stored.
fn old_data_shown_once(page: &str) {
    let (cache, db) = (cache(), Db::default());
    let mut env = blocks(&db, &cache, page);
    let (changed, data) = (cache.clone(), db.clone());
    with_change(&mut env, move || {
        data.write(1);
        changed.invalidate_tag("t");
    });
    let read = |db: Db| show(&env, "p", context! { x => lazy(move || ok(db.read())) });
    assert!(read(db.clone()).contains('0'), "{page}");
    for _ in 0..2 {
        let shown = read(db.clone());
        assert!(!shown.contains('0'), "{page}: {shown}");
    }
}

#[test]
fn data_read_before_it_was_invalidated_is_shown_once_and_not_stored() {
    old_data_shown_once("{% cache 'k' tags=['t'] %}{{ db() }}{{ change() }}{% endcache %}");
    old_data_shown_once("{% set y = db() %}{{ change() }}{% cache 'k' tags=['t'] %}{{ y }}{% endcache %}");
    old_data_shown_once(
        "{% cache 'o' %}{% cache 'k' tags=['t'] %}{{ db() }}{{ change() }}{% endcache %}{% endcache %}",
    );
    old_data_shown_once("{% cache 'o' %}{% include 'part' %}{{ change() }}{% endcache %}");
    old_data_shown_once("{{ x }}{{ change() }}{% cache 'k' tags=['t'] %}{{ x }}{% endcache %}");
    old_data_shown_once("{% cache 'k' tags=['t'] %}{{ x }}{{ change() }}{% endcache %}");
    old_data_shown_once(
        "{% cache 'a' tags=['t'] %}{{ x }}{{ change() }}{% endcache %}{% cache 'k' tags=['t'] %}{{ x }}{% endcache %}",
    );
}

#[test]
fn a_render_begins_with_its_own_look_up_also_when_others_come_in_between() {
    let (cache, db) = (cache(), Db::default());
    let mut env =
        versioned(&cache, &db, "{% set y = db() %}{{ change() }}{% cache 'k' tags=['t'] %}{{ y }}{% endcache %}");
    db.add_to(&mut env);
    let (changed, data, calls) = (cache.clone(), db.clone(), Ticks::default());
    env.add_function("change", move || {
        data.write(calls.tick());
        changed.invalidate_tag("t");
        ""
    });
    // Held while another template with a block is rendered, and rendered twice.
    let held = env.get_template("p").unwrap();
    cache.get_or_set("other", Options::default(), || env.get_template("x")?.render(context! {})).unwrap();
    env.render_str("{{ 1 }}", context! {}).unwrap();
    for round in 0..3 {
        assert_eq!(held.render(context! {}).unwrap(), round.to_string());
        assert_eq!(cache.stats().hits, 0);
    }
    assert_eq!(cache.stats().stores, 1, "only `other` is valid: {:?}", cache.stats());
}

#[test]
fn what_a_closure_read_before_it_was_invalidated_is_returned_and_not_stored() {
    let cache = cache();
    let run = |n: u32, change: &dyn Fn()| {
        let load = || {
            change();
            ok(n.to_string())
        };
        cache.get_or_set("k", Options::default().tag("t"), load).unwrap().to_string()
    };
    let changes: [&dyn Fn(); 3] =
        [&|| drop(cache.invalidate("k")), &|| drop(cache.invalidate_tag("t")), &|| drop(cache.clear())];
    for change in changes {
        assert_eq!(run(1, change), "1");
        assert_eq!(run(2, &|| ()), "2");
        assert_eq!(run(3, &|| ()), "2");
        cache.clear();
    }
}

#[test]
fn an_invalidation_reaches_entries_in_front_of_every_thread() {
    let cache = cache();
    let read = |cache: &FragmentCache, n: u32| {
        String::from(cache.get_or_set("k", Options::default(), || ok(n.to_string())).unwrap())
    };
    let (ask, asked) = std::sync::mpsc::channel::<u32>();
    let (tell, told) = std::sync::mpsc::channel();
    let other = cache.clone();
    let reader = thread::spawn(move || asked.iter().for_each(|n| tell.send(read(&other, n)).unwrap()));
    let there = |n: u32| {
        ask.send(n).unwrap();
        told.recv().unwrap()
    };
    assert_eq!([there(1), there(2), read(&cache, 3), read(&cache, 4)], ["1", "1", "1", "1"]);
    cache.invalidate("k");
    assert_eq!([there(5), read(&cache, 6)], ["5", "5"]);
    cache.clear();
    assert_eq!([read(&cache, 7), there(8)], ["7", "7"]);
    drop(ask);
    reader.join().unwrap();
}
