//! Memcached servers as the shared tier, over the meta protocol.
//!
//! Owns what an operation is in commands. Who is asked, and in how many pieces, is `exchange.rs`; connections are
//! `server.rs`, host names `address.rs`; the floors are kept in one item that grows: `log.rs` and `floors.rs`.

mod address;
mod exchange;
mod floors;
mod log;
mod server;
#[cfg(test)]
mod tests;

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use memcache::exp::{MetaOp, ReturnCode};

use self::address::Address;
use self::exchange::{Batch, Reply, Servers};
use self::floors::Seen;
use self::server::Server;
use super::pool::check_size;
use super::store_clock::StoreClock;
use super::{FailureKind, FloorUpdate, Lease, LeasedRead, Remote, StoreFailure, StoreKey, SyncPosition, ValueWrite};
use crate::error::{Error, ErrorKind};
use crate::sync::Mutex;

/// Beyond this memcached takes a lifetime for a date.
const LONGEST: u64 = 60 * 60 * 24 * 30;

/// One or more Memcached servers, shared by all processes of an application.
///
/// What one process computes the others find, and only one of them computes it at a time (a lease, which memcached
/// gives out itself). Values are spread over the servers by rendezvous hashing of the addresses as written here:
/// **all processes must be given the same servers**, in whatever order, and the same prefix. A server that is added
/// takes over its share of the values; one that is down costs its share and nothing else, except that while the one
/// with the invalidation log is down, no process learns of the others' invalidations.
///
/// # Staleness
///
/// Memcached cannot tell of changes, so that the log of invalidations is asked for them every 25 ms. Another
/// process's invalidation takes effect after at most that and a round trip. The process that invalidates sees it at
/// once. The log holds at least the 4,096 newest invalidations; whoever was away for longer drops what it had. When
/// the log is lost (a restart, `flush_all`, an eviction), everything from before is invalid.
///
/// Memcached has no time of day to ask for. Its nodes go by the machine whose clock is furthest ahead: where clocks
/// differ, lifetimes are shorter by as much, and not longer.
///
/// # What is needed
///
/// Memcached 1.6.10 or later, with compare-and-swap (not `-C`). Values are limited by the server's `-I` (1 MiB); a
/// larger one is refused and not cached. There is no password and no encryption: the network has to be trusted.
///
/// ```
/// use minijinja_cache::MemcachedStore;
///
/// let store = MemcachedStore::connect(["10.0.0.1", "10.0.0.2:11212"])?.prefix("shop:")?.pool_size(32);
/// # Ok::<_, minijinja_cache::Error>(())
/// ```
#[must_use]
pub struct MemcachedStore {
    servers: Servers,
    prefix: String,
    seen: Mutex<Option<Seen>>,
    clock: StoreClock,
    clock_asked: Mutex<Option<Instant>>,
}

impl MemcachedStore {
    /// Names the servers: `host`, `host:port` or `memcached://host:port`, port 11211 if none is given. An IPv6
    /// address with a port stands in brackets. Nothing is connected, nor are host names looked up, before there is
    /// something to ask.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`] if there is no server, one is listed twice, or an address is none.
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
        Ok(MemcachedStore {
            servers: Servers { all, pool_size: 16 },
            prefix: "mjc:".into(),
            seen: Mutex::default(),
            clock: StoreClock::new(),
            clock_asked: Mutex::default(),
        })
    }

    /// What all keys begin with: `mjc:` if nothing is said. Applications that share servers need one each.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`] if it has spaces or control characters, or is longer than 150 bytes.
    pub fn prefix(mut self, prefix: impl Into<String>) -> Result<MemcachedStore, Error> {
        let prefix = prefix.into();
        if prefix.len() > 150 || prefix.chars().any(|c| c.is_whitespace() || c.is_control()) {
            let message = format!("memcached prefix {prefix:?}: has spaces or control characters, or over 150 bytes");
            return Err(Error::new(ErrorKind::Config, message));
        }
        self.prefix = prefix;
        Ok(self)
    }

    /// The most connections to each server, from 1 to 1,024; 16 if nothing is said. They are opened when they are
    /// needed, and kept. Another number is refused when the cache is built.
    pub fn pool_size(mut self, connections: usize) -> MemcachedStore {
        self.servers.pool_size = connections;
        self
    }

    fn key(&self, name: StoreKey) -> String {
        format!("{}{name:032x}", self.prefix)
    }

    /// Where a lease is kept beside a value.
    fn lease_key(&self, name: StoreKey) -> String {
        format!("{}:lease", self.key(name))
    }

    /// Ends leases kept beside values. One that ended before may be somebody else's since: then two compute.
    fn end_beside(&self, names: &[StoreKey], deadline: Instant) -> Result<(), StoreFailure> {
        let push = |at: usize, batch: &mut Batch| batch.push(MetaOp::Delete, &self.lease_key(names[at]), &[], None);
        self.servers
            .ask_each("release leases on", names, push, deadline)
            .into_iter()
            .try_for_each(|reply| reply.map(drop))
    }

    /// Asks about one name.
    fn ask(
        &self,
        what: &str,
        name: StoreKey,
        op: MetaOp,
        flags: &[&str],
        deadline: Instant,
    ) -> Result<Reply, StoreFailure> {
        let mut batch = Batch::new(self.servers.choose(&name.to_be_bytes()));
        batch.push(op, &self.key(name), flags, None);
        self.ask_one(what, &batch, deadline)
    }

    fn ask_one(&self, what: &str, batch: &Batch, deadline: Instant) -> Result<Reply, StoreFailure> {
        let mut replies = self.servers.ask_one(what, batch, deadline)?;
        replies.pop().ok_or_else(|| nonsense(what))
    }
}

impl Remote for MemcachedStore {
    fn describe(&self) -> String {
        let names: Vec<&str> = self.servers.all.iter().map(|server| server.address.name.as_str()).collect();
        format!("memcached {}", names.join(", "))
    }

    fn check(&self) -> Result<(), Error> {
        check_size(self.servers.pool_size)
    }

    fn sync_interval(&self) -> Duration {
        Duration::from_millis(25)
    }

    fn read(&self, names: &[StoreKey], deadline: Instant) -> Result<Vec<Option<Vec<u8>>>, StoreFailure> {
        let push = |at: usize, batch: &mut Batch| batch.push(MetaOp::Get, &self.key(names[at]), &["v", "k"], None);
        let mut failure = None;
        let mut answered = names.is_empty();
        let mut values = Vec::with_capacity(names.len());
        for reply in self.servers.ask_each("read from", names, push, deadline) {
            match reply.and_then(|reply| reply.map_err(|message| refused("read", &message))) {
                Ok(reply) => {
                    answered = true;
                    // An empty value stands for a lease that somebody holds.
                    values.push(reply.value.filter(|value| !value.is_empty()));
                }
                // As good as a miss: whoever asks about a name on that server alone is told why.
                Err(error) => {
                    failure.get_or_insert(error);
                    values.push(None);
                }
            }
        }
        match failure {
            Some(failure) if !answered => Err(failure),
            _ => Ok(values),
        }
    }

    fn read_or_lease(&self, name: StoreKey, span: Duration, deadline: Instant) -> Result<LeasedRead, StoreFailure> {
        let what = "read or lease from";
        let vivify = format!("N{}", lifetime(Some(span)));
        let reply = self.ask(what, name, MetaOp::Get, &["v", "c", "k", &vivify], deadline)?;
        let reply = reply.map_err(|message| refused("lease", &message))?;
        match reply.value {
            Some(value) if !value.is_empty() => Ok(LeasedRead::Found(value)),
            // Told to one only; the item stays marked as given out until a value replaces it.
            Some(_) if reply.won => Ok(LeasedRead::Taken(Lease(token(reply.cas)?))),
            Some(_) => Ok(LeasedRead::Held),
            None => Err(nonsense(what)),
        }
    }

    /// The item is a value, and cannot be its own lease: that is an item beside it, which only one can add.
    fn lease(&self, name: StoreKey, span: Duration, deadline: Instant) -> Result<Option<Lease>, StoreFailure> {
        let mut batch = Batch::new(self.servers.choose(&name.to_be_bytes()));
        batch.push(MetaOp::Set, &self.lease_key(name), &["ME", &format!("T{}", lifetime(Some(span)))], Some(b"1"));
        let reply = self.ask_one("lease on", &batch, deadline)?.map_err(|message| refused("lease", &message))?;
        match reply.rc {
            ReturnCode::Hd => Ok(Some(BESIDE)),
            ReturnCode::Ns => Ok(None),
            _ => Err(nonsense("lease on")),
        }
    }

    fn write(&self, values: &[ValueWrite<'_>], deadline: Instant) -> Result<(), StoreFailure> {
        let names: Vec<StoreKey> = values.iter().map(|write| write.key).collect();
        let push = |at: usize, batch: &mut Batch| {
            let ttl = format!("T{}", lifetime(values[at].ttl));
            let lease = values[at].lease.filter(|lease| !is_beside(*lease)).map(|lease| format!("C{}", lease.0));
            let flags: Vec<&str> = std::iter::once(ttl.as_str()).chain(lease.as_deref()).collect();
            batch.push(MetaOp::Set, &self.key(names[at]), &flags, Some(values[at].value));
        };
        let mut failure = None;
        let mut doomed = Vec::new();
        for (reply, write) in self.servers.ask_each("write to", &names, push, deadline).into_iter().zip(values) {
            match reply {
                // With a lease, anything but success means that it was lost, and its item with it.
                Ok(Ok(reply)) if reply.rc == ReturnCode::Hd || write.lease.is_some_and(|lease| !is_beside(lease)) => {}
                Ok(Ok(_)) => {
                    doomed.push(write.key);
                    failure.get_or_insert_with(|| refused("write", "not stored"));
                }
                Ok(Err(message)) => {
                    doomed.push(write.key);
                    failure.get_or_insert_with(|| refused("write", &message));
                }
                Err(error) => {
                    failure.get_or_insert(error);
                }
            }
        }
        // Memcached deletes what it has no room to replace; but not in all cases, and nowhere is it promised. There
        // is a failure to report already.
        let push = |at: usize, batch: &mut Batch| batch.push(MetaOp::Delete, &self.key(doomed[at]), &[], None);
        self.servers.ask_each("delete from", &doomed, push, deadline);
        let beside = values.iter().filter(|write| write.lease.is_some_and(is_beside)).map(|write| write.key);
        if let Err(error) = self.end_beside(&beside.collect::<Vec<StoreKey>>(), deadline) {
            failure.get_or_insert(error);
        }
        failure.map_or(Ok(()), Err)
    }

    fn release(&self, name: StoreKey, lease: Lease, deadline: Instant) -> Result<(), StoreFailure> {
        if is_beside(lease) {
            return self.end_beside(&[name], deadline);
        }
        // `EX` or `NF`: it was lost, which is as good.
        let reply = self.ask("release a lease on", name, MetaOp::Delete, &[&format!("C{}", lease.0)], deadline)?;
        reply.map(drop).map_err(|message| refused("release", &message))
    }

    fn sync(&self, known: SyncPosition, raise: &[u64], deadline: Instant) -> Result<FloorUpdate, StoreFailure> {
        self.sync_floors(known, raise, deadline)
    }

    fn listen(&self, _changed: &dyn Fn(), _stopped: &dyn Fn() -> bool) -> Result<(), StoreFailure> {
        Ok(())
    }
}

impl std::fmt::Debug for MemcachedStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MemcachedStore").field("servers", &self.describe()).field("prefix", &self.prefix).finish()
    }
}

/// A lease that is kept beside a value: no item has this number.
const BESIDE: Lease = Lease(u64::MAX);

fn is_beside(lease: Lease) -> bool {
    lease == BESIDE
}

/// A lifetime as memcached takes it; 0 is for ever. Its clock ticks once a second, so that an item made just before a
/// tick loses almost a second: one is added.
fn lifetime(ttl: Option<Duration>) -> u64 {
    let Some(ttl) = ttl else { return 0 };
    let seconds = ttl.as_secs().saturating_add(u64::from(ttl.subsec_nanos() > 0)).saturating_add(1);
    if seconds <= LONGEST {
        return seconds;
    }
    let date = seconds.saturating_add(since_1970().as_secs());
    // Memcached's dates end in 2038.
    if date > i32::MAX as u64 { 0 } else { date }
}

fn since_1970() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// The token of compare-and-swap. Without one every write would succeed, and every change go unnoticed.
fn token(cas: Option<u64>) -> Result<u64, StoreFailure> {
    cas.filter(|&cas| cas > 0).ok_or_else(|| refused("use", "it has no compare-and-swap (-C)"))
}

fn refused(what: &str, message: &str) -> StoreFailure {
    StoreFailure::new(FailureKind::Refused, format!("memcached refused to {what}: {message}"))
}

fn nonsense(what: &str) -> StoreFailure {
    StoreFailure::new(FailureKind::InvalidReply, format!("cannot {what} memcached: not an answer to the question"))
}
