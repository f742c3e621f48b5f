//! `lazy`: a template does with a lazy value what it does with the value.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Debug;
use std::io;
use std::sync::Arc;

use minijinja::value::{Object, ObjectRepr, Serde, Tuple, Value};
use minijinja::{AutoEscape, Environment, UndefinedBehavior, context};
use minijinja_cache::{FragmentCache, Options, lazy, with_lazy};
use serde::Serialize;

use crate::support::{Reports, Ticks, cache, env_of, failure, ok, show};

/// Every value that a template may be given.
fn values() -> Vec<Value> {
    vec![
        Value::UNDEFINED,
        Value::from(()),
        Value::from(true),
        Value::from(false),
        Value::from(0),
        Value::from(5),
        Value::from(-1_i64),
        Value::from(5.0),
        Value::from(0.5),
        Value::from(u64::MAX),
        Value::from(i128::MIN),
        Value::from(""),
        Value::from("ada"),
        Value::from("ADA"),
        Value::from("<a & b>"),
        Value::from("a name that is longer than those that are stored in place"),
        Value::from_safe_string("<b>ada</b>".to_owned()),
        Value::from_bytes(b"ada".to_vec()),
        Value::from(Vec::<Value>::new()),
        Value::from(vec![1, 2, 5]),
        Value::from(vec!["ada", "bob"]),
        Value::from(Tuple::from([Value::from(1), Value::from("ada")])),
        Value::from(BTreeMap::from([("ada", 5), ("x", 1)])),
        Value::from(HashMap::from([("ada".to_owned(), 5)])),
        context! { ada => 5, x => [1, 2] },
        Value::make_iterable(|| 0..3),
        Value::from_function(|x: Option<i32>| x.unwrap_or(7)),
        Value::from_object(Named("ada")),
    ]
}

/// An object of the application's, with an attribute and a method.
#[derive(Debug)]
struct Named(&'static str);

impl Object for Named {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        (key.as_str() == Some("x")).then(|| Value::from(self.0))
    }

    fn call_method(
        self: &Arc<Self>,
        _: &mut minijinja::State<'_, '_>,
        method: &str,
        _: &[Value],
    ) -> Result<Value, minijinja::Error> {
        match method {
            "greet" => Ok(Value::from(format!("hello {}", self.0))),
            _ => Err(minijinja::ErrorKind::UnknownMethod.into()),
        }
    }
}

/// What is done with `V`.
const USES: &[&str] = &[
    "{{ V }}",
    "{{ V == 5 }}",
    "{{ 5 == V }}",
    "{{ V != 5 }}",
    "{{ V == 5.0 }}",
    "{{ V == 'ada' }}",
    "{{ V == true }}",
    "{{ V == none }}",
    "{{ V == V }}",
    "{{ V == [1, 2, 5] }}",
    "{{ V == {'ada': 5, 'x': 1} }}",
    "{{ V == (1, 'ada') }}",
    "{{ [V] == [5] }}",
    "{{ {'k': V} == {'k': 'ada'} }}",
    "{{ V > 30 }}",
    "{{ V < 30 }}",
    "{{ V >= 5 }}",
    "{{ 3 <= V }}",
    "{{ V > 'a' }}",
    "{{ 1 < V < 9 }}",
    "{{ V in ['ada', 5] }}",
    "{{ V in 'ada, 5' }}",
    "{{ V in {'ada': 1, 5: 2} }}",
    "{{ V not in [5] }}",
    "{{ 'a' in V }}",
    "{{ 5 in V }}",
    "{{ ['a', 'b', 'c', 'd', 'e', 'f'][V] }}",
    "{{ {'ada': 1, 5: 2}[V] }}",
    "{{ 'abcdef'[V] }}",
    "{{ 'abcdef'[:V] }}",
    "{{ V[0] }}",
    "{{ V[-1] }}",
    "{{ V['ada'] }}",
    "{{ V.x }}",
    "{{ V[:2] }}",
    "{{ V[::-1] }}",
    "{{ V + 1 }}",
    "{{ 1 + V }}",
    "{{ V - 1 }}",
    "{{ V * 2 }}",
    "{{ V / 2 }}",
    "{{ V // 2 }}",
    "{{ V % 3 }}",
    "{{ V ** 2 }}",
    "{{ -V }}",
    "{{ V ~ 1 }}",
    "{{ '<' ~ V }}",
    "{{ V + 'x' }}",
    "{{ V + [1] }}",
    "{{ not V }}",
    "{{ V and 1 }}",
    "{{ V or 1 }}",
    "{% if V %}yes{% else %}no{% endif %}",
    "{{ 'y' if V == 5 else 'n' }}",
    "{% for x in V %}{{ loop.index }}/{{ loop.length }}:{{ x }},{% else %}none{% endfor %}",
    "{% for x in V|sort %}{{ x }}{% endfor %}",
    "{{ V is string }}",
    "{{ V is number }}",
    "{{ V is integer }}",
    "{{ V is float }}",
    "{{ V is boolean }}",
    "{{ V is true }}",
    "{{ V is false }}",
    "{{ V is none }}",
    "{{ V is defined }}",
    "{{ V is undefined }}",
    "{{ V is sequence }}",
    "{{ V is mapping }}",
    "{{ V is iterable }}",
    "{{ V is odd }}",
    "{{ V is divisibleby 5 }}",
    "{{ V is eq 5 }}",
    "{{ V is in ['ada'] }}",
    "{{ V is lower }}",
    "{{ V is upper }}",
    "{{ V is startingwith 'a' }}",
    "{{ V is safe }}",
    "{{ V is sameas 5 }}",
    "{{ V is sameas true }}",
    "{{ V is ge 5 }}",
    "{{ 5 is eq V }}",
    "{{ V|upper }}",
    "{{ V|length }}",
    "{{ V|default('x') }}",
    "{{ V|int }}",
    "{{ V|float }}",
    "{{ V|abs }}",
    "{{ V|round(1) }}",
    "{{ V|string }}",
    "{{ V|list }}",
    "{{ V|tojson }}",
    "{{ V|join('-') }}",
    "{{ V|first }}",
    "{{ V|last }}",
    "{{ V|reverse }}",
    "{{ V|sum }}",
    "{{ V|escape }}",
    "{{ V|safe }}",
    "{{ V|title }}",
    "{{ V|replace('a', 'b') }}",
    "{{ V|items|list }}",
    "{{ V|dictsort }}",
    "{{ V|urlencode }}",
    "{{ V|bool }}",
    "{{ V|pprint }}",
    "{{ V|min }}",
    "{{ V|unique }}",
    "{{ V|batch(2)|list }}",
    "{{ [3, V, 1]|select('==', 5)|list }}",
    "{{ [V, 'b']|join('-') }}",
    "{{ [{'n': V}, {'n': 2}]|selectattr('n', 'eq', 5)|list }}",
    "{{ 'x%sx'|format(V) }}",
    "{{ range(V) }}",
    "{{ dict(a=V) }}",
    "{{ [V, 1] }}",
    "{{ {'k': V} }}",
    "{{ (V, 1) }}",
    "{{ V() }}",
    "{{ V(3) }}",
    "{{ V.greet() }}",
    "{{ V.upper() }}",
    "{% set x = V %}{{ x == 5 }}{{ x == 'ada' }}{{ x }}",
    "{% with x = V %}{{ x > 3 }}{{ x is string }}{% endwith %}",
    "{% set a, b = V %}{{ a }}{{ b }}",
    "{% macro m(x) %}{{ x == 5 }}{{ x }}{% endmacro %}{{ m(V) }}",
    "{% macro m() %}{{ V == 5 }}{{ V }}{% endmacro %}{{ m() }}",
    "{% macro m() %}{{ caller() }}{% endmacro %}{% call m() %}{{ V == 5 }}{{ V }}{% endcall %}",
    "{% set ns = namespace(x=V) %}{{ ns.x == 5 }}",
    "{% for x in [V] %}{{ x == 5 }}{{ x }}{% endfor %}",
    "{% filter upper %}{{ V }}{% endfilter %}",
    "{% set x %}{{ V }}{% endset %}{{ x }}",
    "{% include 'use' %}",
    "{% cache 'k' %}{{ V == 5 }}{{ V }}{% endcache %}",
    "{% cache ['k', V] %}{{ V == 5 }}{% endcache %}",
    "{% cache 'k' if=V %}{{ V == 5 }}{% endcache %}",
];

/// The page that a value gives, or why it fails.
fn outcome(page: Result<impl ToString, minijinja::Error>) -> Result<String, String> {
    page.map(|page| page.to_string()).map_err(|error| {
        let mut innermost: &dyn std::error::Error = &error;
        while let Some(source) = innermost.source() {
            innermost = source;
        }
        innermost.to_string()
    })
}

/// Pages of a template, in every way that resolves lazy values.
struct Pages {
    cache: FragmentCache,
    env: Environment<'static>,
}

impl Pages {
    fn of(source: &str, undefined: UndefinedBehavior, html: bool) -> Option<Pages> {
        let cache = cache();
        let mut env = Environment::new();
        env.set_undefined_behavior(undefined);
        env.set_auto_escape_callback(move |_| if html { AutoEscape::Html } else { AutoEscape::None });
        cache.add_to_environment(&mut env);
        cache.add_template(&mut env, "use", "{{ v }}").unwrap();
        cache.add_template(&mut env, "q", "{{ cache_partial('p', 'partial', context=all) }}").unwrap();
        // What does not compile has no outcome to compare.
        cache.add_template(&mut env, "p", source).ok()?;
        Some(Pages { cache, env })
    }

    fn with(&self, given: impl Fn() -> Value) -> [Result<String, String>; 4] {
        let Pages { cache, env } = self;
        let live = cache.environment(env.clone());
        let each = |page: &dyn Fn() -> Result<String, minijinja::Error>| {
            cache.clear();
            outcome(page())
        };
        [
            each(&|| env.get_template("p")?.render(with_lazy(given()))),
            each(&|| Ok(cache.render(env, "p", given(), "handler", Options::default())?.to_string())),
            each(&|| live.render("q", context! { all => given() })),
            each(&|| live.render("p", given())),
        ]
    }
}

/// Compares what `source` gives with each value and with the same as a lazy one.
fn alike(source: &str, values: &[Value], context_of: impl Fn(Value) -> Value) {
    for (undefined, html) in [(UndefinedBehavior::Lenient, true), (UndefinedBehavior::Strict, false)] {
        let Some(pages) = Pages::of(source, undefined, html) else { continue };
        for value in values {
            let eager = pages.with(|| context_of(value.clone()));
            let lazily = pages.with(|| {
                let value = value.clone();
                context_of(lazy(move || ok(value)))
            });
            assert_eq!(lazily, eager, "{source} of {value:?}");
        }
    }
}

#[test]
fn a_template_does_with_a_lazy_value_what_it_does_with_the_value() {
    for source in USES {
        alike(&source.replace('V', "v"), &values(), |value| context! { v => value });
    }
}

#[derive(Serialize)]
struct Holder {
    v: Value,
}

/// An object of the application's as a context.
#[derive(Debug)]
struct Root(Value);

impl Object for Root {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        (key.as_str() == Some("v")).then(|| self.0.clone())
    }
}

#[test]
fn a_lazy_value_is_resolved_wherever_it_lies_in_the_context() {
    let some: Vec<Value> = [
        Value::from(()),
        Value::from(5),
        Value::from("ada"),
        Value::from_safe_string("<b>".to_owned()),
        Value::from(vec![1, 5]),
        context! { ada => 5 },
    ]
    .into();
    let uses = [
        "{{ V }}",
        "{{ V == 5 }}",
        "{{ V == 'ada' }}",
        "{{ V > 3 }}",
        "{{ V in [5, 'ada'] }}",
        "{{ V is string }}",
        "{{ V + 1 }}",
        "{{ V|length }}",
        "{{ V is none }}",
        "{% for x in V %}{{ x }}{% endfor %}",
        "{{ [0, 1, 2, 3, 4, 9][V] }}",
        "{% macro m() %}{{ V == 5 }}{% endmacro %}{% cache 'k' %}{{ m() }}{% endcache %}",
    ];
    let places: &[(&str, &dyn Fn(Value) -> Value)] = &[
        ("user.v", &|v| context! { user => context! { v } }),
        ("user['v']", &|v| context! { user => BTreeMap::from([("v".to_owned(), v)]) }),
        ("user.v", &|v| context! { user => HashMap::from([("v".to_owned(), v)]) }),
        ("user.v", &|v| context! { user => Value::from(Serde(Holder { v })) }),
        ("v", &|v| Value::from(Serde(Holder { v }))),
        ("v", &|v| Value::from_object(Root(v))),
        ("v", &|v| context! { v => lazy(move || ok(v)) }),
        ("user.v", &|v| context! { user => lazy(move || ok(context! { v })) }),
        ("v", &|v| lazy(move || ok(context! { v }))),
        ("v", &|v| context! { x => 1, ..context! { v } }),
        ("v", &|v| context! { x => 1, ..Value::from_object(Root(v)) }),
        ("xs[0]", &|v| context! { xs => vec![v] }),
        ("xs[1][0].v", &|v| context! { xs => vec![Value::from(1), Value::from(vec![context! { v }])] }),
        ("t[0]", &|v| context! { t => Tuple::from([v, Value::from(1)]) }),
        ("(xs|first)", &|v| context! { xs => vec![v] }),
        ("(xs|list)[0]", &|v| context! { xs => Value::make_object_iterable(v, |v| Box::new([v.clone()].into_iter())) }),
        ("(user|items|list)[0][1]", &|v| context! { user => context! { v } }),
        ("(users|map(attribute='v')|list)[0]", &|v| context! { users => vec![context! { v }] }),
        ("m.v", &|v| {
            context! { m => Value::make_object_map(v, |_| Box::new([Value::from("v")].into_iter()), |v, key| {
                (key.as_str() == Some("v")).then(|| v.clone())
            }) }
        }),
    ];
    for (path, context_of) in places {
        for source in uses {
            alike(&source.replace('V', path), &some, context_of);
        }
    }
    for source in ["{{ user }}", "{{ user|tojson }}", "{{ user == {'v': 5} }}", "{{ [user] }}", "{{ user|dictsort }}"] {
        alike(source, &some, |v| context! { user => context! { v } });
        alike(source, &some, |v| context! { user => Value::from(Serde(Holder { v })) });
    }
    for source in [
        "{{ xs }}",
        "{{ xs == [5] }}",
        "{{ 5 in xs }}",
        "{{ xs|sort }}",
        "{{ xs|reverse|list }}",
        "{{ xs + [1] }}",
        "{{ xs[::-1] }}",
        "{{ xs|sum }}",
        "{{ xs is sequence }}",
        "{% for x in xs %}{{ loop.length }}{{ x == 5 }}{% endfor %}",
    ] {
        alike(source, &some, |v| context! { xs => vec![v] });
        alike(source, &some, |v| context! { xs => Tuple::from([v]) });
    }
}

#[test]
fn objects_of_the_application_reach_filters_as_they_are() {
    let (mut env, cache) = (Environment::new(), cache());
    cache.add_to_environment(&mut env);
    env.add_filter("named", |value: &Value| value.downcast_object_ref::<Named>().map(|named| named.0.to_owned()));
    env.add_filter("list_of", |value: &Value| value.downcast_object_ref::<Vec<Value>>().map(Vec::len));
    let source = "{{ object|named }} {{ object.greet() }} {{ list|list_of }} {{ within[0]|named }} {{ behind|named }}";
    cache.add_template(&mut env, "p", source).unwrap();
    let given = || {
        let named = || Value::from_object(Named("ada"));
        let behind = lazy(move || ok(named()));
        context! { object => named(), list => vec![Value::from(1)], within => vec![named(), lazy(|| ok(1))], behind }
    };
    assert_eq!(cache.environment(env.clone()).render("p", given()).unwrap(), "ada hello ada 1 ada ada");
    assert_eq!(show(&env, "p", with_lazy(given())), "ada hello ada 1 ada ada");
}

#[test]
fn a_lazy_value_that_fails_is_an_error_however_it_is_touched() {
    for source in USES.iter().map(|source| source.replace('V', "v")).filter(|source| !source.contains("include")) {
        let Some(pages) = Pages::of(&source, UndefinedBehavior::Lenient, true) else { continue };
        let failing = |v: Value| move || context! { v => v.clone() };
        let down = || lazy(|| Err::<Value, _>(io::Error::other("down")));
        for page in pages.with(failing(down())) {
            // MiniJinja says of what cannot be called only that.
            let why = page.expect_err(&source);
            assert!(why == "down" || source.contains("v(") && why.contains("not callable"), "{source}: {why}");
        }
    }
}

#[test]
fn a_lazy_value_that_nothing_touches_is_not_computed() {
    let sources = [
        "{% if false %}{{ v }}{% endif %}",
        "{% macro m() %}{{ v }}{% endmacro %}",
        "{% macro m(x=v) %}{{ x }}{% endmacro %}",
        "{% macro m() %}{% if no %}{{ v.x }}{{ v > 3 }}{% endif %}{% endmacro %}{{ m() }}",
        "{%- macro m() -%}{{ cache_partial('use', 'k', context={'v': v}) }}{%- endmacro -%}",
        "{% for key in all %}{{ key }}{% endfor %}",
        "{{ all|length }}{{ all is mapping }}{{ all is defined }}",
        "{% set x = all %}{{ x.other }}",
    ];
    for source in sources {
        // Where no block and no partial is, nothing is gained from keeping a value lazy.
        let Some(pages) =
            Pages::of(&format!("{{% cache 'k' %}}{{% endcache %}}{source}"), UndefinedBehavior::Strict, true)
        else {
            panic!("{source} does not compile")
        };
        for page in pages.with(|| {
            let touched = || lazy(|| -> Result<Value, io::Error> { panic!("computed") });
            context! { v => touched(), no => false, all => context! { v => touched(), other => 1 } }
        }) {
            assert!(page.is_ok(), "{source}: {page:?}");
        }
    }
}

#[test]
fn a_hit_computes_no_lazy_value() {
    let sources = [
        "{% cache 'k' %}{{ v }}{% endcache %}",
        "{% cache 'k' %}{% if v == 5 %}{{ v + 1 }}{% endif %}{{ user.v }}{% endcache %}",
        "{% macro m() %}{{ v }}{{ v > 3 }}{% endmacro %}{% cache 'k' %}{{ m() }}{% endcache %}",
        "{%- macro m(x=v) -%}{{ x == 5 }}{%- endmacro -%}{% cache 'k' %}{{ m() }}{% endcache %}",
        "{% macro m() %}{% cache 'k' %}{{ v + 1 }}{% endcache %}{% endmacro %}{{ m() }}",
        "{% macro m() %}{% macro n() %}{{ v + 1 }}{% endmacro %}{{ n() }}{% endmacro %}{% cache 'k' %}{{ m() }}{% endcache %}",
        "{% macro m() %}{{ caller() }}{% endmacro %}{% call m() %}{% cache 'k' %}{{ v + 1 }}{% endcache %}{% endcall %}",
        "{{ cache_partial('use', 'k', context={'v': v}) }}",
        "{{ cache_partial('use', 'k', '5m', tags=['t'], context={'w': [1, {'a': 2}], 'v': v}) }}",
        "{% macro m() %}{{ cache_partial('use', 'k', context={'v': v, 'w': v}) }}{% endmacro %}{{ m() }}",
        "{% for x in [1] %}{{ cache_partial('use', 'k', context={'v': v, 'x': x}) }}{% endfor %}",
    ];
    for source in sources {
        let cache = cache();
        let env = env_of(&cache, &[("p", source), ("use", "{{ v + 1 }}")]);
        let live = cache.environment(env.clone());
        let plain = |context: Value| env.get_template("p").unwrap().render(with_lazy(context));
        for page in [&|context: Value| live.render("p", context), &plain as &dyn Fn(Value) -> Result<String, _>] {
            cache.clear();
            let ticks = Ticks::default();
            let given = || {
                let ticks = ticks.clone();
                let v = lazy(move || {
                    ticks.tick();
                    ok(5)
                });
                context! { v => v.clone(), user => context! { v } }
            };
            let first = page(given()).unwrap();
            assert!(!first.trim().is_empty(), "{source}");
            assert_eq!(page(given()).unwrap(), first, "{source}");
            assert_eq!(ticks.count(), 1, "{source}");
        }
    }
}

#[test]
fn a_macro_reads_what_its_name_stood_for() {
    let pages = [
        ("{% set v = 1 %}{% macro m() %}{{ v }}{% endmacro %}{{ m() }}", "1"),
        ("{% macro m() %}{{ v }}{% endmacro %}{% set v = 1 %}{{ m() }}", "1"),
        ("{% for v in [1, 2] %}{% macro m() %}{{ v }}{% endmacro %}{{ m() }}{% endfor %}", "12"),
        ("{% for w in [1, 2] %}{% include 'declares' %}{% endfor %}", "12"),
        ("{% with w = 3 %}{% include 'declares' %}{% endwith %}", "3"),
        ("{% macro m(v) %}{{ v }}{{ u }}{% endmacro %}{{ m(1) }}{{ m(v=2) }}", "1g2g"),
        ("{% macro m(a=u, b=a) %}{{ a }}{{ b }}{% endmacro %}{{ m() }}{{ m(1) }}", "g1"),
        (
            "{% macro m() %}{{ [u]|join(u) }}{{ u is defined }}{{ nope is defined }}{{ u if u is not nope_test else 1 }}{% endmacro %}",
            "",
        ),
        (
            "{% macro m() %}{% set x = u %}{% set ns = namespace(u=u) %}{% set ns.u = ns.u ~ u %}{{ x }}{{ ns.u }}{% endmacro %}{{ m() }}",
            "ggg",
        ),
        (
            "{% macro m() %}{% for k, w in {'a': u}|items %}{{ k }}{{ w }}{{ loop.index }}{% endfor %}{% endmacro %}{{ m() }}",
            "ag1",
        ),
        (
            "{% macro m() %}{{ {u: u}[u] }}{{ u[0] }}{{ u.upper is undefined }}{{ 'x' ~ u|upper }}{% endmacro %}{{ m() }}",
            "ggTruexG",
        ),
        (
            "{% macro m() %}<{{ caller() }}>{% endmacro %}{% call m() %}{{ u }}{% call m() %}{{ u }}{% endcall %}{% endcall %}",
            "<g<g>>",
        ),
        ("{% macro m(x) %}<{{ caller(x) }}>{% endmacro %}{% call(y) m(u) %}{{ y }}{{ u }}{% endcall %}", "<gg>"),
        ("{%+ macro m() -%} {{ u }} {%- endmacro +%} {{ m() }}", " g"),
        (
            "{% macro m() %}{{ m2(u) }}{% endmacro %}{% macro m2(a) %}{{ a }}{{ tick is defined }}{% endmacro %}{{ m() }}",
            "gFalse",
        ),
    ];
    for (source, shown) in pages {
        let cache = cache();
        let declares = "{% cache 'd' if=false %}{% endcache %}{% macro n() %}{{ w }}{% endmacro %}{{ n() }}";
        let mut env = env_of(&cache, &[("declares", declares)]);
        env.add_global("u", "g");
        env.add_test("nope_test", |_: &Value| false);
        cache.add_template(&mut env, "p", &format!("{{% cache 'k' %}}{{% endcache %}}{source}")).unwrap();
        env.add_template_owned("plain", source.replace("{% include 'declares' %}", "{{ w }}")).unwrap();
        assert_eq!(show(&env, "p", context! {}), shown, "{source}");
        assert_eq!(show(&env, "plain", context! {}), shown, "{source}");
    }
}

#[test]
fn a_partial_depends_on_what_a_lazy_value_that_it_is_given_read() {
    for context in ["{'v': v}", "v"] {
        let cache = cache();
        let env = env_of(
            &cache,
            &[("p", &format!("{{{{ cache_partial('use', 'k', context={context}) }}}}")), ("use", "{{ v }}")],
        );
        let live = cache.environment(env);
        let page = |n: u32| {
            let inner = cache.clone();
            let v = lazy(move || {
                inner.get_or_set_value("data", Options::default().tag("t"), || ok(n)).map(|n| match n {
                    0 => Value::UNDEFINED,
                    n => Value::from(n),
                })
            });
            let v = if context == "v" { lazy(move || ok(context! { v })) } else { v };
            live.render("p", context! { v }).unwrap()
        };
        assert_eq!([page(1), page(2)], ["1", "1"]);
        cache.invalidate_tag("t");
        assert_eq!(page(3), "3", "{context}");
    }
}

#[test]
fn a_list_that_was_given_another_name_still_tells_what_it_depends_on() {
    let cache = cache();
    let env = env_of(&cache, &[("p", "{% set w = v %}{% cache 'k' %}{{ w|join }}{% endcache %}")]);
    let live = cache.environment(env);
    let page = |n: u32| {
        let inner = cache.clone();
        let v = lazy(move || inner.get_or_set_value("data", Options::default().tag("t"), || ok(vec![n])));
        live.render("p", context! { v }).unwrap()
    };
    assert_eq!([page(1), page(2)], ["1", "1"]);
    cache.invalidate_tag("t");
    assert_eq!(page(3), "3");
}

/// Renders each page three times, and gives what was reported and explained of the last.
fn reported(source: &str, page: impl Fn(&Environment<'static>, Value)) -> (Vec<String>, Vec<bool>) {
    let (reports, on_error) = Reports::collect();
    let cache = FragmentCache::builder().on_error(on_error).build().unwrap();
    let env = env_of(&cache, &[("use", "{{ user.bio }}"), ("page.html", source)]);
    let given = || {
        let user = lazy(|| ok(context! { id => 1, bio => "Likes caches." }));
        context! { user, id => 1, total => lazy(|| ok(5)), films => lazy(|| ok(vec![1])), h => context! { n => lazy(|| ok(5)) } }
    };
    (0..2).for_each(|_| page(&env, given()));
    let ((), explained) = cache.explain(|| page(&env, given()));
    (reports.all(), explained.fragments.iter().map(|fragment| fragment.lazy_key).collect())
}

#[test]
fn a_key_that_computes_a_lazy_value_is_reported_once() {
    let plain = |env: &Environment<'static>, context: Value| drop(show(env, "page.html", context));
    let resolved = |env: &Environment<'static>, context: Value| drop(show(env, "page.html", with_lazy(context)));
    for (source, name) in [
        ("{% cache ['bio', user.id] %}x{% endcache %}", "`user`"),
        ("x\n{%- cache 'bio' ~ user.id -%}x{% endcache %}", "`user`"),
        ("{% cache 'k' vary=total %}x{% endcache %}", "`total`"),
        ("{% cache id tags=['a'] if=total %}x{% endcache %}", "`total`"),
        ("{% cache h.n, '5m' %}x{% endcache %}", "`n`"),
        ("{{ films }}{% cache total %}x{% endcache %}", "`total`"),
        ("{{ cache_partial('use', ['bio', user.id], context={'user': user}) }}", "`user`"),
    ] {
        let (reports, explained) = reported(source, resolved);
        assert_eq!(reports.len(), 1, "{source}: {reports:?}");
        assert!(reports[0].contains(name) && reports[0].starts_with("Key"), "{source}: {reports:?}");
        assert_eq!(explained, [true], "{source}");
    }
    for source in ["{% cache ['bio', user.id] %}x{% endcache %}", "{% cache films %}x{% endcache %}"] {
        let (reports, explained) = reported(source, plain);
        assert_eq!((reports.len(), &explained[..]), (1, &[true][..]), "{source}: {reports:?}");
    }
}

#[test]
fn a_key_that_computes_nothing_is_not_reported() {
    for source in [
        "{% cache ['bio', id] %}{{ user.bio }}{% endcache %}",
        "{{ user.bio }}{% cache ['bio', user.id] %}x{% endcache %}",
        "{% if total > 3 %}{% cache id %}x{% endcache %}{% endif %}",
        "{{ cache_partial('use', ['bio', id], context={'user': user}) }}",
        "{{ user.bio }}{{ cache_partial('use', ['bio', user.id], context={'user': user}) }}",
    ] {
        let (reports, explained) = reported(source, |env, context| drop(show(env, "page.html", with_lazy(context))));
        assert_eq!((reports, explained), (vec![], vec![false]), "{source}");
    }
}

#[test]
fn a_cached_body_that_takes_a_lazy_value_for_an_object_fails() {
    for (undefined, html) in [(UndefinedBehavior::Lenient, true), (UndefinedBehavior::Strict, false)] {
        for (body, right) in [
            ("{{ total > 30 }}", "False"),
            ("{{ total == 5 }}", "True"),
            ("{{ 5 != total }}", "False"),
            ("{% if name == 'ada' %}Ada{% endif %}", "Ada"),
            ("{{ 'd' in name }}", "True"),
            ("{{ total in [1, 5] }}", "True"),
            ("{{ name is string }}", "True"),
            ("{{ total is number }}", "True"),
            ("{{ ['a', 'b', 'c', 'd', 'e', 'f'][total] }}", "f"),
            ("{{ {5: 'x'}[total] }}", "x"),
            ("{{ [total] == [5] }}", "True"),
            ("{% cache 'inner' %}{{ total > 30 }}{% endcache %}", "False"),
            ("{{ name }}{{ total > 30 }}{{ name }}", "adaFalseada"),
            (
                "{{ name }}{{ total }}{% if total %}{{ total() + 1 }}{% endif %}{{ name|upper }}{{ name[0] }}",
                "ada56ADAa",
            ),
        ] {
            let source = format!("{{% cache 'k' %}}{body}{{% endcache %}}");
            let Pages { env, .. } = Pages::of(&source, undefined, html).unwrap();
            let given = || context! { total => lazy(|| ok(5)), name => lazy(|| ok("ada")) };
            for _ in 0..2 {
                match env.get_template("p").unwrap().render(given()) {
                    Ok(page) => assert_eq!(page, right, "{source}"),
                    // What MiniJinja itself refuses, it refuses first.
                    Err(error) => assert!(
                        error.to_string().contains("with_lazy") || undefined == UndefinedBehavior::Strict,
                        "{source}: {error}"
                    ),
                }
            }
            // Nothing that is wrong was stored.
            assert_eq!(show(&env, "p", with_lazy(given())), right, "{source}");
        }
        let down = || context! { v => lazy(|| Err::<Value, _>(io::Error::other("down"))) };
        let Pages { env, .. } =
            Pages::of("{% cache 'k' %}{% if v %}{% endif %}{% endcache %}", undefined, html).unwrap();
        assert!(env.get_template("p").unwrap().render(down()).is_err());
    }
}

#[test]
fn without_a_context_that_resolves_it_a_lazy_value_is_an_object() {
    let cache = cache();
    let env = env_of(
        &cache,
        &[(
            "p",
            "{{ v }},{{ w }},{{ v == w }},{{ v < w }},{{ v() + 1 }},{% if v %}{% for x in w %}{{ x }}{% endfor %}{% endif %}",
        )],
    );
    let number = |n: i32| lazy(move || ok(n));
    assert!(failure(&env, "p", context! { v => number(5), w => number(7) }).to_string().contains("not iterable"));
    let shown = show(&env, "p", context! { v => number(5), w => lazy(|| ok("ada")) });
    assert_eq!(shown, "5,ada,False,True,6,ada");
    let env = env_of(&cache, &[("q", "{{ v == w }}{{ v < u }}{{ v.x == 5 }}{{ v.x is number }}{{ v|length }}{{ v }}")]);
    let map = |n: i32| lazy(move || ok(context! { x => lazy(move || ok(n)) }));
    assert_eq!(show(&env, "q", context! { v => map(5), w => map(5), u => map(6) }), "TrueTrueTrueTrue1{'x': 5}");
    let down = lazy(|| Err::<Value, _>(io::Error::other("down")));
    let env = env_of(&cache, &[("r", "{{ v|length }}")]);
    assert!(env.get_template("r").unwrap().render(context! { v => down }).is_err());
}
