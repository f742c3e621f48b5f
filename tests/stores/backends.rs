//! The places entries can live in, each with a store of its own for each test.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use minijinja_cache::{Builder, FragmentCache, LocalStore, ManualClock, MemcachedStore, RedisStore, SharedTier};

use crate::servers::{Memcached, Redis, RedisCluster, STUCK, wait_for};

/// One place, used by one test.
pub struct Backend {
    clock: ManualClock,
    memory: bool,
    store: Option<Box<dyn Fn() -> SharedTier>>,
    cache: Option<FragmentCache>,
}

static REDIS: OnceLock<Redis> = OnceLock::new();
static CLUSTER: OnceLock<RedisCluster> = OnceLock::new();
static MEMCACHED: OnceLock<[Memcached; 2]> = OnceLock::new();

pub fn redis() -> &'static Redis {
    REDIS.get_or_init(Redis::start)
}

/// A prefix no other test uses.
pub fn prefix() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    format!("test{}:", NEXT.fetch_add(1, Ordering::Relaxed))
}

impl Backend {
    pub fn memory() -> Backend {
        Backend { clock: ManualClock::new(), memory: true, store: None, cache: None }
    }

    pub fn local() -> Backend {
        let store = LocalStore::new();
        Backend::shared(move || store.clone().into())
    }

    pub fn redis() -> Backend {
        let prefix = prefix();
        Backend::shared(move || RedisStore::connect(&redis().url()).unwrap().prefix(&*prefix).into())
    }

    pub fn cluster() -> Backend {
        let (cluster, prefix) = (CLUSTER.get_or_init(|| RedisCluster::start(3)), prefix());
        Backend::shared(move || RedisStore::cluster(cluster.urls()).unwrap().prefix(&*prefix).into())
    }

    pub fn memcached() -> Backend {
        let servers = MEMCACHED.get_or_init(|| [Memcached::start(), Memcached::start()]);
        let prefix = prefix();
        Backend::shared(move || {
            let addresses = servers.iter().map(|server| server.address().to_string());
            MemcachedStore::connect(addresses).unwrap().prefix(&*prefix).unwrap().into()
        })
    }

    pub fn without_memory(self) -> Backend {
        Backend { memory: false, ..self }
    }

    fn shared(store: impl Fn() -> SharedTier + 'static) -> Backend {
        Backend { clock: ManualClock::new(), memory: true, store: Some(Box::new(store)), cache: None }
    }

    pub fn clock(&self) -> &ManualClock {
        &self.clock
    }

    pub fn is_shared(&self) -> bool {
        self.store.is_some()
    }

    /// A node: the only one there can be where entries live in memory, another one each time where they are shared.
    /// What the one before did has arrived.
    pub fn node(&mut self) -> FragmentCache {
        let builder = FragmentCache::builder().clock(&self.clock);
        let Some(store) = &self.store else {
            return self.cache.get_or_insert_with(|| builder.build().unwrap()).clone();
        };
        if let Some(before) = &self.cache {
            assert!(before.flush(STUCK));
        }
        let node = in_touch(builder.memory(self.memory).shared(store()));
        self.cache.insert(node).clone()
    }
}

pub fn in_touch(builder: Builder) -> FragmentCache {
    let cache = builder.build().unwrap();
    wait_for("in touch with the store", || cache.shared_status().unwrap().in_touch);
    cache
}
