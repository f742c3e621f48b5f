//! A time of day that a test sets, for the programs that are started with it.

use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

use super::install;

/// What is preloaded into them.
const SOURCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/servers/clock.c");

pub struct Clock {
    dir: TempDir,
}

impl Clock {
    /// One that shows this machine's time.
    pub fn new() -> Clock {
        install::ensure_programs(&["cc"]);
        let clock = Clock { dir: tempfile::tempdir().unwrap() };
        let status = Command::new("cc").args(["-shared", "-fPIC", SOURCE, "-o"]).arg(clock.library()).status().unwrap();
        assert!(status.success(), "{SOURCE}");
        clock.set(0);
        clock
    }

    /// Makes it show so many seconds more than this machine's.
    pub fn set(&self, ahead: i64) {
        let new = self.dir.path().join("new");
        std::fs::write(&new, ahead.to_string()).unwrap();
        std::fs::rename(new, self.file()).unwrap();
    }

    /// Gives it to a program that is to be started.
    pub fn give(&self, command: &mut Command) {
        command.env("LD_PRELOAD", self.library()).env("CLOCK_AHEAD", self.file());
    }

    fn file(&self) -> PathBuf {
        self.dir.path().join("ahead")
    }

    fn library(&self) -> PathBuf {
        self.dir.path().join("clock.so")
    }
}
