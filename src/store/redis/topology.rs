//! How a store's servers are arranged: one, one that sentinels name, or a cluster.
//!
//! Owns finding the server, and the session that comes of it; `pool.rs` keeps sessions.

use std::time::{Duration, Instant};

use redis::{ConnectionInfo, Value};

use super::Command;
use super::cluster::Cluster;
use super::link::{self, Link};
use super::target;
use super::tls::Trust;
use crate::store::{Failure, FailureKind};

/// How long connecting may take, sentinels and all; pages do not wait for that longer than their own deadline.
pub(super) const CONNECT: Duration = Duration::from_secs(1);

#[derive(Debug, Clone)]
pub(super) enum Topology {
    Single(ConnectionInfo),
    Sentinel { sentinels: Vec<ConnectionInfo>, master: String },
    Cluster(Vec<ConnectionInfo>),
}

/// What commands are run on.
pub(super) enum Session {
    Link(Link),
    Cluster(Cluster),
}

impl Topology {
    pub(super) fn connect(&self, trust: &Trust, deadline: Instant) -> Result<Session, Failure> {
        match self {
            Topology::Single(info) => Link::connect(info, trust, deadline).map(Session::Link),
            Topology::Sentinel { sentinels, master } => {
                ask_for_master(sentinels, master, trust, deadline).map(Session::Link)
            }
            Topology::Cluster(seeds) => Cluster::connect(seeds, trust, deadline).map(Session::Cluster),
        }
    }

    /// What it is and where, without login.
    pub(super) fn place(&self) -> String {
        let list =
            |infos: &[ConnectionInfo]| infos.iter().map(|info| info.addr().to_string()).collect::<Vec<_>>().join(",");
        match self {
            Topology::Single(info) => format!("redis {}/{}", info.addr(), self.db()),
            Topology::Sentinel { sentinels, master } => {
                format!("redis {master}/{} of sentinels {}", self.db(), list(sentinels))
            }
            Topology::Cluster(seeds) => format!("redis cluster {}/{}", list(seeds), self.db()),
        }
    }

    pub(super) fn db(&self) -> i64 {
        let first = match self {
            Topology::Single(info) => Some(info),
            Topology::Sentinel { sentinels: infos, .. } | Topology::Cluster(infos) => infos.first(),
        };
        first.map_or(0, |info| info.redis_settings().db())
    }
}

impl Session {
    /// One reply for each command; a refusal is a reply.
    pub(super) fn run(&mut self, commands: &[Command], deadline: Instant) -> Result<Vec<Value>, Failure> {
        match self {
            Session::Link(link) => link.run(commands.iter().map(|command| &command.command), deadline),
            Session::Cluster(cluster) => cluster.run(commands, deadline),
        }
    }

    pub(super) fn is_fit(&mut self, doubted: bool) -> bool {
        match self {
            Session::Link(link) => link.is_fit(doubted),
            Session::Cluster(cluster) => cluster.is_fit(doubted),
        }
    }

    pub(super) fn is_broken(&self) -> bool {
        match self {
            Session::Link(link) => !link.is_open(),
            Session::Cluster(cluster) => cluster.is_lost(),
        }
    }

    /// Whether it answered before, so that a failure may only mean that it was closed since.
    pub(super) fn is_proven(&self) -> bool {
        match self {
            Session::Link(link) => link.proven,
            Session::Cluster(_) => true,
        }
    }

    pub(super) fn into_link(self) -> Option<Link> {
        match self {
            Session::Link(link) => Some(link),
            Session::Cluster(cluster) => cluster.into_any_link(),
        }
    }
}

/// The share of the time left that one of several attempts may take.
pub(super) fn share(deadline: Instant, attempts: usize) -> Instant {
    let now = Instant::now();
    now + deadline.saturating_duration_since(now) / u32::try_from(attempts.max(1)).unwrap_or(u32::MAX)
}

/// Asks the sentinels, one after the other, and connects to the server they name. A sentinel may be behind: only a
/// server that calls itself master is taken (the guidelines for Sentinel clients, steps 2 and 3).
fn ask_for_master(
    sentinels: &[ConnectionInfo],
    master: &str,
    trust: &Trust,
    deadline: Instant,
) -> Result<Link, Failure> {
    let mut failure = Failure::new(FailureKind::Unreachable, "no sentinel is named");
    let Some(login) = sentinels.first() else { return Err(failure) };
    for (index, sentinel) in sentinels.iter().enumerate() {
        let deadline = share(deadline, sentinels.len() - index);
        let asked = ask(sentinel, master, trust, share(deadline, 2));
        match asked.and_then(|(host, port)| connect_master(target::moved(login, host, port), trust, deadline)) {
            Ok(link) => return Ok(link),
            Err(failed) => failure = failed,
        }
    }
    Err(failure)
}

/// A sentinel mostly has no password; the one in the URL, which is the master's, is tried where it asks for one.
fn ask(sentinel: &ConnectionInfo, master: &str, trust: &Trust, deadline: Instant) -> Result<(String, u16), Failure> {
    let open = sentinel.clone().set_redis_settings(redis::RedisConnectionInfo::default());
    let mut command = redis::cmd("SENTINEL");
    command.arg("get-master-addr-by-name").arg(master);
    let mut reply = Link::connect(&open, trust, deadline)?.run([&command], deadline)?.pop();
    if matches!(&reply, Some(Value::ServerError(error)) if error.code() == "NOAUTH") {
        let login = sentinel.redis_settings().clone().set_db(0);
        let info = sentinel.clone().set_redis_settings(login);
        reply = Link::connect(&info, trust, deadline)?.run([&command], deadline)?.pop();
    }
    match reply {
        Some(Value::Array(address)) => match &address[..] {
            [Value::BulkString(host), Value::BulkString(port)] => {
                let port = std::str::from_utf8(port).ok().and_then(|port| port.parse().ok());
                String::from_utf8(host.clone()).ok().zip(port)
            }
            _ => None,
        }
        .ok_or_else(|| Failure::new(FailureKind::Nonsense, "the sentinel's answer makes no sense")),
        Some(Value::Nil) => {
            Err(Failure::new(FailureKind::Refused, format!("the sentinel knows no master named `{master}`")))
        }
        Some(Value::ServerError(error)) => Err(link::refused(&error)),
        _ => Err(Failure::new(FailureKind::Nonsense, "the sentinel's answer makes no sense")),
    }
}

fn connect_master(info: ConnectionInfo, trust: &Trust, deadline: Instant) -> Result<Link, Failure> {
    let mut link = Link::connect(&info, trust, deadline)?;
    let reply = link.run([&redis::cmd("ROLE")], deadline)?.pop();
    match reply {
        Some(Value::Array(role)) if matches!(role.first(), Some(Value::BulkString(name)) if name == b"master") => {
            Ok(link)
        }
        Some(Value::ServerError(error)) => Err(link::refused(&error)),
        _ => Err(Failure::new(FailureKind::Unreachable, format!("{} is not the master any more", info.addr()))),
    }
}
