//! A Redis or Valkey server, or several of them, as the shared store.
//!
//! This file maps each operation of a store to commands, and interprets the replies. `pool.rs` keeps sessions,
//! `topology.rs` opens them (`sentinel.rs`, `cluster.rs`), `connection.rs` is one connection. `script.rs` holds the Lua
//! scripts, `subscriber.rs` receives notifications.

mod cluster;
mod command;
mod connection;
mod pool;
mod script;
mod sentinel;
mod socket;
mod subscriber;
mod target;
#[cfg(all(test, unix, not(shuttle)))]
mod tests;
mod tls;
mod topology;

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use redis::{Cmd, Value};

use self::command::KeyedCommand;
use self::pool::{RedisSettings, SessionPool};
use self::script::ServerScript;
use self::sentinel::Sentinels;
use self::tls::TlsConfig;
use self::topology::Topology;
use super::pool::check_size;
use super::{FailureKind, FloorUpdate, Lease, LeasedRead, Remote, StoreFailure, StoreKey, SyncPosition, ValueWrite};
use crate::error::Error;
use crate::util::random::unique;

/// The number of tags whose floors are kept. When it is exceeded, the oldest floors are merged, and results whose
/// computation started before them are invalid.
const MAX_FLOORS: u32 = 65_536;

/// A Redis or Valkey server through which several processes share entries and invalidations.
///
/// Requires Redis 7.0 or Valkey 7.2, or newer. A user with restricted rights needs the keys `<prefix>*`, the channel
/// `<prefix>floors:*`, and the commands `GET`, `SET`, `DEL`, `EVAL`, `EVALSHA`, `INFO`, `TIME`, `PUBLISH`, `SUBSCRIBE`,
/// `PING`, `SELECT` (for a database other than 0), `ZADD`, `ZCARD`, `ZRANGE`, `ZRANGEBYSCORE`, `ZREM`,
/// `ZREMRANGEBYSCORE`; with sentinels also `ROLE`, in a cluster `CLUSTER SLOTS` and `ASKING`.
///
/// Entries are kept until they expire or are evicted; use an eviction policy such as `allkeys-lru`. If the server loses
/// or evicts its record of invalidations, or its clock is set back, all its entries become invalid, so that no outdated
/// entry is served.
///
/// Connections are opened when the store is first used, so an address without a server is not an error before that.
/// Connecting happens in the background and takes at most a second. A request waits for it no longer than the budget of
/// the shared tier.
///
/// ```
/// # fn main() -> Result<(), minijinja_cache::Error> {
/// use minijinja_cache::RedisStore;
///
/// let store = RedisStore::connect("redis://cache.internal/2")?.prefix("shop:").pool_size(32);
/// # Ok(())
/// # }
/// ```
#[must_use]
pub struct RedisStore {
    prefix: String,
    pool: SessionPool,
}

impl RedisStore {
    /// A single server, given by its URL:
    ///
    /// - `redis://[user:password@]host[:port][/database]`, or `valkey://…`; port 6379 and database 0 by default.
    /// - `rediss://…`, or `valkeys://…`: over TLS, with the feature `redis-tls`. The certificate must be valid for the
    ///   host; with `#insecure` at the end any certificate is accepted.
    /// - `redis+unix:///path[?db=…&user=…&pass=…]`, or `unix://…`: through a Unix socket.
    ///
    /// # Errors
    ///
    /// [`Config`](crate::ErrorKind::Config) if the URL is not one of these. The message quotes it without the
    /// password.
    pub fn connect(url: &str) -> Result<RedisStore, Error> {
        Ok(RedisStore::new(Topology::Single(target::parse(url)?)))
    }

    /// A single server, given by the parts of its address, without escaping.
    pub(crate) fn at(
        host: String,
        port: u16,
        db: i64,
        login: (Option<String>, Option<String>),
    ) -> Result<RedisStore, Error> {
        Ok(RedisStore::new(Topology::Single(target::at(host, port, db, login)?)))
    }

    /// A Redis or Valkey Cluster, given by the URLs of some of its nodes. The other nodes are discovered.
    ///
    /// User, password, database and TLS of the first URL whose node replies are used for all nodes. Each session of the
    /// [pool](RedisStore::pool_size) has a connection to each node that it used.
    ///
    /// # Errors
    ///
    /// [`Config`](crate::ErrorKind::Config) if a URL is malformed or of a Unix socket, or if there is no URL.
    pub fn cluster(urls: impl IntoIterator<Item = impl AsRef<str>>) -> Result<RedisStore, Error> {
        Ok(RedisStore::new(Topology::Cluster(target::parse_all(urls)?)))
    }

    /// The master that Sentinels report for `master_name`, given by the sentinels' URLs.
    ///
    /// User, password, database and TLS of the first URL are the master's. The store connects to sentinels without a
    /// password, and uses the one in the sentinel's URL if the sentinel requires one. Sentinels are queried several
    /// times a second, so that a replaced master is left soon. If no sentinel replies, the last known master is used.
    ///
    /// # Errors
    ///
    /// [`Config`](crate::ErrorKind::Config) if a URL is malformed or of a Unix socket, or if there is no URL.
    pub fn sentinel(urls: impl IntoIterator<Item = impl AsRef<str>>, master_name: &str) -> Result<RedisStore, Error> {
        let sentinels = target::parse_all(urls)?;
        Ok(RedisStore::new(Topology::Sentinel(Arc::new(Sentinels::new(sentinels, master_name)))))
    }

    /// The prefix of all keys and of the channel; `mjc:` by default. Processes with the same prefix share entries.
    pub fn prefix(mut self, prefix: impl Into<String>) -> RedisStore {
        self.prefix = prefix.into();
        self
    }

    /// The most connections, from 1 to 1,024; 16 by default. One more receives notifications of invalidations. Building
    /// the cache fails with another number.
    pub fn pool_size(self, connections: u32) -> RedisStore {
        self.with(|settings| settings.size = usize::try_from(connections).unwrap_or(usize::MAX))
    }

    /// Trusts the certificates in `pem`, in addition to Mozilla's roots, when connecting over TLS.
    ///
    /// # Errors
    ///
    /// [`Config`](crate::ErrorKind::Config) if there is no certificate in it, or one that is not an authority's.
    #[cfg(feature = "redis-tls")]
    pub fn tls_root(self, pem: &str) -> Result<RedisStore, Error> {
        let mut tls = self.pool.settings.tls.clone();
        tls.add(pem).map_err(|why| {
            Error::new(crate::ErrorKind::Config, format!("root certificate for {}: {why}", self.describe()))
        })?;
        Ok(self.with(|settings| settings.tls = tls))
    }

    fn new(topology: Topology) -> RedisStore {
        let settings = RedisSettings { topology, tls: TlsConfig::default(), size: 16 };
        RedisStore { prefix: "mjc:".into(), pool: SessionPool::new(settings) }
    }

    fn with(mut self, change: impl FnOnce(&mut RedisSettings)) -> RedisStore {
        let mut settings = RedisSettings::clone(&self.pool.settings);
        change(&mut settings);
        self.pool = SessionPool::new(settings);
        self
    }

    /// The braces make a cluster store an entry and its lease on one node.
    fn key(&self, key: StoreKey) -> String {
        format!("{}{{{key:032x}}}", self.prefix)
    }

    fn lease_key(&self, key: StoreKey) -> String {
        format!("{}:lease", self.key(key))
    }

    fn floors_key(&self) -> String {
        format!("{}floors", self.prefix)
    }

    /// The name contains the database, because channels are shared by all databases of a server.
    fn channel(&self) -> String {
        format!("{}:{}", self.floors_key(), self.pool.settings.topology.db())
    }

    fn run(&self, operation: &str, commands: &[KeyedCommand], deadline: Instant) -> Result<Vec<Value>, StoreFailure> {
        self.pool.run(commands, deadline).map_err(|failure| self.in_context(operation, failure))
    }

    /// Runs a script by its digest, and with its text if the server does not have it.
    fn script(
        &self,
        operation: &str,
        script: &ServerScript,
        keys: &[&str],
        arguments: impl Fn(&mut Cmd),
        deadline: Instant,
    ) -> Result<Value, StoreFailure> {
        let call = |mut command: Cmd| {
            arguments(&mut command);
            self.run(operation, &[KeyedCommand::new(keys[0], command)], deadline)
        };
        let mut reply = call(script.by_digest(keys))?.pop();
        if matches!(&reply, Some(reply) if is_unknown_script(reply)) {
            reply = call(script.with_text(keys))?.pop();
        }
        match reply {
            Some(Value::ServerError(error)) => Err(self.in_context(operation, connection::refused(&error))),
            reply => reply.ok_or_else(|| self.invalid_reply(operation)),
        }
    }

    fn set(&self, write: &ValueWrite<'_>) -> KeyedCommand {
        let mut command = KeyedCommand::on_key("SET", self.key(write.key));
        command.command.arg(write.value);
        if let Some(ttl) = write.ttl {
            command.command.arg("PX").arg(millis(ttl));
        }
        command
    }

    fn end(&self, key: StoreKey, lease: Lease, call: impl Fn(&ServerScript, &[&str]) -> Cmd) -> KeyedCommand {
        let key = self.lease_key(key);
        let mut command = call(&script::RELEASE, &[&key]);
        command.arg(lease.0);
        KeyedCommand::new(&key, command)
    }

    fn in_context(&self, operation: &str, mut failure: StoreFailure) -> StoreFailure {
        failure.message = format!("cannot {operation} {}: {}", self.describe(), failure.message);
        failure
    }

    fn invalid_reply(&self, operation: &str) -> StoreFailure {
        self.in_context(operation, StoreFailure::new(FailureKind::InvalidReply, "the reply does not fit the command"))
    }

    /// Deletes the older values of keys whose new values were refused. Redis allows deleting when memory is full.
    fn delete(&self, keys: impl Iterator<Item = StoreKey>, deadline: Instant) {
        let commands: Vec<KeyedCommand> = keys.map(|key| KeyedCommand::on_key("DEL", self.key(key))).collect();
        // The refusal is reported. If deleting fails too, the old value is still checked against the floors when read.
        let _ = self.pool.run(&commands, deadline);
    }
}

impl fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisStore")
            .field("server", &self.describe())
            .field("prefix", &self.prefix)
            .field("pool_size", &self.pool.settings.size)
            .finish_non_exhaustive()
    }
}

impl Remote for RedisStore {
    fn describe(&self) -> String {
        self.pool.settings.topology.describe()
    }

    fn check(&self) -> Result<(), Error> {
        check_size(self.pool.settings.size)
    }

    fn sync_interval(&self) -> Duration {
        Duration::from_millis(200)
    }

    fn read(&self, keys: &[StoreKey], deadline: Instant) -> Result<Vec<Option<Vec<u8>>>, StoreFailure> {
        const OPERATION: &str = "read from";
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let commands: Vec<KeyedCommand> = keys.iter().map(|&key| KeyedCommand::on_key("GET", self.key(key))).collect();
        let replies = self.run(OPERATION, &commands, deadline)?;
        let read = |reply| match reply {
            Value::BulkString(value) => Ok(Some(value)),
            Value::Nil => Ok(None),
            // Data of another program under this key counts as a miss.
            Value::ServerError(error) if error.code() == "WRONGTYPE" => Ok(None),
            Value::ServerError(error) => Err(self.in_context(OPERATION, connection::refused(&error))),
            _ => Err(self.invalid_reply(OPERATION)),
        };
        replies.into_iter().map(read).collect()
    }

    fn read_or_lease(&self, key: StoreKey, span: Duration, deadline: Instant) -> Result<LeasedRead, StoreFailure> {
        const OPERATION: &str = "read or lease from";
        let token = unique().max(1);
        let arguments = |command: &mut Cmd| _ = command.arg(token).arg(millis(span));
        let keys = [&*self.key(key), &*self.lease_key(key)];
        match self.script(OPERATION, &script::LEASE, &keys, arguments, deadline)? {
            Value::BulkString(value) => Ok(LeasedRead::Found(value)),
            Value::Int(1) => Ok(LeasedRead::Taken(Lease(token))),
            Value::Int(0) => Ok(LeasedRead::Held),
            _ => Err(self.invalid_reply(OPERATION)),
        }
    }

    fn lease(&self, key: StoreKey, span: Duration, deadline: Instant) -> Result<Option<Lease>, StoreFailure> {
        const OPERATION: &str = "lease from";
        let token = unique().max(1);
        let mut command = KeyedCommand::on_key("SET", self.lease_key(key));
        command.command.arg(token).arg("NX").arg("PX").arg(millis(span));
        match self.run(OPERATION, &[command], deadline)?.pop() {
            Some(Value::Okay) => Ok(Some(Lease(token))),
            Some(Value::Nil) => Ok(None),
            Some(Value::ServerError(error)) => Err(self.in_context(OPERATION, connection::refused(&error))),
            _ => Err(self.invalid_reply(OPERATION)),
        }
    }

    fn write(&self, values: &[ValueWrite<'_>], deadline: Instant) -> Result<(), StoreFailure> {
        const OPERATION: &str = "write to";
        if values.is_empty() {
            return Ok(());
        }
        let mut commands: Vec<KeyedCommand> = values.iter().map(|write| self.set(write)).collect();
        let leases: Vec<(StoreKey, Lease)> =
            values.iter().filter_map(|write| Some((write.key, write.lease?))).collect();
        commands.extend(leases.iter().map(|&(key, lease)| self.end(key, lease, ServerScript::by_digest)));
        let replies = self.run(OPERATION, &commands, deadline)?;
        let (set, ended) = replies.split_at(values.len());
        // A lease that is not ended here expires.
        if ended.iter().any(is_unknown_script) {
            let again: Vec<_> =
                leases.iter().map(|&(key, lease)| self.end(key, lease, ServerScript::with_text)).collect();
            let _ = self.pool.run(&again, deadline);
        }
        let mut refused = values.iter().zip(set).filter(|(_, reply)| **reply != Value::Okay).peekable();
        let Some((_, first)) = refused.peek() else { return Ok(()) };
        let failure = match first {
            Value::ServerError(error) => self.in_context(OPERATION, connection::refused(error)),
            _ => self.invalid_reply(OPERATION),
        };
        self.delete(refused.map(|(write, _)| write.key), deadline);
        Err(failure)
    }

    fn release(&self, key: StoreKey, lease: Lease, deadline: Instant) -> Result<(), StoreFailure> {
        const OPERATION: &str = "release lease in";
        let arguments = |command: &mut Cmd| _ = command.arg(lease.0);
        let key = self.lease_key(key);
        match self.script(OPERATION, &script::RELEASE, &[&key], arguments, deadline)? {
            Value::Int(_) => Ok(()),
            _ => Err(self.invalid_reply(OPERATION)),
        }
    }

    fn sync(&self, known: SyncPosition, raise: &[u64], deadline: Instant) -> Result<FloorUpdate, StoreFailure> {
        const OPERATION: &str = "sync invalidations with";
        // Checked before the call, because the reply of a replaced master would be accepted.
        self.pool.follow_master(deadline);
        let key = self.floors_key();
        let next = known.next_epoch();
        let arguments = |command: &mut Cmd| {
            command.arg(format!("{next:032x}")).arg(MAX_FLOORS).arg(self.channel());
            command.arg(format!("{:032x}", known.epoch)).arg(known.seq);
            for hash in raise {
                command.arg(&hash.to_be_bytes());
            }
        };
        let reply = self.script(OPERATION, &script::SYNC, &[&key], arguments, deadline).map_err(|mut failure| {
            if failure.kind == FailureKind::InvalidReply {
                failure.message = format!("{} (key `{key}`)", failure.message);
            }
            failure
        })?;
        let update = script::read_update(reply, next).ok_or_else(|| self.invalid_reply(OPERATION))?;
        // The address may lead to another server while some sessions are still to the old one.
        if known.epoch != 0 && update.epoch != known.epoch {
            self.pool.renew();
        }
        Ok(update)
    }

    fn listen(&self, on_change: &dyn Fn(), stopped: &dyn Fn() -> bool) -> Result<(), StoreFailure> {
        while !stopped() {
            subscriber::listen(&self.pool, &self.channel(), on_change, stopped)
                .map_err(|failure| self.in_context("listen to", failure))?;
        }
        Ok(())
    }
}

fn is_unknown_script(reply: &Value) -> bool {
    matches!(reply, Value::ServerError(error) if error.code() == "NOSCRIPT")
}

/// Rounded up. The server requires at least 1 ms, and adds the time to its clock in 63 bits.
fn millis(span: Duration) -> u64 {
    const CENTURY: u64 = 100 * 365 * 24 * 60 * 60 * 1000;
    u64::try_from(span.as_nanos().div_ceil(1_000_000)).unwrap_or(CENTURY).clamp(1, CENTURY)
}
