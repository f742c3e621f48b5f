//! The tag: hits, misses, options, escaping, identity, and what a body can say.

use std::time::Duration;

use minijinja::{AutoEscape, Environment, Value, context};

use crate::support::{Ticks, cache, env_of, failure, p, page, show, timed};

#[test]
fn guides_own_template_runs_verbatim() {
    let cache = cache();
    let env = env_of(
        &cache,
        &[(
            "p.html",
            "{% with cache_key='user_info_' + user.username %}{% cache cache_key 300 %}<b>{{ user.name }}</b>{% endcache %}{% endwith %}",
        )],
    );
    let render = |username: &str, name: &str| {
        env.get_template("p.html").unwrap().render(context! { user => context! { username, name } }).unwrap()
    };
    assert_eq!(render("ada", "Ada"), "<b>Ada</b>");
    assert_eq!(render("ada", "Changed"), "<b>Ada</b>");
    assert_eq!(render("bob", "<Bob>"), "<b>&lt;Bob&gt;</b>");
    let stats = cache.stats();
    assert_eq!((stats.hits, stats.misses, stats.renders), (1, 2, 2));
}

#[test]
fn invalidating_the_key_then_rendering_stores_again() {
    let (cache, clock) = timed();
    let env = env_of(&cache, &[("p", "{% cache 'k' ~ id '1m' tags=['t:' ~ id] %}{{ n }}{% endcache %}")]);
    let render = |n: u32| env.get_template("p").unwrap().render(context! { id => 7, n }).unwrap();
    assert_eq!(render(1), "1");
    assert_eq!(render(2), "1");
    cache.invalidate("k7");
    assert_eq!(render(3), "3");
    assert_eq!(render(4), "3");
    cache.invalidate_tag("t:7");
    assert_eq!(render(5), "5");
    assert_eq!(render(6), "5");
    clock.advance(Duration::from_secs(60));
    assert_eq!(render(7), "7");
    cache.clear();
    assert_eq!(render(8), "8");
    assert_eq!(render(9), "8");
}

#[test]
fn a_hit_evaluates_nothing_in_the_body() {
    let cache = cache();
    let (mut env, ticks) = page(
        &cache,
        "{% cache 'k' %}{{ tick() }}{{ 1|seen }}{{ lazy }}{% if 1 is seen %}{% endif %}{% include 'part' %}{% endcache %}",
    );
    cache.add_template(&mut env, "part", "{{ tick() }}").unwrap();
    let (filter, test) = (ticks.clone(), ticks.clone());
    env.add_filter("seen", move |_: &Value| filter.tick());
    env.add_test("seen", move |_: &Value| test.tick() > 0);
    let render = || {
        let lazy = ticks.clone();
        show(&env, "p", context! { lazy => minijinja_cache::lazy(move || crate::support::ok(lazy.tick())) })
    };
    let first = render();
    assert_eq!(ticks.count(), 5);
    assert_eq!([render(), render()], [first.clone(), first]);
    assert_eq!(ticks.count(), 5);
}

#[test]
fn an_empty_body_is_a_fragment_like_any_other() {
    let cache = cache();
    let env = env_of(&cache, &[("p", "{% cache 'k' %}{% endcache %}")]);
    assert_eq!([p(&env), p(&env)], ["", ""]);
    assert_eq!((cache.stats().hits, cache.stats().stores), (1, 1));
}

#[test]
fn if_and_unless_bypass_without_touching_what_is_stored() {
    for head in ["if=yes", "unless=not yes", "if=yes unless=false", "if=true, unless=not yes"] {
        let cache = cache();
        let (env, _) = page(&cache, &format!("{{% cache 'k' {head} %}}{{{{ tick() }}}}{{% endcache %}}"));
        let at = |yes: Value| show(&env, "p", context! { yes });
        assert_eq!([at(true.into()), at(false.into()), at(true.into())], ["1", "2", "1"], "{head}");
        assert_eq!([at(Value::from(())), at("x".into()), at(Value::UNDEFINED)], ["3", "1", "4"], "{head}");
        assert_eq!((cache.stats().bypasses, cache.stats().stores), (3, 1), "{head}");
    }
}

#[test]
fn another_version_is_a_miss_that_overwrites() {
    let cache = cache();
    let (env, _) = page(&cache, "{% cache 'k' version=v %}{{ tick() }}{% endcache %}");
    let at = |v: Value| show(&env, "p", context! { v });
    assert_eq!([at(1.into()), at(1.into()), at(2.into()), at(2.into()), at(1.into())], ["1", "1", "2", "2", "3"]);
    assert_eq!([at("1".into()), at(Value::from(())), at(Value::from(())), at("".into())], ["4", "5", "5", "6"]);
}

#[test]
fn variants_are_kept_side_by_side() {
    let cache = cache();
    let (env, _) = page(&cache, "{% cache 'k' vary=[a, b] %}{{ tick() }}{% endcache %}");
    let at = |a: &str, b: &str| show(&env, "p", context! { a, b });
    assert_eq!([at("x", "yz"), at("xy", "z"), at("", ""), at("x", "yz"), at("xy", "z")], ["1", "2", "3", "1", "2"]);
}

#[test]
fn tags_are_names_numbers_and_lists_of_them() {
    let cache = cache();
    let (env, _) = page(
        &cache,
        "{% cache 'k' tags=['a', 7, ['b', 'film:' ~ id]] name='label' stale='1m' %}{{ tick() }}{% endcache %}",
    );
    let at = || show(&env, "p", context! { id => 5 });
    for (run, tag) in ["a", "7", "b", "film:5"].into_iter().enumerate() {
        assert_eq!([at(), at()], [(run + 1).to_string(), (run + 1).to_string()], "{tag}");
        cache.invalidate_tag("film:6");
        assert_eq!(at(), (run + 1).to_string());
        cache.invalidate_tag(tag);
    }
}

#[test]
fn options_that_are_none_of_their_kind_are_errors_with_their_line() {
    for (head, words) in
        [("tags='a'", "tags"), ("tags=[v]", "tag"), ("tags=['']", "empty"), ("tags=5", "tags"), ("tags=v", "undefined")]
    {
        let cache = cache();
        let (env, _) = page(&cache, &format!("\n\n{{% cache 'k' {head} %}}x{{% endcache %}}"));
        let outcome = env.get_template("p").unwrap().render(context! {});
        let Err(error) = outcome else { panic!("{head} rendered") };
        assert_eq!(error.line(), Some(3), "{head}: {error}");
        assert!(error.to_string().contains(words), "{head}: {error}");
    }
}

#[test]
fn a_fragment_is_escaped_once_and_text_is_never_markup() {
    let cache = cache();
    let body = "{% cache 'k' %}<b>{{ v }}</b>{% endcache %}";
    let captured = "{% set x %}{% cache 'k' %}<b>{{ v }}</b>{% endcache %}{% endset %}{{ x }}";
    let env = env_of(&cache, &[("a.html", body), ("a.txt", body), ("b.html", captured), ("b.txt", captured)]);
    for _ in 0..2 {
        let at = |name: &str| show(&env, name, context! { v => "<&>" });
        assert_eq!([at("a.html"), at("b.html")], ["<b>&lt;&amp;&gt;</b>"; 2]);
        assert_eq!([at("a.txt"), at("b.txt")], ["<b><&></b>"; 2]);
    }
}

#[test]
fn the_escape_mode_is_part_of_the_identity() {
    let cache = cache();
    let env = env_of(
        &cache,
        &[
            (
                "p",
                "{% macro f() %}{% cache 'k' %}{{ v }}{% endcache %}{% endmacro %}{{ f() }}{% autoescape 'html' %}|{% include 'part' %}{% endautoescape %}{% autoescape false %}|{% include 'part' %}{% endautoescape %}",
            ),
            (
                "q.html",
                "{% for mode in ['html', 'none', 'json', 'html', 'none', 'json'] %}{% autoescape mode %}{% cache 'k' %}{{ v }}{% endcache %}|{% endautoescape %}{% endfor %}",
            ),
            ("part", "{{ v }}"),
        ],
    );
    let shown = show(&env, "q.html", context! { v => "<" });
    assert_eq!(shown, "&lt;|<|\"<\"|&lt;|<|\"<\"|");
    assert_eq!((cache.stats().hits, cache.stats().misses), (3, 3));
}

#[test]
fn environments_of_one_name_but_two_escape_modes_do_not_show_each_others_fragments() {
    let cache = cache();
    let [plain, escaping] = [AutoEscape::None, AutoEscape::Html].map(|mode| {
        let mut env = Environment::new();
        env.set_auto_escape_callback(move |_| mode.clone());
        cache.add_to_environment_as("site", &mut env);
        cache.add_template(&mut env, "p", "{% cache 'k' %}{{ v }}{% endcache %}").unwrap();
        env
    });
    for _ in 0..2 {
        assert_eq!(show(&plain, "p", context! { v => "<" }), "<");
        assert_eq!(show(&escaping, "p", context! { v => "<" }), "&lt;");
    }
}

#[test]
fn a_block_that_is_filtered_or_captured_around_hits_as_it_missed() {
    let cache = cache();
    let env = env_of(
        &cache,
        &[(
            "p.html",
            "{% filter upper %}{% cache 'k' %}<a>{{ v }}{% endcache %}{% endfilter %}{% set x %}{% cache 'l' %}<a>{{ v }}{% endcache %}{% endset %}{{ x }}{{ x|length }}",
        )],
    );
    let shown = |v: &str| show(&env, "p.html", context! { v });
    assert_eq!(shown("&"), shown("other"));
    assert_eq!(cache.stats().hits, 2);
}

#[test]
fn the_functions_of_a_body_print_nothing_and_do_nothing_outside() {
    let cache = cache();
    let source = "[{{ cache_tag('a') }}{{ cache_ttl(5) }}{{ cache_skip() }}]{% cache 'k' %}{{ tick() }}{% endcache %}";
    for name in ["p.html", "p.txt", "p.json"] {
        let mut env = env_of(&cache, &[(name, source)]);
        Ticks::add_to(&mut env);
        let shown = |n| (show(&env, name, context! {}), n);
        assert_eq!([shown(1), shown(2)], [("[]1".into(), 1), ("[]1".into(), 2)], "{name}");
    }
}

#[test]
fn cache_skip_and_cache_tag_act_on_the_innermost_body_wherever_they_are_called() {
    let cache = cache();
    let (mut env, ticks) = page(
        &cache,
        "{% macro m() %}{{ cache_tag('t') }}{% endmacro %}{% cache 'k' %}{{ m() }}{% include 'part' %}{{ tick() }}{% endcache %}",
    );
    cache.add_template(&mut env, "part", "{{ cache_tag(['u', 9]) }}").unwrap();
    for (run, tag) in ["t", "u", "9"].into_iter().enumerate() {
        assert_eq!([p(&env), p(&env)], [(run + 1).to_string(), (run + 1).to_string()]);
        cache.invalidate_tag(tag);
    }
    assert_eq!(ticks.count(), 3);
    let (env, ticks) =
        page(&cache, "{% cache 'k' %}{{ tick() }}{% if skip %}{{ cache_skip() }}{% endif %}{% endcache %}");
    let at = |skip: bool| show(&env, "p", context! { skip });
    assert_eq!([at(true), at(true), at(false), at(true)], ["1", "2", "3", "3"]);
    assert_eq!(ticks.count(), 3);
}

#[test]
fn an_error_in_the_body_comes_unchanged_with_its_line_and_is_not_stored() {
    let cache = cache();
    let env = env_of(&cache, &[("p", "1\n2{% cache\n 'k'\n 60\n%}\n6\n{{ v.x.y }}\n{% endcache %}\n{{ w.x.y }}")]);
    let error = failure(&env, "p", context! {});
    assert_eq!((error.kind(), error.line(), error.name()), (minijinja::ErrorKind::UndefinedError, Some(7), Some("p")));
    let good = context! { x => context! { y => 1 } };
    assert_eq!(failure(&env, "p", context! { v => good.clone() }).line(), Some(9));
    assert_eq!(cache.stats().renders, 1);
    show(&env, "p", context! { w => good });
    assert_eq!(cache.stats().hits, 1);
}

#[test]
fn the_body_runs_at_most_once_per_caller_also_when_it_fails() {
    let cache = cache();
    let (env, ticks) = page(&cache, "{% cache 'k' %}{{ tick() }}{{ v.x.y }}{% endcache %}");
    for run in 1..=3 {
        failure(&env, "p", context! {});
        assert_eq!(ticks.count(), run);
    }
    assert_eq!(cache.stats().stores, 0);
}

#[test]
fn an_environment_keeps_working_after_the_handles_of_its_cache_are_gone() {
    let mut env = Environment::new();
    {
        let cache = cache();
        cache.add_to_environment(&mut env);
        cache.add_template(&mut env, "p", "{% cache 'k' %}{{ n }}{% endcache %}").unwrap();
    }
    let at = |n: u32| show(&env, "p", context! { n });
    assert_eq!([at(1), at(2)], ["1", "1"]);
}
