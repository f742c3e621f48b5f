//! Sessions kept for the next call, and made on threads of the pool, so that connecting does not stall a page.
//!
//! Owns which session is used, and using another one when it turns out to be dead. The pool is made with the first
//! call.

use std::convert::Infallible;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use r2d2::{ManageConnection, NopErrorHandler, PooledConnection};
use redis::Value;

use super::Command;
use super::link;
use super::tls::Trust;
use super::topology::{CONNECT, Session, Topology};
use crate::store::{Failure, FailureKind};

#[derive(Debug, Clone)]
pub(super) struct Settings {
    pub(super) topology: Topology,
    pub(super) trust: Trust,
    pub(super) size: u32,
}

#[derive(Debug)]
pub(super) struct Pool {
    pub(super) settings: Settings,
    pool: OnceLock<r2d2::Pool<Dialer>>,
    /// Counted up when a server turns out not to be the master: sessions from before are not used any longer.
    era: Arc<AtomicU64>,
}

#[derive(Debug)]
pub(super) struct Dialer {
    settings: Settings,
    era: Arc<AtomicU64>,
}

/// To r2d2, connecting never fails: it would try again for as long as it lives, and let those who wait wait on without
/// a word. A failure is handed to one who waits, and it is for the next call to try again.
pub(super) struct Dialed {
    outcome: Result<Session, Failure>,
    at: Instant,
    era: u64,
    spent: bool,
}

impl Pool {
    pub(super) fn new(settings: Settings) -> Pool {
        Pool { settings, pool: OnceLock::new(), era: Arc::default() }
    }

    /// Runs the commands on a session. One that turns out to have been closed while it was idle (the server was
    /// restarted) is replaced once: all commands may be run twice.
    pub(super) fn run(&self, commands: &[Command], deadline: Instant) -> Result<Vec<Value>, Failure> {
        let mut dialed = self.checkout(false, deadline)?;
        let proven = dialed.outcome.as_ref().is_ok_and(Session::is_proven);
        let mut result = dialed.run(commands, deadline);
        if proven && matches!(&result, Err(failure) if failure.kind == FailureKind::Unreachable) {
            drop(dialed);
            result = self.checkout(true, deadline)?.run(commands, deadline);
        }
        if matches!(&result, Ok(replies) if replies.iter().any(is_read_only)) {
            self.era.fetch_add(1, Ordering::Relaxed);
        }
        result
    }

    /// A session that is not known to be dead. If none is idle, one is made meanwhile; if that fails, it says why.
    fn checkout(&self, doubted: bool, deadline: Instant) -> Result<PooledConnection<Dialer>, Failure> {
        let began = Instant::now();
        let mut now = began;
        let pool = self.pool.get_or_init(|| self.build());
        loop {
            let left = deadline.saturating_duration_since(now);
            if left.is_zero() {
                return Err(link::timeout());
            }
            let mut dialed = pool
                .get_timeout(left)
                .map_err(|_| Failure::new(FailureKind::Timeout, "no connection within the time allowed"))?;
            let Dialed { outcome, at, era, spent } = &mut *dialed;
            match outcome {
                Ok(session) => *spent = *era != self.era.load(Ordering::Relaxed) || !session.is_fit(doubted),
                Err(_) => *spent = true,
            }
            match outcome {
                Ok(_) if !*spent => return Ok(dialed),
                // One from before this call is old news.
                Err(failure) if *at >= began => return Err(failure.clone()),
                _ => now = Instant::now(),
            }
        }
    }

    fn build(&self) -> r2d2::Pool<Dialer> {
        r2d2::Pool::builder()
            .max_size(self.settings.size)
            // A spare one: whoever comes second does not wait, and r2d2 replaces what is dropped as broken while all
            // wait for it.
            .min_idle(Some(1))
            .test_on_check_out(false)
            .error_handler(Box::new(NopErrorHandler))
            .build_unchecked(Dialer { settings: self.settings.clone(), era: Arc::clone(&self.era) })
    }
}

impl Dialed {
    fn run(&mut self, commands: &[Command], deadline: Instant) -> Result<Vec<Value>, Failure> {
        match &mut self.outcome {
            Ok(session) => session.run(commands, deadline),
            Err(failure) => Err(failure.clone()),
        }
    }
}

impl ManageConnection for Dialer {
    type Connection = Dialed;
    type Error = Infallible;

    fn connect(&self) -> Result<Dialed, Infallible> {
        let era = self.era.load(Ordering::Relaxed);
        let outcome = self.settings.topology.connect(&self.settings.trust, Instant::now() + CONNECT);
        Ok(Dialed { outcome, at: Instant::now(), era, spent: false })
    }

    fn is_valid(&self, _: &mut Dialed) -> Result<(), Infallible> {
        Ok(())
    }

    fn has_broken(&self, dialed: &mut Dialed) -> bool {
        dialed.spent || dialed.outcome.as_ref().map_or(true, Session::is_broken)
    }
}

/// What was a master when it was connected to.
fn is_read_only(reply: &Value) -> bool {
    matches!(reply, Value::ServerError(error) if error.code() == "READONLY")
}
