//! The program itself: what it prints where, and its exit status.

use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

fn load(words: &str) -> Output {
    command(words).output().expect("cargo test builds the examples")
}

fn command(words: &str) -> Command {
    let here = std::env::current_exe().unwrap();
    let program: PathBuf = here.parent().unwrap().parent().unwrap().join("examples").join("load");
    let mut command = Command::new(program);
    command.args(words.split_whitespace());
    command
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
    let first =
        "pages: error at /nowhere for somebody who is not signed in: status 404: Not in the catalogue There is no page";
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

#[test]
fn an_interrupted_run_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let files = || std::fs::read_dir(folder.path()).unwrap().count();
    let mut command = command("--seconds 3600 --connections 2");
    command.env("TMPDIR", folder.path()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().expect("cargo test builds the examples");
    let begun = Instant::now();
    while files() == 0 {
        assert!(begun.elapsed() < Duration::from_secs(60), "it never began");
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), text(&output.stderr)), (Some(1), "load: interrupted\n"));
    assert!(output.stdout.is_empty() && files() == 0);
}
