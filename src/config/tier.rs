//! The part of the configuration that makes a shared tier, as far as this program was built with one.

use super::{CacheConfig, CacheType};
use crate::builder::Builder;
use crate::error::{Error, ErrorKind};
#[cfg(any(feature = "redis", feature = "memcached"))]
use crate::shared::SharedTier;

impl CacheConfig {
    /// The builder with the shared tier of the type.
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
            CacheType::RedisCluster => RedisStore::cluster(&self.redis_cluster)?,
            CacheType::RedisSentinel => {
                let master = self.redis_sentinel_master.as_deref().unwrap_or("mymaster");
                RedisStore::sentinel(&self.redis_sentinels, master)?
            }
            _ => RedisStore::connect(&self.redis_address()?)?,
        };
        if let Some(prefix) = &self.key_prefix {
            store = store.prefix(prefix);
        }
        if let Some(size) = self.pool_size {
            store = store.pool_size(u32::try_from(size).unwrap_or(u32::MAX));
        }
        Ok(self.with_settings(builder, store.into()))
    }

    #[cfg(feature = "memcached")]
    fn with_memcached(&self, builder: Builder) -> Result<Builder, Error> {
        use crate::store::MemcachedStore;
        let mut store = MemcachedStore::connect(&self.memcached_servers)?;
        if let Some(prefix) = &self.key_prefix {
            store = store.prefix(prefix)?;
        }
        if let Some(size) = self.pool_size {
            store = store.pool_size(usize::try_from(size).unwrap_or(usize::MAX));
        }
        Ok(self.with_settings(builder, store.into()))
    }

    /// The URL, given or put together.
    #[cfg(feature = "redis")]
    fn redis_address(&self) -> Result<String, Error> {
        let parts = [&self.redis_host, &self.redis_username, &self.redis_password];
        let in_parts = parts.iter().any(|part| part.is_some()) || self.redis_port.is_some() || self.redis_db.is_some();
        match &self.redis_url {
            Some(_) if in_parts => Err(Error::new(
                ErrorKind::Config,
                "redis_url is given together with a part of it (redis_host, redis_port, redis_db, redis_username, \
                 redis_password); put all into the URL",
            )),
            Some(url) => Ok(url.clone()),
            None => Ok(format!(
                "redis://{}{}:{}/{}",
                credentials(self.redis_username.as_deref(), self.redis_password.as_deref()),
                self.redis_host.as_deref().unwrap_or("localhost"),
                self.redis_port.unwrap_or(6379),
                self.redis_db.unwrap_or(0)
            )),
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

/// `user:password@`, as a URL has it.
#[cfg(feature = "redis")]
fn credentials(user: Option<&str>, password: Option<&str>) -> String {
    if user.is_none() && password.is_none() {
        return String::new();
    }
    let encoded = |part: Option<&str>| -> String {
        let bytes = part.unwrap_or_default().bytes();
        bytes
            .map(|byte| if byte.is_ascii_alphanumeric() { char::from(byte).into() } else { format!("%{byte:02X}") })
            .collect()
    };
    format!("{}:{}@", encoded(user), encoded(password))
}
