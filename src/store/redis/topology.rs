//! How a store's servers are arranged: one, one that sentinels name, or a cluster.
//!
//! Owns finding the server, and the session that comes of it; `pool.rs` keeps sessions.

use std::sync::Arc;
use std::time::{Duration, Instant};

use redis::{ConnectionInfo, Value};

use super::Command;
use super::cluster::Cluster;
use super::link::Link;
use super::sentinel::Sentinels;
use super::tls::Trust;
use crate::store::StoreFailure;

/// How long connecting may take, sentinels and all; pages do not wait for that longer than their own deadline.
pub(super) const CONNECT: Duration = Duration::from_secs(1);

#[derive(Debug, Clone)]
pub(super) enum Topology {
    Single(ConnectionInfo),
    Sentinel(Arc<Sentinels>),
    Cluster(Vec<ConnectionInfo>),
}

/// What commands are run on.
pub(super) enum Session {
    Link(Link),
    Cluster(Cluster),
}

impl Topology {
    pub(super) fn connect(&self, trust: &Trust, deadline: Instant) -> Result<Session, StoreFailure> {
        match self {
            Topology::Single(info) => Link::connect(info, trust, deadline).map(Session::Link),
            Topology::Sentinel(sentinels) => sentinels.connect(trust, deadline).map(Session::Link),
            Topology::Cluster(seeds) => Cluster::connect(seeds, trust, deadline).map(Session::Cluster),
        }
    }

    /// Whether what is connected to from here on is another server than before, as far as somebody tells.
    pub(super) fn has_moved(&self, trust: &Trust, deadline: Instant) -> bool {
        match self {
            // Without sentinels there is no failover: where none answers, the master that was named last is the master.
            Topology::Sentinel(sentinels) => sentinels.ask(trust, share(deadline, 2)).unwrap_or_default(),
            Topology::Single(_) | Topology::Cluster(_) => false,
        }
    }

    /// What it is and where, without login.
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

impl Session {
    /// One reply for each command; a refusal is a reply.
    pub(super) fn run(&mut self, commands: &[Command], deadline: Instant) -> Result<Vec<Value>, StoreFailure> {
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
