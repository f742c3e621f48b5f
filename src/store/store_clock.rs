//! The time of a store that has no clock of its own: the clocks of its nodes, of which the one furthest ahead counts.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::sync::{Mutex, lock};

/// A time in nanoseconds since 1970 that never goes back, also when this machine's clock is set back.
#[derive(Debug)]
pub(super) struct StoreClock(Mutex<(Instant, u64)>);

impl StoreClock {
    pub(super) fn new() -> StoreClock {
        StoreClock(Mutex::new((Instant::now(), since_1970())))
    }

    /// The time, if another node last saw it at `seen`. It follows this machine's clock where that is ahead: the time
    /// since the last call leaves out what a machine was suspended.
    pub(super) fn at_least(&self, seen: u64) -> u64 {
        let mut last = lock(&self.0);
        let (moment, time) = *last;
        let now = Instant::now();
        let elapsed = u64::try_from(now.duration_since(moment).as_nanos()).unwrap_or(u64::MAX);
        *last = (now, time.saturating_add(elapsed).max(since_1970()).max(seen));
        last.1
    }
}

fn since_1970() -> u64 {
    u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(all(test, not(shuttle)))]
mod tests {
    use super::*;

    #[test]
    fn the_time_goes_on_from_the_latest_that_was_seen() {
        let clock = StoreClock::new();
        let ahead = since_1970() + 3_600_000_000_000;
        assert_eq!(clock.at_least(ahead), ahead);
        let later = clock.at_least(0);
        assert!(later > ahead, "it does not stand still until this machine's clock has caught up");
        assert!(clock.at_least(ahead) >= later);
    }
}
