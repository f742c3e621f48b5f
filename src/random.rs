//! Random numbers: shortened lifetimes and tokens. They are not for secrets.

use std::time::Duration;

use crate::clock::{Nanos, nanos};

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
