//! Spread expiries.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::clock::{Nanos, nanos};

/// Spreads expiries, so that what was stored together does not expire together.
#[derive(Debug)]
pub(crate) struct Jitter {
    fraction: f64,
    seed: ahash::RandomState,
    draws: AtomicU64,
}

impl Jitter {
    pub(crate) fn new(fraction: f64) -> Jitter {
        Jitter { fraction, seed: ahash::RandomState::new(), draws: AtomicU64::new(0) }
    }

    /// A lifetime between `(1 - fraction) × ttl` and `ttl`.
    pub(crate) fn shorten(&self, ttl: Nanos) -> Nanos {
        if self.fraction == 0.0 {
            return ttl;
        }
        let draw = self.draws.fetch_add(1, Ordering::Relaxed);
        let uniform = self.seed.hash_one(draw) as f64 / u64::MAX as f64;
        let cut = Duration::from_nanos(ttl).mul_f64(self.fraction * uniform);
        ttl.saturating_sub(nanos(cut))
    }
}
