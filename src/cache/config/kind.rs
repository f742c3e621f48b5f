//! The cache type, and which settings go with it.
//!
//! Accepts the names of this crate and those of Flask-Caching.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::CacheConfig;
use crate::error::{Error, ErrorKind};

/// Where entries are stored; see [`CacheConfig::kind`]. Names are read case-insensitively.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", try_from = "String")]
#[non_exhaustive]
pub enum CacheType {
    /// In the memory of this process.
    #[default]
    Memory,
    /// Nowhere: caching is off, see [`Builder::enabled`](crate::Builder::enabled).
    Null,
    /// In memory, with a Redis or Valkey server behind it (feature `redis`).
    Redis,
    /// In memory, with a Redis or Valkey cluster behind it (feature `redis`).
    RedisCluster,
    /// In memory, with a Redis or Valkey server behind it that sentinels name (feature `redis`).
    RedisSentinel,
    /// In memory, with Memcached servers behind it (feature `memcached`).
    Memcached,
}

impl FromStr for CacheType {
    type Err = Error;

    fn from_str(name: &str) -> Result<CacheType, Error> {
        let plain: String = name.trim().chars().filter(|c| !matches!(c, '-' | '_' | ' ')).collect();
        match &*plain.to_ascii_lowercase() {
            "memory" | "simple" | "simplecache" => Ok(CacheType::Memory),
            "null" | "none" | "off" | "nullcache" => Ok(CacheType::Null),
            "redis" | "valkey" | "rediscache" => Ok(CacheType::Redis),
            "rediscluster" | "redisclustercache" => Ok(CacheType::RedisCluster),
            "redissentinel" | "redissentinelcache" => Ok(CacheType::RedisSentinel),
            "memcached" | "memcachedcache" => Ok(CacheType::Memcached),
            _ => {
                let expected = "memory, null, redis, redis-cluster, redis-sentinel or memcached";
                Err(Error::new(ErrorKind::Config, format!("unknown type {name:?}, expected {expected}")))
            }
        }
    }
}

impl TryFrom<String> for CacheType {
    type Error = Error;

    fn try_from(name: String) -> Result<CacheType, Error> {
        name.parse()
    }
}

impl fmt::Display for CacheType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}

impl CacheConfig {
    /// Refuses settings that belong to another cache type, because they would have no effect.
    pub(super) fn check_type(&self) -> Result<(), Error> {
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
