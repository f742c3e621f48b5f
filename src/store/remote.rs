//! The interface of a shared store, in bytes and numbers: values, leases, and the record of invalidations ("floors").
//!
//! Each store (`local.rs`, `redis.rs`, `memcached.rs`) implements [`Remote`]. The format of a value is `envelope.rs`;
//! when the store is called, and how its replies are used, is decided by the shared tier.

use std::fmt;
use std::time::{Duration, Instant};

use crate::error::Error;
use crate::util::random::unique;

/// The hash that an entry is stored under. The store forms its key from it, with its prefix.
pub(crate) type StoreKey = u128;

/// A store that several processes share. Every call returns by its deadline, whatever the server does.
pub(crate) trait Remote: Send + Sync + fmt::Debug + 'static {
    /// Kind and address of the store, for messages; without a password.
    fn describe(&self) -> String;

    /// Rejects settings that the store cannot work with. It opens no connection.
    fn check(&self) -> Result<(), Error> {
        Ok(())
    }

    /// How often to [`sync`](Remote::sync) when nothing was invalidated here. Stores without notifications need it
    /// often.
    fn sync_interval(&self) -> Duration;

    /// Reads one value for each key, in the order of the keys, in one round trip. If some of several servers do not
    /// reply, their values may be `None`.
    fn read(&self, keys: &[StoreKey], deadline: Instant) -> Result<Vec<Option<Vec<u8>>>, StoreFailure>;

    /// Reads a value. If there is none, takes the lease to compute it, unless another process holds it. A lease expires
    /// after `span`.
    fn read_or_lease(&self, key: StoreKey, span: Duration, deadline: Instant) -> Result<LeasedRead, StoreFailure>;

    /// Takes the lease of a key whose value cannot be used. `None` if another process holds it.
    fn lease(&self, key: StoreKey, span: Duration, deadline: Instant) -> Result<Option<Lease>, StoreFailure>;

    /// Stores values, replacing older ones, and ends the given leases. Value and expiry are set in one step. If the
    /// store refuses a value, it also deletes the older one. If a lease was lost in the meantime, its value may not be
    /// stored. No value is empty.
    fn write(&self, values: &[ValueWrite<'_>], deadline: Instant) -> Result<(), StoreFailure>;

    /// Ends a lease without storing a value, so that another process can take it.
    fn release(&self, key: StoreKey, lease: Lease, deadline: Instant) -> Result<(), StoreFailure>;

    /// Raises the floors of the tags in `raise` under new sequence numbers, and returns the floors raised since
    /// `known`: all of them, or a first page. Repeating the call after a lost reply raises them again, which is
    /// harmless.
    ///
    /// If the position does not [accept](SyncPosition::accepts) the store's floors, the store starts a
    /// [new epoch](SyncPosition::next_epoch). It also does so if it finds its floors lost or its clock set back.
    fn sync(&self, known: SyncPosition, raise: &[u64], deadline: Instant) -> Result<FloorUpdate, StoreFailure>;

    /// Calls `on_change` whenever any process raised floors. Returns when `stopped` returns true (checked at least
    /// every second), with an error when the connection breaks, and at once if the store has no notifications.
    fn listen(&self, on_change: &dyn Fn(), stopped: &dyn Fn() -> bool) -> Result<(), StoreFailure>;
}

/// A value to store.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ValueWrite<'a> {
    pub(crate) key: StoreKey,
    pub(crate) value: &'a [u8],
    /// The store keeps the value at least this long, and at most some seconds longer; `None` means without expiry.
    pub(crate) ttl: Option<Duration>,
    pub(crate) lease: Option<Lease>,
}

/// The right of one process to compute a missing value. The token comes from the store or from the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Lease(pub(crate) u64);

/// The outcome of [`Remote::read_or_lease`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum LeasedRead {
    Found(Vec<u8>),
    /// There is no value, and the caller got the lease.
    Taken(Lease),
    /// There is no value yet: another process holds the lease.
    Held,
}

/// The last floors that a node received from the store; zeros before the first sync.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct SyncPosition {
    pub(crate) epoch: u128,
    pub(crate) seq: u64,
}

/// The random bits of an epoch. The bits above them count its generation. The script for Redis reads the generation
/// from the hexadecimal digits above these bits.
const RANDOM_BITS: u32 = 80;

impl SyncPosition {
    /// Whether a node at this position may apply floors of `epoch` up to `seq`. Epochs are ordered by their generation,
    /// and nodes only move forward: a node never re-enters an epoch that it left.
    pub(crate) fn accepts(self, epoch: u128, seq: u64) -> bool {
        match epoch == self.epoch {
            true => epoch != 0 && seq >= self.seq,
            false => epoch >> RANDOM_BITS > self.epoch >> RANDOM_BITS,
        }
    }

    /// An unused epoch that a node at this position may enter.
    pub(crate) fn next_epoch(self) -> u128 {
        let random = u128::from(unique()) << 64 | u128::from(unique());
        ((self.epoch >> RANDOM_BITS) + 1) << RANDOM_BITS | random >> (u128::BITS - RANDOM_BITS)
    }
}

/// The floors raised since a position. If the position is of another epoch or before `base`, it holds all floors.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct FloorUpdate {
    /// Changes whenever floors may have been lost: a restart, a failover, an eviction. Never 0.
    pub(crate) epoch: u128,
    /// Whether this call started the epoch.
    pub(crate) begun: bool,
    /// The sequence number of the newest invalidation in this update.
    pub(crate) seq: u64,
    /// Whether the store has newer ones: this update is a page.
    pub(crate) more: bool,
    /// Floors up to this number are merged into it: a result whose computation started before it is invalid.
    pub(crate) base: u64,
    /// Tag hashes, each with the number of its last invalidation.
    pub(crate) floors: Vec<(u64, u64)>,
    /// The store's clock at the time of the reply, in nanoseconds since 1970; this machine's clock if the store has
    /// none.
    pub(crate) now: u64,
}

/// Why a store did not do an operation.
#[derive(Debug, Clone)]
pub(crate) struct StoreFailure {
    pub(crate) kind: FailureKind,
    pub(crate) message: String,
}

#[cfg_attr(
    not(any(feature = "redis", feature = "memcached")),
    allow(dead_code, reason = "only servers fail in all ways")
)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FailureKind {
    /// The deadline passed.
    Timeout,
    /// There is no connection, or it broke.
    Unreachable,
    /// The server replied with an error: password, permissions, read-only, no memory.
    Refused,
    /// The reply does not fit the command: another kind of server, or data of another program.
    InvalidReply,
}

impl StoreFailure {
    pub(crate) fn new(kind: FailureKind, message: impl Into<String>) -> StoreFailure {
        StoreFailure { kind, message: message.into() }
    }
}

impl fmt::Display for StoreFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for StoreFailure {}
