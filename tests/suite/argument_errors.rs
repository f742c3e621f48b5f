//! Arguments in another order, under another name or of another kind than the tag and `cache_partial` take.

use minijinja::value::Value;
use minijinja::{Error, ErrorKind, context};
use minijinja_cache::lazy;

use crate::support::{cache, env_of, failure, show};

const ORDER: &str = "(Django and Flask put the lifetime first)";

fn loaded(source: &str) -> Result<(), Error> {
    let cache = cache();
    let mut env = env_of(&cache, &[]);
    cache.add_template(&mut env, "bad.html", source)
}

/// Asserts that a template does not load, for this reason, which is at line 2.
fn refused_at_load(source: &str, words: &str) {
    let error = loaded(source).expect_err(source);
    assert_eq!(error.kind(), ErrorKind::SyntaxError, "{source}: {error}");
    assert!(error.to_string().contains(words), "{source}: {error}");
    assert!(error.to_string().contains("bad.html:2"), "{source}: {error}");
}

fn tag(head: &str) -> String {
    format!("\n{{% cache {head} %}}x{{% endcache %}}")
}

fn partial(arguments: &str) -> String {
    format!("\n{{{{ cache_partial({arguments}) }}}}")
}

fn failed(source: &str, context: Value) -> String {
    let cache = cache();
    let env = env_of(&cache, &[("p", source), ("card", "card")]);
    let error = failure(&env, "p", context);
    assert_eq!(error.line(), Some(2), "{source}: {error}");
    error.to_string()
}

#[test]
fn the_order_of_django_and_flask_is_refused_when_a_template_loads() {
    for head in [
        "60, user.id",
        "60 user.id",
        "60 * 5, user.id",
        "60 * 5 user.id",
        "(60 * 60), user.id",
        "2 ** 6, user.id",
        "0.5, user.id",
        "60, CacheKeys.PUBLIC",
        "60, 'sidebar'",
        "60 'side' ~ user.id",
        "60, user.id|string",
        "60, ['a', user.id]|join",
        "timeout, user.id",
        "config.CACHE_TIMEOUT, user.id",
        "timeout * 60, user.id",
        "site.ttl, user.id",
        "'5m', user.id",
        "'5m' 'sidebar'",
        "500 sidebar request.user.username",
        "500 sidebar using='local'",
        "60, user.id vary=[1]",
    ] {
        refused_at_load(&tag(head), ORDER);
        refused_at_load(&tag(head), "the order is key, then ttl: ");
    }
    for arguments in ["'card', 60, user.id", "'card', 60 * 5, user.id", "'card', timeout, user.id", "'card', 60, 'key'"]
    {
        refused_at_load(&partial(arguments), ORDER);
        refused_at_load(&partial(arguments), "the order is template, then key, then ttl: ");
        refused_at_load(&format!("\n{{% set x = [cache_partial({arguments})]|first %}}"), ORDER);
    }
}

#[test]
fn numbers_and_durations_are_keys_where_a_lifetime_follows() {
    for head in [
        "60",
        "60 60",
        "7, '5m'",
        "7, 60 * 5",
        "7, (60)",
        "7 none",
        "7 'forever'",
        "7 '300'",
        "7 ttl=timeout",
        "7 vary=[user]",
        "'5m' 60",
        "'5m'",
        "'2024', timeout",
        "'k', timeout",
        "page, timeout",
        "page.id timeout",
        "60 ~ page",
    ] {
        loaded(&tag(head)).unwrap_or_else(|error| panic!("{head}: {error}"));
    }
    for arguments in
        ["'card', 7", "'card', 7, 60", "'card', 7, '5m'", "'card', 7, ttl=timeout", "'card', page, timeout"]
    {
        loaded(&partial(arguments)).unwrap_or_else(|error| panic!("{arguments}: {error}"));
    }
    let cache = cache();
    let env = env_of(&cache, &[("p", "{% cache 7 60 * 5 %}{{ n }}{% endcache %}")]);
    assert_eq!([show(&env, "p", context! { n => 1 }), show(&env, "p", context! { n => 2 })], ["1", "1"]);
}

#[test]
fn the_order_is_named_where_only_the_values_show_it() {
    for (key, ttl) in [
        (Value::from(60), Value::from("alice")),
        (Value::from(1.5), Value::from("alice@example.org")),
        (Value::from("5m"), Value::from("alice")),
        (Value::from(60), Value::from(vec!["alice"])),
        (Value::from(60), Value::from(true)),
    ] {
        for (source, order) in [
            (tag("a, b"), "the order is key, then ttl: "),
            (partial("'card', a, b"), "the order is template, then key, then ttl: "),
        ] {
            let message = failed(&source, context! { a => key.clone(), b => ttl.clone() });
            assert!(message.contains(order) && message.contains(ORDER), "{source}: {message}");
            assert!(!message.contains("alice"), "what may be a key is quoted: {message}");
        }
    }
    let message = failed(&tag("a, b"), context! { a => 60 });
    assert!(message.contains("the lifetime is undefined") && message.contains(ORDER), "{message}");
    let message = failed(&tag("a, b"), context! { a => "k", b => "soon" });
    assert!(message.contains("`soon` is no lifetime") && !message.contains("order is"), "{message}");
}

#[test]
fn an_unknown_option_of_a_partial_lists_the_known_ones_as_the_tag_does() {
    const KNOWN: &str = "; the options are ttl, tags, vary, stale, if, unless, version, name";
    for (option, meant) in [
        ("tag", "tags"),
        ("timeout", "ttl"),
        ("expires", "ttl"),
        ("vary_on", "vary"),
        ("verison", "version"),
        ("unles", "unless"),
        ("label", "name"),
        ("grace", "stale"),
    ] {
        let words = format!("unknown option `{option}` (did you mean `{meant}`?){KNOWN}");
        refused_at_load(&tag(&format!("'k' {option}=1")), &words);
        let message = failed(&partial(&format!("'card', 'k', {option}=1")), context! {});
        assert!(message.contains(&format!("{words}, context")), "{message}");
    }
    let message = failed(&partial("'card', 'k', contex={}"), context! {});
    assert!(message.contains("did you mean `context`?"), "{message}");
    let message = failed(&partial("'card', 'k', nonsense=1"), context! {});
    assert!(message.contains(&format!("unknown option `nonsense`{KNOWN}")), "{message}");
}

#[test]
fn a_key_with_a_name_is_told_to_come_first() {
    let words = "the key comes first, without a name";
    for head in ["key='k'", "'k' key='k'", "ttl=60 key='k'", "ttl=60, key='k'"] {
        refused_at_load(&tag(head), words);
    }
    let message = failed(&partial("'card', 'k', key='k'"), context! {});
    assert!(message.contains("the key comes second, without a name"), "{message}");
    let message = failed(&partial("'card', key='k'"), context! {});
    assert!(message.contains("the key comes second, without a name"), "{message}");
    let message = failed(&partial("template='card', key='k'"), context! {});
    assert!(message.contains("without a name"), "{message}");
}

#[test]
fn the_context_of_a_partial_is_a_map() {
    for context in ["'x'", "7", "1.5", "true", "none", "[1]", "[]", "nope", "user.nope", "range(3)", "user.id"] {
        let arguments = format!("'card', 'k', context={context}");
        for warm in [false, true] {
            let cache = cache();
            let env = env_of(
                &cache,
                &[("p", &*partial(&arguments)), ("q", "{{ cache_partial('card', 'k') }}"), ("card", "card")],
            );
            let user = context! { id => 7 };
            if warm {
                show(&env, "q", context! {});
            }
            let error = failure(&env, "p", context! { user });
            assert!(error.to_string().contains("must be a map"), "{arguments}, {warm}: {error}");
            assert_eq!(cache.stats().stores, u64::from(warm), "{arguments}");
        }
    }
    for context in ["{}", "user", "dict(a=1)", "namespace(a=1)"] {
        let cache = cache();
        let source = format!("{{{{ cache_partial('card', 'k', context={context}) }}}}");
        let env = env_of(&cache, &[("p", &*source), ("card", "card")]);
        assert_eq!(show(&env, "p", context! { user => context! { id => 7 } }), "card", "{context}");
    }
}

#[test]
fn a_lazy_context_is_loaded_on_misses_only_and_must_be_a_map_too() {
    let cache = cache();
    let env = env_of(&cache, &[("p", "\n{{ cache_partial('card', key, context=film) }}"), ("card", "{{ title }}")]);
    let (told, runs) = std::sync::mpsc::channel();
    for _ in 0..3 {
        let told = told.clone();
        let film = lazy(move || told.send(()).map(|()| context! { title => "Alien" }));
        assert_eq!(show(&env, "p", context! { film, key => "k" }), "\nAlien");
    }
    assert_eq!(runs.try_iter().count(), 1);
    for film in [Value::from("x"), Value::from(7), Value::from(vec![1]), Value::UNDEFINED, Value::from(())] {
        let film = lazy(move || Ok::<_, std::io::Error>(film));
        let error = failure(&env, "p", context! { film, key => "other" });
        assert!(error.to_string().contains("must be a map"), "{error}");
    }
    assert_eq!(cache.stats().stores, 1);
}

#[test]
fn an_unquoted_duration_is_told_to_be_a_string() {
    for head in ["'k' 10m", "'k', 10m", "'k' ttl=10m", "'k' 60 stale=30s", "'k' 1h 30m", "10m 'k'", "'k' 10min"] {
        refused_at_load(&tag(head), "is no number; a duration is a string, as in \"10m\"");
    }
    refused_at_load(&tag("'k' 10m"), "`10m`");
    for arguments in ["'card', 'k', 10m", "'card', 'k', ttl=10m", "'card', 10m"] {
        refused_at_load(&partial(arguments), "`10m` is no number; a duration is a string, as in \"10m\"");
    }
    refused_at_load("{% cache 'k' %}\n{{ cache_ttl(10m) }}{% endcache %}", "`10m` is no number");
}

#[test]
fn a_duration_in_other_units_is_told_which_there_are() {
    let units = "(units: w, d, h, m, s, ms, in this order)";
    for duration in ["10min", "5 minutes", "1 hour", "90sec", "1y", "30m 1h", "5M"] {
        refused_at_load(&tag(&format!("'k' '{duration}'")), units);
        refused_at_load(&tag(&format!("'k' ttl='{duration}'")), units);
        refused_at_load(&tag(&format!("'k' stale='{duration}'")), units);
        let message = failed(&partial(&format!("'card', 'k', '{duration}'")), context! {});
        assert!(message.contains(units), "{message}");
        let message = failed(&tag("'k' span"), context! { span => duration });
        assert!(message.contains(units) && message.contains(duration), "{message}");
    }
}

#[test]
fn a_lifetime_may_be_lazy() {
    let cache = cache();
    let env = env_of(&cache, &[("p", "{% cache 'k' span %}{{ n }}{% endcache %}")]);
    let shown = |n: u32| show(&env, "p", context! { n, span => lazy(|| Ok::<_, std::io::Error>("5m")) });
    assert_eq!([shown(1), shown(2)], ["1", "1"]);
}

#[test]
fn a_syntax_error_of_minijinja_shows_the_lines_of_the_author() {
    const SYNTAX: &str = "{% cache 'k' 60 %}\n<p>{{ user.name </p>\n{% endcache %}";
    for (source, shown) in [
        (SYNTAX, &["{# cache 'k' 60 #}", "{{ user.name </p>"][..]),
        ("é {%- cache 'k' -%}x{% endcache %}\n{% if %}", &["é {#- cache 'k' -#}x{# endcache #}", "{% if %}"]),
        ("<% cache 'k' %>x<% endcache %>\n{{ 1 + }}", &["<% cache 'k' %>x<% endcache %>"]),
        ("{% cache '#}' %}x{% endcache %}\n{{ 1 + }}", &["x{# endcache #}"]),
        ("plain\n{{ 1 + }}", &["   1 | plain"]),
    ] {
        let added = loaded(source).unwrap_err();
        let cache = cache();
        let mut env = env_of(&cache, &[]);
        let text = source.to_owned();
        env.set_loader(cache.loader(move |name| Ok((name == "bad.html").then(|| text.clone()))));
        let served = env.get_template("bad.html").map(drop).unwrap_err();
        for error in [added, served] {
            assert_eq!((error.kind(), error.line()), (ErrorKind::SyntaxError, Some(2)), "{error:#}");
            let excerpt = format!("{error:#}");
            assert!(excerpt.contains("bad.html:2"), "{excerpt}");
            assert!(shown.iter().all(|line| excerpt.contains(line)) && !excerpt.contains("_f."), "{excerpt}");
        }
    }
}

#[test]
fn a_syntax_error_in_the_head_of_a_tag_is_still_reported() {
    let error = loaded("x\n{% cache f(a=1, 2) %}{% endcache %}").unwrap_err();
    assert_eq!((error.kind(), error.line()), (ErrorKind::SyntaxError, Some(2)), "{error}");
}
