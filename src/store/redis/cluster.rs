//! A session with a cluster: the map of slots, and a connection to each node that was used.
//!
//! Redirections are followed here, so callers see one server. (The `redis` crate's cluster connection takes no
//! deadline, sends a command with many keys to one slot after the other, and offers pipelines only over its own
//! connections.)

use std::collections::HashMap;
use std::time::Instant;

use redis::{Cmd, ConnectionAddr, ConnectionInfo, Value};

use super::command::KeyedCommand;
use super::connection::{self, RedisConnection};
use super::target::{self, HostPort};
use super::tls::TlsConfig;
use crate::store::deadline::share;
use crate::store::{FailureKind, StoreFailure};

/// A slot that is being moved may redirect twice, and a replaced node once more.
const MAX_REDIRECTIONS: usize = 4;

pub(super) struct Cluster {
    login: ConnectionInfo,
    tls: TlsConfig,
    /// First and last slot of each range, in ascending order, and the node that has the range.
    slots: Vec<(u16, u16, HostPort)>,
    connections: HashMap<HostPort, RedisConnection>,
    /// A node redirected a command. The map is requested again before its next use.
    outdated: bool,
    /// No node replied with a map. The session is discarded, and the next one starts from the seeds.
    lost: bool,
}

/// The commands of one call, with the replies so far.
struct ClusterBatch<'a> {
    commands: &'a [KeyedCommand],
    replies: Vec<Value>,
    failure: Option<StoreFailure>,
}

impl ClusterBatch<'_> {
    /// Keeps the first failure, which is the one that is returned.
    fn fail(&mut self, failure: StoreFailure) {
        self.failure.get_or_insert(failure);
    }
}

impl Cluster {
    /// Requests the map from the nodes in `seeds`, one after the other.
    pub(super) fn connect(
        seeds: &[ConnectionInfo],
        tls: &TlsConfig,
        deadline: Instant,
    ) -> Result<Cluster, StoreFailure> {
        let mut failure = StoreFailure::new(FailureKind::Unreachable, "no node is configured");
        for (index, seed) in seeds.iter().enumerate() {
            let deadline = share(deadline, seeds.len() - index);
            let connected = RedisConnection::connect(seed, tls, deadline).and_then(|mut connection| {
                let slots = slots(&mut connection, host(seed), deadline)?;
                Ok((connection, slots))
            });
            match connected {
                Ok((connection, slots)) => {
                    let connections = HashMap::from([(node(seed), connection)]);
                    return Ok(Cluster {
                        login: seed.clone(),
                        tls: tls.clone(),
                        slots,
                        connections,
                        outdated: false,
                        lost: false,
                    });
                }
                Err(failed) => failure = failed,
            }
        }
        Err(failure)
    }

    /// Sends each command to the node that has its key. Runs all commands that can be run, then returns the first
    /// failure, if there was one.
    pub(super) fn run(&mut self, commands: &[KeyedCommand], deadline: Instant) -> Result<Vec<Value>, StoreFailure> {
        if self.outdated {
            self.update_slots(deadline);
        }
        let mut batch = ClusterBatch { commands, replies: vec![Value::Nil; commands.len()], failure: None };
        let mut nodes: HashMap<HostPort, Vec<usize>> = HashMap::new();
        for (index, command) in commands.iter().enumerate() {
            match self.owner(&command.key) {
                Some(node) => nodes.entry(node).or_default().push(index),
                None => {
                    self.outdated = true;
                    batch.fail(StoreFailure::new(FailureKind::Refused, "CLUSTERDOWN no node has the key's slot"));
                }
            }
        }
        // Nodes without a connection come last, because connecting to one that is down takes all the time left.
        let (connected, others): (Vec<_>, Vec<_>) =
            nodes.into_iter().partition(|(node, _)| self.connections.contains_key(node));
        self.exchange(connected, &mut batch, deadline);
        self.exchange(others, &mut batch, deadline);
        for (index, command) in commands.iter().enumerate() {
            if let Err(failed) = self.follow(&command.command, &mut batch.replies[index], deadline) {
                batch.fail(failed);
            }
        }
        batch.failure.map_or(Ok(batch.replies), Err)
    }

    pub(super) fn is_usable(&mut self, doubted: bool) -> bool {
        // A closed connection says nothing about the others. It is opened again when it is needed.
        self.connections.retain(|_, connection| connection.is_usable(doubted));
        !self.connections.is_empty()
    }

    pub(super) fn is_lost(&self) -> bool {
        self.lost
    }

    /// A connection to any node, for notifications: every node forwards the messages of all nodes.
    pub(super) fn into_any_connection(mut self) -> Option<RedisConnection> {
        let node = self.connections.keys().next().cloned()?;
        self.connections.remove(&node)
    }

    /// Sends to all nodes before it reads the first reply.
    fn exchange(&mut self, nodes: Vec<(HostPort, Vec<usize>)>, batch: &mut ClusterBatch<'_>, deadline: Instant) {
        let mut sent = Vec::with_capacity(nodes.len());
        for (node, indices) in nodes {
            let commands = indices.iter().map(|&index| &batch.commands[index].command);
            match self.connection(&node, deadline).and_then(|connection| connection.send(commands, deadline)) {
                Ok(_) => sent.push((node, indices)),
                Err(failed) => batch.fail(self.disconnect(&node, failed)),
            }
        }
        for (node, indices) in sent {
            for index in indices {
                match self.connection(&node, deadline).and_then(|connection| connection.receive(deadline)) {
                    Ok(reply) => batch.replies[index] = reply,
                    Err(failed) => {
                        batch.fail(self.disconnect(&node, failed));
                        break;
                    }
                }
            }
        }
    }

    /// Follows redirections until the reply is not one.
    fn follow(&mut self, command: &Cmd, reply: &mut Value, deadline: Instant) -> Result<(), StoreFailure> {
        for _ in 0..MAX_REDIRECTIONS {
            let Some((node, asking)) = redirection(reply) else { return Ok(()) };
            self.outdated |= !asking;
            let ask = redis::cmd("ASKING");
            let replies = self
                .connection(&node, deadline)
                .and_then(|connection| connection.run(asking.then_some(&ask).into_iter().chain([command]), deadline));
            match replies.map(|mut replies| replies.pop()) {
                Ok(Some(last)) => *reply = last,
                Ok(None) => return Ok(()),
                Err(failed) => return Err(self.disconnect(&node, failed)),
            }
        }
        match redirection(reply) {
            Some(_) => Err(StoreFailure::new(FailureKind::Refused, "the nodes redirect to each other")),
            None => Ok(()),
        }
    }

    fn owner(&self, key: &[u8]) -> Option<HostPort> {
        let slot = slot(key);
        let after = self.slots.partition_point(|(_, end, _)| *end < slot);
        self.slots.get(after).filter(|(start, ..)| *start <= slot).map(|(_, _, node)| node.clone())
    }

    fn connection(&mut self, node: &HostPort, deadline: Instant) -> Result<&mut RedisConnection, StoreFailure> {
        if !self.connections.get(node).is_some_and(RedisConnection::is_open) {
            let info = target::at_address(&self.login, node.0.clone(), node.1);
            self.connections.insert(node.clone(), RedisConnection::connect(&info, &self.tls, deadline)?);
        }
        self.connections
            .get_mut(node)
            .ok_or_else(|| StoreFailure::new(FailureKind::Unreachable, "the connection is closed"))
    }

    /// Drops the connection to a node that failed, which may have been replaced.
    fn disconnect(&mut self, node: &HostPort, mut failure: StoreFailure) -> StoreFailure {
        self.connections.remove(node);
        self.outdated = true;
        self.lost |= self.connections.is_empty();
        failure.message = format!("node {}:{}: {}", node.0, node.1, failure.message);
        failure
    }

    /// Requests the map from the connected nodes. If none of them replies, this call uses the old map.
    fn update_slots(&mut self, deadline: Instant) {
        let nodes: Vec<HostPort> = self.connections.keys().cloned().collect();
        for (index, node) in nodes.iter().enumerate() {
            let deadline = share(deadline, nodes.len() - index + 1);
            let Some(connection) = self.connections.get_mut(node) else { continue };
            if let Ok(slots) = slots(connection, &node.0, deadline) {
                self.slots = slots;
                self.outdated = false;
                return;
            }
        }
        self.lost = true;
    }
}

fn host(info: &ConnectionInfo) -> &str {
    match info.addr() {
        ConnectionAddr::Tcp(host, _) | ConnectionAddr::TcpTls { host, .. } => host,
        _ => "",
    }
}

fn node(info: &ConnectionInfo) -> HostPort {
    match info.addr() {
        ConnectionAddr::Tcp(host, port) | ConnectionAddr::TcpTls { host, port, .. } => (host.clone(), *port),
        _ => (String::new(), 0),
    }
}

/// Requests the map of slots from a node. `own_host` is the node's host, for a node that does not know its own.
fn slots(
    connection: &mut RedisConnection,
    own_host: &str,
    deadline: Instant,
) -> Result<Vec<(u16, u16, HostPort)>, StoreFailure> {
    let mut command = redis::cmd("CLUSTER");
    command.arg("SLOTS");
    let reply = connection.run([&command], deadline)?.pop();
    if let Some(Value::ServerError(error)) = &reply {
        return Err(connection::refused(error));
    }
    let ranges = match reply {
        Some(Value::Array(ranges)) => {
            ranges.iter().map(|range| read_range(range, own_host)).collect::<Option<Vec<_>>>()
        }
        _ => None,
    };
    let mut ranges =
        ranges.ok_or_else(|| StoreFailure::new(FailureKind::InvalidReply, "the map of slots is malformed"))?;
    ranges.sort_unstable();
    Ok(ranges)
}

/// Reads the first slot, the last slot, and the first node of the list, which is the master: host, port and more.
fn read_range(range: &Value, own_host: &str) -> Option<(u16, u16, HostPort)> {
    let Value::Array(range) = range else { return None };
    let [Value::Int(start), Value::Int(end), Value::Array(master), ..] = &range[..] else { return None };
    let (host, Value::Int(port)) = (master.first()?, master.get(1)?) else { return None };
    let host = match host {
        Value::BulkString(host) if !host.is_empty() && host != b"?" => String::from_utf8(host.clone()).ok()?,
        _ => own_host.to_owned(),
    };
    Some((u16::try_from(*start).ok()?, u16::try_from(*end).ok()?, (host, u16::try_from(*port).ok()?)))
}

/// The node that a reply redirects to, and whether only for this command (`ASK`).
fn redirection(reply: &Value) -> Option<(HostPort, bool)> {
    let Value::ServerError(error) = reply else { return None };
    let asking = match error.code() {
        "MOVED" => false,
        "ASK" => true,
        _ => return None,
    };
    let (host, port) = error.details()?.split(' ').nth(1)?.rsplit_once(':')?;
    (!host.is_empty()).then_some(())?;
    Some(((host.to_owned(), port.parse().ok()?), asking))
}

/// The slot of a key: CRC-16 (XMODEM) of the text in the first braces, or of the whole key, modulo 16,384 (cluster
/// specification, "hash tags").
fn slot(key: &[u8]) -> u16 {
    let tag = key.iter().position(|&byte| byte == b'{').and_then(|open| {
        let length = key[open..].iter().position(|&byte| byte == b'}')?;
        (length > 1).then(|| &key[open + 1..open + length])
    });
    let crc = tag.unwrap_or(key).iter().fold(0u16, |crc, &byte| {
        (0..8).fold(crc ^ (u16::from(byte) << 8), |crc, _| (crc << 1) ^ if crc & 0x8000 == 0 { 0 } else { 0x1021 })
    });
    crc % 16_384
}

#[cfg(all(test, not(shuttle)))]
mod tests {
    use super::slot;

    #[test]
    fn slots_are_those_of_the_specification() {
        assert_eq!(slot(b"123456789"), 0x31c3);
        assert_eq!(slot(b"{user1000}.following"), slot(b"user1000"));
        assert_eq!(slot(b"foo{bar}{zap}"), slot(b"bar"));
        assert_eq!(slot(b"foo{}{bar}"), 8363);
    }
}
