//! Arithmetic on deadlines.

use std::time::{Duration, Instant};

/// The time left until the deadline; zero after it.
pub(super) fn left(deadline: Instant) -> Duration {
    deadline.saturating_duration_since(Instant::now())
}

/// The deadline of the first of `attempts` attempts that share the time left equally.
pub(super) fn share(deadline: Instant, attempts: usize) -> Instant {
    let now = Instant::now();
    now + deadline.saturating_duration_since(now) / u32::try_from(attempts.max(1)).unwrap_or(u32::MAX)
}
