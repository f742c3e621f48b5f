//! A circuit breaker: calls to a store that keeps failing are skipped for a while.
//!
//! Closed, it admits all calls. After [`MAX_FAILURES`] failures in a row it opens: no call is admitted for a pause.
//! Then it is half open and admits one call. If that call succeeds, the breaker closes; if it fails, the breaker opens
//! again, for twice as long, up to a limit.

use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use crate::util::sync::lock;

/// Failures in a row that open the breaker.
const MAX_FAILURES: u32 = 3;
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// After this time a half-open breaker admits another call, in case the outcome of the first is never recorded.
const PROBE_LIMIT: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub(crate) struct Breaker {
    first_pause: Duration,
    longest_pause: Duration,
    state: Mutex<BreakerState>,
}

#[derive(Debug, Clone, Copy)]
enum BreakerState {
    Closed { failures: u32 },
    Open { until: Instant, pause: Duration },
    HalfOpen { since: Instant, pause: Duration },
}

impl Breaker {
    pub(crate) fn new() -> Breaker {
        Breaker::with_pauses(FIRST_PAUSE, LONGEST_PAUSE)
    }

    /// A breaker whose pauses double from the first to the longest.
    pub(super) fn with_pauses(first_pause: Duration, longest_pause: Duration) -> Breaker {
        Breaker { first_pause, longest_pause, state: Mutex::new(BreakerState::Closed { failures: 0 }) }
    }

    /// Whether a call may be made. The outcome of each admitted call must be [recorded](Breaker::record).
    pub(crate) fn admits(&self, now: Instant) -> bool {
        let mut state = self.lock();
        match *state {
            BreakerState::Closed { .. } => true,
            BreakerState::Open { until, pause } if now >= until => {
                *state = BreakerState::HalfOpen { since: now, pause };
                true
            }
            BreakerState::HalfOpen { since, pause } if now >= since + PROBE_LIMIT => {
                *state = BreakerState::HalfOpen { since: now, pause };
                true
            }
            BreakerState::Open { .. } | BreakerState::HalfOpen { .. } => false,
        }
    }

    /// Records the outcome of a call.
    pub(crate) fn record(&self, succeeded: bool, now: Instant) {
        let open = |pause| BreakerState::Open { until: now + pause, pause };
        let mut state = self.lock();
        *state = match (*state, succeeded) {
            (_, true) => BreakerState::Closed { failures: 0 },
            (BreakerState::Closed { failures }, false) if failures + 1 < MAX_FAILURES => {
                BreakerState::Closed { failures: failures + 1 }
            }
            (BreakerState::Closed { .. }, false) => open(self.first_pause),
            (BreakerState::HalfOpen { pause, .. }, false) => open((pause * 2).min(self.longest_pause)),
            // A call that was admitted before the breaker opened.
            (unchanged @ BreakerState::Open { .. }, false) => unchanged,
        };
    }

    pub(crate) fn is_open(&self) -> bool {
        !matches!(*self.lock(), BreakerState::Closed { .. })
    }

    /// The failures in a row, up to [`MAX_FAILURES`].
    #[cfg(feature = "memcached")]
    pub(super) fn failures(&self) -> u32 {
        match *self.lock() {
            BreakerState::Closed { failures } => failures,
            BreakerState::Open { .. } | BreakerState::HalfOpen { .. } => MAX_FAILURES,
        }
    }

    fn lock(&self) -> MutexGuard<'_, BreakerState> {
        lock(&self.state)
    }
}

#[cfg(all(test, not(shuttle)))]
mod tests {
    use super::*;

    fn fail(breaker: &Breaker, times: u32, now: Instant) {
        for _ in 0..times {
            breaker.record(false, now);
        }
    }

    #[test]
    fn it_opens_after_three_failures_in_a_row() {
        let (breaker, now) = (Breaker::new(), Instant::now());
        fail(&breaker, MAX_FAILURES - 1, now);
        breaker.record(true, now);
        fail(&breaker, MAX_FAILURES - 1, now);
        assert!(breaker.admits(now));
        fail(&breaker, 1, now);
        assert!(!breaker.admits(now) && breaker.is_open());
    }

    #[test]
    fn after_the_pause_it_admits_one_call_whose_success_closes_it() {
        let (breaker, now) = (Breaker::new(), Instant::now());
        fail(&breaker, MAX_FAILURES, now);
        let later = now + FIRST_PAUSE;
        assert!(breaker.admits(later) && !breaker.admits(later));
        breaker.record(true, later);
        assert!(breaker.admits(later) && breaker.admits(later) && !breaker.is_open());
    }

    #[test]
    fn a_failed_probe_doubles_the_pause_up_to_a_limit() {
        let (breaker, mut now) = (Breaker::new(), Instant::now());
        fail(&breaker, MAX_FAILURES, now);
        let mut pause = FIRST_PAUSE;
        for _ in 0..10 {
            assert!(!breaker.admits(now + pause - Duration::from_nanos(1)));
            now += pause;
            assert!(breaker.admits(now));
            breaker.record(false, now);
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
        assert_eq!(pause, LONGEST_PAUSE);
    }

    #[test]
    fn a_late_failure_does_not_extend_the_pause_and_a_lost_probe_does_not_block_forever() {
        let (breaker, now) = (Breaker::new(), Instant::now());
        fail(&breaker, MAX_FAILURES, now);
        fail(&breaker, 5, now + FIRST_PAUSE / 2);
        assert!(breaker.admits(now + FIRST_PAUSE));
        assert!(!breaker.admits(now + FIRST_PAUSE + PROBE_LIMIT - Duration::from_millis(1)));
        assert!(breaker.admits(now + FIRST_PAUSE + PROBE_LIMIT));
    }
}
