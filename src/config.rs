//! Configuration from a file or from environment variables: the same names in both, flat, so that every one is also a
//! variable.
//!
//! Owns names, units and which settings go together. What a value may be is checked by the builder and the stores.

mod tier;
mod values;

use std::fmt;
use std::time::Duration;

use serde::de::value::{self, MapDeserializer};
use serde::{Deserialize, Serialize};

use self::values::{duration, list, number, size, switch, text};
use crate::builder::Builder;
use crate::cache::FragmentCache;
use crate::error::{Error, ErrorKind};

/// The settings of a cache, for serde: a TOML or JSON file, or environment variables.
///
/// Every field may be left out; a name that is none is an error. Durations are seconds, or texts like `"90s"` and `"1h
/// 30m"`; sizes are bytes, or texts like `"64 MiB"`; lists are lists, or texts with commas. In a file the names are as
/// below, as variables they are in capitals after a prefix: `CACHE_DEFAULT_TTL=5m`. `examples/cache.toml` shows all.
///
/// ```
/// use minijinja_cache::CacheConfig;
///
/// let config: CacheConfig = serde_json::from_str(r#"{ "default_ttl": "5m", "max_bytes": "64 MiB" }"#)?;
/// let cache = config.build()?;
///
/// let variables = [("CACHE_DEFAULT_TTL", "5m"), ("CACHE_MAX_BYTES", "64 MiB")];
/// assert_eq!(CacheConfig::from_variables("CACHE_", variables)?, config);
/// # let _ = cache;
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct CacheConfig {
    /// Where entries live: in memory alone (the default), or in memory and a shared store behind it.
    #[serde(rename = "type")]
    pub kind: CacheType,
    /// See [`Builder::name`].
    #[serde(deserialize_with = "text")]
    pub name: Option<String>,
    /// See [`Builder::default_ttl`].
    #[serde(alias = "default_timeout", deserialize_with = "duration")]
    pub default_ttl: Option<Duration>,
    /// See [`Builder::max_bytes`].
    #[serde(deserialize_with = "size")]
    pub max_bytes: Option<u64>,
    /// See [`Builder::max_entry_bytes`].
    #[serde(deserialize_with = "size")]
    pub max_entry_bytes: Option<u64>,
    /// See [`Builder::wait_timeout`].
    #[serde(deserialize_with = "duration")]
    pub wait_timeout: Option<Duration>,
    /// See [`Builder::jitter`].
    #[serde(deserialize_with = "number")]
    pub jitter: Option<f64>,
    /// See [`Builder::shadow`].
    #[serde(deserialize_with = "number")]
    pub shadow: Option<f64>,
    /// See [`Builder::floor_slots`].
    #[serde(deserialize_with = "size")]
    pub floor_slots: Option<u64>,
    /// See [`Builder::measure_potential`].
    #[serde(deserialize_with = "switch")]
    pub measure_potential: Option<bool>,
    /// Whether entries are kept in memory, in front of a shared store; yes by default.
    #[serde(deserialize_with = "switch")]
    pub memory: Option<bool>,

    /// What the names of all keys in the shared store begin with.
    #[serde(deserialize_with = "text")]
    pub key_prefix: Option<String>,
    /// Connections to each server of the shared store at the most.
    #[serde(deserialize_with = "size")]
    pub pool_size: Option<u64>,
    /// How long a page waits for the shared store at the most.
    #[serde(deserialize_with = "duration")]
    pub budget: Option<Duration>,
    /// How long this node may go on without word from the shared store.
    #[serde(deserialize_with = "duration")]
    pub staleness_bound: Option<Duration>,
    /// How long one node may compute what all nodes miss; none by default.
    #[serde(deserialize_with = "duration")]
    pub lease: Option<Duration>,
    /// Bodies larger than this are compressed in the shared store.
    #[serde(deserialize_with = "size")]
    pub compress_above: Option<u64>,
    /// The largest body that is shared.
    #[serde(deserialize_with = "size")]
    pub max_value_bytes: Option<u64>,
    /// What shared entries are signed with; the same on all nodes.
    #[serde(deserialize_with = "text")]
    pub secret: Option<String>,

    /// The server of type `redis`: `redis://user:password@host:port/db`, `rediss://…` for TLS, `redis+unix:///path`.
    #[serde(deserialize_with = "text")]
    pub redis_url: Option<String>,
    /// Instead of a URL: the host; `localhost` by default.
    #[serde(deserialize_with = "text")]
    pub redis_host: Option<String>,
    /// Instead of a URL: the port; 6379 by default.
    #[serde(deserialize_with = "size")]
    pub redis_port: Option<u64>,
    /// Instead of a URL: the number of the database; 0 by default.
    #[serde(deserialize_with = "size")]
    pub redis_db: Option<u64>,
    /// Instead of a URL: the user.
    #[serde(deserialize_with = "text")]
    pub redis_username: Option<String>,
    /// Instead of a URL: the password.
    #[serde(deserialize_with = "text")]
    pub redis_password: Option<String>,
    /// Some nodes of a cluster, as URLs, for type `redis-cluster`.
    #[serde(deserialize_with = "list")]
    pub redis_cluster: Vec<String>,
    /// The sentinels, as URLs, for type `redis-sentinel`.
    #[serde(deserialize_with = "list")]
    pub redis_sentinels: Vec<String>,
    /// The name of the master the sentinels watch; `mymaster` by default.
    #[serde(deserialize_with = "text")]
    pub redis_sentinel_master: Option<String>,
    /// The servers of type `memcached`, as `host:port`.
    #[serde(deserialize_with = "list")]
    pub memcached_servers: Vec<String>,
}

/// Where entries live; see [`CacheConfig::kind`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum CacheType {
    /// In this process's memory.
    #[default]
    #[serde(alias = "simple", alias = "SimpleCache")]
    Memory,
    /// Nowhere: caching is off, see [`Builder::enabled`].
    #[serde(alias = "off", alias = "NullCache")]
    Null,
    /// In memory, and a Redis or Valkey server behind it (feature `redis`).
    #[serde(alias = "RedisCache", alias = "valkey")]
    Redis,
    /// The same with a cluster (feature `redis`).
    #[serde(alias = "RedisClusterCache")]
    RedisCluster,
    /// The same with a server that sentinels name (feature `redis`).
    #[serde(alias = "RedisSentinelCache")]
    RedisSentinel,
    /// In memory, and Memcached servers behind it (feature `memcached`).
    #[serde(alias = "MemcachedCache")]
    Memcached,
}

impl CacheConfig {
    /// Reads the environment variables that begin with a prefix, `CACHE_` as a rule. Other variables are nobody's
    /// business here; one that begins with the prefix and is no setting is an error.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`] names the variable that is unknown or makes no sense.
    pub fn from_env(prefix: &str) -> Result<CacheConfig, Error> {
        let mut variables = Vec::new();
        for (name, value) in std::env::vars_os() {
            let Some(name) = name.to_str().filter(|name| name.starts_with(prefix)) else { continue };
            let Ok(value) = value.into_string() else {
                return Err(Error::new(ErrorKind::Config, format!("{name} is not valid UTF-8")));
            };
            variables.push((name.to_owned(), value));
        }
        CacheConfig::from_variables(prefix, variables)
    }

    /// The same from any pairs of names and values.
    ///
    /// # Errors
    ///
    /// As [`from_env`](CacheConfig::from_env).
    pub fn from_variables<N: AsRef<str>, V: Into<String>>(
        prefix: &str,
        variables: impl IntoIterator<Item = (N, V)>,
    ) -> Result<CacheConfig, Error> {
        let settings = variables.into_iter().filter_map(|(name, value)| {
            let name = name.as_ref().strip_prefix(prefix)?.to_ascii_lowercase();
            Some((name, value.into()))
        });
        let settings: Vec<(String, String)> = settings.collect();
        // One by one first, so that the error names the variable.
        for (name, value) in &settings {
            let one = MapDeserializer::<_, value::Error>::new([(&**name, &**value)].into_iter());
            CacheConfig::deserialize(one).map_err(|error| {
                let variable = format!("{prefix}{}", name.to_ascii_uppercase());
                Error::new(ErrorKind::Config, format!("environment variable {variable}: {error}"))
            })?;
        }
        let all = settings.iter().map(|(name, value)| (&**name, &**value));
        CacheConfig::deserialize(MapDeserializer::<_, value::Error>::new(all))
            .map_err(|error| Error::new(ErrorKind::Config, format!("environment variables {prefix}…: {error}")))
    }

    /// Builds the cache.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`] names what makes no sense, what goes with another type, or the feature this program was
    /// built without.
    pub fn build(&self) -> Result<FragmentCache, Error> {
        self.builder()?.build()
    }

    /// A builder with these settings, for what no file can say: a clock, a syntax, what is told of errors.
    ///
    /// # Errors
    ///
    /// As [`build`](CacheConfig::build).
    pub fn builder(&self) -> Result<Builder, Error> {
        self.check_type()?;
        let mut builder = FragmentCache::builder().enabled(self.kind != CacheType::Null);
        if let Some(name) = &self.name {
            builder = builder.name(name.as_str());
        }
        if let Some(ttl) = self.default_ttl {
            builder = builder.default_ttl(ttl);
        }
        if let Some(bytes) = self.max_bytes {
            builder = builder.max_bytes(bytes);
        }
        if let Some(bytes) = self.max_entry_bytes {
            builder = builder.max_entry_bytes(bytes);
        }
        if let Some(timeout) = self.wait_timeout {
            builder = builder.wait_timeout(timeout);
        }
        if let Some(fraction) = self.jitter {
            builder = builder.jitter(fraction);
        }
        if let Some(share) = self.shadow {
            builder = builder.shadow(share);
        }
        if let Some(slots) = self.floor_slots {
            builder = builder.floor_slots(usize::try_from(slots).unwrap_or(usize::MAX));
        }
        if let Some(yes) = self.measure_potential {
            builder = builder.measure_potential(yes);
        }
        self.with_tier(builder)
    }

    /// Refuses settings of one type given with another: somebody expects something of them.
    fn check_type(&self) -> Result<(), Error> {
        use CacheType::{Memcached, Redis, RedisCluster, RedisSentinel};
        let shared = [Redis, RedisCluster, RedisSentinel, Memcached];
        let given: [(&str, bool, &[CacheType]); 19] = [
            ("memory", self.memory.is_some(), &shared),
            ("key_prefix", self.key_prefix.is_some(), &shared),
            ("pool_size", self.pool_size.is_some(), &shared),
            ("budget", self.budget.is_some(), &shared),
            ("staleness_bound", self.staleness_bound.is_some(), &shared),
            ("lease", self.lease.is_some(), &shared),
            ("compress_above", self.compress_above.is_some(), &shared),
            ("max_value_bytes", self.max_value_bytes.is_some(), &shared),
            ("secret", self.secret.is_some(), &shared),
            ("redis_url", self.redis_url.is_some(), &[Redis]),
            ("redis_host", self.redis_host.is_some(), &[Redis]),
            ("redis_port", self.redis_port.is_some(), &[Redis]),
            ("redis_db", self.redis_db.is_some(), &[Redis]),
            ("redis_username", self.redis_username.is_some(), &[Redis]),
            ("redis_password", self.redis_password.is_some(), &[Redis]),
            ("redis_cluster", !self.redis_cluster.is_empty(), &[RedisCluster]),
            ("redis_sentinels", !self.redis_sentinels.is_empty(), &[RedisSentinel]),
            ("redis_sentinel_master", self.redis_sentinel_master.is_some(), &[RedisSentinel]),
            ("memcached_servers", !self.memcached_servers.is_empty(), &[Memcached]),
        ];
        match given.iter().find(|(_, given, of)| *given && !of.contains(&self.kind)) {
            Some((name, _, of)) => {
                let of: Vec<String> = of.iter().map(ToString::to_string).collect();
                let message = format!("{name} is given, but the type is {}; it goes with {}", self.kind, of.join(", "));
                Err(Error::new(ErrorKind::Config, message))
            }
            None => Ok(()),
        }
    }
}

impl fmt::Display for CacheType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}

impl fmt::Debug for CacheConfig {
    /// Without what is secret: passwords, and URLs that may hold one.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CacheConfig")
            .field("type", &self.kind)
            .field("name", &self.name)
            .field("default_ttl", &self.default_ttl)
            .field("max_bytes", &self.max_bytes)
            .field("key_prefix", &self.key_prefix)
            .field("memcached_servers", &self.memcached_servers)
            .finish_non_exhaustive()
    }
}
