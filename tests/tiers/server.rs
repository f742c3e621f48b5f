//! One of the servers a store can be on.

use std::net::SocketAddr;

#[cfg(feature = "memcached")]
use crate::servers::Memcached;
use crate::servers::Redis;

pub enum Server {
    Redis(Redis),
    #[cfg(feature = "memcached")]
    Memcached(Memcached),
}

impl Server {
    pub fn redis() -> Server {
        Server::Redis(Redis::start())
    }

    #[cfg(feature = "memcached")]
    pub fn memcached() -> Server {
        Server::Memcached(Memcached::start())
    }

    /// What a node is given to reach it.
    pub fn store(&self) -> String {
        self.store_at(self.address())
    }

    /// The same by another address, such as a proxy's.
    pub fn store_at(&self, address: SocketAddr) -> String {
        match self {
            Server::Redis(_) => format!("redis://{address}"),
            #[cfg(feature = "memcached")]
            Server::Memcached(_) => format!("memcached:{address}"),
        }
    }

    pub fn address(&self) -> SocketAddr {
        match self {
            Server::Redis(redis) => redis.address(),
            #[cfg(feature = "memcached")]
            Server::Memcached(memcached) => memcached.address(),
        }
    }

    pub fn kill9(&self) {
        match self {
            Server::Redis(redis) => redis.kill9(),
            #[cfg(feature = "memcached")]
            Server::Memcached(memcached) => memcached.kill9(),
        }
    }

    pub fn restart(&self) {
        match self {
            Server::Redis(redis) => redis.restart(),
            #[cfg(feature = "memcached")]
            Server::Memcached(memcached) => memcached.restart(),
        }
    }

    pub fn pause(&self) {
        match self {
            Server::Redis(redis) => redis.pause(),
            #[cfg(feature = "memcached")]
            Server::Memcached(memcached) => memcached.pause(),
        }
    }

    pub fn resume(&self) {
        match self {
            Server::Redis(redis) => redis.resume(),
            #[cfg(feature = "memcached")]
            Server::Memcached(memcached) => memcached.resume(),
        }
    }

    /// Loses all it holds.
    pub fn forget(&self) {
        match self {
            Server::Redis(redis) => _ = redis.run("FLUSHALL").ok(),
            #[cfg(feature = "memcached")]
            Server::Memcached(memcached) => memcached.flush_all(),
        }
    }
}
