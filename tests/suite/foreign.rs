//! Text that another template or a caller fills in is refused in a cached body, and never served to the wrong page.

use minijinja::{Environment, ErrorKind, context};
use minijinja_cache::FragmentCache;

use crate::support::{cache, env_of, failure, page, show};

/// What loading the template `p` says.
#[track_caller]
fn refused_at_load(source: &str) -> String {
    let mut env = Environment::new();
    let cache = cache();
    cache.add_to_environment(&mut env);
    let error = cache.add_template(&mut env, "p", source).expect_err(source);
    assert_eq!(error.kind(), ErrorKind::SyntaxError, "{source}: {error}");
    error.to_string()
}

/// What rendering `page` says, with all its causes.
#[track_caller]
fn refused_at_render(templates: &[(&str, &str)], page: &str) -> String {
    let env = env_of(&cache(), templates);
    let error = failure(&env, page, context! {});
    let causes = std::iter::successors(std::error::Error::source(&error), |error| error.source());
    let text = causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"));
    assert!(text.contains("cache `"), "{templates:?}: {text}");
    text
}

/// Pages that may show nothing but their own text, or fail: each is rendered twice, after the others.
#[track_caller]
fn never_mixed(templates: &[(&str, &str)], pages: &[(&str, &str)]) {
    let env = env_of(&cache(), templates);
    for (page, own) in pages.iter().chain(pages) {
        if let Ok(shown) = env.get_template(page).unwrap().render(context! {}) {
            assert_eq!(shown, *own, "{page} of {templates:?}");
        }
    }
}

const LAYOUT: &str = "{% block page %}<h1>{% block title %}{% endblock %}</h1>{% endblock %}";
const MID: &str = "{% extends 'layout' %}{% block page %}{% cache 'p' %}{{ super() }}{% endcache %}{% endblock %}";
const A: &str = "{% extends 'mid' %}{% block title %}A{% endblock %}";
const B: &str = "{% extends 'mid' %}{% block title %}B{% endblock %}";

#[test]
fn super_that_shows_a_block_of_a_child_is_refused() {
    let templates = [("layout", LAYOUT), ("mid", MID), ("a", A), ("b", B)];
    never_mixed(&templates, &[("a", "<h1>A</h1>"), ("b", "<h1>B</h1>"), ("mid", "<h1></h1>")]);
    let text = refused_at_render(&templates, "a");
    assert!(text.contains("super()") && text.contains("(layout:1)") && text.contains("\"page\""), "{text}");
}

#[test]
fn super_that_shows_a_block_by_name_is_refused() {
    for layout in [
        "{% block page %}<h1>{{ self.title() }}</h1>{% endblock %}{% block title %}{% endblock %}",
        "{% block page %}{% set t = self.title() %}{{ t }}{% endblock %}{% block title %}{% endblock %}",
        "{% set t %}{{ self.title() }}{% endset %}{% block page %}{{ t }}{% endblock %}{% block title %}{% endblock %}",
        "{% macro m() %}{{ self.title() }}{% endmacro %}{% block page %}{{ m() }}{% endblock %}{% block title %}{% endblock %}",
        "{% macro n() %}{{ m() }}{% endmacro %}{% macro m() %}{{ self.title() }}{% endmacro %}{% block page %}{{ n() }}{% endblock %}{% block title %}{% endblock %}",
    ] {
        let text = refused_at_render(&[("layout", layout), ("mid", MID), ("a", A)], "a");
        assert!(text.contains("whose text depends on the template that extends this one"), "{text}");
    }
}

#[test]
fn super_is_refused_with_the_other_block_in_the_same_file_and_through_several_parents() {
    let mid = "{% extends 'layout' %}{% block title %}M{% endblock %}{% block page %}{% cache 'p' %}{{ super() }}{% endcache %}{% endblock %}";
    refused_at_render(&[("layout", LAYOUT), ("mid", mid)], "mid");
    let between = "{% extends 'layout' %}{% block page %}b{{ super() }}{% endblock %}";
    let mid = "{% extends 'between' %}{% block page %}{% cache 'p' %}{{ super() }}{% endcache %}{% endblock %}";
    refused_at_render(&[("layout", LAYOUT), ("between", between), ("mid", mid), ("a", A)], "a");
    let silent = "{% extends 'layout' %}{% block other %}{% endblock %}";
    refused_at_render(&[("layout", LAYOUT), ("between", silent), ("mid", mid), ("a", A)], "a");
}

#[test]
fn super_is_refused_in_templates_that_a_page_includes() {
    let templates = [("layout", LAYOUT), ("mid", MID), ("a", A), ("b", B), ("p", "{% include 'a' %}{% include 'b' %}")];
    refused_at_render(&templates, "p");
    never_mixed(&templates, &[("p", "<h1>A</h1><h1>B</h1>")]);
}

#[test]
fn super_that_ends_before_a_block_of_a_child_is_served() {
    let between = "{% extends 'layout' %}{% block page %}own{% endblock %}";
    let mid = "{% extends 'between' %}{% block page %}{% cache 'p' %}{{ super() }}{% endcache %}{% endblock %}";
    let cache = cache();
    let env = env_of(&cache, &[("layout", LAYOUT), ("between", between), ("mid", mid), ("a", A)]);
    assert_eq!([show(&env, "a", context! {}), show(&env, "a", context! {})], ["own", "own"]);
    assert_eq!(cache.stats().hits, 1);
}

#[test]
fn a_parent_that_was_not_loaded_through_the_cache_is_refused_beside_one_that_was() {
    let cache = cache();
    let mut env = env_of(
        &cache,
        &[
            ("lib", "{% macro m() %}{% endmacro %}"),
            (
                "mid",
                "{% import 'lib' as lib %}{% extends 'layout' %}{% block page %}{% cache 'p' %}{{ super() }}{% endcache %}{% endblock %}",
            ),
        ],
    );
    env.add_template("layout", LAYOUT).unwrap();
    let text = failure(&env, "mid", context! {}).to_string();
    assert!(text.contains("\"layout\" to be loaded through the cache"), "{text}");
}

#[test]
fn an_included_template_that_extends_a_computed_one_does_not_refuse_another_ones_super() {
    let cache = cache();
    let env = env_of(
        &cache,
        &[
            ("base", "{% block b %}base{% endblock %}"),
            ("free", "{% extends parent %}{% block b %}free{% endblock %}"),
            ("part", "{% extends 'base' %}{% block b %}{% cache 'k' %}{{ super() }}{% endcache %}{% endblock %}"),
            ("p", "{% include 'free' %}{% include 'part' %}"),
        ],
    );
    for _ in 0..2 {
        assert_eq!(show(&env, "p", context! { parent => "base" }), "freebase");
    }
    assert_eq!(cache.stats().hits, 1);
}

#[test]
fn a_captured_super_is_judged_as_super_is() {
    let captured = "{% extends 'layout' %}{% block page %}{% set t %}{{ super() }}{% endset %}{% cache 'p' %}{{ t }}{% endcache %}{% endblock %}";
    refused_at_render(&[("layout", LAYOUT), ("mid", captured), ("a", A)], "a");
    let text = refused_at_load(&captured.replace("'layout'", "layout"));
    assert!(text.contains("`super()` inside a cached body needs"), "{text}");
}

#[test]
fn a_macro_that_shows_a_block_is_refused_in_a_body() {
    let text = refused_at_load(
        "{% macro m() %}{{ self.title() }}{% endmacro %}{% block title %}{% endblock %}\n{% block b %}{% cache 'k' %}{{ m() }}{% endcache %}{% endblock %}",
    );
    assert!(text.contains("`m` shows a block") && text.contains("(in p:2)"), "{text}");
    refused_at_load(
        "{% set t %}{{ self.title() }}{% endset %}{% block title %}{% endblock %}{% block b %}{% cache 'k' %}{{ t }}{% endcache %}{% endblock %}",
    );
    let base = "{% import 'lib' as lib %}{% block title %}{% endblock %}{% block b %}{% cache 'k' %}{{ lib.m() }}{% endcache %}{% endblock %}";
    let templates = [
        ("lib", "{% macro m() -%} {{ self.title() }}{% endmacro %}"),
        ("base", base),
        ("a", "{% extends 'base' %}{% block title %}A{% endblock %}"),
    ];
    let text = refused_at_render(&templates, "a");
    assert!(text.contains("cache `'k'`: the body calls a macro that shows a block"), "{text}");
}

#[test]
fn a_block_shown_by_a_macro_outside_of_a_body_is_left_alone() {
    let (env, _) = page(
        &cache(),
        "{% macro m() -%} [{{ self.title() }}]{%- endmacro %}{% block title %}T{% endblock %}{% cache 'k' %}x{% endcache %}{{ m() }}",
    );
    assert_eq!([show(&env, "p", context! {}), show(&env, "p", context! {})], ["Tx[T]", "Tx[T]"]);
}

const BOX: &str = "{% macro box() %}{% cache 'b' %}{{ caller() }}{% endcache %}{% endmacro %}";

#[test]
fn a_caller_in_a_cached_body_is_refused_when_the_template_loads() {
    for macro_ in [
        BOX,
        "{% macro box() %}{% set caller_ = caller %}{% cache 'b' %}{{ caller_() }}{% endcache %}{% endmacro %}",
        "{% macro box() %}{% set a = caller %}{% set b = a %}{% cache 'b' %}{{ b() }}{% endcache %}{% endmacro %}",
        "{% macro box() %}{% set t %}<b>{{ caller() }}</b>{% endset %}{% cache 'b' %}{{ t }}{% endcache %}{% endmacro %}",
        "{% macro box() %}{% with t = caller() %}{% cache 'b' %}{{ t }}{% endcache %}{% endwith %}{% endmacro %}",
        "{% macro box() %}{% for c in [caller] %}{% cache 'b' %}{{ c() }}{% endcache %}{% endfor %}{% endmacro %}",
        "{% macro box() %}{% cache 'b' %}{{ inner(caller) }}{% endcache %}{% endmacro %}",
        "{% macro box() %}{% cache 'b' %}{% set c = caller %}{{ c() }}{% endcache %}{% endmacro %}",
        "{% macro box() %}{% set c = caller %}{% macro show() %}{{ c() }}{% endmacro %}{% cache 'b' %}{{ show() }}{% endcache %}{% endmacro %}",
    ] {
        let text = refused_at_load(&format!("\n{macro_}{{% call box() %}}1{{% endcall %}}"));
        assert!(text.contains("caller()") && text.contains("(in p:2)"), "{macro_}: {text}");
    }
}

#[test]
fn a_caller_that_comes_by_another_way_is_refused_at_render() {
    let calls = "{% call box() %}1{% endcall %}{% call box() %}2{% endcall %}";
    let inner = "{% macro inner(c) %}{% cache 'b' %}{{ c() }}{% endcache %}{% endmacro %}";
    for before in [
        format!("{inner}{{% macro box() %}}{{{{ inner(caller) }}}}{{% endmacro %}}"),
        "{% macro box() %}{% set c = caller %}{% include 'part' %}{% endmacro %}".into(),
        "{% macro box() %}{% set n = {'c': caller} %}{% include 'attribute' %}{% endmacro %}".into(),
        "{% from 'lib' import inner %}{% macro box() %}{{ inner(caller) }}{% endmacro %}".into(),
        "{% set n = namespace() %}{% macro box() %}{% set m = n %}{% set m.c = caller %}{% endmacro %}{% call box() %}x{% endcall %}{% cache 'b' %}{{ n['c']() }}{% endcache %}".into(),
    ] {
        let page = format!("{before}{calls}");
        let templates = [
            ("p", page.as_str()),
            ("lib", inner),
            ("part", "{% cache 'b' %}{{ c() }}{% endcache %}"),
            ("attribute", "{% cache 'b' %}{{ n.c() }}{% endcache %}"),
        ];
        let text = refused_at_render(&templates, "p");
        assert!(text.contains("cache `'b'`: the body shows the text of a call block"), "{text}");
    }
}

#[test]
fn an_imported_macro_that_caches_its_caller_is_refused() {
    let mut env = Environment::new();
    let cache = cache();
    cache.add_to_environment(&mut env);
    env.set_loader(cache.loader(|name| {
        Ok(match name {
            "lib" => Some(BOX.into()),
            "a" => Some("{% from 'lib' import box %}{% call box() %}A{% endcall %}".into()),
            _ => None,
        })
    }));
    let error = env.get_template("a").unwrap().render(context! {}).unwrap_err();
    let text = format!("{error:#}");
    assert!(text.contains("`caller()` in a cached body"), "{text}");
}

/// Asserts what a page shows, twice, and that something in it was a hit.
#[track_caller]
fn cached(cache: &FragmentCache, source: &str, shown: &str) {
    let (env, _) = page(cache, source);
    for _ in 0..2 {
        assert_eq!(show(&env, "p", context! {}), shown, "{source}");
    }
    assert!(cache.stats().hits > 0, "{source}");
}

#[test]
fn a_caller_whose_text_is_in_the_key_is_cached() {
    let calls = "{% call box() %}1{% endcall %}{% call box() %}2{% endcall %}";
    for macro_ in [
        "{% macro box() %}{% cache ['b', caller()] %}<{{ caller() }}>{% endcache %}{% endmacro %}",
        "{% macro box() %}{% cache 'b' vary=caller() %}<{{ caller() }}>{% endcache %}{% endmacro %}",
        "{% macro box() %}{% set t = caller() %}{% cache t %}<{{ t }}>{% endcache %}{% endmacro %}",
        "{% macro box() %}{% set t = caller() %}{% cache ['b', t] %}<{{ t|trim }}>{% endcache %}{% endmacro %}",
    ] {
        cached(&cache(), &format!("{macro_}{calls}"), "<1><2>");
    }
    refused_at_load("{% macro box() %}{% cache caller(1) %}{{ caller(2) }}{% endcache %}{% endmacro %}");
}

#[test]
fn call_blocks_that_begin_in_a_body_are_cached_with_it() {
    let plain = "{% macro plain(a) %}[{{ caller() }}]{% endmacro %}";
    let keyed = "{% macro keyed(a) %}{% cache ['in', a] %}{{ a }}{% endcache %}{{ caller() }}{% endmacro %}";
    for (body, shown) in [
        ("{% cache 'k' %}{% call plain() %}x{% endcall %}{% endcache %}", "[x]"),
        ("{% macro m() %}{% call plain() %}x{% endcall %}{% endmacro %}{% cache 'k' %}{{ m() }}{% endcache %}", "[x]"),
        ("{% cache 'k' %}{% call keyed(1) %}{% call plain() %}y{% endcall %}{% endcall %}{% endcache %}", "1[y]"),
        ("{% call plain() %}{% cache 'k' %}z{% endcache %}{% endcall %}", "[z]"),
        ("{%- call plain() -%} {% cache 'k' %}z{% endcache %} {%- endcall -%} ", "[z]"),
        ("{% for caller in ['a'] %}{% cache caller %}{{ caller }}{% endcache %}{% endfor %}", "a"),
        ("{% macro m(caller) %}{% cache caller %}{{ caller }}{% endcache %}{% endmacro %}{{ m('q') }}", "q"),
        ("{% set caller = 'v' %}{% cache caller %}{{ caller }}{% endcache %}", "v"),
    ] {
        cached(&cache(), &format!("{plain}{keyed}{body}"), shown);
    }
}

#[test]
fn a_call_block_inside_one_body_is_refused_in_another_that_opens_later() {
    let templates = [(
        "p",
        "{% macro inner(c) %}{% cache 'in' %}{{ c() }}{% endcache %}{% endmacro %}{% macro box() %}{{ inner(caller) }}{% endmacro %}{% cache 'out' %}{% call box() %}1{% endcall %}{% endcache %}",
    )];
    assert!(refused_at_render(&templates, "p").contains("cache `'in'`"));
}

#[test]
fn an_assignment_through_a_macro_is_refused_when_the_template_loads() {
    let bump = "{% macro bump(n, by=1) %}{% set n.c = n.c + by %}{% endmacro %}{% set ns = namespace(c=0) %}";
    for source in [
        "{% cache 'k' %}{{ bump(ns) }}{% endcache %}",
        "{% cache 'k' %}{{ bump(by=2, n=ns) }}{% endcache %}",
        "{% cache 'k' %}{{ bump(*[ns]) }}{% endcache %}",
        "{% cache 'k' %}{% do bump(ns) %}{% endcache %}",
        "{% cache 'k' %}{% call bump(ns) %}{% endcall %}{% endcache %}",
        "{% cache 'k' %}{% set x = bump(ns) %}{% endcache %}",
        "{% macro twice(m) %}{{ bump(m) }}{{ bump(m) }}{% endmacro %}{% cache 'k' %}{{ twice(ns) }}{% endcache %}",
        "{% macro own() %}{{ bump(ns) }}{% endmacro %}{% cache 'k' %}{{ own() }}{% endcache %}",
        "{% macro free() %}{% set ns.c = 1 %}{% endmacro %}{% cache 'k' %}{{ free() }}{% endcache %}",
        "{% macro far() %}{{ free() }}{% endmacro %}{% macro free() %}{% set ns.c %}1{% endset %}{% endmacro %}{% cache 'k' %}{{ far() }}{% endcache %}",
        "{% set other = ns %}{% cache 'k' %}{{ bump(other) }}{% endcache %}",
        "{% cache 'k' %}{% set other = ns %}{{ bump(other) }}{% endcache %}",
        "{% cache 'k' %}{% set other = ns %}{% set other.c = 1 %}{% endcache %}",
        "{% cache 'k' %}{% set ns = ns %}{% set ns.c = 1 %}{% endcache %}",
        "{% cache 'k' %}{% with other = ns %}{% set other.c = 1 %}{% endwith %}{% endcache %}",
        "{% cache 'k' %}{% for other in [ns] %}{% set other.c = 1 %}{% endfor %}{% endcache %}",
        "{% set bump2 = bump %}{% cache 'k' %}{{ bump2(ns) }}{% endcache %}",
        "{% cache 'k' %}{% macro in(n) %}{% set n.c = 1 %}{% endmacro %}{{ in(ns) }}{% endcache %}",
        "{% macro outer(n) %}{% cache 'k' %}{{ bump(n) }}{% endcache %}{% endmacro %}{{ outer(ns) }}",
        "{% cache 'o' %}{% set own = namespace() %}{% cache 'i' %}{{ bump(own) }}{% endcache %}{% endcache %}",
    ] {
        let text = refused_at_load(&format!("{bump}\n{source}"));
        assert!(text.contains("was made outside the cached body") && text.contains("(in p:2)"), "{source}: {text}");
    }
}

#[test]
fn an_assignment_to_a_namespace_of_the_body_is_cached() {
    let bump = "{% macro bump(n, by=1) %}{% set n.c = n.c + by %}{% endmacro %}";
    for source in [
        "{% cache 'k' %}{% set ns = namespace(c=0) %}{{ bump(ns) }}{{ bump(ns, 2) }}{{ ns.c }}{% endcache %}",
        "{% cache 'k' %}{% set ns = namespace(c=2) %}{% set other = ns %}{% set other.c = other.c + 1 %}{{ ns.c }}{% endcache %}",
        "{% macro own() %}{% set ns = namespace(c=1) %}{{ bump(ns, 2) }}{{ ns.c }}{% endmacro %}{% cache 'k' %}{{ own() }}{% endcache %}",
        "{% cache 'k' %}{% with ns = namespace(c=3) %}{% for x in [1] %}{% set ns.c = ns.c %}{% endfor %}{{ ns.c }}{% endwith %}{% endcache %}",
        "{% set ns = namespace(c=2) %}{{ bump(ns) }}{% cache 'k' %}{{ ns.c }}{% endcache %}",
        "{% set ns = namespace(c=1) %}{% cache 'k' %}{% set ns = namespace(c=ns.c) %}{{ bump(ns, 2) }}{{ ns.c }}{% endcache %}",
    ] {
        cached(&cache(), &format!("{bump}{source}"), "3");
    }
}
