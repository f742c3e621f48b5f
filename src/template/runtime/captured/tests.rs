//! Tests with templates that read their own output: they must print the same text with debug marks as without.

use std::convert::Infallible;

use minijinja::{Environment, context};
use proptest::prelude::*;

use crate::cache::explain::Collecting;
use crate::telemetry::MARKS;
use crate::{FragmentCache, Options};

/// The templates that pages include, import and extend.
const PARTS: [(&str, &str); 9] = [
    ("card", "{% cache 'card' %}card{% endcache %}"),
    ("blank", "{% cache 'blank' %} \n {% endcache %}"),
    ("nested", "<{% include 'card' %}>"),
    ("reads", "{% set x %}{% include 'nested' %}{% endset %}{{ x|length }}"),
    ("lib", "{% cache 'lib' %}top{% endcache %}{% macro m() %}{% cache 'm' %}macro{% endcache %}{% endmacro %}"),
    ("layout", "[{% block body %}{% cache 'layout' %}of the layout{% endcache %}{% endblock %}]"),
    (
        "middle",
        "{% extends 'layout' %}{% block body %}{{ super() }}{% cache 'middle' %}middle{% endcache %}{% endblock %}",
    ),
    ("tree", "{% for n in tree recursive %}{% cache ['n', n.id] %}n{% endcache %}{{ loop(n.sub) }}{% endfor %}"),
    ("listing", "{% for n in xs %}{% include 'card' %}{% endfor %}"),
];

fn environment(page: &str) -> (FragmentCache, Environment<'static>) {
    let cache = FragmentCache::builder().build().unwrap();
    let mut env = Environment::new();
    cache.add_to_environment(&mut env);
    let page = page.to_owned();
    env.set_loader(cache.loader(move |name| {
        let part = PARTS.iter().find(|(known, _)| *known == name).map(|(_, source)| (*source).to_owned());
        Ok(part.or_else(|| (name == "p").then(|| page.clone())))
    }));
    (cache, env)
}

/// The output of a page on a miss and on a hit, with debug marks and without.
fn shown(page: &str) -> ([String; 2], [String; 2]) {
    let twice = |marks: bool| {
        let (cache, env) = environment(page);
        let leaf = |id| context! { id, sub => Vec::<u8>::new() };
        let tree = vec![context! { id => 1, sub => vec![leaf(2), leaf(3)] }];
        let context = context! { xs => [1, 2], name => "card", tree, yes => true };
        [0, 1].map(|_| {
            let render = || match env.get_template("p").and_then(|page| page.render(&context)) {
                Ok(text) => text,
                Err(error) => format!("{:?} {:?}", error.kind(), error.detail()),
            };
            match marks {
                true => Collecting::begin(&cache, true).scope().run(render),
                false => render(),
            }
        })
    };
    (twice(true), twice(false))
}

fn without_marks(text: &str) -> String {
    MARKS.strip(text.as_bytes()).map_or_else(|| text.to_owned(), |text| String::from_utf8(text).unwrap())
}

#[track_caller]
fn same(page: &str) -> bool {
    let (marked, plain) = shown(page);
    let unmarked = marked.each_ref().map(|text| without_marks(text));
    assert_eq!(unmarked, plain, "{page}");
    marked.iter().zip(&plain).all(|(marked, plain)| marked != plain)
}

#[test]
fn templates_that_read_what_they_print_show_the_same() {
    for page in [
        "{% block act %}{% cache 'x' %} {% endcache %}{% endblock %}{% if self.act()|trim %}<div>{% endif %}",
        "{% block act %}{% cache 'x' %}text{% endcache %}{% endblock %}{% if self.act()|length == 4 %}<div>{% endif %}",
        "{% set x %}{% cache 'k' %}abc{% endcache %}{% endset %}{% if x|length == 3 %}three{% endif %}{{ x }}",
        "{% set x|upper %}{% cache 'k' %}abc{% endcache %}{% endset %}{{ x == 'ABC' }}",
        "{% filter length %}{% cache 'k' %}abc{% endcache %}{% endfilter %}",
        "{% filter upper|replace('ABC', 'x') %}{% cache 'k' %}abc{% endcache %}{% endfilter %}",
        "{% macro m() %}{% cache 'k' %}abc{% endcache %}{% endmacro %}{{ m() == 'abc' }}{{ m()|length }}{{ m() }}",
        "{% macro m() %}{{ caller()|length }}{% endmacro %}{% call m() %}{% cache 'k' %}abc{% endcache %}{% endcall %}",
        "{% macro m() %}{% include name %}{% endmacro %}{{ m()|length }}",
        "{% from 'lib' import m %}{{ m()|length }}{{ m() }}",
        "{% import 'lib' as lib %}{{ lib|string|length }}{{ lib.m()|length }}",
        "{% extends 'layout' %}{% block body %}{{ super()|length }}{% endblock %}",
        "{% extends 'layout' %}{% block body %}{% set x = super() %}{{ x|length }}{{ x }}{% endblock %}",
        "{% extends 'middle' %}{% block body %}{{ super()|replace('m', '') }}{% endblock %}",
        "{% set x %}{% include 'middle' %}{% endset %}{{ x|length }}",
        "{% filter length %}{% block b %}{% include 'nested' %}{% endblock %}{% endfilter %}",
        "{% include 'reads' %}{% include 'nested' %}{% include 'card' %}",
        "{% set s = self %}{% block b %}{% cache 'k' %}abc{% endcache %}{% endblock %}{{ s.b()|length }}",
        "{% block b %}{% cache 'k' %}abc{% endcache %}{% endblock %}{{ self['b']()|length }}",
        "{% set x %}{{ self.b() }}{% endset %}{% block b %}{% cache 'k' %}abc{% endcache %}{% endblock %}{{ x|length }}",
        "{% for n in tree recursive %}{% cache ['x', n.id] %}n{% endcache %}{{ loop(n.sub)|length }}{% endfor %}",
        "{% set x %}{% include 'tree' %}{% endset %}{{ x|length }}",
        "{% set x %}{% for n in xs %}{% include ['none', 'listing'] %}{% endfor %}{% endset %}{{ x|length }}",
        "{{ cache_partial('card', 1)|length }}",
        "{{ cache_partial('card', 1) ~ '!' == 'card!' }}",
        "{% set x = cache_partial('nested', 1) %}{% if x|length == 6 %}six{% endif %}{{ x }}",
        "{% set f = cache_partial %}{{ f('nested', 1)|length }}",
        "{% if cache_partial('blank', 1)|trim %}text{% endif %}",
        "{% if cache_partial('nested', 1)|length == 6 %}six{% endif %}{{ cache_partial('nested', 1) }}",
        "{% with x = cache_partial('nested', 1) %}{{ x|length }}{% endwith %}",
        "{% set x %}{{ cache_partial('nested', 1) }}{% endset %}{{ x|length }}",
        "{% set x %}{% cache 'out' %}a{% cache 'in' %}b{% endcache %}{% endcache %}{% endset %}{{ x|length }}",
        "{% cache 'out' %}{% set x %}{% cache 'in' %}b{% endcache %}{% endset %}{{ x|length }}{% endcache %}",
        "{% cache 'out' %}{{ cache_partial('nested', 1)|length }}{% endcache %}",
        "{% set x %}{% cache 'k' 0 %}abc{% endcache %}{% cache 'l' if=false %}d{% endcache %}{% endset %}{{ x|length }}",
        "<a title='{% set x %}{% cache 'k' %}a{% endcache %}{% endset %}{{ x|length }}'>",
        "{% set ns = namespace() %}{% set ns.x %}{% cache 'k' %}abc{% endcache %}{% endset %}{{ ns.x|length }}",
        "{% autoescape false %}{% set x %}{% cache 'k' %}<b>{% endcache %}{% endset %}{{ x|length }}{% endautoescape %}",
    ] {
        same(page);
    }
}

#[test]
fn what_no_template_can_read_is_marked() {
    for page in [
        "{% cache 'k' %}abc{% endcache %}",
        "{% if yes %}{% for x in xs %}{% with y = x %}{% cache ['k', y] %}abc{% endcache %}{% endwith %}{% endfor %}{% endif %}",
        "{% include 'card' %}",
        "{% include name %}",
        "{% include 'nested' %}{% include 'listing' %}",
        "{% block b %}{% cache 'k' %}abc{% endcache %}{% endblock %}{{ self.b() }}",
        "{% include 'middle' %}",
        "{% extends 'middle' %}{% block body %}{{ super() }}{% cache 'k' %}abc{% endcache %}{% endblock %}",
        "{% include 'tree' %}",
        "{{ cache_partial('card', 1) }}",
        "{{ cache_partial('nested', [1, (2)], context={'a': 1}) }}",
        "{% cache 'out' %}{% cache 'in' %}abc{% endcache %}{% endcache %}",
        "{% cache 'k' 0 %}abc{% endcache %}",
        "{% from 'lib' import m %}{% include 'card' %}",
        "{% set x %}{% cache 'read' %}abc{% endcache %}{% endset %}{{ x|length }}{% cache 'k' %}printed{% endcache %}",
        "{% macro m() %}{% cache 'm' %}abc{% endcache %}{% endmacro %}{{ m() }}{% cache 'k' %}printed{% endcache %}",
        "{% filter upper %}text{% endfilter %}{% include 'nested' %}",
    ] {
        assert!(same(page), "{page}");
    }
}

#[test]
fn white_space_is_not_marked() {
    for page in ["{% cache 'k' %} \n\u{a0}{% endcache %}", "{% cache 'k' %}{% endcache %}", "{% include 'blank' %}"] {
        let (marked, plain) = shown(page);
        assert_eq!(marked, plain);
    }
}

#[test]
fn a_text_that_no_template_of_the_environment_holds_is_not_marked() {
    let (cache, env) = environment("");
    let source = cache.rewrite("{% cache 'k' %}abc{% endcache %}", "x", env.syntax()).unwrap();
    let page = Collecting::begin(&cache, true).scope().run(|| env.render_str(&source, context! {}).unwrap());
    assert_eq!(page, "abc");
}

#[test]
fn what_a_handler_hands_to_a_template_has_no_marks() {
    let (cache, env) = environment("{{ card|length }}{{ text|length }}");
    let marking = Collecting::begin(&cache, true);
    marking.scope().run(|| {
        for _ in 0..2 {
            let card = cache.render(&env, "nested", context! {}, "k", Options::default()).unwrap();
            let load = || Ok::<_, Infallible>(env.get_template("card").unwrap().render(context! {}).unwrap());
            let text = cache.get_or_set("text", Options::default(), load).unwrap();
            assert_eq!(env.get_template("p").unwrap().render(context! { card, text }).unwrap(), "64");
        }
    });
}

/// Pages of nested statements, and statements that read their output afterwards.
fn page() -> impl Strategy<Value = String> {
    let leaves = [
        "{% cache 'a' %}abc{% endcache %}",
        "{% cache 'b' %} {% endcache %}",
        "{% cache xs %}{% cache 'c' 0 %}d{% endcache %}{% endcache %}",
        "{% include 'nested' %}",
        "{% include name %}",
        "{% include 'middle' %}",
        "{% include 'tree' %}",
        "{{ cache_partial('nested', 1) }}",
        "{{ cache_partial('card', 2)|length }}",
        "{% import 'lib' as lib %}{{ lib|string|length }}",
        "{% from 'lib' import m %}{{ m()|length }}",
        "text",
    ];
    let around = [
        ("{% set x %}", "{% endset %}{{ x|length }}{{ x }}"),
        ("{% filter upper %}", "{% endfilter %}"),
        ("{% filter length %}", "{% endfilter %}"),
        ("{% macro f() %}", "{% endmacro %}{{ f()|length }}{{ f() }}"),
        ("{% macro g() %}{{ caller()|length }}{% endmacro %}{% call g() %}", "{% endcall %}"),
        ("{% if yes %}", "{% endif %}"),
        ("{% for x in xs %}", "{% endfor %}"),
        ("{% with z = 1 %}", "{% endwith %}"),
        ("{% cache 'around' %}", "{% endcache %}"),
    ];
    let leaf = proptest::sample::select(leaves.to_vec()).prop_map(str::to_owned);
    let inner = leaf.prop_recursive(3, 12, 3, move |inner| {
        (proptest::sample::select(around.to_vec()), proptest::collection::vec(inner, 1..3))
            .prop_map(|((open, close), inner)| format!("{open}{}{close}", inner.concat()))
    });
    let block = |n: usize, body: &str, read: bool| {
        let read = if read { format!("{{{{ self.b{n}()|length }}}}") } else { format!("{{{{ self.b{n}() }}}}") };
        format!("{{% block b{n} %}}{body}{{% endblock %}}{read}")
    };
    proptest::collection::vec((inner, any::<[bool; 2]>()), 1..4).prop_map(move |parts| {
        let part = |(n, (body, [blocked, read])): (usize, &(String, [bool; 2]))| match blocked {
            true => block(n, body, *read),
            false => body.clone(),
        };
        parts.iter().enumerate().map(part).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_page_shows_the_same(page in page()) {
        same(&page);
    }
}
