//! Random templates print the same with cache tags as without them.

use minijinja::syntax::SyntaxConfig;
use proptest::prelude::*;

use super::support::{lower, render, render_plain, syntax};

/// A piece of a template; the syntax decides how it is spelled.
#[derive(Debug, Clone)]
enum Piece {
    Text(&'static str),
    Variable(&'static str, &'static str, &'static str),
    Comment(&'static str),
    LineComment,
    Raw(&'static str, &'static str),
    /// A statement that encloses others: opening and closing tag, white space controls, spelling.
    Around(&'static str, &'static str, [&'static str; 4], u8, Vec<Piece>),
    /// A cache tag: arguments, white space controls, spelling of both tags.
    Cached(&'static str, [&'static str; 4], [u8; 2], Vec<Piece>),
}

const FLAGS: [&str; 10] = [
    "",
    "trim_blocks",
    "lstrip_blocks",
    "trim_blocks lstrip_blocks",
    "line_statement=# line_comment=##",
    "trim_blocks lstrip_blocks line_statement=# line_comment=##",
    "lstrip_blocks line_statement=% keep_trailing_newline",
    "square trim_blocks line_statement=#",
    "erb lstrip_blocks",
    "latex trim_blocks keep_trailing_newline",
];

struct Spelling {
    syntax: SyntaxConfig,
    cached: bool,
    out: String,
}

impl Spelling {
    fn block(&mut self, text: &str, open: &str, close: &str, spelling: u8) {
        let (start, end) = self.syntax.block_delimiters();
        match (spelling % 3, self.syntax.line_statement_prefix()) {
            (2, Some(prefix)) => {
                // A line break outside of brackets would end the line statement.
                let text = if text.starts_with("cache [") { text.to_owned() } else { text.replace('\n', " ") };
                let line = format!("\n  {prefix} {text} {}", if spelling > 128 { "\r\n" } else { "\n" });
                self.out.push_str(&line);
            }
            (1, _) if self.cached && text.contains("cache") => {
                self.out.push_str(&format!("<%{open} {text} {close}%>"));
            }
            _ => {
                let tag = format!("{start}{open} {text} {close}{end}");
                self.out.push_str(&tag);
            }
        }
    }

    fn pieces(&mut self, pieces: &[Piece]) {
        for piece in pieces {
            match piece {
                Piece::Text(text) => self.out.push_str(text),
                Piece::Variable(expr, open, close) => {
                    let (start, end) = self.syntax.variable_delimiters();
                    self.out.push_str(&format!("{start}{open} {expr} {close}{end}"));
                }
                Piece::Comment(control) => {
                    let (start, end) = self.syntax.comment_delimiters();
                    self.out.push_str(&format!("{start}{control} {{% if <% cache endcache {control}{end}"));
                }
                Piece::LineComment => {
                    if let Some(prefix) = self.syntax.line_comment_prefix() {
                        self.out.push_str(&format!(" {prefix} <% cache {{% endcache %}}\n"));
                    }
                }
                Piece::Raw(open, close) => {
                    let (start, end) = self.syntax.block_delimiters();
                    let raw = format!(
                        "{start} raw {open}{end} <% cache 'x' %>{{{{ {start} cache {end}\n  {start}{close} endraw {end}"
                    );
                    self.out.push_str(&raw);
                }
                Piece::Around(open, close, controls, spelling, inner) => {
                    self.block(open, controls[0], controls[1], *spelling);
                    self.pieces(inner);
                    self.block(close, controls[2], controls[3], *spelling);
                }
                Piece::Cached(arguments, controls, spellings, inner) => {
                    let (open, close) = match self.cached {
                        true => (format!("cache {arguments}"), "endcache"),
                        false => ("with".to_owned(), "endwith"),
                    };
                    self.block(&open, controls[0], controls[1], spellings[0]);
                    self.pieces(inner);
                    self.block(close, controls[2], controls[3], spellings[1]);
                }
            }
        }
    }
}

fn spell(pieces: &[Piece], flags: &str, cached: bool) -> String {
    let mut spelling = Spelling { syntax: syntax(flags), cached, out: String::new() };
    spelling.pieces(pieces);
    spelling.out
}

fn control() -> impl Strategy<Value = &'static str> {
    prop_oneof![3 => Just(""), 1 => Just("-"), 1 => Just("+")]
}

fn controls() -> impl Strategy<Value = [&'static str; 4]> {
    [control(), control(), control(), control()]
}

fn leaf() -> impl Strategy<Value = Piece> {
    let texts = vec![
        "a",
        "\n",
        "  ",
        "\n  ",
        "\n\n",
        " \n\t",
        "\r\n",
        "é ",
        "日本\n",
        "<a href=\"",
        "\">",
        "%}",
        "}}",
        "<",
        "x {",
        "\u{a0}\n",
        "# x",
        "\u{2028}",
        "% ",
    ];
    prop_oneof![
        6 => proptest::sample::select(texts).prop_map(Piece::Text),
        2 => (proptest::sample::select(vec!["user.name", "'%}{% endcache %}'", "{'a': {'b': 1}}.a.b", "xs[\n0]", "loop"]), control(), control())
            .prop_map(|(e, a, b)| Piece::Variable(e, a, b)),
        1 => control().prop_map(Piece::Comment),
        1 => Just(Piece::LineComment),
        1 => (control(), control()).prop_map(|(a, b)| Piece::Raw(a, b)),
    ]
}

fn pieces() -> impl Strategy<Value = Vec<Piece>> {
    let around = vec![
        ("if true", "endif"),
        ("for x in xs", "endfor"),
        ("with y = '%}'", "endwith"),
        ("filter upper", "endfilter"),
        ("set z", "endset"),
        ("if k\nis string", "endif"),
        ("macro m(a=1)", "endmacro"),
        ("autoescape true", "endautoescape"),
    ];
    let arguments = vec![
        "'k'",
        "k 60",
        "'a' ~ user.id ~\n k '5m'",
        "'k'\n  tags=['a',\n 'b']",
        "['x',\nuser.id], (60)",
        "'%>' if=true\nunless=k",
        "user.name ~ '%}' vary=[k\n~ 'x'] version=1\n",
        "'a\nb' ttl=none name='n'",
        "(k\n~ 'x') ~ (k ~\n 'y')\n ttl=(60\n)",
        "\"q\" stale='1m'",
    ];
    proptest::collection::vec(leaf(), 0..6).prop_recursive(4, 40, 6, move |inner| {
        let piece = prop_oneof![
            3 => leaf(),
            2 => (proptest::sample::select(around.clone()), controls(), any::<u8>(), inner.clone())
                .prop_map(|((o, c), w, s, i)| Piece::Around(o, c, w, s, i)),
            3 => (proptest::sample::select(arguments.clone()), controls(), any::<[u8; 2]>(), inner)
                .prop_map(|(a, w, s, i)| Piece::Cached(a, w, s, i)),
        ];
        proptest::collection::vec(piece, 0..6)
    })
}

fn newlines(text: &str) -> usize {
    text.matches('\n').count()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn cache_tags_change_nothing_on_a_miss(pieces in pieces(), flags in proptest::sample::select(FLAGS.to_vec())) {
        let syntax = syntax(flags);
        let plain = spell(&pieces, flags, false);
        let source = spell(&pieces, flags, true);
        let Ok(expected) = render_plain(&plain, &syntax) else {
            // MiniJinja rejects the text. Lowering must not panic.
            let _ = lower(&source, &syntax);
            return Ok(());
        };
        let lowered = match lower(&source, &syntax) {
            Ok(lowered) => lowered,
            Err(error) => {
                let detail = error.detail().unwrap_or("").to_owned();
                prop_assert!(detail.contains("would read as another tag"), "{detail}\n{source}");
                return Ok(());
            }
        };
        prop_assert_eq!(newlines(&source), newlines(&lowered), "lines of {:?}\n{:?}", source, lowered);
        match render(&source, &syntax, true) {
            Ok(actual) => prop_assert_eq!(actual, expected, "{:?} became\n{:?}", source, lowered),
            Err(error) => prop_assert!(false, "{error:#}\n{source:?} became\n{lowered:?}"),
        }
    }

    #[test]
    fn arbitrary_text_never_panics(source in "(\\PC|[\r\n]|\\{%|%\\}|\\{\\{|\\}\\}|<%|%>|\\{#|#\\}| cache | endcache | 'k' | raw | endraw |[-+'\"()\\[\\]~|.,=#é\\\\]| if | endif | extends | import ){0,40}", flags in proptest::sample::select(FLAGS.to_vec())) {
        let syntax = syntax(flags);
        if let Ok(rewritten) = crate::compile::rewrite(&source, "p", &syntax)
            && let Some(text) = rewritten.text {
                prop_assert_eq!(newlines(&source), newlines(&text));
            }
    }

    #[test]
    fn a_template_without_cache_tags_is_unchanged(source in "(a|\n|\\{% if x %\\}|\\{% endif %\\}|\\{\\{ x \\}\\}|<% x %>|\\{# cache #\\}|'|é|%\\}){0,30}") {
        prop_assert!(crate::compile::rewrite(&source, "p", &syntax("")).is_ok_and(|r| r.text.is_none()));
    }
}

fn cases() -> u32 {
    std::env::var("CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(512)
}
