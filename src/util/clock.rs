//! The cache's clock: monotonic nanoseconds, from the system or from a test.
//!
//! The system clock is the kernel's coarse one (a few nanoseconds to read, ticks of 1 to 10 ms). An age measured with
//! it may be one tick short. [`Clock::latest`] adds a tick, so that entries expire slightly early, never late.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};
use std::time::Duration;

/// Nanoseconds since the clock's start.
pub(crate) type Nanos = u64;

/// The time that a clock starts at. It is not zero, because subtracting the age of an entry from another machine must
/// not underflow.
const START: Nanos = 1 << 60;

/// A year, used as "without limit" where a deadline is needed. Adding it to an instant does not overflow.
pub(crate) const FAR: Duration = Duration::from_secs(365 * 24 * 3600);

/// The longest tick of a coarse clock (kernels with 100 Hz).
const TICK: Nanos = 10_000_000;

/// A clock that moves only by [`advance`](ManualClock::advance), for tests of expiry.
///
/// ```
/// use std::time::Duration;
/// use minijinja_cache::{FragmentCache, ManualClock, Options};
///
/// let clock = ManualClock::new();
/// let cache = FragmentCache::builder().clock(&clock).build()?;
/// let ttl = || Options::ttl(Duration::from_secs(60));
/// let count = |n: u32| move || Ok::<_, std::convert::Infallible>(n.to_string());
///
/// assert_eq!(&*cache.get_or_set("n", ttl(), count(1))?, "1");
/// clock.advance(Duration::from_secs(59));
/// assert_eq!(&*cache.get_or_set("n", ttl(), count(2))?, "1");
/// clock.advance(Duration::from_secs(1));
/// assert_eq!(&*cache.get_or_set("n", ttl(), count(3))?, "3");
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct ManualClock(Arc<AtomicU64>);

impl ManualClock {
    /// A clock at its start time.
    pub fn new() -> ManualClock {
        ManualClock::default()
    }

    /// Moves the clock forward.
    pub fn advance(&self, by: Duration) {
        self.0.fetch_add(nanos(by), Ordering::SeqCst);
    }
}

#[derive(Debug, Clone)]
pub(crate) enum Clock {
    System,
    Manual(ManualClock),
}

impl Clock {
    /// The time, or up to a tick earlier. Lifetimes count from it.
    pub(crate) fn now(&self) -> Nanos {
        match self {
            // `now()` would also write a variable that all threads share.
            Clock::System => {
                let since =
                    coarsetime::Instant::now_without_cache_update().duration_since(coarsetime::Instant::from_ticks(0));
                START + since.as_nanos()
            }
            Clock::Manual(clock) => START + clock.0.load(Ordering::SeqCst),
        }
    }

    /// The time, or up to a tick later. Lifetimes are compared with it.
    pub(crate) fn latest(&self) -> Nanos {
        match self {
            Clock::System => self.now() + TICK,
            Clock::Manual(_) => self.now(),
        }
    }

    pub(crate) fn is_manual(&self) -> bool {
        matches!(self, Clock::Manual(_))
    }
}

/// A duration in nanoseconds, capped at about 584 years.
pub(crate) fn nanos(duration: Duration) -> Nanos {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
