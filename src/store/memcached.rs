//! Memcached servers as the shared store, over the meta protocol.
//!
//! This file maps each operation of a store to commands. `client.rs` forms keys, `batch.rs` sends commands to the
//! servers, `server.rs` keeps connections, `address.rs` resolves host names. The record of invalidations is one item
//! that grows: `floors.rs` and `invalidation_log.rs`.

mod address;
mod batch;
mod client;
mod floors;
mod invalidation_log;
mod server;
#[cfg(test)]
mod tests;

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use memcache::exp::{MetaOp, ReturnCode};

use self::address::Address;
use self::batch::{CommandBatch, ServerSet};
use self::client::{Client, accepted, cas_number, invalid_reply, refused};
use self::floors::FloorLog;
use self::server::Server;
use super::pool::check_size;
use super::{FloorUpdate, Lease, LeasedRead, Remote, StoreFailure, StoreKey, SyncPosition, ValueWrite};
use crate::error::{Error, ErrorKind};

/// Memcached takes a longer lifetime for a date.
const LONGEST_LIFETIME: u64 = 60 * 60 * 24 * 30;

/// One or more Memcached servers, shared by all processes of an application.
///
/// A value that one process computes is used by all of them, and one process computes it at a time (with a lease, which
/// memcached supports). Values are distributed over the servers by rendezvous hashing of the configured addresses:
/// **all processes must be given the same servers**, in any order, and the same prefix. An added server takes over its
/// share of the values. While a server is down, its share is missing and the rest works. The invalidation log is on one
/// of the servers; while that one is down, processes do not receive each other's invalidations.
///
/// # Staleness
///
/// Memcached has no notifications, so each process polls the log of invalidations every 25 ms. An invalidation takes
/// effect at once in the process that makes it, and in the others after at most 25 ms and a round trip. The log holds
/// at least the 4,096 newest invalidations; a process that was disconnected for more than that drops its entries. If
/// the log is lost (a restart, `flush_all`, an eviction), all earlier entries are invalid.
///
/// Memcached does not tell the time. The processes use the clock of the machine that is furthest ahead: if the clocks
/// differ, lifetimes are shorter by the difference, never longer.
///
/// # Requirements
///
/// Memcached 1.6.10 or later, with compare-and-swap (not `-C`). The server's `-I` limits the size of a value (1 MiB); a
/// larger one is not stored. There is no password and no encryption: the network must be trusted.
///
/// ```
/// use minijinja_cache::MemcachedStore;
///
/// let store = MemcachedStore::connect(["10.0.0.1", "10.0.0.2:11212"])?.prefix("shop:")?.pool_size(32);
/// # Ok::<_, minijinja_cache::Error>(())
/// ```
#[must_use]
pub struct MemcachedStore {
    client: Client,
    floors: FloorLog,
}

impl MemcachedStore {
    /// A store on these servers, each `host`, `host:port` or `memcached://host:port`; the default port is 11211. An
    /// IPv6 address with a port is in brackets. Host names are resolved and connections opened when the store is first
    /// used.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`] if there is no server, a server is listed twice, or an address is malformed.
    pub fn connect<S: AsRef<str>>(servers: impl IntoIterator<Item = S>) -> Result<MemcachedStore, Error> {
        let mut all: Vec<Server> = Vec::new();
        for text in servers {
            let address = Address::parse(text.as_ref())?;
            if all.iter().any(|server| server.address.name == address.name) {
                let message = format!("memcached server {:?}: listed twice", text.as_ref());
                return Err(Error::new(ErrorKind::Config, message));
            }
            all.push(Server::new(address));
        }
        if all.is_empty() {
            return Err(Error::new(ErrorKind::Config, "memcached store: no server is given"));
        }
        let client = Client { servers: ServerSet { all, pool_size: 16 }, prefix: "mjc:".into() };
        Ok(MemcachedStore { client, floors: FloorLog::new() })
    }

    /// The prefix of all keys, `mjc:` by default. Applications that share servers need different ones.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`] if it contains spaces or control characters, or is longer than 150 bytes.
    pub fn prefix(mut self, prefix: impl Into<String>) -> Result<MemcachedStore, Error> {
        let prefix = prefix.into();
        if prefix.len() > 150 || prefix.chars().any(|c| c.is_whitespace() || c.is_control()) {
            let message = format!("memcached prefix {prefix:?}: has spaces or control characters, or over 150 bytes");
            return Err(Error::new(ErrorKind::Config, message));
        }
        self.client.prefix = prefix;
        Ok(self)
    }

    /// The most connections to each server, from 1 to 1,024; 16 by default. They are opened when needed, and kept.
    /// Building the cache fails with another number.
    pub fn pool_size(mut self, connections: usize) -> MemcachedStore {
        self.client.servers.pool_size = connections;
        self
    }

    /// Ends leases stored beside values. One that expired may belong to another process by then; in that case two
    /// processes compute the value.
    fn release_beside(&self, keys: &[StoreKey], deadline: Instant) -> Result<(), StoreFailure> {
        let push = |at: usize, batch: &mut CommandBatch| {
            batch.push(MetaOp::Delete, &self.client.lease_key(keys[at]), &[], None);
        };
        self.client
            .servers
            .run_each("release leases on", keys, push, deadline)
            .into_iter()
            .try_for_each(|reply| reply.map(drop))
    }
}

impl Remote for MemcachedStore {
    fn describe(&self) -> String {
        let names: Vec<&str> = self.client.servers.all.iter().map(|server| server.address.name.as_str()).collect();
        format!("memcached {}", names.join(", "))
    }

    fn check(&self) -> Result<(), Error> {
        check_size(self.client.servers.pool_size)
    }

    fn sync_interval(&self) -> Duration {
        Duration::from_millis(25)
    }

    fn read(&self, keys: &[StoreKey], deadline: Instant) -> Result<Vec<Option<Vec<u8>>>, StoreFailure> {
        let push = |at: usize, batch: &mut CommandBatch| {
            batch.push(MetaOp::Get, &self.client.key(keys[at]), &["v", "k"], None);
        };
        let mut failure = None;
        let mut replied = keys.is_empty();
        let mut values = Vec::with_capacity(keys.len());
        for reply in self.client.servers.run_each("read from", keys, push, deadline) {
            match reply.and_then(|reply| accepted(reply, "read")) {
                Ok(reply) => {
                    replied = true;
                    // An empty value stands for a lease that a process holds.
                    values.push(reply.value.filter(|value| !value.is_empty()));
                }
                // Counts as a miss, unless all servers fail.
                Err(error) => {
                    failure.get_or_insert(error);
                    values.push(None);
                }
            }
        }
        match failure {
            Some(failure) if !replied => Err(failure),
            _ => Ok(values),
        }
    }

    fn read_or_lease(&self, key: StoreKey, span: Duration, deadline: Instant) -> Result<LeasedRead, StoreFailure> {
        const OPERATION: &str = "read or lease from";
        let vivify = format!("N{}", lifetime(Some(span)));
        let reply = self.client.run(OPERATION, key, MetaOp::Get, &["v", "c", "k", &vivify], deadline)?;
        let reply = accepted(reply, "lease")?;
        match reply.value {
            Some(value) if !value.is_empty() => Ok(LeasedRead::Found(value)),
            // Memcached tells one caller that it won. The item stays marked until a value replaces it.
            Some(_) if reply.won => Ok(LeasedRead::Taken(Lease(cas_number(reply.cas)?))),
            Some(_) => Ok(LeasedRead::Held),
            None => Err(invalid_reply(OPERATION)),
        }
    }

    /// The item holds a value, so it cannot hold the lease. The lease is a second item, which one process can add.
    fn lease(&self, key: StoreKey, span: Duration, deadline: Instant) -> Result<Option<Lease>, StoreFailure> {
        const OPERATION: &str = "lease on";
        let client = &self.client;
        let mut batch = CommandBatch::new(client.servers.choose(&key.to_be_bytes()));
        let expiry = format!("T{}", lifetime(Some(span)));
        batch.push(MetaOp::Set, &client.lease_key(key), &["ME", &expiry], Some(b"1"));
        let reply = accepted(client.run_single(OPERATION, &batch, deadline)?, "lease")?;
        match reply.rc {
            ReturnCode::Hd => Ok(Some(BESIDE)),
            ReturnCode::Ns => Ok(None),
            _ => Err(invalid_reply(OPERATION)),
        }
    }

    fn write(&self, values: &[ValueWrite<'_>], deadline: Instant) -> Result<(), StoreFailure> {
        let servers = &self.client.servers;
        let keys: Vec<StoreKey> = values.iter().map(|write| write.key).collect();
        let push = |at: usize, batch: &mut CommandBatch| {
            let ttl = format!("T{}", lifetime(values[at].ttl));
            let lease = values[at].lease.filter(|lease| !is_beside(*lease)).map(|lease| format!("C{}", lease.0));
            let flags: Vec<&str> = std::iter::once(ttl.as_str()).chain(lease.as_deref()).collect();
            batch.push(MetaOp::Set, &self.client.key(keys[at]), &flags, Some(values[at].value));
        };
        let mut failure = None;
        let mut rejected = Vec::new();
        for (reply, write) in servers.run_each("write to", &keys, push, deadline).into_iter().zip(values) {
            match reply {
                // With a lease, any other result means that the lease was lost, and its item with it.
                Ok(Ok(reply)) if reply.rc == ReturnCode::Hd || write.lease.is_some_and(|lease| !is_beside(lease)) => {}
                Ok(Ok(_)) => {
                    rejected.push(write.key);
                    failure.get_or_insert_with(|| refused("write", "not stored"));
                }
                Ok(Err(message)) => {
                    rejected.push(write.key);
                    failure.get_or_insert_with(|| refused("write", &message));
                }
                Err(error) => {
                    failure.get_or_insert(error);
                }
            }
        }
        // Memcached deletes a value that it has no room to replace, but not in all cases, and without a promise. The
        // outcome is ignored, because `failure` is set already.
        let push = |at: usize, batch: &mut CommandBatch| {
            batch.push(MetaOp::Delete, &self.client.key(rejected[at]), &[], None);
        };
        servers.run_each("delete from", &rejected, push, deadline);
        let beside = values.iter().filter(|write| write.lease.is_some_and(is_beside)).map(|write| write.key);
        if let Err(error) = self.release_beside(&beside.collect::<Vec<StoreKey>>(), deadline) {
            failure.get_or_insert(error);
        }
        failure.map_or(Ok(()), Err)
    }

    fn release(&self, key: StoreKey, lease: Lease, deadline: Instant) -> Result<(), StoreFailure> {
        if is_beside(lease) {
            return self.release_beside(&[key], deadline);
        }
        let flag = format!("C{}", lease.0);
        let reply = self.client.run("release a lease on", key, MetaOp::Delete, &[&flag], deadline)?;
        // `EX` and `NF` mean that the lease was lost already.
        accepted(reply, "release").map(drop)
    }

    fn sync(&self, known: SyncPosition, raise: &[u64], deadline: Instant) -> Result<FloorUpdate, StoreFailure> {
        self.floors.sync(&self.client, known, raise, deadline)
    }

    fn listen(&self, _on_change: &dyn Fn(), _stopped: &dyn Fn() -> bool) -> Result<(), StoreFailure> {
        Ok(())
    }
}

impl std::fmt::Debug for MemcachedStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let prefix = &self.client.prefix;
        f.debug_struct("MemcachedStore").field("servers", &self.describe()).field("prefix", prefix).finish()
    }
}

/// The token of leases that are stored beside values. No item has this compare-and-swap number.
const BESIDE: Lease = Lease(u64::MAX);

fn is_beside(lease: Lease) -> bool {
    lease == BESIDE
}

/// A lifetime in memcached's units; 0 means no expiry. Memcached's clock ticks once a second, so an item stored just
/// before a tick lives almost a second less. One second is added for that.
fn lifetime(ttl: Option<Duration>) -> u64 {
    let Some(ttl) = ttl else { return 0 };
    let seconds = ttl.as_secs().saturating_add(u64::from(ttl.subsec_nanos() > 0)).saturating_add(1);
    if seconds <= LONGEST_LIFETIME {
        return seconds;
    }
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let date = seconds.saturating_add(since_1970);
    // Memcached's dates end in 2038.
    if date > i32::MAX as u64 { 0 } else { date }
}
