//! What is measured of includes and macros, and what is said of it.

use std::collections::HashMap;
use std::time::Duration;

use minijinja::value::{Serde, Value};
use minijinja::{Environment, UndefinedBehavior, context};
use minijinja_cache::{FragmentCache, Potential, lazy};

use super::support::{Ticks, env_of, failure, ok, show};

pub fn measuring() -> FragmentCache {
    FragmentCache::builder().measure_potential(true).build().unwrap()
}

pub fn of(cache: &FragmentCache, label: &str) -> Potential {
    let all = cache.potential();
    let found = all.iter().find(|potential| potential.label == label);
    found.unwrap_or_else(|| panic!("{label} is not among {all:#?}")).clone()
}

/// Calls, first seen, repeats, conflicts, unreadable.
pub fn counts(potential: &Potential) -> [u64; 5] {
    let Potential { calls, distinct, repeats, conflicts, unreadable, .. } = *potential;
    assert_eq!(calls, distinct + repeats + conflicts + unreadable, "{potential:?}");
    [calls, distinct, repeats, conflicts, unreadable]
}

/// Renders a page that includes `part` once per context.
pub fn included(part: &str, contexts: impl IntoIterator<Item = Value>) -> Potential {
    let cache = measuring();
    let env = env_of(&cache, &[("part", part), ("p", "{% include 'part' %}")]);
    for context in contexts {
        show(&env, "p", context);
    }
    of(&cache, "p:1 include 'part'")
}

/// Calls a macro once per value.
pub fn called(declaration: &str, values: impl IntoIterator<Item = Value>) -> Potential {
    let cache = measuring();
    let env = env_of(&cache, &[("p", &format!("{declaration}{{{{ m(x) }}}}"))]);
    for x in values {
        show(&env, "p", context! { x });
    }
    of(&cache, "p:1 macro m")
}

#[test]
fn an_include_that_shows_the_same_again_is_worth_caching() {
    let films = || Value::from(Serde(vec![HashMap::from([("title", "Alien")])]));
    let part = "{% for film in films %}{{ film.title }}{% endfor %}";
    let found = included(part, [context! { films => films(), csrf => 1 }, context! { films => films(), csrf => 2 }]);
    assert_eq!(counts(&found), [2, 1, 1, 0, 0]);
    assert_eq!(found.inputs, ["films"]);
    assert_eq!(found.suggestion.as_deref(), Some("{% cache ['part', films] %}"));
    assert_eq!(found.bytes, 10);
    assert!(found.saved_time > Duration::ZERO && found.saved_time < found.total_time);
}

#[test]
fn nothing_is_measured_unless_asked_for() {
    let cache = super::support::cache();
    let env = env_of(&cache, &[("part", "x"), ("p", "{% include 'part' %}{% macro m() %}{% endmacro %}{{ m() }}")]);
    assert_eq!(show(&env, "p", context! {}), "x");
    assert_eq!(cache.potential(), []);
    assert_eq!(env.get_template("part").unwrap().source().matches("measured").count(), 0);
}

#[test]
fn a_function_with_a_state_is_a_conflict() {
    let cache = measuring();
    let mut env = env_of(&cache, &[("part", "{{ tick() }}"), ("p", "{% include 'part' %}")]);
    let ticks = Ticks::add_to(&mut env);
    for _ in [1, 2, 3] {
        show(&env, "p", context! {});
    }
    let found = of(&cache, "p:1 include 'part'");
    assert_eq!(counts(&found), [3, 1, 0, 2, 0]);
    assert_eq!((found.suggestion, found.inputs), (None, vec![]));
    assert_eq!(ticks.count(), 3, "called once for each render");
}

#[test]
fn a_macro_is_its_arguments_and_what_it_reads_from_outside() {
    let film = |title: &str, votes: u32| context! { title, votes };
    let found = called("{% macro m(film) %}{{ film.title }}{% endmacro %}", [film("A", 1), film("A", 2), film("B", 1)]);
    assert_eq!(counts(&found), [3, 2, 1, 0, 0]);
    assert_eq!(found.suggestion.as_deref(), Some("{% cache ['m', film.title] %}"));

    let cache = measuring();
    let page =
        "{% macro m(a, b=theme) %}{{ a }}{{ b }}{{ site.name }}{% endmacro %}{{ m(1) }}{{ m(a=1) }}{{ m(1, b='x') }}";
    let env = env_of(&cache, &[("p", page)]);
    for (theme, site) in [("t", "s"), ("t", "s"), ("u", "s"), ("t", "z")] {
        show(&env, "p", context! { theme, site => context! { name => site } });
    }
    // Positional and by name are the same; the default is read where nothing is given, and is known beforehand.
    let found = of(&cache, "p:1 macro m");
    assert_eq!(counts(&found), [12, 6, 6, 0, 0]);
    assert_eq!(found.inputs, ["a", "b", "site.name", "theme"]);
}

#[test]
fn an_imported_macro_is_measured_where_it_stands() {
    let cache = measuring();
    let lib = "\n{% macro stars(n) %}{{ '*' * n }}{% endmacro %}";
    let from = "{% from 'lib' import stars as s %}{{ s(3) }}";
    let import = "{% import 'lib' as lib %}{{ lib.stars(3) }}{{ lib['stars'](4) }}";
    let env = env_of(&cache, &[("lib", lib), ("a", from), ("b", import)]);
    assert_eq!(show(&env, "a", context! {}) + &show(&env, "b", context! {}), "**********");
    assert_eq!(counts(&of(&cache, "lib:2 macro stars")), [3, 2, 1, 0, 0]);
}

#[test]
fn a_call_block_cannot_be_compared() {
    let cache = measuring();
    let page = "{% macro m(a) %}{{ caller() }}{% endmacro %}{% call m(1) %}{{ x }}{% endcall %}";
    let env = env_of(&cache, &[("p", page), ("q", "{% include 'p' %}")]);
    for x in ["1", "2", "1"] {
        assert_eq!(show(&env, "q", context! { x }), x);
    }
    let found = of(&cache, "p:1 macro m");
    assert_eq!(counts(&found), [3, 0, 0, 0, 3]);
    assert_eq!(found.unreadable_input.as_deref(), Some("caller: a function or macro"));
    // Whoever includes it knows what the block shows.
    assert_eq!(counts(&of(&cache, "q:1 include 'p'")), [3, 2, 1, 0, 0]);
}

#[test]
fn time_is_told_with_and_without_what_stands_inside() {
    let cache = measuring();
    let mut env = env_of(
        &cache,
        &[("inner", "{{ wait() }}"), ("outer", "{% include 'inner' %}"), ("p", "{% include 'outer' %}")],
    );
    env.add_function("wait", || std::thread::sleep(Duration::from_millis(20)));
    for _ in [1, 2] {
        show(&env, "p", context! {});
    }
    let (inner, outer) = (of(&cache, "outer:1 include 'inner'"), of(&cache, "p:1 include 'outer'"));
    assert!(inner.total_time >= Duration::from_millis(40) && outer.total_time >= inner.total_time);
    assert_eq!(inner.own_time, inner.total_time);
    assert_eq!(outer.own_time, outer.total_time - inner.total_time);
    assert!(outer.saved_time >= Duration::from_millis(20) && outer.saved_time < outer.total_time);
    assert_eq!(cache.potential()[0].label, outer.label, "what saves most comes first");
}

#[test]
fn a_failed_call_is_none_and_leaves_the_others_in_order() {
    let cache = measuring();
    let pages = [
        ("bad", "{{ nothing.at.all }}"),
        ("mid", "{% include 'bad' %}"),
        ("p", "{% macro m(x) %}{% include 'mid' %}{% endmacro %}{{ swallow(m) }}{% include 'good' %}{{ swallow(m) }}"),
        ("good", "{{ x }}"),
        ("around", "{% include 'p' %}"),
    ];
    let mut env = env_of(&cache, &pages);
    env.add_function("swallow", |state: &mut minijinja::State<'_, '_>, m: Value| {
        m.call(state, &[Value::from(1)]).map_or_else(|_| "-".into(), |text| text.to_string())
    });
    for _ in 0..2 {
        assert_eq!(show(&env, "around", context! { x => 5 }), "-5-");
    }
    assert_eq!(counts(&of(&cache, "p:1 include 'good'")), [2, 1, 1, 0, 0]);
    assert_eq!(counts(&of(&cache, "around:1 include 'p'")), [2, 1, 1, 0, 0]);
    assert_eq!(cache.potential().len(), 2, "{:?}", cache.potential());
}

#[test]
fn what_is_forgotten_counts_as_new_and_memory_is_bounded() {
    let numbers = |count: u32| (0..count).map(|x| context! { x });
    let found = included("{{ x }}", numbers(10_000).chain(numbers(10_000)));
    assert!(found.distinct > 19_000 && found.conflicts == 0, "{found:?}");
    let found = included("{{ x }}", numbers(2000).chain(numbers(2000)));
    assert!(found.repeats > 1800, "{found:?}");
    // One that comes again and again is remembered through any number of others.
    let found = included("{{ x }}", (0..6000).flat_map(|x| [context! { x }, context! { x => "hot" }]));
    assert_eq!(counts(&found), [12_000, 6001, 5999, 0, 0]);
}

#[test]
fn the_first_places_are_measured_and_others_render_as_always() {
    let cache = measuring();
    let page: String = (0..300)
        .map(|n| format!("{{% include 'part' %}}\n{{% macro m{n}() %}}x{{% endmacro %}}{{{{ m{n}() }}}}\n"))
        .collect();
    let env = env_of(&cache, &[("part", "y"), ("p", &page)]);
    let expected: String = "y\nx\n".repeat(300).trim_end().to_owned();
    assert_eq!(show(&env, "p", context! {}).trim_end(), expected);
    assert_eq!(cache.potential().len(), 256);
    cache.reset_potential();
    assert_eq!(cache.potential(), []);
    show(&env, "p", context! {});
    assert_eq!(cache.potential().len(), 256);
}

#[test]
fn a_template_that_changes_is_read_anew() {
    let cache = measuring();
    let mut env = env_of(&cache, &[("part", "{{ a }}"), ("p", "{% include 'part' %}")]);
    let both = |env: &Environment<'_>| (1..3).for_each(|b| drop(show(env, "p", context! { a => 1, b })));
    both(&env);
    cache.add_template(&mut env, "part", "{{ b }}").unwrap();
    both(&env);
    let found = of(&cache, "p:1 include 'part'");
    assert_eq!((counts(&found), &found.inputs[..]), ([4, 3, 1, 0, 0], &["a".to_owned(), "b".to_owned()][..]));
}

#[test]
fn of_a_list_of_names_the_one_that_is_there_is_measured() {
    let cache = measuring();
    let page = "{% include ['nope', which, 'b'] %}{% include 'nope' ignore missing %}";
    let env = env_of(&cache, &[("a", "{{ x }}"), ("b", "b"), ("p", page)]);
    for (which, x) in [("a", 1), ("a", 2), ("none", 1), ("none", 2)] {
        show(&env, "p", context! { which, x });
    }
    assert_eq!(counts(&of(&cache, "p:1 include ['nope', which, 'b']")), [4, 3, 1, 0, 0]);
    assert_eq!(cache.potential().len(), 1);
}

#[test]
fn threads_count_together() {
    let cache = measuring();
    let page =
        "{% macro m(x) %}{{ x }}{% endmacro %}{% for x in range(10) %}{% include 'part' %}{{ m(x) }}{% endfor %}";
    let env = env_of(&cache, &[("part", "{{ x }}"), ("p", page)]);
    let expected = show(&env, "p", context! {});
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..200).for_each(|_| assert_eq!(show(&env, "p", context! {}), expected)));
        }
    });
    for label in ["p:1 include 'part'", "p:1 macro m"] {
        assert_eq!(counts(&of(&cache, label)), [8010, 10, 8000, 0, 0]);
    }
}

#[test]
fn a_formatter_that_changes_text_sees_it_once() {
    let cache = measuring();
    let mut env = env_of(&cache, &[("part.tex", "{{ x }}%"), ("p.tex", "{% include 'part.tex' %}")]);
    env.set_formatter(|out, _, value| out.write_str(&value.to_string().replace('%', "\\%")).map_err(Into::into));
    assert_eq!(show(&env, "p.tex", context! { x => "5%" }), "5\\%%");
    assert_eq!(cache.potential(), []);
    // One that leaves text alone is no obstacle.
    let mut env = env_of(&cache, &[("part.tex", "{{ x }}%"), ("p.tex", "{% include 'part.tex' %}")]);
    env.set_formatter(|out, state, value| {
        minijinja::escape_formatter(out, state, if value.is_none() { &Value::UNDEFINED } else { value })
    });
    assert_eq!(show(&env, "p.tex", context! { x => () }), "%");
    assert_eq!(cache.potential().len(), 1);
}

#[test]
fn a_measured_macro_is_no_key_and_looks_like_one() {
    let cache = measuring();
    let looks = "{% macro m(a) %}{% endmacro %}{{ m }} {{ m.name }} {{ m.arguments }} {{ m.caller }} {{ m is mapping }} {{ m|length }} {{ m|list }} {{ m == m }} {{ m|string }} {{ m|tojson }}";
    let env = env_of(&cache, &[("p", looks), ("key", "{% macro m() %}{% endmacro %}{% cache m %}{% endcache %}")]);
    let mut plain = Environment::new();
    plain.add_template("p", looks).unwrap();
    assert_eq!(show(&env, "p", context! {}), show(&plain, "p", context! {}));
    assert!(failure(&env, "key", context! {}).to_string().contains("a macro, a module or a loop"));
}

#[test]
fn strict_environments_fail_where_they_did() {
    for behavior in [UndefinedBehavior::Strict, UndefinedBehavior::SemiStrict, UndefinedBehavior::Chainable] {
        let cache = measuring();
        let mut env = env_of(
            &cache,
            &[
                ("part", "{{ there }}{% if false %}{{ not_there.at.all }}{% endif %}"),
                ("p", "{% include 'part' %}"),
                ("q", "{% include nothing %}"),
            ],
        );
        env.set_undefined_behavior(behavior);
        assert_eq!(show(&env, "p", context! { there => 1 }), "1");
        assert!(failure(&env, "q", context! {}).to_string().contains("template name was not a string"));
        assert_eq!(counts(&of(&cache, "p:1 include 'part'")), [1, 1, 0, 0, 0]);
    }
}

#[test]
fn a_potential_says_itself_in_a_line() {
    let found = included("{{ x }}", [context! { x => 1 }, context! { x => 1 }]);
    let line = found.to_string();
    assert!(line.starts_with("p:1 include 'part': 1 of 2 calls repeated, "), "{line}");
    let found = included("{% for y in x %}{% endfor %}", [context! { x => Value::make_one_shot_iterator(0..3) }]);
    assert!(found.to_string().ends_with("; 1 not compared (x: an iterator)"), "{found}");
}

#[test]
fn a_key_of_many_attributes_is_the_value_itself() {
    let part = "{{ f.a }}{{ f.b }}{{ f.c }}{{ f.d }}{{ g.a }}{{ h.i.j }}";
    let context = context! { f => context! { a => 1, b => 1, c => 1, d => 1 }, g => context! { a => 1 }, h => context! { i => context! { j => 1 } } };
    let found = included(part, [context.clone(), context]);
    assert_eq!(found.suggestion.as_deref(), Some("{% cache ['part', f, g.a, h.i.j] %}"));
}

/// Puts the suggested tag where it belongs, and renders twice.
fn suggested(part: &str, contexts: &[Value]) {
    let cache = measuring();
    let templates = [("part", part), ("p", "{% include 'part' %}")];
    let env = env_of(&cache, &templates);
    let before: Vec<String> = contexts.iter().chain(contexts).map(|context| show(&env, "p", context.clone())).collect();
    let tag = of(&cache, "p:1 include 'part'").suggestion.unwrap();
    let cache = super::support::cache();
    let env = env_of(&cache, &[("part", part), ("p", &format!("{tag}{{% include 'part' %}}{{% endcache %}}"))]);
    let after: Vec<String> = contexts.iter().chain(contexts).map(|context| show(&env, "p", context.clone())).collect();
    assert_eq!(before, after, "{tag}");
    let (each, stats) = (contexts.len() as u64, cache.stats());
    assert_eq!((stats.hits, stats.misses), (each, each), "{tag}");
}

#[test]
fn the_suggested_tag_shows_the_same_and_hits() {
    let film = |id: i32| context! { film => context! { id, title => "A", year => 1979, genre => "horror" } };
    suggested("{{ film.title }}{{ film.id }}", &[film(1), film(2)]);
    suggested("{{ film.title }}{{ film.id }}{{ film.year }}{{ film.genre }}", &[film(1), film(2)]);
    suggested("{{ a }}{{ 'b' if b is defined }}", &[context! { a => 1 }, context! { a => 1, b => () }]);
    suggested("{{ a.b }}{{ a.c }}", &[context! { a => context! { b => 1 } }, context! { a => context! { c => 1 } }]);
    suggested("{{ a.b if a }}", &[context! {}, context! { a => context! { b => 1 } }]);
    suggested(
        "{% for x in xs %}{{ x }}{{ loop.index }}{% endfor %}",
        &[context! { xs => [1] }, context! { xs => ["1"] }],
    );
    // In a macro it stands around the body.
    let found = called("{% macro m(x, y=1) %}{{ x }}{{ y }}{% endmacro %}", [1, 1, 2].map(Value::from));
    let tag = found.suggestion.unwrap();
    assert_eq!(tag, "{% cache ['m', x, y is defined, y|default(none)] %}");
}

#[test]
fn an_input_that_was_always_undefined_is_part_of_the_suggested_key() {
    let page = |notice: Option<&str>| {
        let given = context! { page => context! { content => "text" } };
        notice.map_or(given.clone(), |notice| context! { notice, user => context! { name => notice }, ..given })
    };
    for part in [
        "{% if notice %}{{ notice }}{% endif %}{{ page.content }}",
        "{{ page.content }}{{ page.notice }}{{ notice|default('') }}",
        "{{ page.content }}{% if user is defined %}{{ user.name }}{% endif %}",
        "{{ page.content }}{% include 'inner' %}",
        "{{ page.content }}{% for x in [1] %}{% include 'inner' %}{% endfor %}",
        "{{ page.content }}{% include ['nowhere', 'inner'] %}",
        "{% macro m(x=notice) %}{{ x }}{{ user.name if user }}{% endmacro %}{{ page.content }}{{ m() }}",
        "{{ page.content }}{% from 'lib' import m %}{{ m() }}",
        "{% if page.no %}{{ notice }}{{ page.content }}{% endif %}{{ user.name if notice }}",
    ] {
        let others = [
            ("inner", "{% if notice %}{{ notice }}{% endif %}{% include 'innermost' %}"),
            ("innermost", "{{ user.name if user }}"),
            ("lib", "{% macro m() %}{{ notice }}{{ user.name if user }}{% endmacro %}"),
        ];
        let env_with = |cache: &FragmentCache, page: &str| {
            let mut env = env_of(cache, &others);
            cache.add_template(&mut env, "part", part).unwrap();
            cache.add_template(&mut env, "p", page).unwrap();
            env
        };
        let cache = measuring();
        let env = env_with(&cache, "{% include 'part' %}");
        (0..3).for_each(|_| drop(show(&env, "p", page(None))));
        let tag = of(&cache, "p:1 include 'part'").suggestion.unwrap();
        let before: Vec<String> = [None, Some("a"), Some("b")].map(|notice| show(&env, "p", page(notice))).into();
        let cache = super::support::cache();
        let env = env_with(&cache, &format!("{tag}{{% include 'part' %}}{{% endcache %}}"));
        let after: Vec<String> = [None, Some("a"), Some("b")].map(|notice| show(&env, "p", page(notice))).into();
        assert_eq!(after, before, "{part}: {tag}");
    }
    let found = included("{% if notice %}{{ notice }}{% endif %}{{ page.content }}", [page(None), page(None)]);
    let tag = "{% cache ['part', notice is defined, notice|default(none), page.content] %}";
    assert_eq!(found.suggestion.as_deref(), Some(tag));
    assert_eq!(found.inputs, ["notice", "page.content"]);
    // A parameter that nobody has given so far.
    let found = called("{% macro m(x, y) %}{{ x }}{{ y }}{% endmacro %}", [1, 1].map(Value::from));
    assert_eq!(found.suggestion.as_deref(), Some("{% cache ['m', x, y is defined, y|default(none)] %}"));
}

#[test]
fn nothing_is_suggested_where_a_key_cannot_hold_what_shows() {
    let twice = |part: &str| included(part, [context! {}, context! {}]).suggestion;
    assert_eq!(twice("{{ loop.index if loop }}"), None);
    let cache = measuring();
    let env = env_of(
        &cache,
        &[("layout", "{{ notice }}"), ("part", "{% extends 'layout' %}"), ("p", "{% include 'part' %}")],
    );
    (0..2).for_each(|_| drop(show(&env, "p", context! {})));
    let found = of(&cache, "p:1 include 'part'");
    assert_eq!((found.repeats, found.suggestion), (1, None));
    let names: String = (0..70).map(|n| format!("{{{{ x{n} }}}}")).collect();
    assert_eq!(twice(&names), None);
    let boxed = called(
        "{% macro m(x) %}{{ x }}{% if caller %}{{ caller() }}{% endif %}{% endmacro %}",
        [1, 1].map(Value::from),
    );
    assert_eq!((boxed.repeats, boxed.suggestion), (1, None));
    // Functions are left out, also those that were never there.
    assert_eq!(twice("{{ tool() if no }}").as_deref(), Some("{% cache ['part', no is defined, no|default(none)] %}"));
}

#[test]
fn a_lazy_value_is_not_suggested_as_a_key() {
    let films = || context! { films => lazy(|| ok(vec!["A"])), page => lazy(|| ok(context! { number => 1 })) };
    let found = included("{{ films|join }}{{ page.number }}", [films(), films()]);
    assert_eq!(found.inputs, ["films", "page.number"]);
    assert_eq!(found.suggestion.as_deref(), Some("{% cache ['part', key_of_films, key_of_page] %}"));
}

#[test]
fn any_number_of_templates_can_be_included_from_one_place() {
    let cache = measuring();
    let mut env = Environment::new();
    cache.add_to_environment(&mut env);
    env.set_loader(cache.loader(|name| Ok(Some(if name == "p" { "{% include x %}" } else { "{{ x }}" }.into()))));
    for x in (0..1500).chain(0..1500) {
        assert_eq!(show(&env, "p", context! { x => format!("t{x}") }), format!("t{x}"));
    }
    let found = of(&cache, "p:1 include x");
    assert_eq!((found.calls, found.conflicts), (3000, 0));
    assert!(found.repeats > 1400, "{found:?}");
}
