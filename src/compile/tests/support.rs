//! An environment whose reserved filters and tests do nothing, so that lowered templates can be rendered.

use minijinja::syntax::{SyntaxConfig, SyntaxConfigBuilder};
use minijinja::value::{Kwargs, Rest, Value, ValueKind};
use minijinja::{Environment, Error, ErrorKind, context};

use crate::compile::names;
use crate::compile::with_start_mark;

pub(super) fn env(syntax: &SyntaxConfig, miss: bool) -> Environment<'static> {
    let mut env = Environment::new();
    env.set_syntax(syntax.clone());
    for name in [names::MISS, names::MISS_TAGGED, names::MISS_WITH, names::MISS_WITH_TAGGED] {
        env.add_test(name, move |_: &Value, _: Rest<Value>| miss);
    }
    env.add_filter(names::OPEN, |_: &Value, args: Rest<Value>, kwargs: Kwargs| {
        assert_eq!(args.len(), 4, "line, key, flags and parent");
        let _ = kwargs.args().filter(|name| kwargs.get::<Value>(name).is_ok()).count();
        Value::from(())
    });
    env.add_filter(names::STORE, |body: Value, _: Value| body);
    env.add_filter(names::HIT, |_: &Value| "");
    env.add_filter(names::NOTE_IMPORT, |name: Value| name);
    env.add_filter(names::NOTE_EXTENDS, |name: Value| name);
    env.add_filter(names::OPEN_AT_CALL, |_: &Value| 0);
    env.add_test(names::REJECT_CALLER, |_: &Value| false);
    env.add_test(names::REJECT_BLOCK, |_: &Value| false);
    env.add_filter(names::DEFINED, |value: Value, source: String, _: u32| {
        if value.kind() == ValueKind::Undefined {
            return Err(Error::new(ErrorKind::UndefinedError, format!("`{source}` is undefined")));
        }
        Ok(value)
    });
    env.add_test(names::RENDER_START, |_: &Value| false);
    env.add_test(names::WRONG_SYNTAX, |_: &Value| Err::<bool, _>(Error::new(ErrorKind::InvalidOperation, "syntax")));
    env.add_global("xs", Value::from(vec![1, 2, 3]));
    env.add_global("user", context! { id => 7, name => "Jörg" });
    env.add_global("k", "key");
    env
}

pub(super) fn syntax(flags: &str) -> SyntaxConfig {
    let mut builder: SyntaxConfigBuilder = SyntaxConfig::builder();
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
    builder.build().expect("valid delimiters")
}

pub(super) fn lower(source: &str, syntax: &SyntaxConfig) -> Result<String, Error> {
    let rewritten = crate::compile::rewrite(source, "page.html", syntax)?;
    Ok(rewritten.text.unwrap_or_else(|| source.to_owned()))
}

/// Renders a lowered template with its mark, as a loader serves it.
pub(super) fn render(source: &str, syntax: &SyntaxConfig, miss: bool) -> Result<String, Error> {
    let text = with_start_mark(&lower(source, syntax)?, syntax, &format!("none is {}", names::RENDER_START));
    let mut env = env(syntax, miss);
    env.add_template_owned("page.html", text)?;
    env.get_template("page.html")?.render(())
}

/// Renders a template without lowering it.
pub(super) fn render_plain(source: &str, syntax: &SyntaxConfig) -> Result<String, Error> {
    let mut env = env(syntax, true);
    env.add_template_owned("page.html", source.to_owned())?;
    env.get_template("page.html")?.render(())
}
