//! Which edits of a template refresh a block: those of what its body can reach, and no others.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use minijinja::syntax::{SyntaxConfig, SyntaxConfigBuilder};
use minijinja::{Environment, context};
use minijinja_cache::FragmentCache;

use crate::support::{Ticks, cache, show};

/// Templates that a loader serves, and that change with a word to the cache.
struct Library {
    cache: FragmentCache,
    env: Environment<'static>,
    sources: Arc<Mutex<HashMap<String, String>>>,
    ticks: Ticks,
}

impl Library {
    fn new(templates: &[(&str, &str)]) -> Library {
        let cache = cache();
        let sources: Arc<Mutex<HashMap<String, String>>> = Arc::default();
        let mut env = Environment::new();
        cache.add_to_environment(&mut env);
        let served = Arc::clone(&sources);
        env.set_loader(cache.loader(move |name| Ok(served.lock().unwrap().get(name).cloned())));
        let ticks = Ticks::add_to(&mut env);
        let library = Library { cache, env, sources, ticks };
        templates.iter().for_each(|(name, source)| library.save(name, source));
        library
    }

    fn save(&self, name: &str, source: &str) {
        self.sources.lock().unwrap().insert(name.into(), source.into());
        self.cache.invalidate_template(name);
    }

    /// What `p` shows, and how often the body ran for it.
    fn shown(&self) -> (String, u64) {
        let before = self.ticks.count();
        let shown = show(&self.env, "p", context! { yes => true, no => false, xs => vec![1] });
        (shown, self.ticks.count() - before)
    }
}

/// The text of the template `p` without caching, for what it should show.
fn plain(source: &str) -> String {
    let source = source.replace("{{ tick() }}", "");
    let mut env = Environment::new();
    let open = ["{% cache 'k' %}", "{% cache 'k' -%}", "<% cache 'k' -%>", "{% cache 'k' +%}"];
    let plain = open.iter().fold(source, |text, tag| {
        text.replace(tag, &tag.replace("cache 'k'", "with").replace('<', "{").replace('>', "}"))
    });
    let plain = plain.replace("<%- endcache %>", "{%- endwith %}").replace("endcache", "endwith");
    env.add_template_owned("p", plain).unwrap();
    show(&env, "p", context! { yes => true, no => false, xs => vec![1] })
}

/// Asserts that an edit of `p` runs the body anew and shows what the new text shows.
#[track_caller]
fn refreshes(before: &str, after: &str) {
    let strip = |shown: String| shown.replace(char::is_numeric, "");
    let library = Library::new(&[("p", before)]);
    assert_eq!(strip(library.shown().0), strip(plain(before)), "{before}");
    assert_eq!(library.shown().1, 0, "{before}: not stored");
    library.save("p", after);
    let (shown, runs) = library.shown();
    assert_eq!(strip(shown), strip(plain(after)), "{before} => {after}");
    assert_eq!(runs, 1, "{before} => {after}");
}

/// Asserts that an edit of `p` leaves its block alone.
#[track_caller]
fn keeps(before: &str, after: &str) {
    let library = Library::new(&[("p", before)]);
    assert_eq!((library.shown().1, library.shown().1), (1, 0), "{before}");
    library.save("p", after);
    assert_eq!(library.shown().1, 0, "{before} => {after}");
}

const BODY: &str = "{% cache 'k' %}{{ tick() }}{{ x }}{% endcache %}";

#[test]
fn white_space_marks_at_the_edges_of_a_body_are_part_of_it() {
    let plain = "a{% cache 'k' %} {{ tick() }}x {% endcache %}b";
    for edited in [
        "a{% cache 'k' -%} {{ tick() }}x {% endcache %}b",
        "a{% cache 'k' %} {{ tick() }}x {%- endcache %}b",
        "a<% cache 'k' -%> {{ tick() }}x {% endcache %}b",
        "a{% cache 'k' %} {{ tick() }}x <%- endcache %>b",
    ] {
        refreshes(plain, edited);
        refreshes(edited, plain);
    }
    for edited in ["a{%- cache 'k' %} {{ tick() }}x {% endcache %}b", "a{% cache 'k' %} {{ tick() }}x {% endcache -%}b"]
    {
        keeps(plain, edited);
    }
}

#[test]
fn settings_of_the_syntax_are_part_of_a_body() {
    let cache = cache();
    let ticks = Ticks::default();
    let source = "{% cache 'k' %}\n  {% if true %}{{ tick() }}x{% endif %}[[ 1 ]]\n## c\n  {% endcache %}\n";
    let shown = |syntax: SyntaxConfig| {
        let mut env = Environment::new();
        env.set_syntax(syntax);
        cache.add_to_environment_as("one", &mut env);
        let calls = ticks.clone();
        env.add_function("tick", move || {
            calls.tick();
        });
        env.add_template_owned("p", cache.rewrite(source, "p", env.syntax()).unwrap().into_owned()).unwrap();
        cache.scope().run(|| show(&env, "p", context! {}))
    };
    let mut builders = vec![SyntaxConfig::builder()];
    let sets: [fn(&mut SyntaxConfigBuilder); 5] = [
        |builder| _ = builder.trim_blocks(true),
        |builder| _ = builder.lstrip_blocks(true),
        |builder| _ = builder.line_comment_prefix("##"),
        |builder| _ = builder.line_statement_prefix("##!"),
        |builder| _ = builder.comment_delimiters("<#", "#>"),
    ];
    for set in sets {
        let mut builder = SyntaxConfig::builder();
        set(&mut builder);
        builders.push(builder);
    }
    for (at, builder) in builders.iter().enumerate() {
        shown(builder.build().unwrap());
        shown(builder.build().unwrap());
        assert_eq!(ticks.count(), at as u64 + 1, "{at}");
    }
}

#[test]
fn attributes_and_captures_that_are_set_are_reached() {
    let around = |statement: &str| {
        format!(
            "{{% set ns = namespace() %}}{statement}{{% cache 'k' %}}{{{{ tick() }}}}{{{{ ns.g }}}}{{% endcache %}}"
        )
    };
    refreshes(&around("{% set ns.g = 'a' %}"), &around("{% set ns.g = 'b' %}"));
    refreshes(&around("{% set ns.g %}a{% endset %}"), &around("{% set ns.g %}b{% endset %}"));
    refreshes(&around("{% set ns.g | upper %}a{% endset %}"), &around("{% set ns.g | lower %}a{% endset %}"));
    refreshes(
        &around("{% set other = ns %}{% set other.g = 'a' %}"),
        &around("{% set other = ns %}{% set ns.g = 'b' %}"),
    );
    let bump = "{% macro put(n, v) %}{% set n.g = v %}{% endmacro %}";
    refreshes(&around(&format!("{bump}{{{{ put(ns, 'a') }}}}")), &around(&format!("{bump}{{{{ put(ns, 'b') }}}}")));
    refreshes(
        &around(&format!("{bump}{{{{ put(ns, 'a') }}}}")),
        &around(&format!("{}{{{{ put(ns, 'a') }}}}", bump.replace("= v", "= v ~ v"))),
    );
}

#[test]
fn conditions_and_loops_around_a_statement_are_reached() {
    let after = |statements: &str| format!("{statements}{BODY}");
    for (before, edited) in [
        ("{% if yes %}{% set x = 'a' %}{% endif %}", "{% if no %}{% set x = 'a' %}{% endif %}"),
        ("{% if yes %}{% set x = 'a' %}{% endif %}", "{% set x = 'a' %}{% set x = 'b' %}"),
        ("{% if yes %}{% set x = 'a' %}{% else %}{% endif %}", "{% if yes %}{% else %}{% set x = 'a' %}{% endif %}"),
        (
            "{% if no %}{% elif yes %}{% set x = 'a' %}{% endif %}",
            "{% if yes %}{% elif yes %}{% set x = 'a' %}{% endif %}",
        ),
        (
            "{% set ok = yes %}{% if ok %}{% set x = 'a' %}{% endif %}",
            "{% set ok = no %}{% if ok %}{% set x = 'a' %}{% endif %}",
        ),
        (
            "{% if yes %}{% macro x() %}a{% endmacro %}{% endif %}",
            "{% if no %}{% macro x() %}a{% endmacro %}{% endif %}",
        ),
        (
            "{% set ns = namespace() %}{% for y in ['a'] %}{% set ns.v = y %}{% endfor %}{% set x = ns.v %}",
            "{% set ns = namespace() %}{% for y in ['b'] %}{% set ns.v = y %}{% endfor %}{% set x = ns.v %}",
        ),
        (
            "{% set ns = namespace() %}{% with y = 'a' %}{% set ns.v = y %}{% endwith %}{% set x = ns.v %}",
            "{% set ns = namespace() %}{% with y = 'b' %}{% set ns.v = y %}{% endwith %}{% set x = ns.v %}",
        ),
    ] {
        refreshes(&after(before), &after(edited));
    }
}

#[test]
fn conditions_and_loops_around_the_block_are_reached() {
    let around = |open: &str, close: &str| format!("{open}{BODY}{close}");
    refreshes(&around("{% for x in ['a'] %}", "{% endfor %}"), &around("{% for x in ['b'] %}", "{% endfor %}"));
    refreshes(&around("{% with x = 'a' %}", "{% endwith %}"), &around("{% with x = 'b' %}", "{% endwith %}"));
    refreshes(
        &around("{% set y = 'a' %}{% with x = y %}", "{% endwith %}"),
        &around("{% set y = 'b' %}{% with x = y %}", "{% endwith %}"),
    );
    refreshes(
        &around("{% with x = 'a' %}{% if yes %}", "{% endif %}{% endwith %}"),
        &around("{% with x = 'b' %}{% if yes %}", "{% endif %}{% endwith %}"),
    );
    refreshes(&around("{% if yes %}", "{% endif %}"), &around("{% if not no %}", "{% endif %}"));
}

#[test]
fn the_order_of_statements_and_the_place_of_the_block_are_reached() {
    refreshes(
        &format!("{{% set x = 'a' %}}{{% set x = 'b' %}}{BODY}"),
        &format!("{{% set x = 'b' %}}{{% set x = 'a' %}}{BODY}"),
    );
    refreshes(
        &format!("{{% set x = 'a' %}}{BODY}{{% set x = 'b' %}}"),
        &format!("{{% set x = 'a' %}}{{% set x = 'b' %}}{BODY}"),
    );
    refreshes(
        &format!("{{% set y = 'a' %}}{{% set x = y %}}{{% set y = 'b' %}}{BODY}"),
        &format!("{{% set y = 'a' %}}{{% set y = 'b' %}}{{% set x = y %}}{BODY}"),
    );
    refreshes(
        &format!("{{% set x = 'a' %}}{{% set y = x %}}{{% set x = y ~ 'b' %}}{BODY}"),
        &format!("{{% set x = 'a' %}}{{% set x = y ~ 'b' %}}{{% set y = x %}}{BODY}"),
    );
}

#[test]
fn what_a_macro_that_caches_is_called_with_in_its_file_is_reached() {
    let card = "{% macro card(x, y='d') %}{% cache 'k' %}{{ tick() }}{{ x }}{{ y }}{% endcache %}{% endmacro %}";
    for (before, edited) in [
        ("{{ card('a') }}", "{{ card('b') }}"),
        ("{{ card(x='a') }}", "{{ card(x='b') }}"),
        ("{{ card('a')|upper }}", "{{ card('b')|upper }}"),
        ("{% set t = 'a' %}{{ card(t) }}", "{% set t = 'b' %}{{ card(t) }}"),
        ("{% for t in ['a'] %}{{ card(t) }}{% endfor %}", "{% for t in ['b'] %}{{ card(t) }}{% endfor %}"),
        ("{% set c = card %}{{ c('a') }}", "{% set c = card %}{{ c('b') }}"),
        (
            "{% macro outer(z) %}{{ card(z) }}{% endmacro %}{{ outer('a') }}",
            "{% macro outer(z) %}{{ card(z) }}{% endmacro %}{{ outer('b') }}",
        ),
    ] {
        refreshes(&format!("{card}{before}"), &format!("{card}{edited}"));
    }
    refreshes(&format!("{card}{{{{ card('a') }}}}"), &format!("{}{{{{ card('a') }}}}", card.replace("'d'", "'e'")));
    keeps(&format!("{card}{{{{ card('a') }}}}"), &format!("{card}<p>{{{{ card('a') }}}}</p>"));
}

#[test]
fn the_rest_of_the_file_is_not_reached() {
    for edited in [
        "{% set y = 2 %}{% cache 'k' %}{{ tick() }}{{ x }}{% endcache %}",
        "{% if no %}{% set y = 2 %}{% endif %}{% cache 'k' %}{{ tick() }}{{ x }}{% endcache %}",
        "{% macro m(x) %}{% set x = 1 %}{{ x }}{% endmacro %}{{ m(3) }}{% cache 'k' %}{{ tick() }}{{ x }}{% endcache %}",
        "<p>{% if yes %}{{ xs }}{% endif %}{% cache 'k' %}{{ tick() }}{{ x }}{% endcache %}</p>",
    ] {
        keeps(BODY, edited);
    }
}

const CHILD: &str =
    "{% extends 'layout' %}{% block b %}{% cache 'k' %}{{ tick() }}{{ x }}{{ m() }}{% endcache %}{% endblock %}";
const LAYOUT: &str = "{% set x = 'old' %}{% macro m() %}m{% endmacro %}{% block b %}{% endblock %}<footer>1</footer>";

/// Asserts whether edits of a layout refresh the block of a child.
#[track_caller]
fn layout(child: &str, before: &str, edited: &str, refreshed: bool) {
    let library = Library::new(&[("p", child), ("layout", before)]);
    assert_eq!((library.shown().1, library.shown().1), (1, 0), "{before}");
    library.save("layout", edited);
    assert_eq!(library.shown().1, u64::from(refreshed), "{before} => {edited}");
    assert_eq!(library.shown().1, 0, "{edited}: not stored");
    library.save("layout", before);
    assert_eq!(library.shown().1, u64::from(refreshed), "{edited} => {before}");
}

#[test]
fn an_edit_of_a_layout_outside_of_its_statements_keeps_the_blocks_of_its_children() {
    for edited in [
        LAYOUT.replace("<footer>1", "<footer>2"),
        LAYOUT.replace("<footer>1", "<footer>{{ y }}{% include 'z' ignore missing %}"),
        LAYOUT.replace("{% block b %}{% endblock %}", "<p>{% block b %}default{% endblock %}</p>"),
        LAYOUT.replace("{% block b %}", "{% if yes %}title{% endif %}{% block b %}"),
        LAYOUT.replace("{% endblock %}", "{% set x = 1 %}{% endblock %}"),
    ] {
        layout(CHILD, LAYOUT, &edited, false);
    }
}

#[test]
fn an_edit_of_the_statements_of_a_layout_refreshes_the_blocks_of_its_children() {
    for edited in [
        LAYOUT.replace("'old'", "'new'"),
        LAYOUT.replace(">m<", ">n<").replace("%}m{%", "%}n{%"),
        format!("{{% if yes %}}{}", LAYOUT.replace("{% macro", "{% endif %}{% macro")),
        format!("{{% for y in xs %}}{{% set z = y %}}{{% endfor %}}{LAYOUT}"),
        LAYOUT.replace("{% block b %}", "{% set x %}new{% endset %}{% block b %}"),
        LAYOUT.replace("{% set x = 'old' %}", "").replace("{% endblock %}", "{% endblock %}{% set x = 'old' %}"),
        LAYOUT.replace("{% block b %}", "{% include 'vars' ignore missing %}{% block b %}"),
        LAYOUT.replace("{% block b %}", "{% from 'lib' import x %}{% block b %}"),
    ] {
        let library_ = Library::new(&[("p", CHILD), ("layout", LAYOUT), ("lib", "{% set x = 'lib' %}")]);
        library_.shown();
        library_.save("layout", &edited);
        assert_eq!(library_.shown().1, 1, "{edited}");
    }
    layout(CHILD, LAYOUT, &LAYOUT.replace("'old'", "'new'"), true);
    let bare = "{% block b %}{% endblock %}";
    layout(
        "{% extends 'layout' %}{% block b %}{% cache 'k' %}{{ tick() }}{{ x }}{% endcache %}{% endblock %}",
        bare,
        &format!("{{% set x = 1 %}}{bare}"),
        true,
    );
}

#[test]
fn a_block_that_shows_super_depends_on_all_of_its_parents() {
    let child =
        "{% extends 'layout' %}{% block b %}{% cache 'k' %}{{ tick() }}{{ super() }}{% endcache %}{% endblock %}";
    let before = "{% block b %}old{% endblock %}";
    layout(child, before, "{% block b %}new{% endblock %}", true);
    layout(child, before, "{% block b %}old{% endblock %}footer", true);
}

#[test]
fn what_a_body_includes_is_used_as_a_whole() {
    let library = Library::new(&[
        ("p", "{% cache 'k' %}{{ tick() }}{% include 'child' %}{% endcache %}"),
        ("child", "{% extends 'layout' %}{% block b %}b{% endblock %}"),
        ("layout", "{% block b %}{% endblock %}1"),
    ]);
    assert_eq!((library.shown().1, library.shown().1), (1, 0));
    library.save("layout", "{% block b %}{% endblock %}2");
    assert_eq!(library.shown(), ("2b2".into(), 1));
}

#[test]
fn a_layout_that_is_also_included_in_the_body_is_used_as_a_whole() {
    let library = Library::new(&[
        (
            "p",
            "{% extends 'layout' %}{% block b %}{% cache 'k' %}{{ tick() }}{% include 'layout' %}{% endcache %}{% endblock %}",
        ),
        ("layout", "{% block b %}{% endblock %}x"),
    ]);
    assert_eq!(library.shown(), ("1xx".into(), 1));
    library.save("layout", "{% block b %}{% endblock %}y");
    assert_eq!(library.shown(), ("2yy".into(), 1));
}

#[test]
fn replacing_a_layout_in_memory_goes_by_its_statements_too() {
    let cache = cache();
    let mut env = crate::support::env_of(&cache, &[("layout", LAYOUT), ("p", CHILD)]);
    let ticks = Ticks::add_to(&mut env);
    let shown = |env: &Environment<'_>| {
        show(env, "p", context! {});
        ticks.count()
    };
    assert_eq!([shown(&env), shown(&env)], [1, 1]);
    cache.add_template(&mut env, "layout", &LAYOUT.replace("footer>1", "footer>2")).unwrap();
    assert_eq!(shown(&env), 1);
    cache.add_template(&mut env, "layout", &LAYOUT.replace("old", "new")).unwrap();
    assert_eq!([shown(&env), shown(&env)], [2, 2]);
    cache.invalidate_template("layout");
    assert_eq!([shown(&env), shown(&env)], [3, 3]);
}

#[test]
fn a_page_made_from_a_layout_goes_with_any_edit_of_it() {
    let library = Library::new(&[("p", CHILD), ("layout", LAYOUT)]);
    let page =
        || library.cache.render(&library.env, "p", context! {}, "page", minijinja_cache::Options::default()).unwrap();
    assert!(page().ends_with("<footer>1</footer>"));
    library.save("layout", &LAYOUT.replace("<footer>1", "<footer>2"));
    assert!(page().ends_with("<footer>2</footer>"));
    assert_eq!(library.ticks.count(), 1, "the block was kept");
}

const CARD: &str = "{% cache 'k' %}{{ tick() }}{{ x }}{% endcache %}";

/// Asserts whether edits of a page refresh the block of a template that it includes.
#[track_caller]
fn includer(others: &[(&str, &str)], before: &str, edited: &str, refreshed: bool) {
    let templates: Vec<(&str, &str)> = [("p", before), ("card", CARD)].iter().chain(others).copied().collect();
    let library = Library::new(&templates);
    assert_eq!((library.shown().1, library.shown().1), (1, 0), "{before}");
    library.save("p", edited);
    assert_eq!(library.shown().1, u64::from(refreshed), "{before} => {edited}");
    assert_eq!(library.shown().1, 0, "{edited}: not stored");
    library.save("p", before);
    assert_eq!(library.shown().1, u64::from(refreshed), "{edited} => {before}");
}

#[test]
fn an_edit_of_the_statements_around_an_include_refreshes_the_blocks_of_what_is_included() {
    let mid = [("mid", "{% include 'card' %}"), ("lib", "{% set x = 'lib' %}")];
    let layout = [("layout", "<header>{% include 'card' %}</header>{% block b %}{% endblock %}")];
    for (others, before, edited) in [
        (&[][..], "{% set x = 'a' %}{% include 'card' %}", "{% set x = 'b' %}{% include 'card' %}"),
        (&[], "{% set x %}a{% endset %}{% include 'card' %}", "{% set x %}b{% endset %}{% include 'card' %}"),
        (
            &[],
            "{% with x = 'a' %}{% include 'card' %}{% endwith %}",
            "{% with x = 'b' %}{% include 'card' %}{% endwith %}",
        ),
        (
            &[],
            "{% for x in ['a'] %}{% include 'card' %}{% endfor %}",
            "{% for x in ['b'] %}{% include 'card' %}{% endfor %}",
        ),
        (
            &[],
            "{% if yes %}{% set x = 'a' %}{% endif %}{% set y = 1 %}{% include 'card' %}",
            "{% if no %}{% set x = 'a' %}{% endif %}{% set y = 1 %}{% include 'card' %}",
        ),
        (
            &[],
            "{% macro m() %}a{% endmacro %}{% set x = m() %}{% include 'card' %}",
            "{% macro m() %}b{% endmacro %}{% set x = m() %}{% include 'card' %}",
        ),
        (&mid, "{% set x = 'a' %}{% include 'mid' %}", "{% set x = 'b' %}{% include 'mid' %}"),
        (&mid, "{% from 'lib' import x %}{% include 'mid' %}", "{% set x = 'b' %}{% include 'mid' %}"),
        (&layout, "{% extends 'layout' %}{% set x = 'a' %}", "{% extends 'layout' %}{% set x = 'b' %}"),
        (
            &[("layout", "{% block b %}{% endblock %}")],
            "{% extends 'layout' %}{% block b %}{% set x = 'a' %}{% include 'card' %}{% endblock %}",
            "{% extends 'layout' %}{% block b %}{% set x = 'b' %}{% include 'card' %}{% endblock %}",
        ),
    ] {
        includer(others, before, edited, true);
    }
}

#[test]
fn an_edit_of_a_page_outside_of_its_statements_keeps_the_blocks_of_what_it_includes() {
    let layout = [("layout", "{% set y = 1 %}{% include 'card' %}{% block b %}{% endblock %}")];
    for (others, before, edited) in [
        (&[][..], "{% include 'card' %}<p>1", "{% include 'card' %}<p>2"),
        (&[], "{% set x = 'a' %}{% include 'card' %}<p>1", "{% set x = 'a' %}{% include 'card' %}<p>{{ x }}{{ yes }}"),
        (
            &layout,
            "{% extends 'layout' %}{% block b %}1{% endblock %}",
            "{% extends 'layout' %}{% block b %}2{% endblock %}",
        ),
    ] {
        includer(others, before, edited, false);
    }
    // Pages share what they include, whatever they set.
    let library = Library::new(&[("p", "{% set x = 'a' %}{% include 'card' %}"), ("card", CARD)]);
    assert_eq!(library.shown().0, "1a");
    library.save("q", "{% set y = 'b' %}{% include 'card' %}");
    assert_eq!(show(&library.env, "q", context! {}), "1a");
}

#[test]
fn a_block_is_not_refreshed_for_what_includes_in_its_layout_reach() {
    let layout = "{% set x = 1 %}{% include 'header' %}{% block b %}{% endblock %}<footer>1{% set z = 1 %}{{ z }}";
    let child = "{% extends 'layout' %}{% block b %}{% cache 'k' %}{{ tick() }}{{ x }}{% endcache %}{% endblock %}";
    let library = Library::new(&[("p", child), ("layout", layout), ("header", "h")]);
    assert_eq!((library.shown().1, library.shown().1), (1, 0));
    library.save("layout", &layout.replace("<footer>1", "<footer>{% include 'header' %}"));
    assert_eq!(library.shown().1, 0);
    library.save("layout", &layout.replace("x = 1", "x = 2"));
    assert_eq!(library.shown().1, 1);
}

#[test]
fn a_macro_of_an_included_template_shows_what_the_page_sets_and_goes_with_it() {
    let card = "{% macro m() %}{% cache 'k' %}{{ tick() }}{{ x }}{% endcache %}{% endmacro %}{{ m() }}";
    let library = Library::new(&[("p", "{% set x = 'a' %}{% include 'card' %}"), ("card", card)]);
    assert_eq!((library.shown().0, library.shown().0), ("1a".into(), "1a".into()));
    library.save("p", "{% set x = 'b' %}{% include 'card' %}");
    assert_eq!(library.shown(), ("2b".into(), 1));
}

#[test]
fn replacing_a_page_in_memory_refreshes_what_it_includes_by_its_statements() {
    let cache = cache();
    let page = "{% set x = 'a' %}{% include 'card' %}<p>1";
    let mut env = crate::support::env_of(&cache, &[("card", CARD), ("p", page)]);
    let ticks = Ticks::add_to(&mut env);
    let shown = |env: &Environment<'_>| (show(env, "p", context! {}), ticks.count());
    assert_eq!([shown(&env).1, shown(&env).1], [1, 1]);
    cache.add_template(&mut env, "p", &page.replace("<p>1", "<p>2")).unwrap();
    assert_eq!(shown(&env), ("1a<p>2".into(), 1));
    cache.add_template(&mut env, "p", &page.replace("'a'", "'b'")).unwrap();
    assert_eq!(shown(&env), ("2b<p>1".into(), 2));
}
