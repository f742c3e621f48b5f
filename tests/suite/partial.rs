//! `cache_partial` in templates and `cache.render` in handlers: one entry, two ways to it.

use std::time::Duration;

use minijinja::{Environment, Value, context};
use minijinja_cache::{FragmentCache, Options};

use crate::support::{Ticks, cache, env_of, failure, show, timed};

fn with_ticks<'a>(cache: &FragmentCache, templates: &[(&str, &str)]) -> (Environment<'a>, Ticks) {
    let mut env = env_of(cache, templates);
    let ticks = Ticks::add_to(&mut env);
    (env, ticks)
}

#[test]
fn a_partial_is_rendered_once_and_sees_only_its_context_and_globals() {
    let cache = cache();
    let (mut env, ticks) = with_ticks(
        &cache,
        &[
            (
                "p.html",
                "{% set secret = 1 %}{{ cache_partial('card.html', ['card', id], '5m', context={'film': film}) }}",
            ),
            ("card.html", "<b>{{ film }}</b>{{ site }}{{ secret is defined }}{{ id is defined }}{{ tick() }}"),
        ],
    );
    env.add_global("site", "&");
    let shown = |id: u32, film: &str| show(&env, "p.html", context! { id, film });
    assert_eq!(shown(1, "<A>"), "<b>&lt;A&gt;</b>&amp;FalseFalse1");
    assert_eq!(shown(1, "changed"), "<b>&lt;A&gt;</b>&amp;FalseFalse1");
    assert_eq!(shown(2, "B"), "<b>B</b>&amp;FalseFalse2");
    assert_eq!(ticks.count(), 2);
}

#[test]
fn a_partial_of_text_is_escaped_where_it_is_printed_as_markup() {
    let cache = cache();
    let env = env_of(
        &cache,
        &[
            ("p.html", "{{ cache_partial('t.txt', 'k') }}"),
            ("q.txt", "{{ cache_partial('t.txt', 'k') }}{{ cache_partial('t.html', 'h') }}"),
            ("t.txt", "a < b"),
            ("t.html", "<i>"),
        ],
    );
    for _ in 0..2 {
        assert_eq!(show(&env, "p.html", context! {}), "a &lt; b");
        assert_eq!(show(&env, "q.txt", context! {}), "a < b<i>");
    }
}

#[test]
fn a_partial_and_cache_render_share_one_entry() {
    let cache = cache();
    let (env, ticks) = with_ticks(
        &cache,
        &[
            ("p.html", "{{ cache_partial('sub/t.html', ['k', 1], vary=['de'], version=2) }}"),
            ("sub/t.html", "<b>{{ tick() }}"),
        ],
    );
    let options = || Options::default().vary(["de"]).version(2);
    let fragment = cache.render(&env, "sub/t.html", context! {}, ("k", 1), options()).unwrap();
    assert!(fragment.is_markup() && fragment == "<b>1");
    assert_eq!(show(&env, "p.html", context! {}), "<b>1");
    cache.invalidate(("k", 1));
    assert_eq!(show(&env, "p.html", context! {}), "<b>2");
    assert_eq!(cache.render(&env, "sub/t.html", context! {}, ("k", 1), options()).unwrap(), "<b>2");
    assert_eq!(ticks.count(), 2);
}

#[test]
fn relative_names_are_joined_and_one_template_is_one_partial() {
    let cache = cache();
    let (mut env, ticks) = with_ticks(
        &cache,
        &[
            ("a/p.html", "{{ cache_partial('./t.html', 'k') }}"),
            ("b/p.html", "{{ cache_partial('../a/t.html', 'k') }}"),
            ("c/p.html", "{{ cache_partial('./t.html', 'k') }}"),
            ("a/t.html", "a{{ tick() }}"),
            ("c/t.html", "c{{ tick() }}"),
        ],
    );
    env.set_path_join_callback(|name, parent| match (name.strip_prefix("./"), name.strip_prefix("../")) {
        (Some(rest), _) => format!("{}/{rest}", parent.rsplit_once('/').map_or("", |(folder, _)| folder)).into(),
        (_, Some(rest)) => rest.to_owned().into(),
        _ => name.into(),
    });
    let shown = |name: &str| show(&env, name, context! {});
    assert_eq!([shown("a/p.html"), shown("b/p.html"), shown("c/p.html")], ["a1", "a1", "c2"]);
    assert_eq!(cache.render(&env, "a/t.html", context! {}, "k", Options::default()).unwrap(), "a1");
    assert_eq!(ticks.count(), 2);
}

#[test]
fn options_of_a_partial_mean_what_they_mean_in_the_tag() {
    let (cache, clock) = timed();
    let (env, ticks) = with_ticks(
        &cache,
        &[
            ("vary", "{{ cache_partial('t', 'k', vary=[lang]) }}"),
            ("version", "{{ cache_partial('t', 'v', version=lang) }}"),
            ("if", "{{ cache_partial('t', 'i', if=lang) }}"),
            ("unless", "{{ cache_partial('t', 'u', unless=lang) }}"),
            ("ttl", "{{ cache_partial('t', 't', ttl='10s', tags=['a', 5], name='label') }}"),
            ("t", "{{ tick() }}"),
        ],
    );
    let shown = |name: &str, lang: Value| show(&env, name, context! { lang });
    assert_eq!([shown("vary", 1.into()), shown("vary", 2.into()), shown("vary", 1.into())], ["1", "2", "1"]);
    assert_eq!([shown("version", 1.into()), shown("version", 2.into()), shown("version", 1.into())], ["3", "4", "5"]);
    assert_eq!([shown("if", true.into()), shown("if", false.into()), shown("if", true.into())], ["6", "7", "6"]);
    assert_eq!(
        [shown("unless", false.into()), shown("unless", true.into()), shown("unless", false.into())],
        ["8", "9", "8"]
    );
    assert_eq!([shown("ttl", 1.into()), shown("ttl", 1.into())], ["10", "10"]);
    cache.invalidate_tag("5");
    assert_eq!(shown("ttl", 1.into()), "11");
    clock.advance(Duration::from_secs(10));
    assert_eq!(shown("ttl", 1.into()), "12");
    assert_eq!(ticks.count(), 12);
}

#[test]
fn none_and_undefined_conditions_of_a_partial_are_false() {
    let cache = cache();
    let (env, ticks) = with_ticks(&cache, &[("p", "{{ cache_partial('t', 'k', if=yes) }}"), ("t", "{{ tick() }}")]);
    for yes in [Value::from(()), Value::UNDEFINED, Value::from(0), Value::from("")] {
        let runs = ticks.count();
        show(&env, "p", context! { yes => &yes });
        show(&env, "p", context! { yes => &yes });
        assert_eq!(ticks.count(), runs + 2, "cached under if={yes:?}");
    }
}

/// Asserts that this call fails with these words at its line, on a cold cache and on a warm one.
fn fails(call: &str, words: &str) {
    let cache = cache();
    let (env, _) = with_ticks(&cache, &[("p", &format!("\n{{{{ {call} }}}}")), ("t", "{{ tick() }}")]);
    for round in ["cold", "warm"] {
        match env.get_template("p").unwrap().render(context! { good => true }) {
            Ok(text) => panic!("{call}, {round}: rendered {text:?}"),
            Err(error) => {
                assert_eq!(error.line(), Some(2), "{call}: {error}");
                assert!(error.to_string().contains(words), "{call}, {round}: {error}");
            }
        }
        cache.render(&env, "t", context! {}, "k", Options::default()).unwrap();
    }
}

#[test]
fn wrong_use_of_a_partial_fails_with_its_line() {
    fails("cache_partial('t')", "");
    fails("cache_partial('t', none)", "none");
    fails("cache_partial('t', '')", "empty");
    fails("cache_partial('t', nope)", "undefined");
    fails("cache_partial('t', [nope])", "undefined");
    fails("cache_partial('gone', 'k')", "gone");
    fails("cache_partial('t', 'k', '5 minutes')", "5 minutes");
    fails("cache_partial('t', 'k', -5)", "-5");
    fails("cache_partial('t', 'k', 5, ttl=5)", "twice");
    fails("cache_partial('t', 'k', nonsense=5)", "nonsense");
    fails("cache_partial('t', 'k', vary=[nope])", "undefined");
    fails("cache_partial('t', 'k', version=[nope])", "undefined");
}

#[test]
fn undefined_options_of_a_partial_are_errors_as_in_the_tag() {
    fails("cache_partial('t', 'k', vary=nope)", "undefined");
    fails("cache_partial('t', 'k', version=nope)", "undefined");
    fails("cache_partial('t', 'k', nope)", "undefined");
    fails("cache_partial('t', 'k', ttl=nope)", "undefined");
}

#[test]
fn an_error_in_a_partial_is_not_stored_and_names_its_template() {
    let cache = cache();
    let (env, _) = with_ticks(&cache, &[("p", "{{ cache_partial('t', 'k') }}"), ("t", "\n{{ 1 / (tick() - 1) }}")]);
    let error = failure(&env, "p", context! {});
    assert!(format!("{error:#} {error:?}").contains('t'));
    assert_eq!(show(&env, "p", context! {}).trim(), "1.0");
    assert_eq!(show(&env, "p", context! {}).trim(), "1.0");
}

#[test]
fn cache_render_refuses_environments_it_was_not_given() {
    let (one, other) = (cache(), cache());
    let mut stranger = Environment::new();
    stranger.add_template("t", "x").unwrap();
    let of_other = env_of(&other, &[("t", "x")]);
    for env in [&stranger, &of_other] {
        for ttl in [Duration::from_secs(1), Duration::ZERO] {
            let error = one.render(env, "t", context! {}, "k", Options::ttl(ttl)).unwrap_err();
            assert!(error.to_string().contains("registered"), "{error}");
        }
        one.add_template(&mut env.clone(), "u", "x").unwrap_err();
    }
    assert_eq!(other.render(&of_other, "t", context! {}, "k", Options::default()).unwrap(), "x");
}

#[test]
fn cache_render_refuses_bad_keys_and_reports_missing_templates() {
    let cache = cache();
    let env = env_of(&cache, &[("t", "x")]);
    let render = |key: Value, name: &str| cache.render(&env, name, context! {}, key, Options::default());
    for key in [Value::from(""), Value::from(()), Value::UNDEFINED] {
        assert!(render(key.clone(), "t").unwrap_err().to_string().contains("key"), "{key:?}");
    }
    assert_eq!(render(Value::from("k"), "gone").unwrap_err().kind(), minijinja::ErrorKind::TemplateNotFound);
    assert_eq!(render(Value::from("k"), "t").unwrap(), "x");
}

#[test]
fn two_templates_and_two_namespaces_do_not_share_a_partials_key() {
    let cache = cache();
    let env = env_of(&cache, &[("a", "a{{ n }}"), ("b", "b{{ n }}")]);
    let render =
        |c: &FragmentCache, name: &str, n: u32| c.render(&env, name, context! { n }, "k", Options::default()).unwrap();
    let blog = cache.namespace("blog");
    assert_eq!([render(&cache, "a", 1), render(&cache, "b", 2), render(&blog, "a", 3)], ["a1", "b2", "a3"]);
    assert_eq!([render(&cache, "a", 4), render(&cache, "b", 4), render(&blog, "a", 4)], ["a1", "b2", "a3"]);
}

#[test]
fn a_block_and_a_partial_and_a_text_of_one_key_are_reached_together() {
    let cache = cache();
    let (env, ticks) = with_ticks(
        &cache,
        &[("p", "{% cache 'k' %}{{ tick() }}{% endcache %} {{ cache_partial('t', 'k') }}"), ("t", "{{ tick() }}")],
    );
    assert_eq!([show(&env, "p", context! {}), show(&env, "p", context! {})], ["1 2", "1 2"]);
    cache.invalidate("k");
    assert_eq!(show(&env, "p", context! {}), "3 4");
    assert_eq!(ticks.count(), 4);
}
