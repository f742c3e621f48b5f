//! The output of lowered templates, their errors, and the templates that are rejected.

use minijinja::{Environment, context};

use super::support::{env, lower, render, render_plain, syntax};

fn detail(source: &str) -> String {
    let error = crate::compile::rewrite(source, "page.html", &syntax("")).expect_err(source);
    error.detail().unwrap_or("").to_owned()
}

#[track_caller]
fn assert_rejected(source: &str, part: &str) {
    let message = detail(source);
    assert!(message.starts_with("cache: ") && message.contains(part), "{source}: {message}");
}

#[track_caller]
fn assert_accepted(source: &str) {
    let lowered = lower(source, &syntax("")).unwrap_or_else(|e| panic!("{source}: {e}"));
    let mut env = env(&syntax(""), true);
    env.add_template_owned("page.html", lowered).unwrap_or_else(|e| panic!("{source}: {e:#}"));
}

#[test]
fn a_hit_prints_the_stored_text_instead_of_the_body() {
    let mut env = env(&syntax(""), false);
    env.add_filter("_f.hit", |_: &minijinja::Value| "HIT");
    let text = lower("a {%- cache 'k' 60 %} body {{ boom() }} {% endcache -%}  b", &syntax("")).unwrap();
    env.add_template_owned("p", text).unwrap();
    assert_eq!(env.get_template("p").unwrap().render(()).unwrap(), "aHITb");
}

#[test]
fn an_error_in_a_body_has_the_line_of_the_source() {
    let source = "one\n{% cache ['k',\n 'x'] ~\n user.id 60\n tags=['a'] %}\nsix\n{{ boom() }}\n{% endcache %}";
    assert_eq!(render(source, &syntax(""), true).unwrap_err().line(), Some(7));
    let source = "one\n# cache 'k' 60\n{{ boom() }}\n# endcache\n";
    assert_eq!(render(source, &syntax("line_statement=#"), true).unwrap_err().line(), Some(3));
}

#[test]
fn the_error_of_an_undefined_operand_quotes_it() {
    let error = render("{% cache ['u' ~ user.nme] %}x{% endcache %}", &syntax(""), true).unwrap_err();
    assert_eq!(error.detail(), Some("`user.nme` is undefined"));
}

#[test]
fn text_that_looks_like_a_cache_tag_is_unchanged() {
    for source in [
        "{% cache 'k' %}{{ '%}' }}{% endcache %}",
        "{# {% cache 'x' %} #}{% cache 'k' %}{# {% endcache #}a{% endcache %}",
        "{% raw %}{% cache 'x' %}<% endcache %>{% endraw %}{% cache 'k' %}{% raw %}{% endcache %}{% endraw %}{% endcache %}",
        "<a title=\"{% cache 'k' %}{{ user.name }}{% endcache %}\">",
        "{% if user.name\n  and\n  '%}{% endif %}' %}{% cache\n  'k'\n%}ü{% endcache\n%}{% endif %}",
        "{% macro m(a) %}[{{ caller() }}]{% endmacro %}{% cache 'k' %}{% call m('x') %}{% call m('y') %}日本{% endcall %}{% endcall %}{% endcache %}",
        "{% cache 'k' %}a{% endcache %}\r\n{% cache 'l' %}\r\nb{% endcache %}\r\n",
        "<% include %> <%= x %> <% cached %>{% cache 'k' %}<% nothing %>{% endcache %}",
        "{% set cache = 1 %}{{ cache + 1 }}{% cache cache %}{{ cache }}{% endcache %}",
    ] {
        let plain = source
            .replace("{% cache 'k' %}", "{% with %}")
            .replace("{% cache\n  'k'\n%}", "{% with\n\n%}")
            .replace("{% cache 'l' %}", "{% with %}")
            .replace("{% cache cache %}", "{% with %}")
            .replace("{% endcache %}", "{% endwith %}")
            .replace("{% endcache\n%}", "{% endwith\n%}")
            .replace("{% raw %}{% endwith %}", "{% raw %}{% endcache %}");
        let expected = render_plain(&plain, &syntax("")).unwrap_or_else(|e| panic!("{plain}: {e:#}"));
        assert_eq!(render(source, &syntax(""), true).unwrap(), expected, "{source}");
    }
}

#[test]
fn forbidden_tags_are_rejected_with_their_line() {
    assert_rejected("a\n{% cache %}{% endcache %}", "missing key");
    assert_rejected("a\n{% cache 'k' %}", "never closed; add `endcache` (in page.html:2)");
    assert_rejected("a\n{% endcache %}", "closes no cache tag");
    assert_rejected("{% cache 'k'", "cannot be read");
    assert_rejected("<% cache 'k' ", "cannot be read");
    assert_rejected(
        "{% cache 'k' %}\n{% block b %}{% endblock %}{% endcache %}",
        "`block` cannot stand inside a cached body",
    );
    assert_rejected("{% cache 'k' %}\n{{ self.b() }}{% endcache %}", "`self` cannot be used");
    assert_rejected("{% cache 'k' %}\n{{ self['b']() }}{% endcache %}", "(in page.html:2)");
    assert_rejected("{% cache 'k' %}{% extends 'x' %}{% endcache %}", "`extends` cannot stand");
    assert_rejected("{% cache 'k' %}{{ __fragment }}{% endcache %}", "reserved");
    assert_rejected("{% cache 'k' %}{% set __fragment = 1 %}{% endcache %}", "reserved");
    assert_rejected(
        "{% for x in xs %}{% cache 'k' %}{% if x %}{% break %}{% endif %}{% endcache %}{% endfor %}",
        "`break` would leave",
    );
    assert_rejected(
        "{% for x in xs %}{% cache 'k' %}{% for y in xs %}{% else %}{% continue %}{% endfor %}{% endcache %}{% endfor %}",
        "`continue` would leave",
    );
    assert_rejected("{% cache 'k' %}{% set ns.a = 1 %}{% endcache %}", "`ns` was made outside");
    assert_rejected("{% cache 'k' %}{% set (a, ns.b) = x %}{% endcache %}", "`ns` was made outside");
    assert_rejected("{% cache 'k' %}{% set ns.a %}x{% endset %}{% endcache %}", "`ns` was made outside");
    assert_rejected("{% extends 'x' %}\n{% cache 'k' %}{% endcache %}", "shows only its blocks");
    assert_rejected("{% extends x %}\n{% cache 'k' %}{% endcache %}", "(in page.html:2)");
    assert_rejected(
        "{% block b %}{% cache 'k' %}{{ super() }}{% endcache %}{% endblock %}",
        "`super()` inside a cached body",
    );
    assert_rejected(
        "{% extends x %}{% block b %}{% cache 'k' %}{{ super() }}{% endcache %}{% endblock %}",
        "`super()`",
    );
    assert_rejected(
        "{% if a %}\n{% cache 'k' %}\n{% endif %}\n{% endcache %}",
        "opened on line 2 is not closed before the `endif` of the `if` on line 1",
    );
    assert_rejected("{% if a %}{% cache 'k' %}{% else %}{% endcache %}{% endif %}", "`else` of the `if`");
    assert_rejected(
        "{% cache 'k' %}\n{% if a %}{% endcache %}{% endif %}",
        "`if`, opened on line 2, is not closed before `endcache`",
    );
    assert_rejected(
        "{% cache 'k' %}a{% endfilter %}{% filter upper %}b{% endcache %}",
        "closes nothing inside the cached body",
    );
    assert_rejected("{<% cache 'k' %>x<% endcache %>", "put a space between");
}

#[test]
fn similar_but_allowed_tags_are_accepted() {
    assert_accepted("{% cache 'k' %}{% for x in xs %}{% if x %}{% break %}{% endif %}{% endfor %}{% endcache %}");
    assert_accepted(
        "{% for x in xs %}{% cache 'k' %}{% macro m() %}{% for y in xs %}{% continue %}{% endfor %}{% endmacro %}{% endcache %}{% endfor %}",
    );
    assert_accepted(
        "{% cache 'k' %}{% set ns = namespace() %}{% for x in xs %}{% set ns.a = 1 %}{% endfor %}{% endcache %}",
    );
    assert_accepted("{% extends 'x' %}{% block b %}{% cache 'k' %}{{ super() }}{% endcache %}{% endblock %}");
    assert_accepted(
        "{% extends 'x' %}{% macro m() %}{% cache 'k' %}{% endcache %}{% endmacro %}{% set x %}{% cache 'k' %}{% endcache %}{% endset %}",
    );
    assert_accepted("{% if a %}{% extends 'x' %}{% endif %}{% cache 'k' %}{% endcache %}");
    assert_accepted("{% cache 'k' %}{{ x.self }}{{ f(self=1) }}{{ 'self' }}{{ x.super() }}{% endcache %}");
    assert_accepted(
        "{% if a %}{% cache 'k' %}a{% endcache %}{% elif b %}{% cache 'k' %}b{% endcache %}{% else %}c{% endif %}",
    );
}

#[test]
fn errors_outside_of_cache_tags_are_left_to_minijinja() {
    for source in [
        "{% cache 'k' %}{# {% endcache %}",
        "{% cache 'k' %}{{ 'x {% endcache %}",
        "{% if %}{% cache 'k' %}{% endcache %}{% endif %}",
        "{% endif %}{% cache 'k' %}",
        "{% cache 'k' %}{% nonsense %}{% endcache %}",
        "{% import %}",
        "{% cache 'k' %}{% if a %}{% endfor %}{% endcache %}",
    ] {
        let lowered = lower(source, &syntax("")).unwrap_or_else(|e| panic!("{source}: {e}"));
        assert!(Environment::new().add_template_owned("p", lowered).is_err(), "{source}");
    }
}

#[test]
fn imports_and_extends_pass_their_name_through_a_filter() {
    let lowered = |source: &str| lower(source, &syntax("line_statement=#")).unwrap();
    assert_eq!(lowered("{% import 'a' as b %}"), "{% import ('a')|_f.load as b %}");
    assert_eq!(
        lowered("{%- from 'a' if x else 'c' import b as d, e -%}"),
        "{%- from ('a' if x else 'c')|_f.load import b as d, e -%}"
    );
    assert_eq!(lowered("{% extends name~'.html' %}"), "{% extends (name~'.html')|_f.extend %}");
    assert_eq!(lowered("# import 'a' as b\nx"), "# import ('a')|_f.load as b\nx");
    let mut env = env(&syntax(""), true);
    env.add_template("lib", "{% macro m() %}M{% endmacro %}").unwrap();
    env.add_template_owned("p", lowered("{% from 'lib' if true else 'x' import m %}{{ m() }}")).unwrap();
    assert_eq!(env.get_template("p").unwrap().render(context! {}).unwrap(), "M");
}

#[test]
fn the_layout_knows_the_parent() {
    let extends = |source: &str| crate::compile::rewrite(source, "p", &syntax("")).unwrap().layout.extends().clone();
    assert_eq!(extends("a"), crate::compile::Extends::None);
    assert_eq!(extends("{% extends 'b\\'c' %}"), crate::compile::Extends::Literal("b'c".into()));
    assert_eq!(extends("{% extends x %}"), crate::compile::Extends::Dynamic);
    assert_eq!(extends("{% if x %}{% extends 'b' %}{% endif %}"), crate::compile::Extends::Dynamic);
    assert_eq!(extends("{% extends 'a' %}{% extends 'b' %}"), crate::compile::Extends::Dynamic);
}

fn digest(source: &str) -> String {
    let lowered = lower(source, &syntax("")).unwrap();
    let test = lowered.find("_f.miss").unwrap();
    let start = test + lowered[test..].find('(').unwrap() + 1;
    lowered[start..].chars().take_while(char::is_ascii_digit).collect()
}

#[test]
fn the_digest_of_a_body_changes_with_its_dependencies() {
    let page = |before: &str, body: &str| digest(&format!("{before}{{% cache 'k' %}}{body}{{% endcache %}}"));
    assert_eq!(page("", "a"), page("other text", "a"));
    assert_ne!(page("", "a"), page("", "b"));
    let m = "{% macro m() %}1{% endmacro %}";
    let m2 = "{% macro m() %}2{% endmacro %}";
    assert_ne!(page(m, "{{ m() }}"), page(m2, "{{ m() }}"));
    assert_eq!(page(m, "{{ n() }}"), page(m2, "{{ n() }}"));
    let through = "{% set n = m %}";
    assert_ne!(page(&format!("{m}{through}"), "{{ n() }}"), page(&format!("{m2}{through}"), "{{ n() }}"));
    assert_ne!(page(m, "{% include 'x' %}"), page(m2, "{% include 'x' %}"));
    assert_ne!(page("{% import 'a' as l %}", "{{ l.x() }}"), page("{% import 'b' as l %}", "{{ l.x() }}"));
    assert_ne!(page("{% from 'a' import y as x %}", "{{ x() }}"), page("{% from 'a' import z as x %}", "{{ x() }}"));
    assert_ne!(page("{% set s %}1{% endset %}", "{{ s }}"), page("{% set s %}2{% endset %}", "{{ s }}"));
    let with =
        |a: u32| digest(&format!("{{% with a={a} %}}{{% cache 'k' %}}{{{{ a }}}}{{% endcache %}}{{% endwith %}}"));
    assert_ne!(with(1), with(2));
    assert_eq!(digest("{% cache 'k' 60 %}a{% endcache %}"), digest("{% cache 'l' 70 tags=[] %}a{% endcache %}"));
}

#[test]
fn marks_of_call_blocks_and_macros_change_no_output() {
    for source in [
        "a\n  {% call(y) m('x') %}\n  b {{ k }}\n  {% endcall %}\n c\n",
        "a\n  {%- call(y) m('x') -%}\n  b\n  {%- endcall -%}\n c\n",
        "a\n  {%+ call(y) m('x') +%}\n  {{ y }}b\n  {%+ endcall +%}\n c\n",
        "{% for x in xs %}{% call(y) m(\n  x,\n) %}{% call(y) m('y') %}{{ loop is defined }}{% endcall %}{% endcall %}{% endfor %}",
        "{% call(y) m('x') %}{% set s = 1 %}{{ s }}{% endcall %}{{ s is defined }}",
        "  {% macro t() %}\n  [{{ self.b() }}]\n  {% endmacro %}\n{% block b %}B{% endblock %}{{ t() }}\n",
    ] {
        let source = format!("{{% macro m(a) %}}<{{{{ a }}}}{{{{ caller(a) }}}}>{{% endmacro %}}{source}");
        for flags in ["", "trim_blocks", "lstrip_blocks", "trim_blocks lstrip_blocks"] {
            let expected = render_plain(&source, &syntax(flags)).unwrap_or_else(|e| panic!("{source}: {e:#}"));
            assert_eq!(render(&source, &syntax(flags), true).unwrap(), expected, "{flags}: {source}");
        }
    }
    let lines = "# macro m(a)\n<{{ caller(a) }}>\n# endmacro\n# call(y) m('x')\nb{{ y }}\n# endcall\nc\n";
    let expected = render_plain(lines, &syntax("line_statement=#")).unwrap();
    assert_eq!(render(lines, &syntax("line_statement=#"), true).unwrap(), expected);
}
