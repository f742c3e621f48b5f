//! The program itself: what it prints where, and its exit status.

use std::path::PathBuf;
use std::process::{Command, Output};

use serde_json::Value;

fn load(words: &str) -> Output {
    let here = std::env::current_exe().unwrap();
    let program: PathBuf = here.parent().unwrap().parent().unwrap().join("examples").join("load");
    Command::new(program).args(words.split_whitespace()).output().expect("cargo test builds the examples")
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[test]
fn figures_go_to_standard_output_and_nothing_else_does() {
    let folder = tempfile::tempdir().unwrap();
    let html = folder.path().join("load.html");
    let quick = "--only pages --seconds 0.2 --warm-up 0 --connections 2 --visitors 4";
    let output = load(&format!("{quick} --json - --html {}", html.display()));
    assert!(output.status.success(), "{}", text(&output.stderr));
    let figures: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(figures["runs"][0]["scenario"], "pages");
    assert!(figures["runs"][0]["requests"].as_u64().unwrap() > 0);
    let table = text(&output.stderr);
    assert!(table.contains("requests/s") && !table.contains('\u{1b}'), "no progress where nobody looks: {table:?}");
    assert!(std::fs::read_to_string(html).unwrap().contains("answers were right"));

    let output = load(quick);
    assert!(output.status.success() && output.stderr.is_empty(), "{}", text(&output.stderr));
    assert!(text(&output.stdout).contains("requests/s"));
}

#[test]
fn wrong_answers_make_the_exit_status_1_and_are_described() {
    let output = load("--only pages --seconds 0.1 --warm-up 0 --connections 1 --signed-in 0 --page /nowhere");
    assert_eq!(output.status.code(), Some(1));
    let told = text(&output.stderr);
    let first = "pages: error at /nowhere for somebody who is not signed in: status 404: <main class=\"wrap\">";
    assert!(told.starts_with(first), "{told}");
    assert!(text(&output.stdout).contains("errors"));
}

#[test]
fn the_help_is_printed_and_nonsense_is_answered_with_it() {
    let output = load("--help");
    assert!(output.status.success() && text(&output.stdout).starts_with("usage: load "));
    let output = load("--fast");
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).starts_with("load: unknown argument \"--fast\"\n\nusage: load "));
    let output = load("--only pages --seconds 0.1 --warm-up 0 --html /nowhere/load.html");
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("load: cannot write /nowhere/load.html: "));
}
