//! Where entries live: memory in front, and behind it a store that several processes share.
//!
//! Owns what a shared store must be able to do, in bytes and numbers. What the bytes mean is `store/envelope.rs`;
//! when the store is asked, and what its answers are worth, is for `shared.rs` and `replica.rs`.

#[cfg(feature = "shared")]
pub(crate) mod breaker;
#[cfg(feature = "shared")]
pub(crate) mod envelope;
#[cfg(feature = "shared")]
mod local;
#[cfg(feature = "memcached")]
mod memcached;
pub(crate) mod memory;
#[cfg(any(feature = "redis", feature = "memcached"))]
mod pool;
#[cfg(feature = "redis")]
mod redis;
#[cfg(feature = "shared")]
mod ticker;

#[cfg(feature = "shared")]
use std::hash::{BuildHasher, RandomState};
#[cfg(feature = "shared")]
use std::time::{Duration, Instant};

#[cfg(feature = "shared")]
pub use self::local::LocalStore;
#[cfg(feature = "memcached")]
pub use self::memcached::MemcachedStore;
#[cfg(feature = "redis")]
pub use self::redis::RedisStore;
#[cfg(feature = "shared")]
use crate::error::Error;

/// What an entry is stored under: a hash. The store makes a key of it, with its prefix.
#[cfg(feature = "shared")]
pub(crate) type Name = u128;

/// A store that several processes share. Every call ends by its deadline, whatever the other side does.
#[cfg(feature = "shared")]
pub(crate) trait Remote: Send + Sync + std::fmt::Debug + 'static {
    /// What it is and where, for messages; without a password.
    fn place(&self) -> String;

    /// Refuses settings that the store cannot work with; nothing is connected.
    fn check(&self) -> Result<(), Error> {
        Ok(())
    }

    /// How often to [`sync`](Remote::sync) without a reason: often, where nothing tells of others' invalidations.
    fn interval(&self) -> Duration;

    /// Reads values, one for each name and in that order, in one round trip. Where some of several servers do not
    /// answer, theirs may be `None`.
    fn read(&self, names: &[Name], deadline: Instant) -> Result<Vec<Option<Vec<u8>>>, Failure>;

    /// Reads a value; where there is none, takes the lease to compute it, unless somebody holds that. A lease ends by
    /// itself after `span`.
    fn read_or_lease(&self, name: Name, span: Duration, deadline: Instant) -> Result<Leased, Failure>;

    /// Takes the lease of a name under which there is a value of no use, unless somebody holds it.
    fn lease(&self, name: Name, span: Duration, deadline: Instant) -> Result<Option<Lease>, Failure>;

    /// Stores values, replacing what was there and ending the leases given along. A value that the store refuses leaves
    /// no older one behind; value and expiry are set in one step. A lease that was lost meanwhile may keep its value
    /// from being stored. No value is empty.
    fn write(&self, values: &[Write<'_>], deadline: Instant) -> Result<(), Failure>;

    /// Ends a lease without storing, so that the next one may try.
    fn release(&self, name: Name, lease: Lease, deadline: Instant) -> Result<(), Failure>;

    /// Raises the floors of `raise` under new numbers, and tells what was raised since `known`, all of it or a page.
    /// Applied again after a reply was lost, it raises again, which does no harm.
    ///
    /// A store whose floors do not [follow](Known::follows) what is known begins a [new epoch](Known::next_epoch). So
    /// does one that finds its own floors lost, or its clock set back.
    fn sync(&self, known: Known, raise: &[u64], deadline: Instant) -> Result<News, Failure>;

    /// Calls `changed` whenever floors were raised by anybody, until `stopped` says so (asked at least every second)
    /// or the link breaks, which is an error. `Ok` at once where the store cannot tell.
    fn listen(&self, changed: &dyn Fn(), stopped: &dyn Fn() -> bool) -> Result<(), Failure>;
}

/// A value to store.
#[cfg(feature = "shared")]
#[derive(Debug, Clone, Copy)]
pub(crate) struct Write<'a> {
    pub(crate) name: Name,
    pub(crate) value: &'a [u8],
    /// How long to keep it at the least, some seconds more at the most; for ever if `None`.
    pub(crate) ttl: Option<Duration>,
    pub(crate) lease: Option<Lease>,
}

/// The right to compute what is missing, by the token the store gave or was given.
#[cfg(feature = "shared")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Lease(pub(crate) u64);

/// What [`Remote::read_or_lease`] found.
#[cfg(feature = "shared")]
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Leased {
    Found(Vec<u8>),
    /// Nothing, and it is the caller's to compute.
    Taken(Lease),
    /// Nothing yet: somebody else computes.
    Held,
}

/// How far a replica of the floors has come; zeros at first.
#[cfg(feature = "shared")]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Known {
    pub(crate) epoch: u128,
    pub(crate) seq: u64,
}

/// Bits of an epoch that are random; those above them count its generation. The script for Redis counts in hexadecimal
/// digits of them.
#[cfg(feature = "shared")]
const RANDOM_BITS: u32 = 80;

#[cfg(feature = "shared")]
impl Known {
    /// Whether floors of this epoch, up to this number, may be taken in by a node that knows this. Epochs are ordered
    /// by their generations, and nodes go forward only: a node never enters an epoch that it left.
    pub(crate) fn follows(self, epoch: u128, seq: u64) -> bool {
        match epoch == self.epoch {
            true => epoch != 0 && seq >= self.seq,
            false => epoch >> RANDOM_BITS > self.epoch >> RANDOM_BITS,
        }
    }

    /// An epoch that no node was ever in, and that a node which knows this may enter.
    pub(crate) fn next_epoch(self) -> u128 {
        let random = u128::from(random()) << 64 | u128::from(random());
        ((self.epoch >> RANDOM_BITS) + 1) << RANDOM_BITS | random >> (u128::BITS - RANDOM_BITS)
    }
}

/// The standard library seeds its hashers from the operating system's randomness, each another way.
#[cfg(feature = "shared")]
fn random() -> u64 {
    RandomState::new().hash_one(())
}

/// The floors raised since what was known, or all there are when that was of another epoch or before `base`.
#[cfg(feature = "shared")]
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct News {
    /// Another one each time floors may have been lost: a restart, a failover, an eviction. Never 0.
    pub(crate) epoch: u128,
    /// Whether this question began the epoch.
    pub(crate) begun: bool,
    /// The number of the newest invalidation told.
    pub(crate) seq: u64,
    /// Whether there are newer ones: this is a page.
    pub(crate) more: bool,
    /// Floors up to this number are no longer kept one by one: what began before it is invalid.
    pub(crate) base: u64,
    /// Tag hashes, and the number each was last raised with.
    pub(crate) floors: Vec<(u64, u64)>,
    /// The store's clock when it answered, in nanoseconds since 1970; this machine's where it has none.
    pub(crate) now: u64,
}

/// Why a store did not do what it was asked.
#[cfg(feature = "shared")]
#[derive(Debug, Clone)]
pub(crate) struct Failure {
    pub(crate) kind: FailureKind,
    pub(crate) message: String,
}

#[cfg(feature = "shared")]
#[cfg_attr(not(any(feature = "redis", feature = "memcached")), allow(dead_code, reason = "servers fail in more ways"))]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FailureKind {
    /// Not within the deadline.
    Timeout,
    /// No connection, or it broke.
    Unreachable,
    /// It answered that it will not: password, permissions, read-only, no memory.
    Refused,
    /// An answer that makes no sense: not the server expected, or not its data.
    Nonsense,
}

#[cfg(feature = "shared")]
impl Failure {
    pub(crate) fn new(kind: FailureKind, message: impl Into<String>) -> Failure {
        Failure { kind, message: message.into() }
    }
}

#[cfg(feature = "shared")]
impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

#[cfg(feature = "shared")]
impl std::error::Error for Failure {}
