//! The clock of a store that has none of its own: the nodes follow the one whose clock is furthest ahead.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::util::sync::{Mutex, lock};

/// Nanoseconds since 1970. Never goes back, even if this machine's clock is set back.
#[derive(Debug)]
pub(super) struct StoreClock(Mutex<(Instant, u64)>);

impl StoreClock {
    pub(super) fn new() -> StoreClock {
        StoreClock(Mutex::new((Instant::now(), since_1970())))
    }

    /// The time, at least `seen`, which another node read last. It also follows this machine's clock if that is ahead,
    /// because the time elapsed since the last call leaves out a suspension of the machine.
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
    fn the_time_continues_from_the_latest_seen() {
        let clock = StoreClock::new();
        let ahead = since_1970() + 3_600_000_000_000;
        assert_eq!(clock.at_least(ahead), ahead);
        let later = clock.at_least(0);
        assert!(later > ahead, "the clock runs while this machine's clock is behind");
        assert!(clock.at_least(ahead) >= later);
    }
}
