//! The body sees exactly what the same text would see without the tag, on misses, and hits leave no more behind.

use minijinja::syntax::SyntaxConfig;
use minijinja::{Environment, Value, context};

use crate::support::{cache, env_of, show};

/// Asserts that this template shows the same with the tag, on misses and hits, as without it. `[[` and `]]` stand for
/// the tag.
fn same(templates: &[(&str, &str)]) {
    let plain: Vec<(&str, String)> = templates.iter().map(|(name, source)| (*name, strip(source))).collect();
    let tagged: Vec<(&str, String)> = templates.iter().map(|(name, source)| (*name, tag(source))).collect();
    let mut without = Environment::new();
    for (name, source) in &plain {
        without.add_template(name, source).unwrap();
    }
    let cache = cache();
    let tagged: Vec<(&str, &str)> = tagged.iter().map(|(name, source)| (*name, source.as_str())).collect();
    let with = env_of(&cache, &tagged);
    let expected = show(&without, "p", data());
    assert_eq!(show(&with, "p", data()), expected, "on misses: {tagged:?}");
    assert_eq!(show(&with, "p", data()), expected, "on hits: {tagged:?}");
    assert!(cache.stats().hits > 0 && cache.stats().stores > 0, "nothing was cached: {tagged:?}");
}

fn strip(source: &str) -> String {
    let mut text = source.to_owned();
    while let (Some(start), Some(end)) = (text.find("[["), text.find("|>")) {
        text.replace_range(start..end + 2, "{% with %}");
    }
    text.replace("]]", "{% endwith %}")
}

fn tag(source: &str) -> String {
    source.replace("[[", "{% cache ").replace("|>", " %}").replace("]]", "{% endcache %}")
}

fn data() -> Value {
    let leaf = |name: &str| context! { name, children => Vec::<Value>::new() };
    let tree = vec![
        context! { name => "a", children => vec![leaf("b"), context! { name => "c", children => vec![leaf("d")] }] },
        leaf("e"),
    ];
    context! { xs => vec!["x", "y", "z"], tree, v => "<v>" }
}

#[test]
fn loop_variables_are_seen() {
    same(&[(
        "p",
        "{% for x in xs %}[['k' ~ loop.index|>{{ loop.index }}/{{ loop.length }}{{ x }}{{ loop.last }};]]{% endfor %}",
    )]);
    same(&[(
        "p",
        "{% for x in xs %}{% for y in xs %}[[[x, y]|>{{ x }}{{ y }}{{ loop.cycle('o', 'e') }};]]{% endfor %}{% endfor %}",
    )]);
    same(&[(
        "p",
        "[['k'|>{% for x in xs %}{{ loop.changed(x) }}{% if loop.first %}{% continue %}{% endif %}{{ x }}{% break %}{% else %}none{% endfor %}]]",
    )]);
}

#[test]
fn includes_in_loops_see_the_loop() {
    same(&[
        ("p", "{% for x in xs %}[[x|>{% include 'part' %}]]{% endfor %}"),
        ("part", "{{ x }}{{ loop.index0 }}{{ v }}"),
    ]);
    same(&[
        ("p", "{% for x in xs %}{% set z = x %}{% include 'part' %}{% endfor %}"),
        ("part", "[[z|>{{ x }}{{ z }}]]"),
    ]);
}

#[test]
fn set_and_with_are_seen_and_set_inside_stays_inside() {
    same(&[("p", "{% set a = 1 %}[['k'|>{{ a }}{% set a = 2 %}{{ a }}{% set b = 3 %}]]{{ a }}{{ b is defined }}")]);
    same(&[(
        "p",
        "{% with a = v, b = 2 %}[[b|>{{ a }}{{ b }}{% with a = 5 %}{{ a }}{% endwith %}]]{{ a }}{% endwith %}",
    )]);
    same(&[(
        "p",
        "{% set a %}<i>{{ v }}{% endset %}[['k'|>{{ a }}{% set c %}x{% endset %}{{ c }}]]{{ c is defined }}",
    )]);
    same(&[(
        "p",
        "[['k'|>{% set n = namespace(i=0) %}{% for x in xs %}{% set n.i = n.i + 1 %}{% endfor %}{{ n.i }}]]",
    )]);
    same(&[("p", "{% set a = 1 %}{% if true %}[['k'|>{% set a = 2 %}{{ a }}]]{{ a }}{% endif %}{{ a }}")]);
}

#[test]
fn macros_and_callers_work() {
    same(&[(
        "p",
        "{% macro m(a, b=v) %}[[a|>{{ a }}{{ b }}{{ varargs|default('') }}]]{% endmacro %}{{ m(1) }}{{ m(2, b=3) }}",
    )]);
    same(&[(
        "p",
        "{% macro m(a) %}[[['k', caller(a)]|>{{ caller(a) }}]]{% endmacro %}{% call(x) m(5) %}<{{ x }}{{ v }}>{% endcall %}",
    )]);
    same(&[("p", "{% macro m() %}{{ v }}!{% endmacro %}[['k'|>{{ m() }}]]")]);
    // What an include in a macro sets is seen after it.
    same(&[
        ("p", "{% macro m() %}{% include 'part' %}{{ v }}{{ leak }}{% endmacro %}{{ m() }}[['k'|>{{ v }}]]"),
        ("part", "{% set leak = 1 %}"),
    ]);
    same(&[
        (
            "p",
            "{% import 'lib' as l %}{% from 'lib' import m as n %}[['k'|>{{ l.m(1) }}{{ n(2) }}{% import 'lib' as o %}{{ o.m(3) }}]]",
        ),
        ("lib", "{% macro m(a) %}[['in' ~ a|>{{ a }}]]{% endmacro %}"),
    ]);
    same(&[("p", "[['k'|>{% macro inner(a) %}<{{ a }}>{% endmacro %}{{ inner(1) }}]]{{ inner is defined }}")]);
}

#[test]
fn recursive_loops_work() {
    same(&[(
        "p",
        "{% for n in tree recursive %}[[n.name|>{{ n.name }}{{ loop.depth }}({{ loop(n.children) }})]]{% endfor %}",
    )]);
    same(&[(
        "p",
        "{% for n in tree recursive %}{{ n.name }}[['c' ~ n.name|>{% if n.children %}{{ loop(n.children) }}{% endif %}]]{% endfor %}",
    )]);
}

#[test]
fn super_and_inherited_blocks_work() {
    let base = "<{% block b %}base{{ v }}{% endblock %}|{% block c %}[['c'|>c{{ v }}]]{% endblock %}>";
    same(&[("p", "{% extends 'base' %}{% block b %}[['k'|>{{ super() }}!]]{% endblock %}"), ("base", base)]);
    same(&[
        (
            "p",
            "{% extends 'mid' %}{% block b %}[['k'|>p{{ super() }}]]{{ super() }}{% endblock %}{% block c %}{{ super() }}{% endblock %}",
        ),
        ("mid", "{% extends 'base' %}{% block b %}[['k'|>m{{ super() }}]]{% endblock %}"),
        ("base", base),
    ]);
}

#[test]
fn two_children_of_one_layout_with_one_key_do_not_mix() {
    let cache = cache();
    let child = |text: &str| {
        format!(
            "{{% extends 'base' %}}{{% block b %}}{{% cache 'k' %}}{{{{ super() }}}}{text}{{% endcache %}}{{% endblock %}}{{% block c %}}{text}{{% endblock %}}"
        )
    };
    let (one, two) = (child("1"), child("2"));
    let env = env_of(
        &cache,
        &[
            (
                "base",
                "{% block b %}{% cache 'k' %}base{% endcache %}{% endblock %}{% block c %}{% endblock %}{% cache 'outside' %}o{% endcache %}",
            ),
            ("one", &one),
            ("two", &two),
        ],
    );
    for _ in 0..2 {
        let shown = ["one", "two", "base"].map(|name| show(&env, name, context! {}));
        assert_eq!(shown, ["base11o", "base22o", "baseo"]);
    }
}

#[test]
fn nested_blocks_and_filters_work() {
    same(&[("p", "[['a'|>1[['b'|>2[['c'|>{{ v }}]]]]]][['b'|>other]]")]);
    same(&[("p", "{% filter upper %}a[['k'|>b{% filter replace('c', 'd') %}c{% endfilter %}]]{% endfilter %}")]);
    same(&[("p", "[['k'|>{% autoescape 'html' %}{{ v }}{% endautoescape %}{% raw %}{{ v }}{% endraw %}{# c #}{% if v %}i{% else %}e{% endif %}{% do none %}]]".replace("{% do none %}", "").as_str())]);
    same(&[("p", "{% set x %}[['k'|>{{ v }}]]{% endset %}{{ x }}{{ x|length }}")]);
}

#[test]
fn white_space_control_works_as_on_any_tag() {
    for (open, close) in [
        ("{% cache 'k' %}", "{% endcache %}"),
        ("{%- cache 'k' -%}", "{%- endcache -%}"),
        ("{%+ cache 'k' %}", "{%+ endcache +%}"),
        ("<% cache 'k' %>", "<% endcache %>"),
        ("<%- cache 'k' -%>", "<%- endcache -%>"),
    ] {
        for (trim, lstrip) in [(false, false), (true, false), (false, true), (true, true)] {
            let with = |open: &str, close: &str| format!("a\n  {open}\n  b {{{{ 1 }}}}\n  {close}\n c\n");
            let (jinja_open, jinja_close) = (
                open.replace('<', "{").replace('>', "}").replace("cache 'k'", "if true"),
                close.replace('<', "{").replace('>', "}").replace("endcache", "endif"),
            );
            let cache = cache();
            let mut env = Environment::new();
            env.set_syntax(SyntaxConfig::builder().trim_blocks(trim).lstrip_blocks(lstrip).build().unwrap());
            cache.add_to_environment(&mut env);
            cache.add_template(&mut env, "p", &with(open, close)).unwrap();
            env.add_template_owned("if", with(&jinja_open, &jinja_close)).unwrap();
            let expected = show(&env, "if", context! {});
            for round in ["miss", "hit"] {
                assert_eq!(show(&env, "p", context! {}), expected, "{open} trim={trim} lstrip={lstrip} {round}");
            }
        }
    }
}
