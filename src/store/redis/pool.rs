//! Runs commands on pooled sessions, and retries once if a pooled session turns out to be closed.
//!
//! `store/pool.rs` keeps the sessions, `topology.rs` opens them. The pool is created with the first call.

use std::sync::{Arc, OnceLock};
use std::time::Instant;

use redis::Value;

use super::command::KeyedCommand;
use super::tls::TlsConfig;
use super::topology::{CONNECT, RedisSession, Topology};
use crate::store::pool::{self, PoolGuard};
use crate::store::{FailureKind, StoreFailure};

#[derive(Debug, Clone)]
pub(super) struct RedisSettings {
    pub(super) topology: Topology,
    pub(super) tls: TlsConfig,
    pub(super) size: usize,
}

#[derive(Debug)]
pub(super) struct SessionPool {
    pub(super) settings: Arc<RedisSettings>,
    sessions: OnceLock<pool::Pool<RedisSession>>,
}

impl SessionPool {
    pub(super) fn new(settings: RedisSettings) -> SessionPool {
        SessionPool { settings: Arc::new(settings), sessions: OnceLock::new() }
    }

    /// Runs the commands on a session. If a pooled session was closed while idle (for example because the server was
    /// restarted), retries once on another session; all commands may run twice.
    pub(super) fn run(&self, commands: &[KeyedCommand], deadline: Instant) -> Result<Vec<Value>, StoreFailure> {
        let mut guard = self.check_out(false, deadline)?;
        let reused = guard.is_reused();
        let mut result = run(guard, commands, deadline);
        if reused && matches!(&result, Err(failure) if failure.kind == FailureKind::Unreachable) {
            guard = self.check_out(true, deadline)?;
            result = run(guard, commands, deadline);
        }
        if matches!(&result, Ok(replies) if replies.iter().any(is_read_only)) {
            self.renew();
        }
        result
    }

    /// Renews the sessions if another server became the master.
    pub(super) fn follow_master(&self, deadline: Instant) {
        if self.settings.topology.has_moved(&self.settings.tls, deadline) {
            self.renew();
        }
    }

    /// Opens a session outside of the pool.
    pub(super) fn connect(&self, deadline: Instant) -> Result<RedisSession, StoreFailure> {
        self.settings.topology.connect(&self.settings.tls, deadline)
    }

    /// Closes all sessions; later calls open new ones.
    pub(super) fn renew(&self) {
        self.sessions().renew();
    }

    /// Changes with each renewal.
    pub(super) fn generation(&self) -> u64 {
        self.sessions().generation()
    }

    /// A session that is not known to be closed. If `doubted`, each one is checked.
    fn check_out(&self, doubted: bool, deadline: Instant) -> Result<PoolGuard<'_, RedisSession>, StoreFailure> {
        loop {
            let mut guard = self.sessions().check_out(deadline)?;
            if guard.connection().is_usable(doubted) {
                return Ok(guard);
            }
        }
    }

    fn sessions(&self) -> &pool::Pool<RedisSession> {
        self.sessions.get_or_init(|| {
            let settings = Arc::clone(&self.settings);
            let connect = move || settings.topology.connect(&settings.tls, Instant::now() + CONNECT);
            pool::Pool::new(self.settings.size, connect)
        })
    }
}

fn run(
    mut guard: PoolGuard<'_, RedisSession>,
    commands: &[KeyedCommand],
    deadline: Instant,
) -> Result<Vec<Value>, StoreFailure> {
    let result = guard.connection().run(commands, deadline);
    if !guard.connection().is_broken() {
        guard.give_back();
    }
    result
}

/// Whether the server was the master when it was connected to, and is a replica now.
fn is_read_only(reply: &Value) -> bool {
    matches!(reply, Value::ServerError(error) if error.code() == "READONLY")
}
