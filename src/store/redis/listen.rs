//! Hearing of invalidations as they happen, on a connection of its own.
//!
//! Owns the subscription and noticing that the other end is gone. What is heard is only that something changed.

use std::time::{Duration, Instant};

use redis::Value;

use super::link::{self, Link};
use super::pool::Pool;
use super::topology::CONNECT;
use crate::store::{FailureKind, StoreFailure};

/// How often it is asked whether to stop.
const TURN: Duration = Duration::from_millis(250);
/// How often the server has to show that it is there, and after how long without a word it is not.
const PING: Duration = Duration::from_secs(1);
const SILENCE: Duration = Duration::from_secs(3);

/// Until the pool's sessions are made anew, since another server may be the one to listen to.
pub(super) fn listen(
    pool: &Pool,
    channel: &str,
    changed: &dyn Fn(),
    stopped: &dyn Fn() -> bool,
) -> Result<(), StoreFailure> {
    let (era, deadline) = (pool.era(), Instant::now() + CONNECT);
    let session = pool.connect(deadline)?;
    let mut link =
        session.into_link().ok_or_else(|| StoreFailure::new(FailureKind::Unreachable, "no node is connected"))?;
    let mut subscribe = redis::cmd("SUBSCRIBE");
    subscribe.arg(channel);
    link.send([&subscribe], deadline)?;
    let (mut heard, mut pinged) = (Instant::now(), Instant::now());
    while !stopped() && pool.era() == era {
        if let Some(reply) = next(&mut link)? {
            heard = Instant::now();
            match kind(&reply)? {
                // What happened before the subscription was not heard.
                b"subscribe" | b"message" => changed(),
                _ => {}
            }
        }
        if heard.elapsed() > SILENCE {
            return Err(StoreFailure::new(FailureKind::Unreachable, "the server has fallen silent"));
        }
        if pinged.elapsed() > PING {
            link.send([&redis::cmd("PING")], Instant::now() + TURN)?;
            pinged = Instant::now();
        }
    }
    Ok(())
}

/// What comes within one turn. What has come in part is completed in the next.
fn next(link: &mut Link) -> Result<Option<Value>, StoreFailure> {
    match link.poll(Instant::now() + TURN) {
        Ok(reply) => Ok(Some(reply)),
        Err(failure) if failure.kind == FailureKind::Timeout => Ok(None),
        Err(failure) => Err(failure),
    }
}

fn kind(reply: &Value) -> Result<&[u8], StoreFailure> {
    match reply {
        Value::ServerError(error) => Err(link::refused(error)),
        Value::Array(parts) => match parts.first() {
            Some(Value::BulkString(kind)) => Ok(kind),
            _ => Ok(b""),
        },
        _ => Err(StoreFailure::new(FailureKind::InvalidReply, "the answer to a subscription makes no sense")),
    }
}
