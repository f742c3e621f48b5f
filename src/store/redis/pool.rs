//! Sessions kept for the next call.
//!
//! Owns which session is used, and using another one when it turns out to be dead; `store/pool.rs` keeps them. The
//! pool is made with the first call.

use std::sync::{Arc, OnceLock};
use std::time::Instant;

use redis::Value;

use super::Command;
use super::tls::Trust;
use super::topology::{CONNECT, Session, Topology};
use crate::store::pool::{self, Checkout};
use crate::store::{FailureKind, StoreFailure};

#[derive(Debug, Clone)]
pub(super) struct Settings {
    pub(super) topology: Topology,
    pub(super) trust: Trust,
    pub(super) size: usize,
}

#[derive(Debug)]
pub(super) struct Pool {
    pub(super) settings: Arc<Settings>,
    sessions: OnceLock<pool::Pool<Session>>,
}

impl Pool {
    pub(super) fn new(settings: Settings) -> Pool {
        Pool { settings: Arc::new(settings), sessions: OnceLock::new() }
    }

    /// Runs the commands on a session. One that turns out to have been closed while it was idle (the server was
    /// restarted) is replaced once: all commands may be run twice.
    pub(super) fn run(&self, commands: &[Command], deadline: Instant) -> Result<Vec<Value>, StoreFailure> {
        let mut checkout = self.check_out(false, deadline)?;
        let kept = checkout.is_kept();
        let mut result = run(checkout, commands, deadline);
        if kept && matches!(&result, Err(failure) if failure.kind == FailureKind::Unreachable) {
            checkout = self.check_out(true, deadline)?;
            result = run(checkout, commands, deadline);
        }
        if matches!(&result, Ok(replies) if replies.iter().any(is_read_only)) {
            self.renew();
        }
        result
    }

    /// Sees to it that sessions are with the server that is the master.
    pub(super) fn follow_master(&self, deadline: Instant) {
        if self.settings.topology.has_moved(&self.settings.trust, deadline) {
            self.renew();
        }
    }

    /// A session that is not one of the pool.
    pub(super) fn connect(&self, deadline: Instant) -> Result<Session, StoreFailure> {
        self.settings.topology.connect(&self.settings.trust, deadline)
    }

    /// Has all sessions made anew.
    pub(super) fn renew(&self) {
        self.sessions().renew();
    }

    /// Changes whenever sessions are made anew.
    pub(super) fn era(&self) -> u64 {
        self.sessions().era()
    }

    /// A session that is not known to be dead.
    fn check_out(&self, doubted: bool, deadline: Instant) -> Result<Checkout<'_, Session>, StoreFailure> {
        loop {
            let mut checkout = self.sessions().check_out(deadline)?;
            if checkout.connection().is_fit(doubted) {
                return Ok(checkout);
            }
        }
    }

    fn sessions(&self) -> &pool::Pool<Session> {
        self.sessions.get_or_init(|| {
            let settings = Arc::clone(&self.settings);
            let dial = move || settings.topology.connect(&settings.trust, Instant::now() + CONNECT);
            pool::Pool::new(self.settings.size, dial)
        })
    }
}

fn run(
    mut checkout: Checkout<'_, Session>,
    commands: &[Command],
    deadline: Instant,
) -> Result<Vec<Value>, StoreFailure> {
    let result = checkout.connection().run(commands, deadline);
    if !checkout.connection().is_broken() {
        checkout.give_back();
    }
    result
}

/// What was a master when it was connected to.
fn is_read_only(reply: &Value) -> bool {
    matches!(reply, Value::ServerError(error) if error.code() == "READONLY")
}
