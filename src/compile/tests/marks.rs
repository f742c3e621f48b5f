//! The mark before a template prints nothing, runs once, and moves no line.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use minijinja::value::Value;
use minijinja::{ErrorKind, context};

use super::support::{env, render, render_plain, syntax};
use crate::compile::names;
use crate::compile::{syntax_trap, with_start_mark};

/// The output of a marked template, and the number of times that its mark ran.
fn render_marked(source: &str, flags: &str) -> (String, u64) {
    let syntax = syntax(flags);
    let begun = Arc::new(AtomicU64::new(0));
    let mut env = env(&syntax, true);
    let count = Arc::clone(&begun);
    env.add_test(names::RENDER_START, move |_: &Value| {
        count.fetch_add(1, Ordering::SeqCst);
        false
    });
    let text = with_start_mark(source, &syntax, &format!("none is {}", names::RENDER_START));
    env.add_template_owned("p", text).unwrap_or_else(|error| panic!("{source:?} {flags}: {error:?}"));
    let shown = env.get_template("p").and_then(|template| template.render(context! {}));
    (shown.unwrap_or_else(|error| panic!("{source:?}: {error:?}")), begun.load(Ordering::SeqCst))
}

const FLAGS: [&str; 9] = [
    "",
    "trim_blocks",
    "lstrip_blocks",
    "trim_blocks lstrip_blocks keep_trailing_newline",
    "line_statement=# line_comment=##",
    "trim_blocks lstrip_blocks line_statement=# line_comment=##",
    "lstrip_blocks line_statement=% keep_trailing_newline",
    "line_statement=# line_comment=// keep_trailing_newline",
    "latex line_statement=%% line_comment=%#",
];

#[test]
fn a_mark_changes_no_output() {
    let sources = [
        "",
        "x",
        "\n",
        "x\n",
        "x\r\n",
        " \n ",
        "  {% if xs %}x{% endif %} {",
        "  {%+ if xs %}x{% endif %}\n",
        "\t{# c #}x",
        "  {#- c -#}  x",
        " {% raw %} {% {% endraw %} ",
        "  {{ k }}",
        " \u{a0}{% if xs %}\nx\n  {% endif %}\n",
        "\n  {% if xs %}x{% endif %}\n\n",
        "# set x = 1\nfn main() {",
        "# set x = 1\n\nfn main() {}\n",
        "  # set x = [1,\n  2]\n{{ x[1] }}",
        "# if xs\nx\n# endif",
        "# if xs\nx\n# endif\n",
        "## a comment\nx\n## another",
        "// a comment\n# if xs\n  x\n# endif\n// the end\n",
        "## one\n## two\n  {% if xs %}x{% endif %}",
        "## only",
        "# set x = 1",
        "%% set x = 1\n\\VAR{ x } %# comment",
        "<a href=\"#top\">",
        "<a href=\"#top\">\n",
        "a // b\nc // d",
        "{{ k }}{",
        "text {{",
        "{%- if xs -%}  x  {%- endif -%}  \n",
        "x{% if xs %}y{% endif %}\n",
        "{% block a %}{% block b %}x{% endblock %}{% endblock %}",
    ];
    let mut compared = 0;
    for (source, flags) in sources.iter().flat_map(|source| FLAGS.map(|flags| (source, flags))) {
        let Ok(plain) = render_plain(source, &syntax(flags)) else { continue };
        let (text, begun) = render_marked(source, flags);
        assert_eq!((text, begun), (plain, 1), "{source:?} {flags}");
        compared += 1;
    }
    assert!(compared > 250, "{compared}");
}

#[test]
fn a_mark_runs_before_the_first_line() {
    for (source, flags) in [
        ("# set x = k.no.such\n", "line_statement=#"),
        ("  # set x = k.no.such\n# set y = 1", "line_statement=# lstrip_blocks"),
        ("{{ k.no.such }}", ""),
    ] {
        let syntax = syntax(flags);
        let mut env = env(&syntax, true);
        env.add_test(names::RENDER_START, |_: &Value| {
            Err::<bool, _>(minijinja::Error::new(ErrorKind::BadEscape, "first"))
        });
        let text = with_start_mark(source, &syntax, &format!("none is {}", names::RENDER_START));
        env.add_template_owned("p", text).unwrap();
        assert_eq!(env.get_template("p").unwrap().render(()).unwrap_err().kind(), ErrorKind::BadEscape, "{source}");
    }
}

#[test]
fn a_mark_moves_no_line() {
    for (source, flags) in [
        ("{{ xs.no.such }}", ""),
        ("# set x = 1\n# set y = 2\n{{ xs.no.such }}", "line_statement=#"),
        ("## c\n\n{{ xs.no.such }}", "line_statement=# line_comment=##"),
        ("## c\n# if xs\n{{ xs.no.such }}\n# endif", "line_statement=# line_comment=##"),
        ("\n\n  {% if xs.no.such %}{% endif %}\n", "lstrip_blocks trim_blocks"),
        ("  # set x = [1,\n 2]\n{{ xs.no.such }}", "line_statement=#"),
    ] {
        let syntax = syntax(flags);
        let (ours, plain) = (render(source, &syntax, true).unwrap_err(), render_plain(source, &syntax).unwrap_err());
        assert_eq!(ours.line(), plain.line(), "{source:?}");
        assert_eq!(ours.detail(), plain.detail());
    }
}

#[test]
fn a_mark_changes_no_error() {
    for source in
        ["{% if x", "{# never closed", "{% raw %} never closed", "{% if xs %}", "{{ 1 + }}", "{% endif %}", "{{ 'x"]
    {
        let syntax = syntax("");
        let (ours, plain) = (render(source, &syntax, true).unwrap_err(), render_plain(source, &syntax).unwrap_err());
        assert_eq!((ours.kind(), ours.line(), ours.detail()), (plain.kind(), plain.line(), plain.detail()), "{source}");
    }
}

#[test]
fn a_template_of_another_syntax_fails_instead_of_printing_its_tags() {
    for (ours, theirs) in [("square", ""), ("latex", ""), ("erb", ""), ("", "square"), ("", "erb"), ("latex", "square")]
    {
        let text = with_start_mark("x", &syntax(ours), &format!("none is {}", names::RENDER_START));
        let text = syntax_trap(&syntax(ours), &syntax(theirs)) + &text;
        let mut other = env(&syntax(theirs), true);
        other.add_template_owned("p", text.clone()).unwrap();
        let error = other.get_template("p").unwrap().render(()).unwrap_err();
        assert_eq!(error.detail(), Some("syntax"), "{ours} {theirs}");
        let mut own = env(&syntax(ours), true);
        own.add_template_owned("p", text).unwrap();
        assert_eq!(own.get_template("p").unwrap().render(()).unwrap(), "x", "{ours} {theirs}");
    }
}
