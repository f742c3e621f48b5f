//! Measuring changes nothing: what templates print, how they fail, and what they run.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use minijinja::syntax::SyntaxConfig;
use minijinja::value::Value;
use minijinja::{Environment, Error, context};
use minijinja_cache::FragmentCache;
use proptest::prelude::*;

use super::support::{Ticks, env_of, show};

const PARTS: [(&str, &str); 9] = [
    ("a", " <i>{{ k }}</i>{{ loop.index if loop }} \n{% set leak = k ~ 'x' %}"),
    ("b", "\n  {%- if xs %} b {% include 'a' %}{% endif %}\n"),
    ("node", "({{ n.name }}{% if n.sub %}{{ loop(n.sub) }}{% endif %})"),
    (
        "lib",
        "{% include 'a' %}{% set v = 1 %}{% macro f(x, y=k) -%} {{ x }}{{ y }}{{ caller() if caller }} {%- endmacro %}",
    ),
    ("base", "<{% block one %}1{% include 'a' %}{% endblock %}{% include 'b' %}{% block two %}2{% endblock %}>"),
    ("child", "{% extends 'base' %}{% include 'blocks' %}{% block two %}{% include 'a' %}{{ super() }}{% endblock %}"),
    ("blocks", "{% include 'inner' %}"),
    ("inner", "{% block deep %}{{ tick() }}{% endblock %}"),
    ("fails", "x\n{{ k.no.such }}"),
];

fn syntax(flags: &str) -> SyntaxConfig {
    let mut builder = SyntaxConfig::builder();
    for flag in flags.split_whitespace() {
        match flag.split_once('=').unwrap_or((flag, "")) {
            ("trim_blocks", _) => builder.trim_blocks(true),
            ("lstrip_blocks", _) => builder.lstrip_blocks(true),
            ("keep_trailing_newline", _) => builder.keep_trailing_newline(true),
            ("line_statement", prefix) => builder.line_statement_prefix(prefix.to_owned()),
            ("line_comment", prefix) => builder.line_comment_prefix(prefix.to_owned()),
            ("erb", _) => {
                builder.block_delimiters("<%", "%>").variable_delimiters("<%=", "%>").comment_delimiters("<%#", "%>")
            }
            ("latex", _) => builder
                .block_delimiters("\\BLOCK{", "}")
                .variable_delimiters("\\VAR{", "}")
                .comment_delimiters("\\#{", "}"),
            ("square", _) => {
                builder.block_delimiters("[%", "%]").variable_delimiters("[[", "]]").comment_delimiters("[#", "#]")
            }
            (other, _) => panic!("unknown flag {other}"),
        };
    }
    builder.build().unwrap()
}

/// What an environment shows of a page, twice: texts, or errors with what they name; and how often `tick` ran.
fn shown(measured: bool, page: &str, name: &str, flags: &str) -> (Vec<String>, u64) {
    let cache = FragmentCache::builder().measure_potential(measured).build().unwrap();
    let mut env = Environment::new();
    env.set_syntax(syntax(flags));
    cache.add_to_environment(&mut env);
    let ticks = Ticks::add_to(&mut env);
    env.add_filter("date", |value: Value| value);
    for (name, source) in PARTS {
        let (open, close) = env.syntax().block_delimiters();
        let (print, printed) = env.syntax().variable_delimiters();
        let source = source.replace("{%", open).replace("%}", close).replace("{{", print).replace("}}", printed);
        cache.add_template(&mut env, name, &source).unwrap();
    }
    let leaf = |name| context! { name => name };
    let tree = vec![context! { name => "r", sub => vec![leaf("s"), leaf("t")] }, leaf("u")];
    let context = context! { k => "<k>", xs => [1, 2], tree, user => context! { id => 7, name => "Jörg" }, film => context! { id => 1 } };
    let added = cache.add_template(&mut env, name, page);
    let render = || match &added {
        Ok(()) => env.get_template(name).unwrap().render(context.clone()).unwrap_or_else(|error| said(&error)),
        Err(error) => said(error),
    };
    ((0..2).map(|_| render()).collect(), ticks.count())
}

/// An error with all that are behind it: kind, template, line and words.
fn said(error: &Error) -> String {
    let mut said = Vec::new();
    let mut next: Option<&dyn std::error::Error> = Some(error);
    while let Some(error) = next {
        let own = error.downcast_ref::<Error>();
        said.push(own.map_or_else(
            || error.to_string(),
            |own| format!("{:?} {:?} {:?} {:?}", own.kind(), own.name(), own.line(), own.detail()),
        ));
        next = error.source();
    }
    said.join(" from ")
}

#[track_caller]
fn same(page: &str, flags: &str) {
    assert_eq!(shown(true, page, "p.html", flags), shown(false, page, "p.html", flags), "{page}");
}

#[test]
fn whatever_the_rewriter_is_tested_with_shows_the_same() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let mut seen = 0;
    for folder in ["rewrites", "probes"] {
        for file in fs::read_dir(root.join(folder)).unwrap() {
            let path = file.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "html") {
                let content = fs::read_to_string(&path).unwrap();
                let (flags, source) = match content.strip_prefix("#!") {
                    Some(rest) => rest.split_once('\n').unwrap(),
                    None => ("", &*content),
                };
                same(source, flags);
                seen += 1;
            }
        }
    }
    assert!(seen > 20, "{seen}");
}

#[test]
fn scopes_errors_and_inheritance_are_the_same() {
    for page in [
        "{% include 'a' %}{{ leak }}",
        "{% for x in xs %}{% include 'a' %}{{ leak }}{% endfor %}{{ leak }}",
        "{% for n in tree recursive %}{% include 'node' %}{% endfor %}",
        "{% for n in tree recursive %}{{ n.name }}{% include 'a' %}{% if n.sub %}{{ loop(n.sub) }}{% endif %}{% endfor %}",
        "{% include 'child' %}|{% include 'base' %}",
        "{% extends 'child' %}{% include 'a' %}{% block one %}{{ leak }}{{ super() }}{% endblock %}",
        "{% from 'blocks' import nothing %}{% from 'lib' import f, v %}{{ f(v) }}{% call f(1, y=2) %}{{ k }}{% endcall %}",
        "{% import 'lib' as l %}{{ l }}{{ l.f(1) }}{{ l.v }}{{ l.f.name }}",
        "{% if k %}{% extends 'base' %}{% endif %}{% include 'blocks' %}{% block one %}{% include 'inner' %}{% endblock %}",
        "{% from 'child' import leak %}{{ leak }}",
        "\n\n{% include\n 'fails'\n %}",
        "\n{% include ['no',\n 'nope'] %}",
        "\n{% include nothing\n %}",
        "\n\n{% include k.no.such %}",
        "{% include ['no', 'fails'] ignore missing %}",
        "{% include 'p.html' %}",
        "{% macro m(n) %}{{ n }}{% if n %}{{ m(n - 1) }}{% endif %}{% endmacro %}{{ m(82) }}|{{ m(83) }}",
        "{% macro m(n) %}{{ n }}{% if n %}{{ m(n - 1) }}{% endif %}{% endmacro %}{{ m(81) }}",
        "{% macro m(a) %}{{ a }}{{ x }}{% endmacro %}{% set x = 1 %}{{ m(2) }}{{ m(1, 2) }}",
        "{% macro m(a) %}{% for y in [1, 2, 3] %}{% if y == 2 %}{% continue %}{% endif %}{{ y }}{% break %}{% endfor %}{% endmacro %}{{ m() }}",
        "{% for y in [1, 2, 3] %}{% include 'a' %}{% if y == 2 %}{% break %}{% endif %}{% endfor %}",
        "{% macro m() %}{{ varargs }}{{ kwargs }}{% endmacro %}{{ m(b=1) }}",
        "{% macro outer() %}{% macro inner() %}{{ k }}{% endmacro %}{{ inner() }}{% endmacro %}{{ outer() }}{{ inner() }}",
        "{% set inner %}{% include 'a' %}{% endset %}{{ inner }}{{ inner|upper }}",
        "{% filter upper %}{% include 'b' %}{% endfilter %}{% autoescape false %}{% include 'a' %}{{ k }}{% endautoescape %}",
        "{% set ns = namespace(n=0) %}{% for x in xs %}{% include 'a' %}{% set ns.n = ns.n + 1 %}{% endfor %}{{ ns.n }}",
        "{% cache 'c' %}{% include 'b' %}{% macro m() %}{{ tick() }}{% endmacro %}{{ m() }}{% endcache %}",
        "{% macro f(x) %}{{ x }}{% endmacro %}{% cache f('k') %}{% include 'a' %}{{ f(1) }}{% endcache %}",
        "{{ tick() }}{% include ['a', 'b'][tick() - tick() + 1] %}",
        "{% macro m(x) %}{{ x }}{% endmacro %}{{ m(tick()) }}{{ m(x=tick()) }}{{ xs|map('string')|join }}",
        "{% with k = 1 %}{% include 'a' %}{% endwith %}{% block x %}{% include 'inner' %}{% endblock %}",
        // A macro captures the variables that are mentioned in it, and those of an include's name are not.
        "{% with k = 'a' %}{% macro m() %}{% include k ignore missing %}{% include [k] ignore missing %}{% endmacro %}{{ m() }}{% endwith %}",
        "{% macro m() %}{{ caller() }}{% endmacro %}{% with k = 'a' %}{% call m() %}{% include k ~ '' ignore missing %}{% endcall %}{% endwith %}",
        "{{ self.one() }}{% block one %}{% include 'a' %}{% endblock %}",
    ] {
        same(page, "");
    }
    // That they show what they are to show, and do not all fail alike.
    let (page, _) = shown(
        true,
        "{% include 'a' %}{{ leak }}{% for n in tree recursive %}{% include 'node' %}{% endfor %}",
        "p",
        "",
    );
    assert_eq!(page[0], " <i><k></i> \n<k>x(r(s)(t))(u)");
    let (child, ticks) = shown(true, "{% include 'child' %}", "p", "");
    assert_eq!((&*child[0], ticks), ("<1 <i><k></i> \n b  <i><k></i> \n <i><k></i> \n2>", 0));
}

#[test]
fn depth_is_counted_as_without() {
    for depth in 20..60 {
        let page = "{% macro m(n) %}{% include 'rec' %}{% endmacro %}{{ m(start) }}";
        let rec = "{{ n }}{% if n %}{{ m(n - 1) }}{% endif %}";
        let shown = [false, true].map(|measured| {
            let cache = FragmentCache::builder().measure_potential(measured).build().unwrap();
            let env = env_of(&cache, &[("p", page), ("rec", rec)]);
            let rendered = env.get_template("p").unwrap().render(context! { start => depth });
            rendered.map_err(|error| said(&error))
        });
        assert_eq!(shown[0], shown[1], "{depth}");
    }
}

#[test]
fn blocks_whose_output_is_thrown_away_do_not_run() {
    let expected = shown(false, "{% from 'blocks' import x %}{% from 'lib' import f %}{{ f(1) }}", "p", "");
    assert_eq!(expected.1, 0);
    same("{% from 'blocks' import x %}", "");
    same("{% extends 'base' %}{% include 'blocks' %}{% from 'child' import x %}", "");
}

#[test]
fn a_loader_is_asked_as_often_and_fragments_are_the_same() {
    let stats = [false, true].map(|measured| {
        let cache = FragmentCache::builder().measure_potential(measured).build().unwrap();
        let asked = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&asked);
        let mut env = Environment::new();
        cache.add_to_environment(&mut env);
        env.set_loader(cache.loader(move |name| {
            count.fetch_add(1, Ordering::SeqCst);
            Ok(match name {
                "p" => Some(
                    "{% cache 'k' %}{% include 'part' %}{% endcache %}{% include 'part' %}{% include ['part', 'q'] %}"
                        .into(),
                ),
                "part" => Some("{% macro m() %}x{% endmacro %}{{ m() }}".into()),
                _ => None,
            })
        }));
        let shown: Vec<String> = (0..3).map(|_| show(&env, "p", context! {})).collect();
        cache.invalidate_template("part");
        let after = show(&env, "p", context! {});
        let stats = cache.stats();
        (shown, after, asked.load(Ordering::SeqCst), stats.hits, stats.misses, stats.stores, stats.unstored)
    });
    assert_eq!(stats[0], stats[1]);
}

#[cfg(feature = "shared")]
#[test]
fn a_node_that_measures_shares_its_fragments_with_one_that_does_not() {
    use super::shared::{in_touch, written};
    let store = minijinja_cache::LocalStore::new();
    let runs: Vec<u64> = [false, true, false]
        .into_iter()
        .map(|measured| {
            let cache = FragmentCache::builder().measure_potential(measured).shared(store.clone()).build().unwrap();
            in_touch(&cache);
            let mut env = Environment::new();
            cache.add_to_environment_as("web", &mut env);
            let ticks = Ticks::add_to(&mut env);
            let page =
                "{% macro m() %}{{ tick() }}{% endmacro %}{% cache 'k' %}{% include 'part' %}{{ m() }}{% endcache %}";
            cache.add_template(&mut env, "part", "x").unwrap();
            cache.add_template(&mut env, "p", page).unwrap();
            assert_eq!(show(&env, "p", context! {}), "x1");
            written(&cache);
            ticks.count()
        })
        .collect();
    assert_eq!(runs, [1, 0, 0]);
}

fn snippet() -> impl Strategy<Value = String> {
    let control = || prop_oneof![3 => Just(""), 1 => Just("-"), 1 => Just("+")];
    let statements = vec![
        "include 'a'",
        "include ['nope', 'b']",
        "include 'nope' ignore missing",
        "include k ignore missing with context",
        "include ('a' if xs else\n 'b')",
        "from 'lib' import f",
        "from 'lib'\n import f as g, v",
        "import 'lib' as l",
        "set leak = 1",
    ];
    let around = vec![
        ("for x in xs", "endfor", ""),
        ("if k", "endif", ""),
        ("filter upper", "endfilter", ""),
        ("set z", "endset", "{{ z }}"),
        ("with k = 'w'", "endwith", ""),
        ("cache 'k'", "endcache", ""),
        ("macro m(x=1)", "endmacro", "{{ m('<') }}"),
        ("macro n(film)", "endmacro", "|{{ n(film) }}{{ n(film=k) }}"),
        ("autoescape true", "endautoescape", ""),
    ];
    let texts = vec![
        "a",
        "\n",
        "  ",
        "\n  ",
        "\n\n",
        "\r\n",
        "é",
        "<b>",
        "{{ leak }}",
        "{{ m(k) if m }}",
        "{{ n(film) if n }}",
        "{{ z }}",
        "{{ f(1) if f }}",
        "{{ l.f(2) if l }}",
        "{{ tick() }}",
        "{# include 'a' #}",
        "{% raw %}{% include 'a' %}{% endraw %}",
    ];
    let leaf = prop_oneof![
        2 => proptest::sample::select(texts).prop_map(str::to_owned),
        3 => (proptest::sample::select(statements), control(), control(), any::<bool>()).prop_map(|(statement, open, close, line)| {
            if line { format!("\n  ## {}\n", statement.replace('\n', " ")) } else { format!("{{%{open} {statement} {close}%}}") }
        }),
    ];
    leaf.prop_recursive(3, 24, 5, move |inner| {
        let inner = proptest::collection::vec(inner, 0..5);
        let controls = [control(), control(), control(), control()];
        (proptest::sample::select(around.clone()), controls, any::<[bool; 2]>(), inner).prop_map(
            |((open, close, after), c, line, inner)| {
                let tag = |text: &str, line: bool, open: &str, close: &str| {
                    if line { format!("\n ## {text}\n") } else { format!("{{%{open} {text} {close}%}}") }
                };
                tag(open, line[0], c[0], c[1]) + &inner.concat() + &tag(close, line[1], c[2], c[3]) + after
            },
        )
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_template_shows_the_same(
        snippets in proptest::collection::vec(snippet(), 0..6),
        flags in proptest::sample::select(vec!["line_statement=##", "line_statement=## trim_blocks", "line_statement=## lstrip_blocks", "line_statement=## trim_blocks lstrip_blocks keep_trailing_newline"]),
    ) {
        let page = snippets.concat();
        prop_assert_eq!(shown(true, &page, "p.html", flags), shown(false, &page, "p.html", flags), "{:?}", page);
    }
}

fn cases() -> u32 {
    std::env::var("CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(256)
}
