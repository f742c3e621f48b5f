//! The shared tier of a configuration. Each store needs its feature; without the feature its type is an error.

use super::{CacheConfig, CacheType};
use crate::cache::builder::Builder;
use crate::error::{Error, ErrorKind};
#[cfg(any(feature = "redis", feature = "memcached"))]
use crate::store::tier::SharedTier;

impl CacheConfig {
    /// Adds the shared tier of the cache type to a builder.
    pub(super) fn with_tier(&self, builder: Builder) -> Result<Builder, Error> {
        match self.kind {
            CacheType::Memory | CacheType::Null => Ok(builder),
            CacheType::Redis | CacheType::RedisCluster | CacheType::RedisSentinel => self.with_redis(builder),
            CacheType::Memcached => self.with_memcached(builder),
        }
    }

    #[cfg(not(feature = "redis"))]
    fn with_redis(&self, _: Builder) -> Result<Builder, Error> {
        Err(self.not_built("redis"))
    }

    #[cfg(not(feature = "memcached"))]
    fn with_memcached(&self, _: Builder) -> Result<Builder, Error> {
        Err(self.not_built("memcached"))
    }

    #[cfg(feature = "redis")]
    fn with_redis(&self, builder: Builder) -> Result<Builder, Error> {
        use crate::store::RedisStore;
        let mut store = match self.kind {
            CacheType::RedisCluster => RedisStore::cluster(&self.redis_cluster).map_err(of("redis_cluster"))?,
            CacheType::RedisSentinel => {
                let master = self.redis_sentinel_master.as_deref().unwrap_or("mymaster");
                RedisStore::sentinel(&self.redis_sentinels, master).map_err(of("redis_sentinels"))?
            }
            _ => self.single_redis()?,
        };
        if let Some(prefix) = &self.key_prefix {
            store = store.prefix(prefix);
        }
        if let Some(size) = self.checked_pool_size()? {
            store = store.pool_size(size);
        }
        Ok(self.with_settings(builder, store.into()))
    }

    #[cfg(feature = "memcached")]
    fn with_memcached(&self, builder: Builder) -> Result<Builder, Error> {
        use crate::store::MemcachedStore;
        let mut store = MemcachedStore::connect(&self.memcached_servers).map_err(of("memcached_servers"))?;
        if let Some(prefix) = &self.key_prefix {
            store = store.prefix(prefix).map_err(of("key_prefix"))?;
        }
        if let Some(size) = self.checked_pool_size()? {
            store = store.pool_size(usize::try_from(size).unwrap_or(usize::MAX));
        }
        Ok(self.with_settings(builder, store.into()))
    }

    /// The Redis server of the URL, or of the separate settings.
    #[cfg(feature = "redis")]
    fn single_redis(&self) -> Result<crate::store::RedisStore, Error> {
        use crate::store::RedisStore;
        let parts = [&self.redis_host, &self.redis_username, &self.redis_password];
        let in_parts = parts.iter().any(|part| part.is_some()) || self.redis_port.is_some() || self.redis_db.is_some();
        if let Some(url) = &self.redis_url {
            if in_parts {
                return Err(refusal(
                    "redis_url is given together with a part of it (redis_host, redis_port, redis_db, redis_username, \
                     redis_password); put all into the URL",
                ));
            }
            return RedisStore::connect(url).map_err(of("redis_url"));
        }
        let host = host(self.redis_host.as_deref().unwrap_or("localhost"))?;
        let port = u16::try_from(self.redis_port.unwrap_or(6379)).ok().filter(|port| *port > 0);
        let port = port.ok_or_else(|| refusal("redis_port must be from 1 to 65535"))?;
        let db = i64::try_from(self.redis_db.unwrap_or(0)).map_err(|_| refusal("redis_db is too large a number"))?;
        let username = self.redis_username.clone().filter(|name| !name.is_empty());
        // A user may have an empty password. Without a user, an empty password means no password.
        let password = self.redis_password.clone().filter(|password| username.is_some() || !password.is_empty());
        if username.is_some() && password.is_none() {
            return Err(refusal(
                "redis_username is given without redis_password; Redis takes both, or the password alone",
            ));
        }
        RedisStore::at(host, port, db, (username, password))
    }

    #[cfg(any(feature = "redis", feature = "memcached"))]
    fn checked_pool_size(&self) -> Result<Option<u32>, Error> {
        let fits = |size| u32::try_from(size).ok().filter(|size| (1..=LARGEST_POOL).contains(size));
        match self.pool_size {
            None => Ok(None),
            Some(size) => match fits(size) {
                Some(size) => Ok(Some(size)),
                None => Err(refusal(&format!("pool_size is {size}: it must be from 1 to {LARGEST_POOL} connections"))),
            },
        }
    }

    #[cfg(any(feature = "redis", feature = "memcached"))]
    fn with_settings(&self, builder: Builder, mut tier: SharedTier) -> Builder {
        let bytes = |size: u64| usize::try_from(size).unwrap_or(usize::MAX);
        if let Some(budget) = self.budget {
            tier = tier.budget(budget);
        }
        if let Some(bound) = self.staleness_bound {
            tier = tier.staleness_bound(bound);
        }
        if let Some(span) = self.lease {
            tier = tier.lease(span);
        }
        if let Some(size) = self.compress_above {
            tier = tier.compress_above(bytes(size));
        }
        if let Some(size) = self.max_value_bytes {
            tier = tier.max_value_bytes(bytes(size));
        }
        if let Some(secret) = &self.secret {
            tier = tier.sign_with(secret.as_bytes());
        }
        builder.memory(self.memory.unwrap_or(true)).shared(tier)
    }

    #[cfg(not(all(feature = "redis", feature = "memcached")))]
    fn not_built(&self, feature: &str) -> Error {
        let message = format!("the type is {}, but this program was built without the feature `{feature}`", self.kind);
        Error::new(ErrorKind::Config, message)
    }
}

/// The largest number of connections to one server.
#[cfg(any(feature = "redis", feature = "memcached"))]
const LARGEST_POOL: u32 = 1024;

#[cfg(any(feature = "redis", feature = "memcached"))]
fn refusal(message: &str) -> Error {
    Error::new(ErrorKind::Config, message)
}

/// Prefixes the error of a store with the name of the setting that caused it.
#[cfg(any(feature = "redis", feature = "memcached"))]
fn of(setting: &str) -> impl Fn(Error) -> Error {
    move |error| refusal(&format!("{setting}: {error}"))
}

/// A host name or an IP address. An IPv6 address may be in brackets, as in a URL.
#[cfg(feature = "redis")]
fn host(given: &str) -> Result<String, Error> {
    use std::net::{IpAddr, Ipv6Addr};
    // The part after `%` is the interface of a link-local address.
    let is_v6 = |text: &str| text.split('%').next().is_some_and(|ip| ip.parse::<Ipv6Addr>().is_ok());
    let inside = given.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).filter(|inside| is_v6(inside));
    let host = inside.unwrap_or(given);
    let named = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
    if host.parse::<IpAddr>().is_ok_and(|ip| ip.is_unspecified()) {
        return Err(refusal(&format!(
            "redis_host {host} stands for all addresses of a machine; give one of the server"
        )));
    }
    if is_v6(host) || !host.is_empty() && host.chars().all(named) {
        return Ok(host.to_owned());
    }
    // Do not print a text with an `@`: the part before it may be a password.
    let quoted = if given.contains('@') { String::new() } else { format!(" {given:?}") };
    Err(refusal(&format!(
        "redis_host{quoted} is neither a host name nor an IP address; a port belongs into redis_port, a login into \
         redis_username and redis_password, and a URL or the path of a socket into redis_url"
    )))
}
