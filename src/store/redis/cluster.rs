//! A cluster: which node has a key, and commands for several nodes at once.
//!
//! Owns the map of slots and a link to each node it has met. The redirections of a cluster end here: callers see one
//! server. (The `redis` crate's cluster connection takes no deadline, sends a command with many keys to one slot after
//! the other, and offers pipelines only over its own connections.)

use std::collections::HashMap;
use std::time::Instant;

use redis::{Cmd, ConnectionAddr, ConnectionInfo, Value};

use super::Command;
use super::link::{self, Link};
use super::target;
use super::tls::Trust;
use super::topology::share;
use crate::store::{FailureKind, StoreFailure};

/// A slot that is moving may redirect twice, a node that was replaced once more.
const MAX_REDIRECTIONS: usize = 4;

type Node = (String, u16);

pub(super) struct Cluster {
    login: ConnectionInfo,
    trust: Trust,
    /// Ends of ranges of slots, ascending, and who has them.
    slots: Vec<(u16, u16, Node)>,
    links: HashMap<Node, Link>,
    /// A node has sent us elsewhere: the map is asked for again before it is next used.
    outdated: bool,
    /// Nobody is left to ask for the map: the seeds are asked again, in another session.
    lost: bool,
}

/// Commands under way.
struct Batch<'a> {
    commands: &'a [Command],
    replies: Vec<Value>,
    failure: Option<StoreFailure>,
}

impl Batch<'_> {
    /// The first failure is the one that is told.
    fn fail(&mut self, failure: StoreFailure) {
        self.failure.get_or_insert(failure);
    }
}

impl Cluster {
    /// Asks the nodes in `seeds`, one after the other, for the map.
    pub(super) fn connect(seeds: &[ConnectionInfo], trust: &Trust, deadline: Instant) -> Result<Cluster, StoreFailure> {
        let mut failure = StoreFailure::new(FailureKind::Unreachable, "no node is named");
        for (index, seed) in seeds.iter().enumerate() {
            let deadline = share(deadline, seeds.len() - index);
            let connected = Link::connect(seed, trust, deadline).and_then(|mut link| {
                let slots = slots(&mut link, host(seed), deadline)?;
                Ok((link, slots))
            });
            match connected {
                Ok((link, slots)) => {
                    let links = HashMap::from([(node(seed), link)]);
                    return Ok(Cluster {
                        login: seed.clone(),
                        trust: trust.clone(),
                        slots,
                        links,
                        outdated: false,
                        lost: false,
                    });
                }
                Err(failed) => failure = failed,
            }
        }
        Err(failure)
    }

    /// Sends each command to the node that has its key. All that can be done is done; then the first failure is
    /// returned, if there was one.
    pub(super) fn run(&mut self, commands: &[Command], deadline: Instant) -> Result<Vec<Value>, StoreFailure> {
        if self.outdated {
            self.update(deadline);
        }
        let mut batch = Batch { commands, replies: vec![Value::Nil; commands.len()], failure: None };
        let mut nodes: HashMap<Node, Vec<usize>> = HashMap::new();
        for (index, command) in commands.iter().enumerate() {
            match self.owner(&command.key) {
                Some(node) => nodes.entry(node).or_default().push(index),
                None => {
                    self.outdated = true;
                    batch.fail(StoreFailure::new(FailureKind::Refused, "CLUSTERDOWN no node has the key's slot"));
                }
            }
        }
        // Connecting to one that does not answer takes all the time there is: the others come first.
        let (connected, others): (Vec<_>, Vec<_>) =
            nodes.into_iter().partition(|(node, _)| self.links.contains_key(node));
        self.exchange(connected, &mut batch, deadline);
        self.exchange(others, &mut batch, deadline);
        for (index, command) in commands.iter().enumerate() {
            if let Err(failed) = self.follow(&command.command, &mut batch.replies[index], deadline) {
                batch.fail(failed);
            }
        }
        batch.failure.map_or(Ok(batch.replies), Err)
    }

    pub(super) fn is_fit(&mut self, doubted: bool) -> bool {
        // One link that is closed says nothing about the others: it is made again when it is needed.
        self.links.retain(|_, link| link.is_fit(doubted));
        !self.links.is_empty()
    }

    pub(super) fn is_lost(&self) -> bool {
        self.lost
    }

    /// A link for messages, to any node: all of them pass on what one publishes.
    pub(super) fn into_any_link(mut self) -> Option<Link> {
        let node = self.links.keys().next().cloned()?;
        self.links.remove(&node)
    }

    /// Sends to all nodes before any reply is read.
    fn exchange(&mut self, nodes: Vec<(Node, Vec<usize>)>, batch: &mut Batch<'_>, deadline: Instant) {
        let mut sent = Vec::with_capacity(nodes.len());
        for (node, indices) in nodes {
            let commands = indices.iter().map(|&index| &batch.commands[index].command);
            match self.link(&node, deadline).and_then(|link| link.send(commands, deadline)) {
                Ok(_) => sent.push((node, indices)),
                Err(failed) => batch.fail(self.lose(&node, failed)),
            }
        }
        for (node, indices) in sent {
            for index in indices {
                match self.link(&node, deadline).and_then(|link| link.receive(deadline)) {
                    Ok(reply) => batch.replies[index] = reply,
                    Err(failed) => {
                        batch.fail(self.lose(&node, failed));
                        break;
                    }
                }
            }
        }
    }

    /// Goes where a reply sends us, until it is one.
    fn follow(&mut self, command: &Cmd, reply: &mut Value, deadline: Instant) -> Result<(), StoreFailure> {
        for _ in 0..MAX_REDIRECTIONS {
            let Some((node, asking)) = redirection(reply) else { return Ok(()) };
            self.outdated |= !asking;
            let ask = redis::cmd("ASKING");
            let replies = self
                .link(&node, deadline)
                .and_then(|link| link.run(asking.then_some(&ask).into_iter().chain([command]), deadline));
            match replies.map(|mut replies| replies.pop()) {
                Ok(Some(last)) => *reply = last,
                Ok(None) => return Ok(()),
                Err(failed) => return Err(self.lose(&node, failed)),
            }
        }
        match redirection(reply) {
            Some(_) => Err(StoreFailure::new(FailureKind::Refused, "the nodes send us to each other")),
            None => Ok(()),
        }
    }

    fn owner(&self, key: &[u8]) -> Option<Node> {
        let slot = slot(key);
        let after = self.slots.partition_point(|(_, end, _)| *end < slot);
        self.slots.get(after).filter(|(start, ..)| *start <= slot).map(|(_, _, node)| node.clone())
    }

    fn link(&mut self, node: &Node, deadline: Instant) -> Result<&mut Link, StoreFailure> {
        if !self.links.get(node).is_some_and(Link::is_open) {
            let info = target::moved(&self.login, node.0.clone(), node.1);
            self.links.insert(node.clone(), Link::connect(&info, &self.trust, deadline)?);
        }
        self.links.get_mut(node).ok_or_else(|| StoreFailure::new(FailureKind::Unreachable, "the connection is closed"))
    }

    /// A node that fails may have been replaced.
    fn lose(&mut self, node: &Node, mut failure: StoreFailure) -> StoreFailure {
        self.links.remove(node);
        self.outdated = true;
        self.lost |= self.links.is_empty();
        failure.message = format!("node {}:{}: {}", node.0, node.1, failure.message);
        failure
    }

    /// Asks whoever is connected for the map; if nobody answers, the old one serves this call.
    fn update(&mut self, deadline: Instant) {
        let nodes: Vec<Node> = self.links.keys().cloned().collect();
        for (index, node) in nodes.iter().enumerate() {
            let deadline = share(deadline, nodes.len() - index + 1);
            let Some(link) = self.links.get_mut(node) else { continue };
            if let Ok(slots) = slots(link, &node.0, deadline) {
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

fn node(info: &ConnectionInfo) -> Node {
    match info.addr() {
        ConnectionAddr::Tcp(host, port) | ConnectionAddr::TcpTls { host, port, .. } => (host.clone(), *port),
        _ => (String::new(), 0),
    }
}

/// Asks a node who has which slots. `asked` is what the node itself is called where it does not know its own name.
fn slots(link: &mut Link, asked: &str, deadline: Instant) -> Result<Vec<(u16, u16, Node)>, StoreFailure> {
    let mut command = redis::cmd("CLUSTER");
    command.arg("SLOTS");
    let reply = link.run([&command], deadline)?.pop();
    if let Some(Value::ServerError(error)) = &reply {
        return Err(link::refused(error));
    }
    let ranges = match reply {
        Some(Value::Array(ranges)) => ranges.iter().map(|range| read_range(range, asked)).collect::<Option<Vec<_>>>(),
        _ => None,
    };
    let mut ranges =
        ranges.ok_or_else(|| StoreFailure::new(FailureKind::InvalidReply, "the map of slots makes no sense"))?;
    ranges.sort_unstable();
    Ok(ranges)
}

/// Start, end, and the master first among the nodes, as host, port and more.
fn read_range(range: &Value, asked: &str) -> Option<(u16, u16, Node)> {
    let Value::Array(range) = range else { return None };
    let [Value::Int(start), Value::Int(end), Value::Array(master), ..] = &range[..] else { return None };
    let (host, Value::Int(port)) = (master.first()?, master.get(1)?) else { return None };
    let host = match host {
        Value::BulkString(host) if !host.is_empty() && host != b"?" => String::from_utf8(host.clone()).ok()?,
        _ => asked.to_owned(),
    };
    Some((u16::try_from(*start).ok()?, u16::try_from(*end).ok()?, (host, u16::try_from(*port).ok()?)))
}

/// Where a reply sends us, and whether only this once.
fn redirection(reply: &Value) -> Option<(Node, bool)> {
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

/// A key's slot: CRC-16 (XMODEM) of what is in the first braces, or of all of it, modulo 16,384 (cluster specification,
/// "hash tags").
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
