//! Template changes: what a fragment used, or looked for in vain, and nothing else, refreshes it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use minijinja::{Environment, ErrorKind, Value, context};
use minijinja_cache::{FragmentCache, Options};

use crate::support::{Ticks, cache, env_of, p, page};

/// Templates that a custom loader serves, and that change with a word to the cache.
#[derive(Clone)]
struct Shelf {
    cache: FragmentCache,
    sources: Arc<Mutex<HashMap<String, String>>>,
}

impl Shelf {
    fn new(templates: &[(&str, &str)]) -> (Shelf, Environment<'static>, Ticks) {
        let shelf = Shelf { cache: cache(), sources: Arc::default() };
        for (name, source) in templates {
            shelf.sources.lock().unwrap().insert((*name).into(), (*source).into());
        }
        let mut env = Environment::new();
        shelf.cache.add_to_environment(&mut env);
        shelf.serve(&mut env);
        let ticks = Ticks::add_to(&mut env);
        (shelf, env, ticks)
    }

    fn serve(&self, env: &mut Environment<'static>) {
        let sources = Arc::clone(&self.sources);
        env.set_loader(self.cache.loader(move |name| Ok(sources.lock().unwrap().get(name).cloned())));
    }

    fn save(&self, name: &str, source: &str) {
        self.sources.lock().unwrap().insert(name.into(), source.into());
        self.cache.invalidate_template(name);
    }

    fn delete(&self, name: &str) {
        self.sources.lock().unwrap().remove(name);
        self.cache.invalidate_template(name);
    }
}

/// Asserts that a page made of these templates is a hit until each of `used` changes, that it then shows the change,
/// and that changes of `unused` go unnoticed.
fn depends(templates: &[(&str, &str)], used: &[&str], unused: &[&str]) {
    let (shelf, env, ticks) = Shelf::new(templates);
    p(&env);
    p(&env);
    assert_eq!(ticks.count(), 1, "{templates:?}: not stored");
    for round in 1..=2 {
        for name in unused {
            let runs = ticks.count();
            shelf.save(name, &format!("{{# {round} #}}{}", source(templates, name)));
            p(&env);
            assert_eq!(ticks.count(), runs, "{templates:?}: a change of {name} made a miss");
        }
        for name in used {
            let runs = ticks.count();
            let changed = source(templates, name).replace("old", &format!("new{round}"));
            assert_ne!(changed, source(templates, name));
            shelf.save(name, &changed);
            let shown = p(&env);
            assert_eq!(ticks.count(), runs + 1, "{templates:?}: a change of {name} made no miss");
            assert!(shown.contains(&format!("new{round}")), "{templates:?}: {name}: {shown}");
            p(&env);
            assert_eq!(ticks.count(), runs + 1, "{templates:?}: not stored after a change of {name}");
        }
    }
}

fn source<'a>(templates: &[(&str, &'a str)], name: &str) -> &'a str {
    templates.iter().find(|(known, _)| *known == name).map_or("", |(_, source)| source)
}

#[test]
fn includes_of_every_spelling_are_dependencies() {
    for include in [
        "{% include 'x' %}",
        "{%include'x'%}",
        "{%-   include   'x'   -%}",
        "{% include\n  'x'\n%}",
        "{% include name %}",
        "{% include 'x' ignore missing %}",
        "{% include ['gone', 'x'] %}",
        "{% include names %}",
        "{% if true %}{% for n in [name] %}{% include n %}{% endfor %}{% endif %}",
        "{% set n = name %}{% include n %}",
    ] {
        let body = format!(
            "{{% set name = 'x' %}}{{% set names = ['gone', name] %}}{{% cache 'k' %}}{{{{ tick() }}}}{include}{{% endcache %}}"
        );
        depends(&[("p", &body), ("x", "old"), ("y", "old")], &["x"], &["y"]);
    }
}

#[test]
fn names_of_every_spelling_are_dependencies() {
    for name in
        ["single's", "double\\\"s", "ピカチュウ", "message123", "level/below/_header.html", "with space", "a-b.c"]
    {
        let body = format!("{{% cache 'k' %}}{{{{ tick() }}}}{{% include \"{name}\" %}}{{% endcache %}}");
        let plain = name.replace('\\', "");
        depends(&[("p", &body), (&plain, "old")], &[&plain], &[]);
    }
}

#[test]
fn chains_of_includes_are_dependencies_to_the_end() {
    depends(
        &[
            ("p", "{% cache 'k' %}{{ tick() }}{% include 'a' %}{% endcache %}"),
            ("a", "old{% include 'b' %}"),
            ("b", "old{% include 'c' %}"),
            ("c", "old"),
        ],
        &["c", "b", "a"],
        &[],
    );
}

#[test]
fn imports_in_front_of_a_block_are_its_dependencies() {
    let lib = "{% macro m() %}old{% endmacro %}";
    for import in
        ["{% import 'lib' as l %}", "{% from 'lib' import m %}{% set l = {'m': m} %}", "{% import lib as l %}"]
    {
        let body =
            format!("{{% set lib = 'lib' %}}{import}{{% cache 'k' %}}{{{{ tick() }}}}{{{{ l.m() }}}}{{% endcache %}}");
        depends(&[("p", &body), ("lib", lib), ("y", "")], &["lib"], &["y"]);
    }
}

#[test]
fn imports_inside_a_block_and_of_imports_are_its_dependencies() {
    let lib = "{% macro m() %}old{% endmacro %}";
    depends(
        &[("p", "{% cache 'k' %}{{ tick() }}{% from 'lib' import m %}{{ m() }}{% endcache %}"), ("lib", lib)],
        &["lib"],
        &[],
    );
    depends(
        &[
            ("p", "{% import 'a' as a %}{% cache 'k' %}{{ tick() }}{{ a.m() }}{% endcache %}"),
            ("a", "{% import 'b' as b %}{% macro m() %}old{{ b.m() }}{% endmacro %}"),
            ("b", "{% from 'lib' import m as n %}{% macro m() %}old{{ n() }}{% endmacro %}"),
            ("lib", lib),
        ],
        &["lib", "b", "a"],
        &[],
    );
    depends(
        &[
            ("p", "{% import 'a' as a %}{% cache 'k' %}{{ tick() }}{{ a.m() }}{% endcache %}"),
            ("a", "{% macro m() %}{% include 'leaf' %}{% endmacro %}"),
            ("leaf", "old"),
        ],
        &["leaf"],
        &[],
    );
}

#[test]
fn an_import_in_an_included_templates_surroundings_counts() {
    depends(
        &[
            ("p", "{% import 'lib' as l %}{% include 'part' %}"),
            ("part", "{% cache 'k' %}{{ tick() }}{{ l.m() }}{% endcache %}"),
            ("lib", "{% macro m() %}old{% endmacro %}"),
        ],
        &["lib"],
        &[],
    );
}

#[test]
fn parents_are_dependencies_of_blocks_that_call_super() {
    let block = "{% block b %}{% cache 'k' %}{{ tick() }}{{ super() }}{% endcache %}{% endblock %}";
    let child = |parent: &str| format!("{{% extends '{parent}' %}}{block}");
    depends(&[("p", &child("base")), ("base", "{% block b %}old{% endblock %}")], &["base"], &[]);
    depends(
        &[
            ("p", &child("mid")),
            ("mid", "{% extends 'base' %}{% block b %}old{{ super() }}{% endblock %}"),
            ("base", "{% block b %}old{% include 'leaf' %}{% endblock %}"),
            ("leaf", "old"),
        ],
        &["leaf", "base", "mid"],
        &[],
    );
}

#[test]
fn an_import_in_a_child_template_is_a_dependency_of_its_blocks() {
    depends(
        &[
            (
                "p",
                "{% extends 'base' %}{% import 'lib' as l %}{% block b %}{% cache 'k' %}{{ tick() }}{{ l.m() }}{% endcache %}{% endblock %}",
            ),
            ("base", "{% block b %}{% endblock %}"),
            ("lib", "{% macro m() %}old{% endmacro %}"),
        ],
        &["lib"],
        &[],
    );
}

#[test]
fn templates_that_include_each_other_end_and_each_is_a_dependency() {
    let cycle =
        |other: &str| format!("old{{% if n.i < 4 %}}{{% set n.i = n.i + 1 %}}{{% include '{other}' %}}{{% endif %}}");
    depends(
        &[
            ("p", "{% cache 'k' %}{% set n = namespace(i=0) %}{{ tick() }}{% include 'a' %}{% endcache %}"),
            ("a", &cycle("b")),
            ("b", &cycle("a")),
        ],
        &["b", "a"],
        &[],
    );
}

#[test]
fn what_is_commented_out_raw_or_not_taken_is_no_dependency() {
    depends(
        &[
            (
                "p",
                "{% cache 'k' %}{{ tick() }}{# {% include 'c' %} #}{% raw %}{% include 'r' %}{% endraw %}{% if false %}{% include 'n' %}{% endif %}{% include 'x' %}{% endcache %}",
            ),
            ("c", "c"),
            ("r", "r"),
            ("n", "n"),
            ("x", "old"),
        ],
        &["x"],
        &["c", "r", "n"],
    );
}

#[test]
fn the_page_around_a_block_is_no_dependency_and_its_own_text_is() {
    let (shelf, env, ticks) = Shelf::new(&[("p", "<p>{% cache 'k' %}{{ tick() }}{% endcache %}</p>")]);
    assert_eq!(p(&env), "<p>1</p>");
    shelf.save("p", "\n{% set x = 1 %}<main>{% cache 'k' %}{{ tick() }}{% endcache %}</main>");
    assert_eq!(p(&env), "\n<main>1</main>");
    shelf.save("p", "{% cache 'k' %}{{ tick() }}!{% endcache %}");
    assert_eq!(p(&env), "2!");
    shelf.save("p", "{% cache 'k' %}{{ tick() }}{% endcache %}");
    p(&env);
    assert!(ticks.count() <= 3);
}

#[test]
fn a_template_created_later_refreshes_what_looked_for_it_in_vain() {
    for include in ["{% include 'x' ignore missing %}", "{% include ['x', 'y'] %}", "{% include names %}"] {
        let body = format!("{{% set names = ['x', 'y'] %}}{{% cache 'k' %}}{{{{ tick() }}}}{include}{{% endcache %}}");
        let (shelf, env, ticks) = Shelf::new(&[("p", &body), ("y", "y")]);
        p(&env);
        p(&env);
        assert_eq!(ticks.count(), 1, "{include}");
        shelf.save("x", "created");
        assert_eq!(p(&env), "2created", "{include}");
        shelf.delete("x");
        p(&env);
        p(&env);
        assert_eq!(ticks.count(), 3, "{include}: deleting refreshes once");
        shelf.save("x", "again");
        assert_eq!(p(&env), "4again", "{include}");
        assert_eq!(p(&env), "4again", "{include}");
    }
}

#[test]
fn adding_a_template_again_replaces_it_and_refreshes_what_used_it() {
    let cache = cache();
    let (mut env, ticks) = page(&cache, "{% cache 'k' %}{{ tick() }}{% include 'x' ignore missing %}{% endcache %}");
    assert_eq!([p(&env), p(&env)], ["1", "1"]);
    cache.add_template(&mut env, "x", "x1").unwrap();
    assert_eq!([p(&env), p(&env)], ["2x1", "2x1"]);
    cache.add_template(&mut env, "y", "y").unwrap();
    cache.add_template(&mut env, "x", "x2").unwrap();
    let shown = p(&env);
    assert!(shown.ends_with("x2"), "{shown}");
    let runs = ticks.count();
    cache.add_template(&mut env, "y", "y2").unwrap();
    p(&env);
    assert_eq!(ticks.count(), runs, "an unrelated template that was known changed");
}

#[test]
fn a_template_that_failed_to_compile_first_still_refreshes_what_missed_it() {
    let cache = cache();
    let (mut env, _) = page(&cache, "{% cache 'k' %}{{ tick() }}{% include 'x' ignore missing %}{% endcache %}");
    cache.add_template(&mut env, "x", "{% if %}").unwrap_err();
    assert_eq!(p(&env), "1");
    cache.add_template(&mut env, "x", "x").unwrap();
    assert_eq!(p(&env), "2x");
}

#[test]
fn invalidating_an_added_template_refreshes_once() {
    let cache = cache();
    let (mut env, ticks) = page(&cache, "{% cache 'k' %}{{ tick() }}{% include 'x' %}{% endcache %}");
    cache.add_template(&mut env, "x", "x").unwrap();
    assert_eq!([p(&env), p(&env)], ["1x", "1x"]);
    cache.invalidate_template("x");
    assert_eq!([p(&env), p(&env), p(&env)], ["2x", "2x", "2x"]);
    assert_eq!(ticks.count(), 2);
}

#[test]
fn switching_auto_reload_off_with_a_loader_is_an_error_at_the_first_render() {
    let (shelf, mut env, _) =
        Shelf::new(&[("p", "{% cache 'k' %}x{% endcache %}"), ("q", "{{ cache_partial('p', 'k') }}")]);
    env.set_auto_reload(false);
    for name in ["p", "q"] {
        let error = env.get_template(name).unwrap().render(context! {}).unwrap_err();
        assert!(error.to_string().contains("set_auto_reload"), "{error}");
    }
    let error = shelf.cache.render(&env, "p", context! {}, "k", Options::default()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidOperation);
}

#[test]
fn a_changed_macro_of_the_same_file_is_a_miss_and_an_unreached_one_is_not() {
    let (shelf, env, ticks) = Shelf::new(&[(
        "p",
        "{% macro m() %}a{% endmacro %}{% macro n() %}b{% endmacro %}{% cache 'k' %}{{ m() }}{{ tick() }}{% endcache %}",
    )]);
    assert_eq!(p(&env), "a1");
    shelf.save("p", "{% macro m() %}a{% endmacro %}{% macro n() %}B{% endmacro %}{% cache 'k' %}{{ m() }}{{ tick() }}{% endcache %}");
    assert_eq!(p(&env), "a1");
    shelf.save("p", "{% macro m() %}A{% endmacro %}{% macro n() %}B{% endmacro %}{% cache 'k' %}{{ m() }}{{ tick() }}{% endcache %}");
    assert_eq!(p(&env), "A2");
    assert_eq!(ticks.count(), 2);
}

#[test]
fn invalidate_template_reaches_what_cache_render_made() {
    let cache = cache();
    let env = env_of(&cache, &[("t.html", "{{ n }}")]);
    let render = |n: u32| cache.render(&env, "t.html", context! { n }, "k", Options::default()).unwrap();
    assert_eq!([render(1), render(2)], ["1", "1"]);
    cache.invalidate_template("other.html");
    assert_eq!(render(3), "1");
    cache.invalidate_template("t.html");
    assert_eq!(render(4), "4");
    assert_eq!(Value::from(render(5)).to_string(), "4");
}
