//! The Lua scripts that run in the server, and the format of their replies.

use std::sync::LazyLock;

use redis::{Cmd, Script, Value};

use crate::store::FloorUpdate;

pub(super) static SYNC: LazyLock<ServerScript> = LazyLock::new(|| ServerScript::new(include_str!("sync.lua")));
pub(super) static LEASE: LazyLock<ServerScript> = LazyLock::new(|| ServerScript::new(include_str!("lease.lua")));
pub(super) static RELEASE: LazyLock<ServerScript> = LazyLock::new(|| ServerScript::new(include_str!("release.lua")));

pub(super) struct ServerScript {
    text: &'static str,
    script: Script,
}

impl ServerScript {
    fn new(text: &'static str) -> ServerScript {
        ServerScript { text, script: Script::new(text) }
    }

    /// A call by digest. The server has the script, except after a restart.
    pub(super) fn by_digest(&self, keys: &[&str]) -> Cmd {
        call("EVALSHA", self.script.get_hash(), keys)
    }

    /// A call with the text, which the server then keeps.
    pub(super) fn with_text(&self, keys: &[&str]) -> Cmd {
        call("EVAL", self.text, keys)
    }
}

fn call(command: &str, script: &str, keys: &[&str]) -> Cmd {
    let mut call = redis::cmd(command);
    call.arg(script).arg(keys.len()).arg(keys);
    call
}

/// Reads the reply of `sync.lua`: epoch, the number of this page and the newest, base, microseconds, and hashes, each
/// followed by its number.
pub(super) fn read_update(reply: Value, next: u128) -> Option<FloorUpdate> {
    let Value::Array(parts) = reply else { return None };
    let [epoch, seq, newest, base, micros, Value::Array(floors)] = &parts[..] else { return None };
    let floors = floors.chunks(2).map(|pair| match pair {
        [Value::BulkString(hash), seq] => Some((u64::from_be_bytes(hash[..].try_into().ok()?), number(seq)?)),
        _ => None,
    });
    let epoch = u128::from_str_radix(text(epoch)?, 16).ok().filter(|&epoch| epoch != 0)?;
    let seq = number(seq)?;
    Some(FloorUpdate {
        epoch,
        begun: epoch == next,
        seq,
        more: seq < number(newest)?,
        base: number(base)?,
        floors: floors.collect::<Option<_>>()?,
        now: number(micros)?.checked_mul(1000)?,
    })
}

fn number(value: &Value) -> Option<u64> {
    text(value)?.parse().ok()
}

fn text(value: &Value) -> Option<&str> {
    match value {
        Value::BulkString(bytes) => std::str::from_utf8(bytes).ok(),
        _ => None,
    }
}
