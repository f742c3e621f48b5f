//! Configuration from a file or from environment variables. Both use the same names. The names are flat, so that each
//! setting can also be a variable.
//!
//! Owns the names and the check of variables. `config/values.rs` parses values and units, `config/kind.rs` the cache
//! type and which settings go with it, `config/tier.rs` builds the shared tier, `config/unknown.rs` handles unknown
//! names. The range of a value is checked by the builder and by the stores.

mod kind;
mod tier;
mod unknown;
mod values;

use std::fmt;
use std::time::Duration;

use serde::Deserialize;
use serde::de::value::MapDeserializer;

pub use self::kind::CacheType;
use self::unknown::{Fault, near, report};
use self::values::{count, duration, exact, list, number, size, switch, text};
use crate::cache::FragmentCache;
use crate::cache::builder::Builder;
use crate::error::{Error, ErrorKind};

/// The settings of a cache, read with serde from a TOML or JSON file or from environment variables.
///
/// Every field is optional; an unknown name in a file is an error. Durations are seconds, or texts like `"90s"`,
/// `"1h 30m"` and `"forever"`. Sizes are bytes, or texts like `"64 MiB"` and `"1.5G"`. Lists are lists, or texts with
/// commas. In a file the names are those of the fields below. A variable has the name in capitals after a prefix:
/// `CACHE_DEFAULT_TTL=5m`. `examples/cache.toml` shows all settings.
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
    /// Where entries are stored: in memory only (the default), or in memory and in a shared store behind it.
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
    #[serde(deserialize_with = "count")]
    pub floor_slots: Option<u64>,
    /// See [`Builder::measure_potential`].
    #[serde(deserialize_with = "switch")]
    pub measure_potential: Option<bool>,
    /// Whether entries are stored in memory in front of a shared store; `true` by default.
    #[serde(deserialize_with = "switch")]
    pub memory: Option<bool>,

    /// The prefix of all keys in the shared store.
    #[serde(deserialize_with = "text")]
    pub key_prefix: Option<String>,
    /// The largest number of connections to each server of the shared store.
    #[serde(deserialize_with = "count")]
    pub pool_size: Option<u64>,
    /// The longest time that a page waits for the shared store.
    #[serde(deserialize_with = "duration")]
    pub budget: Option<Duration>,
    /// The longest time that this node serves entries without a synchronisation with the shared store.
    #[serde(deserialize_with = "duration")]
    pub staleness_bound: Option<Duration>,
    /// How long one node may compute a result while the other nodes wait for it; no lease by default.
    #[serde(deserialize_with = "duration")]
    pub lease: Option<Duration>,
    /// Bodies larger than this, in bytes, are compressed in the shared store.
    #[serde(deserialize_with = "size")]
    pub compress_above: Option<u64>,
    /// The largest body that is written to the shared store, in bytes.
    #[serde(deserialize_with = "size")]
    pub max_value_bytes: Option<u64>,
    /// The secret that signs entries in the shared store; the same on all nodes.
    #[serde(deserialize_with = "exact")]
    pub secret: Option<String>,

    /// The server for type `redis`: `redis://user:password@host:port/db`, `rediss://…` for TLS, `redis+unix:///path`.
    #[serde(deserialize_with = "text")]
    pub redis_url: Option<String>,
    /// The host, instead of a URL; `localhost` by default.
    #[serde(deserialize_with = "text")]
    pub redis_host: Option<String>,
    /// The port, instead of a URL; 6379 by default.
    #[serde(deserialize_with = "count")]
    pub redis_port: Option<u64>,
    /// The number of the database, instead of a URL; 0 by default.
    #[serde(deserialize_with = "count")]
    pub redis_db: Option<u64>,
    /// The user, instead of a URL.
    #[serde(deserialize_with = "exact")]
    pub redis_username: Option<String>,
    /// The password, instead of a URL.
    #[serde(deserialize_with = "exact")]
    pub redis_password: Option<String>,
    /// URLs of some nodes of the cluster, for type `redis-cluster`.
    #[serde(deserialize_with = "list")]
    pub redis_cluster: Vec<String>,
    /// URLs of the sentinels, for type `redis-sentinel`.
    #[serde(deserialize_with = "list")]
    pub redis_sentinels: Vec<String>,
    /// The name of the master that the sentinels watch; `mymaster` by default.
    #[serde(deserialize_with = "text")]
    pub redis_sentinel_master: Option<String>,
    /// The servers for type `memcached`, as `host:port`.
    #[serde(deserialize_with = "list")]
    pub memcached_servers: Vec<String>,

    /// Variables that have the prefix and are not settings.
    #[serde(skip)]
    unknown: Vec<String>,
}

impl CacheConfig {
    /// Reads the environment variables that begin with a prefix, usually `CACHE_`.
    ///
    /// A variable that has the prefix and is not a setting may belong to another program. If its name is similar to the
    /// name of a setting, it is an error. Otherwise it is ignored, and reported to [`Builder::on_error`] when the cache
    /// is built.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`] names the variable that is misspelt or has an invalid value.
    pub fn from_env(prefix: &str) -> Result<CacheConfig, Error> {
        let ours = std::env::vars_os().filter_map(|(name, value)| {
            let name = name.to_str()?.strip_prefix(prefix)?.to_owned();
            Some((name, value.into_string().ok()))
        });
        CacheConfig::read(prefix, ours.collect())
    }

    /// [`from_env`](CacheConfig::from_env) for any pairs of names and values.
    ///
    /// # Errors
    ///
    /// As [`from_env`](CacheConfig::from_env).
    pub fn from_variables<N: AsRef<str>, V: Into<String>>(
        prefix: &str,
        variables: impl IntoIterator<Item = (N, V)>,
    ) -> Result<CacheConfig, Error> {
        let ours = variables.into_iter().filter_map(|(name, value)| {
            let name = name.as_ref().strip_prefix(prefix)?.to_owned();
            Some((name, Some(value.into())))
        });
        CacheConfig::read(prefix, ours.collect())
    }

    /// `variables` are names without the prefix, and values. A value is `None` if it is not UTF-8.
    fn read(prefix: &str, variables: Vec<(String, Option<String>)>) -> Result<CacheConfig, Error> {
        let refuse = |why: String| Err(Error::new(ErrorKind::Config, why));
        let (mut settings, mut unknown) = (Vec::new(), Vec::new());
        for (variable, value) in variables {
            let name = variable.to_ascii_lowercase();
            // One variable at a time, so that the error can name it.
            let one = [(&*name, value.as_deref().unwrap_or_default())];
            match CacheConfig::deserialize(MapDeserializer::<_, Fault>::new(one.into_iter())) {
                Err(Fault::Unknown(known)) => match near(&name, known) {
                    Some(meant) => {
                        return refuse(format!(
                            "environment variable {prefix}{variable} is no setting; did you mean {prefix}{}, the setting \
                             `{meant}`? If it is of another program, read the settings under another prefix than {prefix}",
                            meant.to_ascii_uppercase()
                        ));
                    }
                    None => unknown.push(format!("{prefix}{variable}")),
                },
                _ if value.is_none() => {
                    return refuse(format!("environment variable {prefix}{variable} is not valid UTF-8"));
                }
                Err(Fault::Other(why)) => return refuse(format!("environment variable {prefix}{variable}: {why}")),
                Ok(_) => settings.push((name, value.unwrap_or_default())),
            }
        }
        let all = settings.iter().map(|(name, value)| (&**name, &**value));
        match CacheConfig::deserialize(MapDeserializer::<_, Fault>::new(all)) {
            Ok(config) => Ok(CacheConfig { unknown, ..config }),
            Err(fault) => refuse(format!("environment variables {prefix}…: {fault}")),
        }
    }

    /// Builds the cache.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`] names the setting that is invalid or belongs to another cache type, or the feature that
    /// this program was built without.
    pub fn build(&self) -> Result<FragmentCache, Error> {
        self.builder()?.build()
    }

    /// A builder with these settings. Use it to add the settings that a file cannot hold: a clock, a syntax, callbacks.
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
        if let Some(report) = report(&self.unknown) {
            builder = builder.report_once_built(report);
        }
        self.with_tier(builder)
    }
}

impl fmt::Debug for CacheConfig {
    /// Leaves out secrets: passwords, and URLs that may contain one.
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
