//! A render without a scope begins when its template does, whatever else is rendered on its thread in between.
//!
//! Each page reads data, and shows it in a block that is tagged with it. Where the data is invalidated between the two, the
//! page shows it once and stores nothing.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use minijinja::{Environment, Value, context};
use minijinja_cache::{FragmentCache, MissReason, Options, Rejection};

use crate::data::Db;
use crate::storms::{storm, storm_until};
use crate::support::{Reports, cache, ok, p, show, timed};

/// A block that shows what its page read before.
const BLOCK: &str = "{% cache 'k' tags=['v'] %}{{ v }}{% endcache %}";

const PARTS: [(&str, &str); 5] = [
    ("inner", "{% cache 'i' %}{% endcache %}"),
    ("row", BLOCK),
    ("plain", " "),
    ("lib", "{% macro show(v) %}{% cache 'k' tags=['v'] %}{{ v }}{% endcache %}{% endmacro %}"),
    ("layout", "{% block b %}{% endblock %}"),
];

/// How the cache gets to see templates.
#[derive(Debug, Clone, Copy)]
enum Served {
    Added,
    Loaded,
    Rewritten,
}

const ALL: [Served; 3] = [Served::Added, Served::Loaded, Served::Rewritten];

/// An environment with a page and what pages are made of; `read()` gives the data, `change()` what happens meanwhile.
fn site(cache: &FragmentCache, served: Served, page: &str) -> (Environment<'static>, Db) {
    let (mut env, db) = (Environment::new(), Db::default());
    cache.add_to_environment(&mut env);
    let templates: Vec<(String, String)> =
        PARTS.iter().chain([&("p", page)]).map(|(name, source)| (name.to_string(), source.to_string())).collect();
    match served {
        Served::Added => {
            templates.iter().for_each(|(name, source)| cache.add_template(&mut env, name, source).unwrap());
        }
        Served::Loaded => env.set_loader(cache.loader(move |name| {
            Ok(templates.iter().find(|(known, _)| known == name).map(|(_, source)| source.clone()))
        })),
        Served::Rewritten => templates.iter().for_each(|(name, source)| {
            let text = cache.rewrite(source, name, env.syntax()).unwrap().into_owned();
            env.add_template_owned(name.clone(), text).unwrap();
        }),
    }
    let read = db.clone();
    env.add_function("read", move || read.read());
    (env, db)
}

/// Lets functions of an environment render in it.
fn with_renderers(env: Environment<'static>, cache: &FragmentCache) -> Arc<Environment<'static>> {
    let (this, cache) = (Arc::new(OnceLock::<std::sync::Weak<Environment<'static>>>::new()), cache.clone());
    let mut env = env;
    let own = Arc::clone(&this);
    env.add_function("render", move |name: &str, v: Value| {
        let env = own.get().unwrap().upgrade().unwrap();
        env.get_template(name)?.render(context! { v }).map(|_| "")
    });
    let own = Arc::clone(&this);
    env.add_function("shown", move |name: &str, v: Value| {
        let env = own.get().unwrap().upgrade().unwrap();
        env.get_template(name)?.render(context! { v })
    });
    let own = Arc::clone(&this);
    env.add_function("cached", move |name: &str, v: Value| {
        let env = own.get().unwrap().upgrade().unwrap();
        let options = Options::default().tag("v");
        cache.render(&env, name, context! { v }, "cached", options).map(Value::from)
    });
    let env = Arc::new(env);
    this.set(Arc::downgrade(&env)).unwrap();
    env
}

/// Pages that read, do something, and show what they read.
const PAGES: [&str; 12] = [
    "{% set v = read() %}{{ change() }}{% cache 'k' tags=['v'] %}{{ v }}{% endcache %}",
    "{% set v = read() %}{{ cache_partial('inner', 'p') }}{{ change() }}{% cache 'k' tags=['v'] %}{{ v }}{% endcache %}",
    "{% set v = read() %}{{ cache_partial('plain', 'p') }}{{ change() }}{% cache 'k' tags=['v'] %}{{ v }}{% endcache %}",
    "{% set v = read() %}{{ render('inner', 0) }}{{ change() }}{% cache 'k' tags=['v'] %}{{ v }}{% endcache %}",
    "{% set v = read() %}{{ render('plain', 0) }}{{ change() }}{% cache 'k' tags=['v'] %}{{ v }}{% endcache %}",
    "{% set v = read() %}{{ cached('inner', 0) }}{{ change() }}{% cache 'k' tags=['v'] %}{{ v }}{% endcache %}",
    "{% set v = read() %}{{ change() }}{{ shown('row', v) }}",
    "{% set v = read() %}{{ change() }}{{ cached('row', v) }}",
    "{% set v = read() %}{{ change() }}{% include 'row' %}",
    "{% set v = read() %}{{ change() }}{{ cache_partial('row', 'p', context={'v': v}, tags=['v']) }}",
    "{% from 'lib' import show %}{% set v = read() %}{% include 'inner' %}{{ change() }}{{ show(v) }}",
    "{% extends 'layout' %}{% set v = read() %}{% block b %}{{ render('inner', 0) }}{{ change() }}{% include 'row' %}{% endblock %}",
];

#[test]
fn data_that_a_render_read_before_it_was_invalidated_is_shown_once() {
    for (page, served) in PAGES.iter().flat_map(|page| ALL.map(|served| (page, served))) {
        // Hits and misses in between, of renders on this thread.
        for warm in [false, true] {
            let cache = cache();
            let (mut env, db) = site(&cache, served, page);
            let (changed, data) = (cache.clone(), db.clone());
            let armed = Arc::new(OnceLock::new());
            let arms = Arc::clone(&armed);
            env.add_function("change", move || {
                if arms.get() == Some(&data.read()) {
                    data.write(data.read() + 1);
                    changed.invalidate_tag("v");
                }
                ""
            });
            let env = with_renderers(env, &cache);
            if warm {
                p(&env);
                cache.invalidate_tag("v");
            }
            armed.set(0).unwrap();
            let shown = [p(&env), p(&env), p(&env)].map(|page| page.trim().to_owned());
            assert_eq!(shown, ["0", "1", "1"], "{page} {served:?} {warm}");
            assert!(cache.stats().hits > 0, "{page} {served:?}: stored afterwards");
        }
    }
}

#[test]
fn nothing_older_is_shown_under_load_whatever_a_render_does_before_its_block() {
    for (page, served) in PAGES.iter().flat_map(|page| ALL.map(|served| (page, served))) {
        let cache = cache();
        let (mut env, db) = site(&cache, served, page);
        env.add_function("change", || {
            std::thread::yield_now();
            ""
        });
        let env = with_renderers(env, &cache);
        let write = |version| {
            db.write(version);
            cache.invalidate_tag("v");
        };
        storm(&cache, write, || p(&env));
    }
}

#[test]
fn a_template_that_is_kept_begins_when_it_is_rendered() {
    for served in ALL {
        let cache = cache();
        let (mut env, db) = site(&cache, served, PAGES[0]);
        let (changed, data) = (cache.clone(), db.clone());
        env.add_function("change", move || {
            if data.read() == 0 {
                data.write(1);
                changed.invalidate_tag("v");
            }
            ""
        });
        let kept = env.get_template("p").unwrap();
        for _ in 0..3 {
            // Hits only, on this thread, after the look-up.
            show(&env, "inner", context! {});
        }
        let shown = [kept.render(context! {}), kept.render(context! {}), kept.render(context! {})].map(Result::unwrap);
        assert_eq!(shown, ["0", "1", "1"], "{served:?}");
        assert!(cache.stats().hits > 2, "{served:?}");
    }
}

#[test]
fn a_render_may_take_as_long_as_it_likes() {
    for served in ALL {
        let (cache, clock) = timed();
        let (mut env, db) =
            site(&cache, served, "{% set v = read() %}{{ change() }}{{ shown('row', v) }}{% include 'row' %}");
        let (changed, data) = (cache.clone(), db.clone());
        env.add_function("change", move || {
            clock.advance(Duration::from_secs(100));
            if data.read() == 0 {
                data.write(1);
                changed.invalidate_tag("v");
            }
            ""
        });
        let env = with_renderers(env, &cache);
        assert_eq!([p(&env), p(&env), p(&env)], ["00", "11", "11"], "{served:?}");
        assert!(cache.stats().hits > 0, "{served:?}");
    }
}

#[test]
fn a_render_that_failed_or_panicked_leaves_nothing_to_later_ones() {
    for served in ALL {
        let (cache, clock) = timed();
        let (mut env, _) = site(&cache, served, "{% include 'plain' %}{{ fail(how) }}");
        env.add_function("fail", |how: &str| match how {
            "panic" => panic!("as asked"),
            how => Err::<Value, _>(minijinja::Error::new(minijinja::ErrorKind::InvalidOperation, how.to_owned())),
        });
        env.get_template("p").unwrap().render(context! { how => "error" }).unwrap_err();
        let panics = || env.get_template("p").unwrap().render(context! { how => "panic" });
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(panics)).unwrap_err();
        clock.advance(Duration::from_secs(100));
        cache.invalidate("i");
        show(&env, "inner", context! {});
        show(&env, "inner", context! {});
        assert_eq!(cache.stats().hits, 1, "{served:?}: stored by the first render");
    }
}

/// What a page that the cache did not serve may do before it includes a template that it did.
const FOREIGN: [&str; 8] = [
    "{% set v = read() %}{{ change() }}{% include 'row' %}",
    "{% for v in [read()] %}{{ change() }}{% include 'row' %}{% endfor %}",
    "{% block b %}{% with v = read() %}{{ change() }}{% include 'row' %}{% endwith %}{% endblock %}",
    "{% set v = read() %}{% import 'lib' as lib %}{{ change() }}{{ lib.show(v) }}",
    "{% with v = read() %}{{ change() }}{% include 'row' %}{% endwith %}",
    "{% macro m(v) %}{{ change() }}{% include 'row' %}{% endmacro %}{{ m(read()) }}",
    "{% set _v = read() %}{{ change() }}{% with v = _v %}{% filter trim %}{% include 'plain' %}{% include 'row' %}{% endfilter %}{% endwith %}",
    "{% extends 'layout' %}{% set v = read() %}{{ change() }}{% block b %}{% include 'row' %}{% endblock %}",
];

#[test]
fn a_block_in_a_render_whose_start_was_not_seen_is_not_stored_and_reported_once() {
    for (page, served) in FOREIGN.iter().flat_map(|page| ALL.map(|served| (page, served))) {
        let (reports, sink) = Reports::collect();
        let cache = FragmentCache::builder().on_error(sink).build().unwrap();
        let (mut env, db) = site(&cache, served, "");
        let (changed, data) = (cache.clone(), db.clone());
        env.add_function("change", move || {
            if data.read() == 0 {
                data.write(1);
                changed.invalidate_tag("v");
            }
            ""
        });
        env.add_template("foreign", page).unwrap();
        let foreign = || show(&env, "foreign", context! {});
        assert_eq!([foreign(), foreign(), foreign()], ["0", "1", "1"], "{page} {served:?}");
        assert_eq!((cache.stats().stores, cache.stats().hits), (0, 0), "{page} {served:?}");
        let told = reports.all();
        assert!(told.len() == 1 && told[0].contains("scope") && told[0].contains("path_loader"), "{page}: {told:?}");
        let reason = cache.recent_misses().first().unwrap().reason.clone();
        assert_eq!(reason, MissReason::Rejected(Rejection::StartUnseen), "{page} {served:?}");

        // In a scope it is stored, and others are served it.
        cache.scope().run(foreign);
        assert_eq!([foreign(), cache.scope().run(foreign)], ["1", "1"], "{page} {served:?}");
        assert_eq!((cache.stats().stores, cache.stats().hits), (1, 2), "{page} {served:?}");
    }
}

#[test]
fn a_block_that_is_rendered_without_its_template_is_not_stored() {
    let (reports, sink) = Reports::collect();
    let cache = FragmentCache::builder().on_error(sink).build().unwrap();
    let page = "{% block b %}{% cache 'k' tags=['v'] %}\n{% cache 'm' tags=['v'] %}{{ v }}{% endcache %}{% endcache %}{% endblock %}";
    let (env, _) = site(&cache, Served::Added, page);
    let template = env.get_template("p").unwrap();
    for version in 0..2 {
        assert_eq!(template.new_state().render_block("b").unwrap(), "\n");
        assert_eq!(cache.stats().stores, 0, "{version}");
    }
    assert_eq!(reports.all().len(), 2, "one for each block: {:?}", reports.all());
    // After a render of the template, its blocks may be rendered by themselves.
    let mut kept = template.render_captured(context! {}).unwrap();
    assert_eq!(cache.stats().stores, 2);
    cache.invalidate_tag("v");
    assert_eq!(kept.with_state_mut(|state| state.render_block("b")).unwrap(), "\n");
    assert_eq!(cache.stats().stores, 2, "its render began before that");
}

#[test]
fn a_foreign_page_shows_nothing_older_under_load() {
    for page in FOREIGN {
        let cache = cache();
        let (mut env, db) = site(&cache, Served::Loaded, "");
        env.add_function("change", || "");
        env.add_template("foreign", page).unwrap();
        let write = |version| {
            db.write(version);
            cache.invalidate_tag("v");
        };
        let enough = |stats: &minijinja_cache::Stats| stats.misses > 100 && stats.invalidations > 10;
        storm_until(enough, &cache, write, || show(&env, "foreign", context! {}));
        assert_eq!(cache.stats().stores, 0);
    }
}

#[test]
fn a_closure_is_a_scope_of_its_own_inside_a_render() {
    let cache = cache();
    let (mut env, _) = site(&cache, Served::Loaded, "{{ change() }}{{ number() }}");
    let changed = cache.clone();
    env.add_function("change", move || {
        changed.invalidate_tag("v");
        ""
    });
    let other = cache.clone();
    env.add_function("number", move || {
        let text = other.get_or_set("n", Options::default().tag("v"), || ok("7")).unwrap();
        text.to_string()
    });
    assert_eq!(p(&env), "7");
    assert_eq!(cache.stats().stores, 1, "its work began after the invalidation");
}
