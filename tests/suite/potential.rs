//! What is measured of includes and macros, and what is said of it.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use minijinja::value::{Enumerator, Object, ObjectRepr, Serde, Value};
use minijinja::{Environment, UndefinedBehavior, context};
use minijinja_cache::{FragmentCache, Potential, lazy};

use super::support::{Ticks, env_of, failure, ok, show};

fn measuring() -> FragmentCache {
    FragmentCache::builder().measure_potential(true).build().unwrap()
}

fn of(cache: &FragmentCache, label: &str) -> Potential {
    let all = cache.potential();
    let found = all.iter().find(|potential| potential.label == label);
    found.unwrap_or_else(|| panic!("{label} is not among {all:#?}")).clone()
}

/// Calls, first seen, repeats, conflicts, unreadable.
fn counts(potential: &Potential) -> [u64; 5] {
    let Potential { calls, distinct, repeats, conflicts, unreadable, .. } = *potential;
    assert_eq!(calls, distinct + repeats + conflicts + unreadable, "{potential:?}");
    [calls, distinct, repeats, conflicts, unreadable]
}

/// Renders a page that includes `part` once per context.
fn included(part: &str, contexts: impl IntoIterator<Item = Value>) -> Potential {
    let cache = measuring();
    let env = env_of(&cache, &[("part", part), ("p", "{% include 'part' %}")]);
    for context in contexts {
        show(&env, "p", context);
    }
    of(&cache, "p:1 include 'part'")
}

/// Calls a macro once per value.
fn called(declaration: &str, values: impl IntoIterator<Item = Value>) -> Potential {
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
fn only_what_the_template_reads_is_an_input() {
    let user = |name: &str, seen: u32| context! { user => context! { name, seen } };
    let found = included("{{ user.name }}", [user("Ada", 1), user("Ada", 2), user("Bob", 3)]);
    assert_eq!(counts(&found), [3, 2, 1, 0, 0]);
    assert_eq!(found.inputs, ["user.name"]);
}

#[test]
fn what_is_read_by_a_method_or_as_a_whole_counts_whole() {
    let user = |seen: u32| context! { user => context! { name => "Ada", seen } };
    for part in ["{{ user.items() }}{{ user.name }}", "{{ user }}", "{{ user['na' ~ 'me'] }}", "{{ user|items }}"] {
        let cache = measuring();
        let mut env = env_of(&cache, &[("part", part), ("p", "{% include 'part' %}")]);
        env.set_unknown_method_callback(|_, value, _, _| Ok(Value::from(value.to_string())));
        for seen in [1, 2, 2] {
            show(&env, "p", user(seen));
        }
        let found = of(&cache, "p:1 include 'part'");
        assert_eq!((counts(&found), &found.inputs[..]), ([3, 2, 1, 0, 0], &["user".to_owned()][..]), "{part}");
    }
}

#[test]
fn names_that_minijinja_passes_over_are_inputs() {
    for part in [
        "{% include x %}",
        "{% import x as l %}{{ l.v }}",
        "{% from x import v %}{{ v }}",
        "{% extends x %}",
        "{% filter replace('a', x) %}a{% endfilter %}",
        "{% set x = x ~ '!' %}{{ x }}",
        "{% with x = x %}{{ x }}{% endwith %}",
        "{% autoescape x %}<{% endautoescape %}{{ '<' }}",
    ] {
        let cache = measuring();
        let env = env_of(&cache, &[("1", "one"), ("2", "two"), ("part", part), ("p", "{% include 'part' %}")]);
        let value = |x: &str| if part.contains("autoescape") { Value::from(x == "1") } else { Value::from(x) };
        for x in ["1", "2", "1"] {
            env.get_template("p").unwrap().render(context! { x => value(x) }).unwrap();
        }
        let found = of(&cache, "p:1 include 'part'");
        assert_eq!((counts(&found), &found.inputs[..]), ([3, 2, 1, 0, 0], &["x".to_owned()][..]), "{part}");
    }
}

#[test]
fn what_an_include_inside_reads_is_an_input_of_what_is_around() {
    let cache = measuring();
    let inner = "{% for w in widgets %}{% include w %}{% endfor %}";
    let env = env_of(&cache, &[("w", "{{ theme }}"), ("part", inner), ("p", "{% include 'part' %}")]);
    for theme in ["a", "b", "a"] {
        show(&env, "p", context! { theme, widgets => ["w", "w"] });
    }
    assert_eq!(counts(&of(&cache, "part:1 include w")), [6, 2, 4, 0, 0]);
    assert_eq!(counts(&of(&cache, "p:1 include 'part'")), [3, 2, 1, 0, 0]);
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
fn a_lazy_value_is_computed_only_where_the_template_touches_it() {
    let cache = measuring();
    let part = "{% if wanted %}{{ list|join(',') }}{% endif %}";
    let env = env_of(
        &cache,
        &[("part", part), ("p", "{% include 'part' %}"), ("q", "{{ list|length }}{% include 'part' %}")],
    );
    let computed = Arc::new(AtomicU64::new(0));
    let list = |items: Vec<i32>| {
        let computed = Arc::clone(&computed);
        lazy(move || {
            computed.fetch_add(1, Ordering::SeqCst);
            ok(items)
        })
    };
    let page = |wanted: bool, items: Vec<i32>| show(&env, "p", context! { wanted, list => list(items) });
    page(false, vec![1]);
    page(false, vec![2]);
    assert_eq!(computed.load(Ordering::SeqCst), 0);
    assert_eq!(counts(&of(&cache, "p:1 include 'part'")), [2, 1, 1, 0, 0]);
    assert_eq!([page(true, vec![1]), page(true, vec![1, 2]), page(true, vec![1])], ["1", "1,2", "1"]);
    assert_eq!(computed.load(Ordering::SeqCst), 3, "once for each page");
    assert_eq!(counts(&of(&cache, "p:1 include 'part'")), [5, 3, 2, 0, 0]);
    // Computed before by the page, and attributes of lazy values are read through.
    show(&env, "q", context! { wanted => true, list => list(vec![1]) });
    assert_eq!(computed.load(Ordering::SeqCst), 4);

    let found = included(
        "{{ totals.films }}",
        [1, 1, 2].map(|films| context! { totals => lazy(move || ok(context! { films })) }),
    );
    assert_eq!((counts(&found), &found.inputs[..]), ([3, 2, 1, 0, 0], &["totals.films".to_owned()][..]));
    let failing = lazy(|| Err::<Value, _>(std::io::Error::other("down")));
    let env = env_of(&cache, &[("f", "{% include 'g' %}"), ("g", "{% if x %}{% endif %}{{ x.y }}")]);
    let error = failure(&env, "f", context! { x => failing });
    assert!(std::error::Error::source(&error).unwrap().to_string().contains("a lazy value failed: down"), "{error}");
}

#[test]
fn an_iterator_is_left_for_the_template() {
    let iterator = || context! { items => Value::make_one_shot_iterator(0..3), more => Value::make_iterable(|| 0..3) };
    let found = included("{% for x in items %}{{ x }}{% endfor %}", [iterator(), iterator()]);
    assert_eq!((counts(&found), found.bytes), ([2, 0, 0, 0, 2], 6));
    assert_eq!(found.unreadable_input.as_deref(), Some("items: an iterator"));
    let found = included("{% for x in more %}{{ x }}{% endfor %}", [iterator()]);
    assert_eq!((counts(&found), found.bytes), ([1, 0, 0, 0, 1], 3));
    let found = called(
        "{% macro m(x) %}{% for y in x %}{{ y }}{% endfor %}{% endmacro %}",
        [Value::make_one_shot_iterator(0..3)],
    );
    assert_eq!((counts(&found), found.bytes), ([1, 0, 0, 0, 1], 3));
    // As the name of an include it is not asked either.
    let cache = measuring();
    let env = env_of(&cache, &[("a", "A"), ("p", "{% include names %}")]);
    let names = Value::make_one_shot_iterator(["nope", "a"].into_iter().map(Value::from));
    assert_eq!(show(&env, "p", context! { names }), "A");
    assert_eq!(cache.potential(), []);
}

/// An object of the application's that counts how often it is asked, and may panic.
#[derive(Debug, Default)]
struct Film {
    asked: AtomicU64,
    panics: bool,
}

impl Film {
    fn ask(&self) {
        self.asked.fetch_add(1, Ordering::SeqCst);
        assert!(!self.panics, "asked");
    }
}

impl Object for Film {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        self.ask();
        ObjectRepr::Map
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.ask();
        (key.as_str() == Some("title")).then(|| Value::from("Alien"))
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        self.ask();
        Enumerator::Str(&["title"])
    }
}

#[test]
fn an_object_of_the_application_is_asked_nothing() {
    let film = Arc::new(Film { panics: true, ..Film::default() });
    let value = Value::from_dyn_object(Arc::clone(&film));
    let contexts = || [context! { film => value.clone() }, context! { films => [value.clone()] }];
    let found = included("{% if false %}{{ film.title }}{{ films }}{% endif %}", contexts());
    assert_eq!(counts(&found), [2, 0, 0, 0, 2]);
    let name = std::any::type_name::<Film>();
    assert_eq!(found.unreadable_input, Some(format!("film.title: an object of type {name}")));
    let found = called("{% macro m(x) %}{% if false %}{{ x }}{% endif %}{% endmacro %}", [value.clone()]);
    assert_eq!(counts(&found), [1, 0, 0, 0, 1]);
    assert_eq!(film.asked.load(Ordering::SeqCst), 0);
}

#[test]
fn an_object_that_may_be_read_is_read_and_cannot_fail_a_page() {
    for panics in [false, true] {
        let cache = FragmentCache::builder().measure_potential(true).measure_object::<Film>().build().unwrap();
        let part = "{% if false %}{{ film.title }}{{ films }}{% endif %}";
        let env = env_of(&cache, &[("part", part), ("p", "{% include 'part' %}")]);
        let film = || Value::from_object(Film { panics, ..Film::default() });
        for _ in [1, 2] {
            show(&env, "p", context! { film => film(), films => vec![film()] });
        }
        let found = of(&cache, "p:1 include 'part'");
        let expected = if panics { [2, 0, 0, 0, 2] } else { [2, 1, 1, 0, 0] };
        assert_eq!(counts(&found), expected);
        assert_eq!(found.unreadable_input.as_deref(), panics.then_some("film.title: an object that panics"));
    }
}

#[test]
fn values_that_print_differently_are_different_inputs() {
    let values = [
        Value::UNDEFINED,
        Value::from(()),
        Value::from(false),
        Value::from(0),
        Value::from(0.0),
        Value::from(-0.0),
        Value::from(f64::NAN),
        Value::from(f64::INFINITY),
        Value::from("0"),
        Value::from(""),
        Value::from_safe_string("0".into()),
        Value::from_bytes(b"0".to_vec()),
        Value::from(u64::MAX),
        Value::from(i128::MAX),
        Value::from(u128::MAX),
        Value::from(i64::MIN),
        Value::from(Vec::<Value>::new()),
        Value::from(vec![0]),
        Value::from(vec![vec![0]]),
        Value::from(vec!["a", "b"]),
        Value::from(vec!["ab"]),
        Value::from_pairs([("a", 0)]),
        Value::from_pairs([("a", Value::from(vec![0]))]),
        Value::from(Serde(HashMap::from([(1, 2)]))),
        context! { a => 0, b => 0 },
        Value::from("é"),
        Value::from("e\u{301}"),
        Value::from("x".repeat(100_000)),
    ];
    let found = included("{{ x|string|length }}{{ x }}", values.iter().chain(&values).map(|x| context! { x }));
    let each = values.len() as u64;
    assert_eq!(counts(&found), [2 * each, each, each, 0, 0]);
    // One value, whatever type holds it.
    let one = [Value::from(1_u8), Value::from(1_i64), Value::from(1_u128), Value::from(1_i128)];
    assert_eq!(counts(&included("{{ x }}", one.map(|x| context! { x }))), [4, 1, 3, 0, 0]);
    // NaNs are equal here, unlike in arithmetic: they print the same.
    let nans = [f64::NAN, -f64::NAN, f64::from_bits(0x7ff8_dead_beef_0001)];
    assert_eq!(counts(&included("{{ x }}", nans.map(|x| context! { x }))), [3, 1, 2, 0, 0]);
}

#[test]
fn what_is_too_large_or_too_deep_is_not_compared() {
    let deep = (0..200).fold(Value::from(1), |inner, _| Value::from(vec![inner]));
    let found = included("{{ x|length }}", [context! { x => deep }]);
    assert_eq!(found.unreadable_input.as_deref(), Some("x: nested too deep"));
    let huge = Value::from(Serde((0..100_000).map(|n| (n, "x".repeat(9))).collect::<HashMap<_, _>>()));
    for x in [huge, Value::from("x".repeat(1 << 20))] {
        let found = included("{{ x|length }}", [context! { x => x.clone() }, context! { x }]);
        assert_eq!(found.unreadable_input.as_deref(), Some("x: too large to compare"));
    }
}

#[test]
fn the_mode_of_escaping_is_an_input() {
    let cache = measuring();
    let page = "{% macro m(x) %}{{ x }}{% endmacro %}{{ m('<') }}{% autoescape 'html' %}{{ m('<') }}{% endautoescape %}{{ m('<') }}";
    let env = env_of(&cache, &[("p.txt", page)]);
    assert_eq!(show(&env, "p.txt", context! {}), "<&lt;<");
    assert_eq!(counts(&of(&cache, "p.txt:1 macro m")), [3, 2, 1, 0, 0]);
}

#[test]
fn a_loop_counter_is_an_input_and_the_loops_items_are_not_looked_ahead_at() {
    let cache = measuring();
    let page = "{% for x in xs %}{% include 'part' %}{% endfor %}";
    let env = env_of(
        &cache,
        &[
            ("part", "{{ loop.index }}{{ loop.last }}"),
            ("next", "{{ loop.nextitem }}"),
            ("p", page),
            ("q", &page.replace("part", "next")),
        ],
    );
    for _ in [1, 2] {
        show(&env, "p", context! { xs => ["a", "b"] });
    }
    assert_eq!(counts(&of(&cache, "p:1 include 'part'")), [4, 2, 2, 0, 0]);
    show(&env, "q", context! { xs => Value::make_one_shot_iterator(0..3) });
    let found = of(&cache, "q:1 include 'next'");
    assert_eq!(
        (counts(&found), found.unreadable_input.as_deref()),
        ([3, 0, 0, 0, 3], Some("loop.nextitem: a loop's items"))
    );
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
    assert_eq!(tag, "{% cache ['m', x] %}");
}

#[test]
fn a_lazy_value_is_not_suggested_as_a_key() {
    let films = || context! { films => lazy(|| ok(vec!["A"])), page => lazy(|| ok(context! { number => 1 })) };
    let found = included("{{ films|join }}{{ page.number }}", [films(), films()]);
    assert_eq!(found.inputs, ["films", "page.number"]);
    assert_eq!(found.suggestion.as_deref(), Some("{% cache ['part', key_of_films, key_of_page] %}"));
}

/// Holds itself.
#[derive(Debug)]
struct Ring;

impl Object for Ring {
    fn get_value(self: &Arc<Self>, _: &Value) -> Option<Value> {
        Some(Value::from_dyn_object(Arc::clone(self)))
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Str(&["self"])
    }
}

#[test]
fn an_object_that_holds_itself_ends_somewhere() {
    let cache = FragmentCache::builder().measure_potential(true).measure_object::<Ring>().build().unwrap();
    let env = env_of(&cache, &[("part", "{% if false %}{{ ring }}{% endif %}"), ("p", "{% include 'part' %}")]);
    show(&env, "p", context! { ring => Value::from_object(Ring) });
    assert_eq!(of(&cache, "p:1 include 'part'").unreadable_input.as_deref(), Some("ring: nested too deep"));
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
