//! Random numbers: shortened lifetimes, and numbers that are unique across processes. They are not for secrets.

#[cfg(feature = "shared")]
use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use crate::util::clock::{Nanos, nanos};

/// Shortens lifetimes at random, so that entries stored together do not expire together.
#[derive(Debug)]
pub(crate) struct Jitter {
    fraction: f64,
}

impl Jitter {
    pub(crate) fn new(fraction: f64) -> Jitter {
        Jitter { fraction }
    }

    /// A lifetime between `(1 - fraction) × ttl` and `ttl`.
    pub(crate) fn shorten(&self, ttl: Nanos) -> Nanos {
        if self.fraction == 0.0 {
            return ttl;
        }
        let cut = Duration::from_nanos(ttl).mul_f64(self.fraction * fastrand::f64());
        ttl.saturating_sub(nanos(cut))
    }
}

/// A number that no other process draws, except by chance. The standard library seeds its hashers with randomness of
/// the operating system. `fastrand` is seeded with the time, which two nodes may share.
#[cfg(feature = "shared")]
pub(crate) fn unique() -> u64 {
    RandomState::new().hash_one(())
}
