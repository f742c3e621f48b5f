//! Finds the master through sentinels, and checks before each sync whether it was replaced.
//!
//! A replaced master may not know it yet, and continues to reply:
//!
//! 1. The sentinels promote M2. M1 still reports the role of a master.
//! 2. Node A connects to M2 and publishes an invalidation there.
//! 3. Node B syncs with M1 and receives nothing. B trusts its entries for another staleness bound, again and again.
//!
//! Therefore B queries the sentinels before each sync. Then A's invalidation takes effect in B within the bound.

use std::time::{Duration, Instant};

use redis::{ConnectionInfo, Value};

use super::connection::{self, RedisConnection};
use super::target::{self, HostPort};
use super::tls::TlsConfig;
use crate::store::deadline::share;
use crate::store::{FailureKind, StoreFailure};
use crate::util::sync::{Mutex, lock};

/// A sentinel that did not reply is not queried again for this time, if another one replies.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct Sentinels {
    pub(super) infos: Vec<ConnectionInfo>,
    pub(super) name: String,
    states: Mutex<Vec<SentinelState>>,
    master: Mutex<Option<HostPort>>,
}

/// The connection to one sentinel, and its last failure.
#[derive(Default)]
struct SentinelState {
    connection: Option<RedisConnection>,
    failed: Option<Instant>,
}

impl Sentinels {
    pub(super) fn new(infos: Vec<ConnectionInfo>, name: &str) -> Sentinels {
        let states = infos.iter().map(|_| SentinelState::default()).collect();
        Sentinels { infos, name: name.to_owned(), states: Mutex::new(states), master: Mutex::default() }
    }

    /// Connects to the last known master. A sentinel may be outdated, so the server must report the role of a master
    /// (the guidelines for Sentinel clients, steps 2 and 3).
    pub(super) fn connect(&self, tls: &TlsConfig, deadline: Instant) -> Result<RedisConnection, StoreFailure> {
        let known = lock(&self.master).clone();
        let (host, port) = match known {
            Some(node) => node,
            None => self.newest(tls, share(deadline, 2))?,
        };
        let login = self.infos.first().ok_or_else(none_configured)?;
        connect_master(&target::at_address(login, host, port), tls, deadline)
    }

    /// Queries the sentinels. Returns whether another server is the master than before.
    pub(super) fn has_moved(&self, tls: &TlsConfig, deadline: Instant) -> Result<bool, StoreFailure> {
        let newest = self.newest(tls, deadline)?;
        let before = lock(&self.master).replace(newest.clone());
        Ok(before.is_some_and(|before| before != newest))
    }

    /// The newest decision among the replies of the sentinels, which learn of a failover one after the other.
    fn newest(&self, tls: &TlsConfig, deadline: Instant) -> Result<HostPort, StoreFailure> {
        let mut states = lock(&self.states);
        let (paused, active): (Vec<_>, Vec<_>) =
            states.iter_mut().zip(&self.infos).partition(|(state, _)| state.is_paused());
        let (mut newest, mut failure) = (None, none_configured());
        for group in [active, paused] {
            let count = group.len();
            for (index, (state, info)) in group.into_iter().enumerate() {
                match state.query(info, &self.name, tls, share(deadline, count - index)) {
                    Ok(answer) if newest.as_ref().is_none_or(|(epoch, _)| answer.0 > *epoch) => newest = Some(answer),
                    Ok(_) => {}
                    Err(failed) => failure = failed,
                }
            }
            if newest.is_some() {
                break;
            }
        }
        newest.map(|(_, node)| node).ok_or(failure)
    }
}

impl SentinelState {
    fn is_paused(&self) -> bool {
        self.failed.is_some_and(|failed| failed.elapsed() < RETRY_PAUSE)
    }

    /// The master, and the number of the decision that promoted it.
    fn query(
        &mut self,
        info: &ConnectionInfo,
        name: &str,
        tls: &TlsConfig,
        deadline: Instant,
    ) -> Result<(u64, HostPort), StoreFailure> {
        let mut kept = self.connection.take();
        kept.take_if(|connection| !connection.is_usable(true));
        let answer = query(kept, info, name, tls, deadline);
        self.failed = answer.is_err().then(Instant::now);
        let (connection, answer) = answer?;
        self.connection = Some(connection);
        Ok(answer)
    }
}

impl std::fmt::Debug for SentinelState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SentinelState").field("failed", &self.failed).finish_non_exhaustive()
    }
}

fn none_configured() -> StoreFailure {
    StoreFailure::new(FailureKind::Unreachable, "no sentinel is configured")
}

/// Connects without a password, as most sentinels have none. If the sentinel requires one, uses that of its URL.
fn query(
    kept: Option<RedisConnection>,
    info: &ConnectionInfo,
    name: &str,
    tls: &TlsConfig,
    deadline: Instant,
) -> Result<(RedisConnection, (u64, HostPort)), StoreFailure> {
    let queries = ["MASTER", "GET-MASTER-ADDR-BY-NAME"].map(|what| {
        let mut command = redis::cmd("SENTINEL");
        command.arg(what).arg(name);
        command
    });
    let mut connection = match kept {
        Some(connection) => connection,
        None => {
            let open = info.clone().set_redis_settings(redis::RedisConnectionInfo::default());
            RedisConnection::connect(&open, tls, deadline)?
        }
    };
    let mut replies = connection.run(&queries, deadline)?;
    if matches!(replies.last(), Some(Value::ServerError(error)) if error.code() == "NOAUTH") {
        let login = info.redis_settings().clone().set_db(0);
        connection = RedisConnection::connect(&info.clone().set_redis_settings(login), tls, deadline)?;
        replies = connection.run(&queries, deadline)?;
    }
    let address = replies.pop();
    let decision = replies.pop().and_then(|properties| decision(&properties)).unwrap_or_default();
    Ok((connection, (decision, read_address(address, name)?)))
}

/// The `config-epoch` in a list of names and values. It is requested before the address, so the address is not older.
fn decision(properties: &Value) -> Option<u64> {
    let Value::Array(properties) = properties else { return None };
    let mut pairs = properties.chunks(2);
    pairs.find_map(|pair| match pair {
        [Value::BulkString(name), Value::BulkString(value)] if name == b"config-epoch" => {
            std::str::from_utf8(value).ok()?.parse().ok()
        }
        _ => None,
    })
}

fn read_address(reply: Option<Value>, name: &str) -> Result<HostPort, StoreFailure> {
    match reply {
        Some(Value::Array(address)) => match &address[..] {
            [Value::BulkString(host), Value::BulkString(port)] => {
                let port = std::str::from_utf8(port).ok().and_then(|port| port.parse().ok());
                String::from_utf8(host.clone()).ok().zip(port)
            }
            _ => None,
        }
        .ok_or_else(|| StoreFailure::new(FailureKind::InvalidReply, "the sentinel's reply is malformed")),
        Some(Value::Nil) => {
            Err(StoreFailure::new(FailureKind::Refused, format!("the sentinel knows no master named `{name}`")))
        }
        Some(Value::ServerError(error)) => Err(connection::refused(&error)),
        _ => Err(StoreFailure::new(FailureKind::InvalidReply, "the sentinel's reply is malformed")),
    }
}

fn connect_master(info: &ConnectionInfo, tls: &TlsConfig, deadline: Instant) -> Result<RedisConnection, StoreFailure> {
    let mut connection = RedisConnection::connect(info, tls, deadline)?;
    let reply = connection.run([&redis::cmd("ROLE")], deadline)?.pop();
    match reply {
        Some(Value::Array(role)) if matches!(role.first(), Some(Value::BulkString(name)) if name == b"master") => {
            Ok(connection)
        }
        Some(Value::ServerError(error)) => Err(connection::refused(&error)),
        _ => Err(StoreFailure::new(FailureKind::Unreachable, format!("{} is not the master any more", info.addr()))),
    }
}
