//! Where entries are stored: in memory, and optionally in a store that several processes share.
//!
//! `entry.rs` is an entry, `request.rs` a look-up, `caller.rs` the interface of the code that makes it. `memory.rs` is
//! the first tier, `thread_cache.rs` each thread's small cache in front of it. `remote.rs` is the interface of the
//! second tier's store, implemented by `local.rs`, `redis.rs` and `memcached.rs`; `envelope.rs` is the format of an
//! entry in it. When the shared store is called, and how its replies are used, is decided by the shared tier
//! (`tier.rs`).

#[cfg(feature = "shared")]
pub(crate) mod breaker;
pub(crate) mod caller;
#[cfg(any(feature = "redis", feature = "memcached"))]
mod deadline;
pub(crate) mod entry;
#[cfg(feature = "shared")]
pub(crate) mod envelope;
pub(crate) mod eviction_listener;
#[cfg(feature = "shared")]
pub(crate) mod host;
#[cfg(feature = "shared")]
mod local;
#[cfg(feature = "memcached")]
mod memcached;
pub(crate) mod memory;
pub(crate) mod payload;
#[cfg(any(feature = "redis", feature = "memcached"))]
mod pool;
#[cfg(feature = "redis")]
mod redis;
#[cfg(feature = "shared")]
mod remote;
pub(crate) mod request;
#[cfg(feature = "shared")]
mod store_clock;
pub(crate) mod thread_cache;
#[cfg(feature = "shared")]
pub(crate) mod tier;
#[cfg(not(feature = "shared"))]
#[path = "tier/disabled.rs"]
pub(crate) mod tier;

#[cfg(feature = "shared")]
pub use self::local::LocalStore;
#[cfg(feature = "memcached")]
pub use self::memcached::MemcachedStore;
#[cfg(feature = "redis")]
pub use self::redis::RedisStore;
#[cfg(feature = "shared")]
pub(crate) use self::remote::{
    FailureKind, FloorUpdate, Lease, LeasedRead, Remote, StoreFailure, StoreKey, SyncPosition, ValueWrite,
};
