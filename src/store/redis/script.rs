//! The scripts that run in the server, and how they are called.

use std::sync::LazyLock;

use redis::{Cmd, Script};

pub(super) static SYNC: LazyLock<Code> = LazyLock::new(|| Code::new(include_str!("sync.lua")));
pub(super) static LEASE: LazyLock<Code> = LazyLock::new(|| Code::new(include_str!("lease.lua")));
pub(super) static RELEASE: LazyLock<Code> = LazyLock::new(|| Code::new(include_str!("release.lua")));

pub(super) struct Code {
    text: &'static str,
    script: Script,
}

impl Code {
    fn new(text: &'static str) -> Code {
        Code { text, script: Script::new(text) }
    }

    /// Calls the script by its digest: the server has it, except after a restart.
    pub(super) fn known(&self, keys: &[&str]) -> Cmd {
        call("EVALSHA", self.script.get_hash(), keys)
    }

    /// Calls the script with its text, which the server keeps.
    pub(super) fn unknown(&self, keys: &[&str]) -> Cmd {
        call("EVAL", self.text, keys)
    }
}

fn call(command: &str, script: &str, keys: &[&str]) -> Cmd {
    let mut call = redis::cmd(command);
    call.arg(script).arg(keys.len()).arg(keys);
    call
}
