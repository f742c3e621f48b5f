//! Load on the film catalogue: without caches and with them, closed loop or open loop, every page checked.
//!
//! `cargo run --release --features axum,http --example load`; `--help` lists the options, `README.md` has the method.

// As it is, with what its own command line needs of it.
#[allow(dead_code)]
#[path = "../catalogue/app/mod.rs"]
mod app;
mod generator;

use std::path::Path;
use std::process::ExitCode;

use generator::interrupt::Interrupt;
use generator::options::{Options, USAGE};
use generator::progress::Progress;
use generator::report;
use generator::run::Tools;
use generator::scenario::Site;

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(message) => {
            eprintln!("load: {message}");
            ExitCode::FAILURE
        }
    }
}

/// Whether no answer was wrong.
fn run() -> Result<bool, String> {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    if arguments.iter().any(|argument| argument == "--help" || argument == "-h") {
        println!("{USAGE}");
        return Ok(true);
    }
    let options = Options::read(arguments)?;
    let (progress, interrupt) = (Progress::shown(), Interrupt::listen()?);
    let tools = Tools { options: &options, progress: &progress, interrupt: &interrupt };
    let report = generator::compare(tools, Site::open)?;
    let table = report::table(&report);
    match options.json.as_deref() {
        Some(path) if path == Path::new("-") => {
            eprint!("{table}");
            println!("{}", report::json(&report)?);
        }
        path => {
            print!("{table}");
            path.map_or(Ok(()), |path| write(path, &report::json(&report)?))?;
        }
    }
    if let Some(path) = &options.html {
        write(path, &report::html(&report)?)?;
    }
    eprint!("{}", report::faults(&report));
    Ok(report.is_clean())
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    std::fs::write(path, text).map_err(|error| format!("cannot write {}: {error}", path.display()))
}
