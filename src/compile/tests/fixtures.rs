//! Compares each `tests/rewrites/*.html` with the snapshot next to it: the lowered text, or the error of an `err_…`
//! template. `tests/probes/*.html` are lowered with probes. `UPDATE=1` writes the snapshots.
//!
//! A first line `#! flags` sets the syntax and is not part of the template.

use std::fs;
use std::path::Path;

use minijinja::Error;
use minijinja::syntax::SyntaxConfig;

use super::support::{env, syntax};
use crate::compile::{LoweredTemplate, lower_measured, rewrite};

type Lower = fn(&str, &str, &SyntaxConfig) -> Result<LoweredTemplate, Error>;

#[test]
fn rewrites_match_their_snapshots() {
    compare("tests/rewrites", rewrite);
}

#[test]
fn measured_rewrites_match_their_snapshots() {
    compare("tests/probes", lower_measured);
}

fn compare(dir: &str, lower: Lower) {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join(dir);
    let mut failures = Vec::new();
    let mut paths: Vec<_> = fs::read_dir(&dir).unwrap().map(|e| e.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|e| e == "html"));
    paths.sort();
    assert!(!paths.is_empty());
    for path in paths {
        let file = path.file_name().unwrap().to_string_lossy().into_owned();
        let content = fs::read_to_string(&path).unwrap();
        let actual = outcome(&file, &content, lower);
        let is_error = actual.starts_with("error: ");
        if is_error != file.starts_with("err_") {
            failures.push(format!("{file}: {actual}"));
        }
        let snapshot = path.with_extension("snap");
        if std::env::var_os("UPDATE").is_some() {
            fs::write(&snapshot, &actual).unwrap();
        } else if fs::read_to_string(&snapshot).unwrap_or_default() != actual {
            failures.push(format!("{file} differs from its snapshot:\n{actual}"));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

fn outcome(file: &str, content: &str, lower: Lower) -> String {
    let (flags, source) = match content.strip_prefix("#!") {
        Some(rest) => rest.split_once('\n').unwrap(),
        None => ("", content),
    };
    let syntax = syntax(flags);
    match lower(source, file, &syntax) {
        Err(error) => format!("error: {}\n", error.detail().unwrap_or("")),
        Ok(rewritten) => {
            let text = rewritten.text.unwrap_or_else(|| "(unchanged)\n".to_owned());
            let mut env = env(&syntax, true);
            if text != "(unchanged)\n" {
                assert_eq!(text.matches('\n').count(), source.matches('\n').count(), "{file}: lines");
                env.add_template_owned(file.to_owned(), text.clone())
                    .unwrap_or_else(|e| panic!("{file}: {e:#}\n{text}"));
            }
            format!("{text}---- extends: {:?}\n", rewritten.layout.extends())
        }
    }
}
