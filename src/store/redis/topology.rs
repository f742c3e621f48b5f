//! The arrangement of the servers: a single one, a master found through sentinels, or a cluster.
//!
//! It opens sessions and runs commands on them; `pool.rs` keeps them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use redis::{ConnectionInfo, Value};

use super::cluster::Cluster;
use super::command::KeyedCommand;
use super::connection::RedisConnection;
use super::sentinel::Sentinels;
use super::tls::TlsConfig;
use crate::store::StoreFailure;
use crate::store::deadline::share;

/// The time allowed for connecting, including the queries to sentinels. Requests do not wait for it longer than their
/// own deadline.
pub(super) const CONNECT: Duration = Duration::from_secs(1);

#[derive(Debug, Clone)]
pub(super) enum Topology {
    Single(ConnectionInfo),
    Sentinel(Arc<Sentinels>),
    Cluster(Vec<ConnectionInfo>),
}

/// A connection, or several of them to the nodes of a cluster.
pub(super) enum RedisSession {
    Connection(RedisConnection),
    Cluster(Cluster),
}

impl Topology {
    pub(super) fn connect(&self, tls: &TlsConfig, deadline: Instant) -> Result<RedisSession, StoreFailure> {
        match self {
            Topology::Single(info) => RedisConnection::connect(info, tls, deadline).map(RedisSession::Connection),
            Topology::Sentinel(sentinels) => sentinels.connect(tls, deadline).map(RedisSession::Connection),
            Topology::Cluster(seeds) => Cluster::connect(seeds, tls, deadline).map(RedisSession::Cluster),
        }
    }

    /// Whether new sessions are with another server than before, as far as sentinels report it.
    pub(super) fn has_moved(&self, tls: &TlsConfig, deadline: Instant) -> bool {
        match self {
            // Without a reply, the last known master stays the master: only sentinels start a failover.
            Topology::Sentinel(sentinels) => sentinels.has_moved(tls, share(deadline, 2)).unwrap_or_default(),
            Topology::Single(_) | Topology::Cluster(_) => false,
        }
    }

    /// Kind and addresses of the servers, without login.
    pub(super) fn describe(&self) -> String {
        let list =
            |infos: &[ConnectionInfo]| infos.iter().map(|info| info.addr().to_string()).collect::<Vec<_>>().join(",");
        match self {
            Topology::Single(info) => format!("redis {}/{}", info.addr(), self.db()),
            Topology::Sentinel(sentinels) => {
                format!("redis {}/{} of sentinels {}", sentinels.name, self.db(), list(&sentinels.infos))
            }
            Topology::Cluster(seeds) => format!("redis cluster {}/{}", list(seeds), self.db()),
        }
    }

    pub(super) fn db(&self) -> i64 {
        let first = match self {
            Topology::Single(info) => Some(info),
            Topology::Sentinel(sentinels) => sentinels.infos.first(),
            Topology::Cluster(infos) => infos.first(),
        };
        first.map_or(0, |info| info.redis_settings().db())
    }
}

impl RedisSession {
    /// One reply for each command. An error reply is a reply.
    pub(super) fn run(&mut self, commands: &[KeyedCommand], deadline: Instant) -> Result<Vec<Value>, StoreFailure> {
        match self {
            RedisSession::Connection(connection) => {
                connection.run(commands.iter().map(|command| &command.command), deadline)
            }
            RedisSession::Cluster(cluster) => cluster.run(commands, deadline),
        }
    }

    pub(super) fn is_usable(&mut self, doubted: bool) -> bool {
        match self {
            RedisSession::Connection(connection) => connection.is_usable(doubted),
            RedisSession::Cluster(cluster) => cluster.is_usable(doubted),
        }
    }

    pub(super) fn is_broken(&self) -> bool {
        match self {
            RedisSession::Connection(connection) => !connection.is_open(),
            RedisSession::Cluster(cluster) => cluster.is_lost(),
        }
    }

    pub(super) fn into_connection(self) -> Option<RedisConnection> {
        match self {
            RedisSession::Connection(connection) => Some(connection),
            RedisSession::Cluster(cluster) => cluster.into_any_connection(),
        }
    }
}
