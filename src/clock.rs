//! Time as the cache sees it: nanoseconds on a clock that only goes forward, the system's or one a test moves.
//!
//! The system clock is the kernel's coarse one (a few nanoseconds to read, ticks of 1 to 10 ms). An age measured
//! with it may be one tick short, so [`Clock::latest`] adds a tick: entries expire slightly early, never late.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};
use std::time::Duration;

/// Nanoseconds since the clock's start.
pub(crate) type Nanos = u64;

/// What a clock shows at its start: ages of entries that other machines made before are no underflow.
const START: Nanos = 1 << 60;

/// A duration that is as good as endless and can be added to an instant.
pub(crate) const FAR: Duration = Duration::from_secs(365 * 24 * 3600);

/// The longest tick of a coarse clock (100 Hz kernels).
const TICK: Nanos = 10_000_000;

/// A clock that stands still until it is moved, for tests of what expires when.
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
    /// A clock at its start.
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
    /// The time, up to a tick too early: what a lifetime counts from.
    pub(crate) fn now(&self) -> Nanos {
        match self {
            // Not `now()`: that one also writes a variable all threads share.
            Clock::System => {
                let since =
                    coarsetime::Instant::now_without_cache_update().duration_since(coarsetime::Instant::from_ticks(0));
                START + since.as_nanos()
            }
            Clock::Manual(clock) => START + clock.0.load(Ordering::SeqCst),
        }
    }

    /// The time, up to a tick too late: what a lifetime is held against.
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

/// A duration in nanoseconds; about 584 years at most.
pub(crate) fn nanos(duration: Duration) -> Nanos {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
