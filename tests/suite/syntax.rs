//! Spellings of the tag, the syntaxes it lives in, and what is refused when a template loads.

use minijinja::syntax::SyntaxConfig;
use minijinja::{Environment, ErrorKind, context};
use minijinja_cache::FragmentCache;

use crate::support::{Ticks, cache, env_of, p, page, show};

#[test]
fn every_spelling_of_the_tag_caches() {
    for source in [
        "{% cache 'k' %}{{ tick() }}{% endcache %}",
        "{%cache'k'%}{{ tick() }}{%endcache%}",
        "<% cache 'k' %>{{ tick() }}<% endcache %>",
        "<%cache 'k'%>{{ tick() }}<%endcache%>",
        "<%- cache 'k', 60 -%>{{ tick() }}<%- endcache -%>",
        "{% cache\n  'k'\n  60\n  tags=['a']\n%}{{ tick() }}{%\nendcache\n%}",
        "{% cache 'k' 60 tags=['a'], vary=[1] name='n' stale=5 version=1 if=true unless=false %}{{ tick() }}{% endcache %}",
        "{% cache 'k', ttl='5m', tags=['a',], %}{{ tick() }}{% endcache %}".replace(", %}", " %}").as_str(),
    ] {
        let cache = cache();
        let (env, ticks) = page(&cache, source);
        assert_eq!([p(&env), p(&env)], ["1", "1"], "{source}");
        assert_eq!(ticks.count(), 1, "{source}");
    }
}

#[test]
fn what_only_looks_like_the_tag_is_left_alone() {
    let cache = cache();
    for source in [
        "<% other %> a <% b",
        "{% raw %}{% cache 'k' %}<% cache 'k' %>{% endraw %}",
        "{# {% cache %} <% cache %> #}x",
        "{{ '{% cache %}<% cache %>' }}",
        "{% set cache = 1 %}{{ cache }}{{ {'cache': 2}.cache }}",
        "<%= cache %>",
    ] {
        let mut plain = Environment::new();
        plain.add_template("p", source).unwrap();
        let env = env_of(&cache, &[("p", source)]);
        assert_eq!(p(&env), p(&plain), "{source}");
    }
    assert_eq!(cache.stats().misses, 0);
}

fn custom() -> SyntaxConfig {
    SyntaxConfig::builder()
        .block_delimiters("\\BLOCK{", "}")
        .variable_delimiters("\\VAR{", "}")
        .comment_delimiters("\\#{", "}")
        .line_statement_prefix("%%")
        .line_comment_prefix("%#")
        .build()
        .unwrap()
}

#[test]
fn the_environments_own_syntax_is_used_for_added_templates_and_the_builders_for_loaders() {
    for body in [
        "\\BLOCK{ cache 'k' 60 }\\VAR{ tick() }\\BLOCK{ endcache }",
        "<% cache 'k' %>\\VAR{ tick() }<% endcache %>",
        "%% cache 'k'\n\\VAR{ tick() }\n%% endcache\n",
        "a\n  %% cache 'k', 60\n\\#{ c }\\VAR{ tick() } %# c\n  %% endcache\nb",
    ] {
        let added = cache();
        let mut env = Environment::new();
        env.set_syntax(custom());
        added.add_to_environment(&mut env);
        added.add_template(&mut env, "p", body).unwrap();
        let ticks = Ticks::add_to(&mut env);
        let shown = p(&env);
        assert_eq!(p(&env), shown, "{body}");
        assert_eq!(ticks.count(), 1, "{body}");

        let loaded = FragmentCache::builder().syntax(custom()).build().unwrap();
        let mut env = Environment::new();
        env.set_syntax(custom());
        loaded.add_to_environment(&mut env);
        let source = body.to_owned();
        env.set_loader(loaded.loader(move |name| Ok((name == "p").then(|| source.clone()))));
        let ticks = Ticks::add_to(&mut env);
        assert_eq!([p(&env), p(&env)], [shown.clone(), shown], "{body}");
        assert_eq!(ticks.count(), 1, "{body}");
    }
}

#[test]
fn an_error_in_a_line_statements_body_keeps_its_line() {
    let cache = cache();
    let mut env = Environment::new();
    env.set_syntax(custom());
    cache.add_to_environment(&mut env);
    cache.add_template(&mut env, "p", "1\n%% cache 'k'\n3\n\\VAR{ v.x.y }\n%% endcache\n").unwrap();
    let error = env.get_template("p").unwrap().render(context! {}).unwrap_err();
    assert_eq!(error.line(), Some(4));
}

#[test]
fn what_is_refused_is_a_syntax_error_with_template_and_line_when_it_loads() {
    for (source, line, words) in [
        ("a\n{% cache %}x{% endcache %}", 2, "missing key"),
        ("a\n\n{% cache ttl=5 %}x{% endcache %}", 3, "missing key"),
        ("{% cache 'k' %}x", 1, "endcache"),
        ("x\n{% endcache %}", 2, "endcache"),
        ("{% cache 'k' %}\n{% block b %}{% endblock %}{% endcache %}", 2, "block"),
        ("{% cache 'k' %}\n\n{{ self.b() }}{% endcache %}{% block b %}{% endblock %}", 3, "self"),
        ("{% cache 'k' %}\n{% extends 'base' %}{% endcache %}", 2, "extends"),
        ("{% for x in [1] %}\n{% cache 'k' %}\n{% break %}{% endcache %}{% endfor %}", 3, "break"),
        (
            "{% for x in [1] %}{% cache 'k' %}{% if x %}\n{% continue %}{% endif %}{% endcache %}{% endfor %}",
            2,
            "continue",
        ),
        ("{% set n = namespace() %}\n{% cache 'k' %}{% set n.x = 1 %}{% endcache %}", 2, "attribute"),
        ("{% extends 'base' %}\n{% cache 'k' %}x{% endcache %}", 2, "extends"),
        ("{% extends name %}{% block b %}\n{% cache 'k' %}{{ super() }}{% endcache %}{% endblock %}", 2, "super"),
        ("\n{% cache 'k' nonsense=1 %}x{% endcache %}", 2, "unless"),
        ("\n{% cache 'k' ttl=1 ttl=2 %}x{% endcache %}", 2, "twice"),
        ("\n{% cache 5 ttl=2 'x' %}x{% endcache %}", 2, "'x'"),
        ("\n{% cache 500 'name' %}x{% endcache %}", 2, "Django"),
        ("\n{% cache 'k' -1 %}x{% endcache %}", 2, "comma"),
        ("\n{% cache 'k' (60) %}x{% endcache %}", 2, "comma"),
        ("\n{% cache user.id (60) %}x{% endcache %}", 2, "comma"),
        ("\n{% cache xs [0] %}x{% endcache %}", 2, "comma"),
        ("\n{% cache 'k' 60 70 %}x{% endcache %}", 2, "70"),
        ("\n{% cache 'k' if= %}x{% endcache %}", 2, "if="),
        ("{% if x %}\n{% cache 'k' %}{% endif %}{% endcache %}", 2, "endif"),
    ] {
        let cache = cache();
        let mut env = env_of(&cache, &[]);
        let error =
            cache.add_template(&mut env, "bad.html", source).err().unwrap_or_else(|| panic!("accepted: {source}"));
        assert_eq!(error.kind(), ErrorKind::SyntaxError, "{source}: {error}");
        let text = format!("{error:#}");
        assert!(text.contains("bad.html"), "{source}: {text}");
        assert!(text.contains(&format!("bad.html:{line}")) || error.line() == Some(line), "{source}: {text}");
        assert!(text.contains(words), "{source}: {text}");

        let owned = source.to_owned();
        env.set_loader(cache.loader(move |name| Ok((name == "bad.html").then(|| owned.clone()))));
        let loaded = env.get_template("bad.html").map(|_| ()).unwrap_err();
        assert_eq!(loaded.kind(), ErrorKind::SyntaxError, "{source}: {loaded}");
        assert!(cache.rewrite(source, "bad.html", &SyntaxConfig::default()).is_err(), "{source}");
    }
}

#[test]
fn a_super_under_a_computed_parent_further_up_is_refused_when_it_renders() {
    let cache = cache();
    let env = env_of(
        &cache,
        &[
            ("p", "{% extends 'mid' %}{% block b %}\n{% cache 'k' %}{{ super() }}{% endcache %}{% endblock %}"),
            ("mid", "{% extends base %}"),
            ("base", "{% block b %}base{% endblock %}"),
        ],
    );
    let error = env.get_template("p").unwrap().render(context! { base => "base" }).unwrap_err();
    let text = format!("{error:#} {:?}", error.line());
    assert!(text.contains("super()") && text.contains("mid"), "{text}");
}

#[test]
fn break_and_continue_of_a_loop_inside_the_body_are_fine() {
    let cache = cache();
    let env = env_of(
        &cache,
        &[(
            "p",
            "{% cache 'k' %}{% for x in [1, 2, 3] %}{% if x == 2 %}{% continue %}{% endif %}{{ x }}{% endfor %}{% endcache %}",
        )],
    );
    assert_eq!([p(&env), p(&env)], ["13", "13"]);
}

#[test]
fn two_strings_side_by_side_are_key_and_lifetime() {
    let cache = cache();
    let env = env_of(
        &cache,
        &[("p", "{% cache 'k' '5m' %}{{ n }}{% endcache %}"), ("q", "{% cache a - 5 %}{{ n }}{% endcache %}")],
    );
    assert_eq!(show(&env, "p", context! { n => 1 }), "1");
    cache.invalidate("k");
    assert_eq!(show(&env, "p", context! { n => 2 }), "2");
    assert_eq!(show(&env, "q", context! { n => 1, a => 7 }), "1");
    cache.invalidate(2);
    assert_eq!(show(&env, "q", context! { n => 2, a => 7 }), "2");
}

#[test]
fn a_rewritten_template_loaded_in_another_way_caches() {
    let cache = cache();
    let mut env = Environment::new();
    cache.add_to_environment(&mut env);
    let text = cache.rewrite("{% cache 'k' %}{{ tick() }}{% endcache %}", "p", env.syntax()).unwrap().into_owned();
    env.add_template_owned("p", text).unwrap();
    Ticks::add_to(&mut env);
    assert_eq!([p(&env), p(&env)], ["1", "1"]);
    cache.invalidate("k");
    assert_eq!([p(&env), p(&env)], ["2", "2"]);
    env.add_template_owned("q", cache.rewrite("plain", "q", env.syntax()).unwrap().into_owned()).unwrap();
    assert_eq!(show(&env, "q", context! {}), "plain");
}
