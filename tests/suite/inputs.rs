//! What counts as an input of an include or a macro, and what is left alone.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use minijinja::context;
use minijinja::value::{Enumerator, Object, ObjectRepr, Serde, Value};
use minijinja_cache::{FragmentCache, lazy};

use super::potential::{called, counts, included, measuring, of};
use super::support::{env_of, failure, ok, show};

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
