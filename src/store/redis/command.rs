//! A command for one server, with the key that decides which node of a cluster runs it.

use redis::Cmd;

pub(super) struct KeyedCommand {
    pub(super) key: Vec<u8>,
    pub(super) command: Cmd,
}

impl KeyedCommand {
    pub(super) fn new(key: &str, command: Cmd) -> KeyedCommand {
        KeyedCommand { key: key.as_bytes().to_vec(), command }
    }

    /// A command whose first argument is the key.
    pub(super) fn on_key(name: &str, key: String) -> KeyedCommand {
        let mut command = redis::cmd(name);
        command.arg(&key);
        KeyedCommand { key: key.into_bytes(), command }
    }
}
