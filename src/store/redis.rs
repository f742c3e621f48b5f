//! A Redis or Valkey server, or several of them, as the shared store.
//!
//! Owns what is said to the server: names of keys, commands, and what the replies mean. By what connection is for
//! `pool.rs`, `topology.rs` and `link.rs`; hearing of changes is `listen.rs`.

mod cluster;
mod link;
mod listen;
mod pool;
mod script;
mod sentinel;
mod socket;
mod target;
#[cfg(all(test, unix, not(shuttle)))]
mod tests;
mod tls;
mod topology;

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use redis::{Cmd, Value};

use self::pool::{Pool, Settings};
use self::script::Code;
use self::sentinel::Sentinels;
use self::tls::Trust;
use self::topology::Topology;
use super::pool::check_size;
use super::{FailureKind, FloorUpdate, Lease, LeasedRead, Remote, StoreFailure, StoreKey, SyncPosition, ValueWrite};
use crate::error::Error;

/// How many tags' floors are kept one by one; beyond, what began before the oldest of them counts as invalid.
const MAX_FLOORS: u32 = 65_536;

/// A Redis or Valkey server that several processes share entries and invalidations through.
///
/// Needs Redis 7.0 or Valkey 7.2, or newer. A user with restricted rights needs the keys `<prefix>*`, the channel
/// `<prefix>floors:*`, and the commands `GET`, `SET`, `DEL`, `EVAL`, `EVALSHA`, `INFO`, `TIME`, `PUBLISH`, `SUBSCRIBE`,
/// `PING`, `SELECT` (for a database other than 0), `ZADD`, `ZCARD`, `ZRANGE`, `ZRANGEBYSCORE`, `ZREM`,
/// `ZREMRANGEBYSCORE`; with sentinels also `ROLE`, in a cluster `CLUSTER SLOTS` and `ASKING`.
///
/// Entries are kept until they expire or the server makes room; a policy such as `allkeys-lru` suits them. When the
/// server loses or evicts its record of invalidations, or its clock is set back, all it holds counts as invalid: nothing
/// stale is served for it.
///
/// No connection is made before the store is used, and an address where nothing answers is no error until then.
/// Connecting takes at most a second, in the background; a page waits for it as long as for the store at most.
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
    pool: Pool,
}

/// A command, and the key that says which node of a cluster it is for.
struct Command {
    key: Vec<u8>,
    command: Cmd,
}

impl RedisStore {
    /// A single server, by its URL:
    ///
    /// - `redis://[user:password@]host[:port][/database]`, or `valkey://…`; port 6379 and database 0 unless given.
    /// - `rediss://…`, or `valkeys://…`: over TLS, with the feature `redis-tls`. The certificate has to be valid for the
    ///   host; `#insecure` at the end takes any.
    /// - `redis+unix:///path[?db=…&user=…&pass=…]`, or `unix://…`: by a Unix socket.
    ///
    /// # Errors
    ///
    /// [`Config`](crate::ErrorKind::Config) if the URL is none of these, quoting it without the password.
    pub fn connect(url: &str) -> Result<RedisStore, Error> {
        Ok(RedisStore::new(Topology::Single(target::parse(url)?)))
    }

    /// A single server, by the parts of its address, which need no escaping.
    pub(crate) fn at(
        host: String,
        port: u16,
        db: i64,
        login: (Option<String>, Option<String>),
    ) -> Result<RedisStore, Error> {
        Ok(RedisStore::new(Topology::Single(target::at(host, port, db, login)?)))
    }

    /// A Redis or Valkey Cluster, by the URLs of some of its nodes; the others are found.
    ///
    /// User, password, database and TLS are those of the URL that answered first, for all nodes. In each session
    /// of the [pool](RedisStore::pool_size) there is a connection to each node that was used.
    ///
    /// # Errors
    ///
    /// [`Config`](crate::ErrorKind::Config) if a URL is malformed or of a Unix socket, or there is none.
    pub fn cluster(urls: impl IntoIterator<Item = impl AsRef<str>>) -> Result<RedisStore, Error> {
        Ok(RedisStore::new(Topology::Cluster(target::parse_all(urls)?)))
    }

    /// The server that Sentinels name as the master of `master_name`, by the sentinels' URLs.
    ///
    /// User, password, database and TLS in the first URL are the master's. Sentinels are asked without a password;
    /// one that wants one is given that of its own URL. They are asked several times a second, so that a node leaves a
    /// master that was replaced; where none answers, it stays with the one they named last.
    ///
    /// # Errors
    ///
    /// [`Config`](crate::ErrorKind::Config) if a URL is malformed or of a Unix socket, or there is none.
    pub fn sentinel(urls: impl IntoIterator<Item = impl AsRef<str>>, master_name: &str) -> Result<RedisStore, Error> {
        let sentinels = target::parse_all(urls)?;
        Ok(RedisStore::new(Topology::Sentinel(Arc::new(Sentinels::new(sentinels, master_name)))))
    }

    /// What all keys and the channel begin with; `mjc:` unless set. Processes share what has the same prefix.
    pub fn prefix(mut self, prefix: impl Into<String>) -> RedisStore {
        self.prefix = prefix.into();
        self
    }

    /// How many connections there may be at once, from 1 to 1,024; 16 unless set. One more listens for invalidations.
    /// Another number is refused when the cache is built.
    pub fn pool_size(self, connections: u32) -> RedisStore {
        self.with(|settings| settings.size = usize::try_from(connections).unwrap_or(usize::MAX))
    }

    /// Believes the certificates in `pem` too when connecting over TLS, besides Mozilla's roots.
    ///
    /// # Errors
    ///
    /// [`Config`](crate::ErrorKind::Config) if there is no certificate in it, or one that is no authority's.
    #[cfg(feature = "redis-tls")]
    pub fn tls_root(self, pem: &str) -> Result<RedisStore, Error> {
        let mut trust = self.pool.settings.trust.clone();
        trust.add(pem).map_err(|why| {
            Error::new(crate::ErrorKind::Config, format!("root certificate for {}: {why}", self.describe()))
        })?;
        Ok(self.with(|settings| settings.trust = trust))
    }

    fn new(topology: Topology) -> RedisStore {
        let settings = Settings { topology, trust: Trust::default(), size: 16 };
        RedisStore { prefix: "mjc:".into(), pool: Pool::new(settings) }
    }

    fn with(mut self, change: impl FnOnce(&mut Settings)) -> RedisStore {
        let mut settings = Settings::clone(&self.pool.settings);
        change(&mut settings);
        self.pool = Pool::new(settings);
        self
    }

    /// In braces, so that a cluster has an entry and its lease on one node.
    fn key(&self, name: StoreKey) -> String {
        format!("{}{{{name:032x}}}", self.prefix)
    }

    fn lease_key(&self, name: StoreKey) -> String {
        format!("{}:lease", self.key(name))
    }

    fn floors_key(&self) -> String {
        format!("{}floors", self.prefix)
    }

    /// With the database, for channels are the server's: another database's invalidations are not ours.
    fn channel(&self) -> String {
        format!("{}:{}", self.floors_key(), self.pool.settings.topology.db())
    }

    fn run(&self, operation: &str, commands: &[Command], deadline: Instant) -> Result<Vec<Value>, StoreFailure> {
        self.pool.run(commands, deadline).map_err(|failure| self.name(operation, failure))
    }

    /// Runs a script, with its text if the server does not know it.
    fn script(
        &self,
        operation: &str,
        code: &Code,
        keys: &[&str],
        arguments: impl Fn(&mut Cmd),
        deadline: Instant,
    ) -> Result<Value, StoreFailure> {
        let call = |mut command: Cmd| {
            arguments(&mut command);
            self.run(operation, &[Command::new(keys[0], command)], deadline)
        };
        let mut reply = call(code.known(keys))?.pop();
        if matches!(&reply, Some(reply) if is_unknown_script(reply)) {
            reply = call(code.unknown(keys))?.pop();
        }
        match reply {
            Some(Value::ServerError(error)) => Err(self.name(operation, link::refused(&error))),
            reply => reply.ok_or_else(|| self.nonsense(operation)),
        }
    }

    fn set(&self, write: &ValueWrite<'_>) -> Command {
        let mut command = Command::of("SET", self.key(write.key));
        command.command.arg(write.value);
        if let Some(ttl) = write.ttl {
            command.command.arg("PX").arg(millis(ttl));
        }
        command
    }

    fn end(&self, name: StoreKey, lease: Lease, call: impl Fn(&Code, &[&str]) -> Cmd) -> Command {
        let key = self.lease_key(name);
        let mut command = call(&script::RELEASE, &[&key]);
        command.arg(lease.0);
        Command::new(&key, command)
    }

    fn name(&self, operation: &str, mut failure: StoreFailure) -> StoreFailure {
        failure.message = format!("cannot {operation} {}: {}", self.describe(), failure.message);
        failure
    }

    fn nonsense(&self, operation: &str) -> StoreFailure {
        self.name(operation, StoreFailure::new(FailureKind::InvalidReply, "the answer makes no sense"))
    }

    /// What is stored for a name whose new value was refused is worth nothing. Deleting is allowed when memory is full.
    fn forget(&self, names: impl Iterator<Item = StoreKey>, deadline: Instant) {
        let commands: Vec<Command> = names.map(|name| Command::of("DEL", self.key(name))).collect();
        // The refusal is what is reported. Where deleting fails too, the old value is still checked against the floors.
        let _ = self.pool.run(&commands, deadline);
    }
}

impl Command {
    fn new(key: &str, command: Cmd) -> Command {
        Command { key: key.as_bytes().to_vec(), command }
    }

    fn of(name: &str, key: String) -> Command {
        let mut command = redis::cmd(name);
        command.arg(&key);
        Command { key: key.into_bytes(), command }
    }
}

impl fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisStore")
            .field("place", &self.describe())
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

    fn read(&self, names: &[StoreKey], deadline: Instant) -> Result<Vec<Option<Vec<u8>>>, StoreFailure> {
        const OPERATION: &str = "read from";
        if names.is_empty() {
            return Ok(Vec::new());
        }
        let commands: Vec<Command> = names.iter().map(|&name| Command::of("GET", self.key(name))).collect();
        let replies = self.run(OPERATION, &commands, deadline)?;
        let read = |reply| match reply {
            Value::BulkString(value) => Ok(Some(value)),
            Value::Nil => Ok(None),
            // Somebody else's data under our name: there is no entry.
            Value::ServerError(error) if error.code() == "WRONGTYPE" => Ok(None),
            Value::ServerError(error) => Err(self.name(OPERATION, link::refused(&error))),
            _ => Err(self.nonsense(OPERATION)),
        };
        replies.into_iter().map(read).collect()
    }

    fn read_or_lease(&self, name: StoreKey, span: Duration, deadline: Instant) -> Result<LeasedRead, StoreFailure> {
        const OPERATION: &str = "read or lease from";
        let token = fastrand::u64(1..);
        let arguments = |command: &mut Cmd| _ = command.arg(token).arg(millis(span));
        let keys = [&*self.key(name), &*self.lease_key(name)];
        match self.script(OPERATION, &script::LEASE, &keys, arguments, deadline)? {
            Value::BulkString(value) => Ok(LeasedRead::Found(value)),
            Value::Int(1) => Ok(LeasedRead::Taken(Lease(token))),
            Value::Int(0) => Ok(LeasedRead::Held),
            _ => Err(self.nonsense(OPERATION)),
        }
    }

    fn lease(&self, name: StoreKey, span: Duration, deadline: Instant) -> Result<Option<Lease>, StoreFailure> {
        const OPERATION: &str = "lease from";
        let token = fastrand::u64(1..);
        let mut command = Command::of("SET", self.lease_key(name));
        command.command.arg(token).arg("NX").arg("PX").arg(millis(span));
        match self.run(OPERATION, &[command], deadline)?.pop() {
            Some(Value::Okay) => Ok(Some(Lease(token))),
            Some(Value::Nil) => Ok(None),
            Some(Value::ServerError(error)) => Err(self.name(OPERATION, link::refused(&error))),
            _ => Err(self.nonsense(OPERATION)),
        }
    }

    fn write(&self, values: &[ValueWrite<'_>], deadline: Instant) -> Result<(), StoreFailure> {
        const OPERATION: &str = "write to";
        if values.is_empty() {
            return Ok(());
        }
        let mut commands: Vec<Command> = values.iter().map(|write| self.set(write)).collect();
        let leases: Vec<(StoreKey, Lease)> =
            values.iter().filter_map(|write| Some((write.key, write.lease?))).collect();
        commands.extend(leases.iter().map(|&(name, lease)| self.end(name, lease, Code::known)));
        let replies = self.run(OPERATION, &commands, deadline)?;
        let (set, ended) = replies.split_at(values.len());
        // What fails here is a lease that ends by itself, a little later.
        if ended.iter().any(is_unknown_script) {
            let again: Vec<_> = leases.iter().map(|&(name, lease)| self.end(name, lease, Code::unknown)).collect();
            let _ = self.pool.run(&again, deadline);
        }
        let mut refused = values.iter().zip(set).filter(|(_, reply)| **reply != Value::Okay).peekable();
        let Some((_, first)) = refused.peek() else { return Ok(()) };
        let failure = match first {
            Value::ServerError(error) => self.name(OPERATION, link::refused(error)),
            _ => self.nonsense(OPERATION),
        };
        self.forget(refused.map(|(write, _)| write.key), deadline);
        Err(failure)
    }

    fn release(&self, name: StoreKey, lease: Lease, deadline: Instant) -> Result<(), StoreFailure> {
        const OPERATION: &str = "release lease in";
        let arguments = |command: &mut Cmd| _ = command.arg(lease.0);
        let key = self.lease_key(name);
        match self.script(OPERATION, &script::RELEASE, &[&key], arguments, deadline)? {
            Value::Int(_) => Ok(()),
            _ => Err(self.nonsense(OPERATION)),
        }
    }

    fn sync(&self, known: SyncPosition, raise: &[u64], deadline: Instant) -> Result<FloorUpdate, StoreFailure> {
        const OPERATION: &str = "sync invalidations with";
        // Before the question: an answer of one that is no longer the master would be believed.
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
        let news = script::read_news(reply, next).ok_or_else(|| self.nonsense(OPERATION))?;
        // The address may lead to another server, and some sessions still to the one before.
        if known.epoch != 0 && news.epoch != known.epoch {
            self.pool.renew();
        }
        Ok(news)
    }

    fn listen(&self, changed: &dyn Fn(), stopped: &dyn Fn() -> bool) -> Result<(), StoreFailure> {
        while !stopped() {
            listen::listen(&self.pool, &self.channel(), changed, stopped)
                .map_err(|failure| self.name("listen to", failure))?;
        }
        Ok(())
    }
}

fn is_unknown_script(reply: &Value) -> bool {
    matches!(reply, Value::ServerError(error) if error.code() == "NOSCRIPT")
}

/// Rounded up; the server takes no less than 1 ms, and adds it to the time of day, in 63 bits.
fn millis(span: Duration) -> u64 {
    const CENTURY: u64 = 100 * 365 * 24 * 60 * 60 * 1000;
    u64::try_from(span.as_nanos().div_ceil(1_000_000)).unwrap_or(CENTURY).clamp(1, CENTURY)
}
