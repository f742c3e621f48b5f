//! How a shared store is used: the public settings, their defaults and their limits. `tier.rs` applies them.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::error::{Error, ErrorKind};
use crate::store::{LocalStore, Remote};

/// The longest lease.
pub(crate) const LONGEST_LEASE: Duration = Duration::from_secs(24 * 3600);

/// A store that several processes share, with the settings for its use. [`Builder::shared`](crate::Builder::shared)
/// takes it, or a store alone, which then has the default settings.
///
/// ```
/// use std::time::Duration;
/// use minijinja_cache::{FragmentCache, LocalStore, SharedTier};
///
/// let tier = SharedTier::new(LocalStore::new())
///     .budget(Duration::from_millis(10))
///     .sign_with("a secret that all nodes know");
/// let cache = FragmentCache::builder().shared(tier).build()?;
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
#[must_use]
pub struct SharedTier {
    pub(super) remote: Arc<dyn Remote>,
    pub(super) budget: Duration,
    pub(super) bound: Duration,
    pub(super) lease: Option<Duration>,
    pub(super) compress_above: usize,
    pub(super) max_value_bytes: usize,
    pub(super) secret: Option<Vec<u8>>,
}

impl SharedTier {
    /// A store with the default settings.
    pub fn new(store: impl Into<SharedTier>) -> SharedTier {
        store.into()
    }

    fn over(remote: Arc<dyn Remote>) -> SharedTier {
        SharedTier {
            remote,
            budget: Duration::from_millis(20),
            bound: Duration::from_secs(1),
            lease: None,
            compress_above: 4096,
            max_value_bytes: 1_000_000,
            secret: None,
        }
    }

    /// The longest time that a page waits for the store, for all its fragments together, or that one call of a handler
    /// waits. 20 ms by default. Fragments that did not arrive within the budget are computed.
    pub fn budget(mut self, budget: Duration) -> SharedTier {
        self.budget = budget;
        self
    }

    /// The greatest age of a result that is served although an invalidation by another node has not been received; 1 s
    /// by default. A node that has not synchronised with the store for that long serves no older results, from memory
    /// either, until it synchronises again.
    pub fn staleness_bound(mut self, bound: Duration) -> SharedTier {
        self.bound = bound;
        self
    }

    /// Lets one node compute a fragment that all nodes miss. The node takes a lease in the store, and the other nodes
    /// wait for its result, for at most this long. Off by default. Use it for fragments that cost more than some round
    /// trips. If a node dies during a computation, the other nodes wait for the rest of its lease.
    /// [`Options::lease`](crate::Options::lease) switches leases on for single calls.
    pub fn lease(mut self, span: Duration) -> SharedTier {
        self.lease = Some(span);
        self
    }

    /// Bodies larger than this many bytes are compressed (LZ4); 4,096 by default, `usize::MAX` for no compression.
    pub fn compress_above(mut self, bytes: usize) -> SharedTier {
        self.compress_above = bytes;
        self
    }

    /// The largest body that is shared, in bytes before compression; 1,000,000 by default, which Memcached accepts.
    /// Larger bodies are stored in memory only.
    pub fn max_value_bytes(mut self, bytes: usize) -> SharedTier {
        self.max_value_bytes = bytes;
        self
    }

    /// Signs stored entries (HMAC-SHA-256) and rejects entries without a valid signature. An attacker who can write to
    /// the store but does not know the secret can make fragments disappear, but cannot put markup into a page. All
    /// nodes need the same secret: nodes with different secrets do not accept each other's fragments.
    pub fn sign_with(mut self, secret: impl Into<Vec<u8>>) -> SharedTier {
        self.secret = Some(secret.into());
        self
    }

    /// Rejects settings outside of their limits.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let refuse = |message: &str| Err(Error::new(ErrorKind::Config, message.to_owned()));
        if self.budget.is_zero() || self.budget > Duration::from_secs(3600) {
            return refuse("the shared tier's budget must be above 0, or it could never answer, and up to 1 hour");
        }
        if self.bound < Duration::from_millis(100) || self.bound > Duration::from_secs(3600) {
            return refuse("the shared tier's staleness_bound must be from 100 ms to 1 hour");
        }
        if self.lease.is_some_and(|span| span.is_zero() || span > LONGEST_LEASE) {
            return refuse("the shared tier's lease must be above 0 and up to 1 day; leave it out to have none");
        }
        if self.max_value_bytes == 0 || self.max_value_bytes > 1 << 30 {
            return refuse("the shared tier's max_value_bytes must be from 1 byte to 1 GiB");
        }
        if self.secret.as_ref().is_some_and(Vec::is_empty) {
            return refuse("the secret of sign_with is empty");
        }
        self.remote.check()
    }
}

impl fmt::Debug for SharedTier {
    /// Without the secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedTier")
            .field("store", &self.remote.describe())
            .field("budget", &self.budget)
            .field("staleness_bound", &self.bound)
            .field("lease", &self.lease)
            .field("signed", &self.secret.is_some())
            .finish_non_exhaustive()
    }
}

impl From<LocalStore> for SharedTier {
    fn from(store: LocalStore) -> SharedTier {
        SharedTier::over(Arc::new(store))
    }
}

#[cfg(feature = "redis")]
impl From<crate::store::RedisStore> for SharedTier {
    fn from(store: crate::store::RedisStore) -> SharedTier {
        SharedTier::over(Arc::new(store))
    }
}

#[cfg(feature = "memcached")]
impl From<crate::store::MemcachedStore> for SharedTier {
    fn from(store: crate::store::MemcachedStore) -> SharedTier {
        SharedTier::over(Arc::new(store))
    }
}
