//! Receives notifications of invalidations, on a connection of its own.
//!
//! It subscribes, and detects a server that hangs or is gone. A notification only says that there are new floors.

use std::time::{Duration, Instant};

use redis::Value;

use super::connection::{self, RedisConnection};
use super::pool::SessionPool;
use super::topology::CONNECT;
use crate::store::{FailureKind, StoreFailure};

/// How often to check whether to stop.
const TURN: Duration = Duration::from_millis(250);
/// The interval of pings, and the time without any message after which the server counts as unreachable.
const PING: Duration = Duration::from_secs(1);
const SILENCE: Duration = Duration::from_secs(3);

/// Returns when the pool renews its sessions, because the notifications may come from another server then.
pub(super) fn listen(
    pool: &SessionPool,
    channel: &str,
    on_change: &dyn Fn(),
    stopped: &dyn Fn() -> bool,
) -> Result<(), StoreFailure> {
    let (generation, deadline) = (pool.generation(), Instant::now() + CONNECT);
    let session = pool.connect(deadline)?;
    let mut connection =
        session.into_connection().ok_or_else(|| StoreFailure::new(FailureKind::Unreachable, "no node is connected"))?;
    let mut subscribe = redis::cmd("SUBSCRIBE");
    subscribe.arg(channel);
    connection.send([&subscribe], deadline)?;
    let (mut received, mut pinged) = (Instant::now(), Instant::now());
    while !stopped() && pool.generation() == generation {
        if let Some(reply) = next_message(&mut connection)? {
            received = Instant::now();
            match message_kind(&reply)? {
                // Also after subscribing: earlier notifications were not received.
                b"subscribe" | b"message" => on_change(),
                _ => {}
            }
        }
        if received.elapsed() > SILENCE {
            return Err(StoreFailure::new(FailureKind::Unreachable, "the server has fallen silent"));
        }
        if pinged.elapsed() > PING {
            connection.send([&redis::cmd("PING")], Instant::now() + TURN)?;
            pinged = Instant::now();
        }
    }
    Ok(())
}

/// A message that arrives within one turn. A partial message is completed in a later turn.
fn next_message(connection: &mut RedisConnection) -> Result<Option<Value>, StoreFailure> {
    match connection.poll(Instant::now() + TURN) {
        Ok(reply) => Ok(Some(reply)),
        Err(failure) if failure.kind == FailureKind::Timeout => Ok(None),
        Err(failure) => Err(failure),
    }
}

fn message_kind(reply: &Value) -> Result<&[u8], StoreFailure> {
    match reply {
        Value::ServerError(error) => Err(connection::refused(error)),
        Value::Array(parts) => match parts.first() {
            Some(Value::BulkString(kind)) => Ok(kind),
            _ => Ok(b""),
        },
        _ => Err(StoreFailure::new(FailureKind::InvalidReply, "the reply to a subscription is malformed")),
    }
}
