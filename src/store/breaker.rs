//! A circuit breaker: a store that keeps failing is left alone for a while, and asked once before it is trusted again.
//!
//! Closed, everything passes. After some failures in a row it opens: nothing passes for a pause. Then it is half open:
//! one call passes, and closes it by succeeding or opens it again, for twice as long, by failing.

use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use crate::sync::lock;

/// Failures in a row that open it.
const TOLERATED: u32 = 3;
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// A half-open call that never reports (its thread died) does not keep everybody out for ever.
const PROBE_LIMIT: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub(crate) struct Breaker(Mutex<State>);

#[derive(Debug, Clone, Copy)]
enum State {
    Closed { failures: u32 },
    Open { until: Instant, pause: Duration },
    HalfOpen { since: Instant, pause: Duration },
}

impl Breaker {
    pub(crate) fn new() -> Breaker {
        Breaker(Mutex::new(State::Closed { failures: 0 }))
    }

    /// Whether a call may be made. Each one that was is to be followed by [`Breaker::report`].
    pub(crate) fn admits(&self, now: Instant) -> bool {
        let mut state = self.state();
        match *state {
            State::Closed { .. } => true,
            State::Open { until, pause } if now >= until => {
                *state = State::HalfOpen { since: now, pause };
                true
            }
            State::HalfOpen { since, pause } if now >= since + PROBE_LIMIT => {
                *state = State::HalfOpen { since: now, pause };
                true
            }
            State::Open { .. } | State::HalfOpen { .. } => false,
        }
    }

    /// How a call ended.
    pub(crate) fn report(&self, succeeded: bool, now: Instant) {
        let mut state = self.state();
        *state = match (*state, succeeded) {
            (_, true) => State::Closed { failures: 0 },
            (State::Closed { failures }, false) if failures + 1 < TOLERATED => State::Closed { failures: failures + 1 },
            (State::Closed { .. }, false) => State::Open { until: now + FIRST_PAUSE, pause: FIRST_PAUSE },
            (State::HalfOpen { pause, .. }, false) => {
                let pause = (pause * 2).min(LONGEST_PAUSE);
                State::Open { until: now + pause, pause }
            }
            // One that began before it opened.
            (open @ State::Open { .. }, false) => open,
        };
    }

    pub(crate) fn is_open(&self) -> bool {
        !matches!(*self.state(), State::Closed { .. })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.0)
    }
}

#[cfg(all(test, not(shuttle)))]
mod tests {
    use super::*;

    fn fail(breaker: &Breaker, times: u32, now: Instant) {
        for _ in 0..times {
            breaker.report(false, now);
        }
    }

    #[test]
    fn opens_after_failures_in_a_row_and_not_before() {
        let (breaker, now) = (Breaker::new(), Instant::now());
        fail(&breaker, TOLERATED - 1, now);
        breaker.report(true, now);
        fail(&breaker, TOLERATED - 1, now);
        assert!(breaker.admits(now));
        fail(&breaker, 1, now);
        assert!(!breaker.admits(now) && breaker.is_open());
    }

    #[test]
    fn lets_one_call_through_after_the_pause_and_closes_when_it_succeeds() {
        let (breaker, now) = (Breaker::new(), Instant::now());
        fail(&breaker, TOLERATED, now);
        let later = now + FIRST_PAUSE;
        assert!(breaker.admits(later) && !breaker.admits(later));
        breaker.report(true, later);
        assert!(breaker.admits(later) && breaker.admits(later) && !breaker.is_open());
    }

    #[test]
    fn a_failed_trial_doubles_the_pause_up_to_a_limit() {
        let (breaker, mut now) = (Breaker::new(), Instant::now());
        fail(&breaker, TOLERATED, now);
        let mut pause = FIRST_PAUSE;
        for _ in 0..10 {
            assert!(!breaker.admits(now + pause - Duration::from_nanos(1)));
            now += pause;
            assert!(breaker.admits(now));
            breaker.report(false, now);
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
        assert_eq!(pause, LONGEST_PAUSE);
    }

    #[test]
    fn a_late_failure_does_not_lengthen_the_pause_and_a_lost_trial_does_not_last() {
        let (breaker, now) = (Breaker::new(), Instant::now());
        fail(&breaker, TOLERATED, now);
        fail(&breaker, 5, now + FIRST_PAUSE / 2);
        assert!(breaker.admits(now + FIRST_PAUSE));
        assert!(!breaker.admits(now + FIRST_PAUSE + PROBE_LIMIT - Duration::from_millis(1)));
        assert!(breaker.admits(now + FIRST_PAUSE + PROBE_LIMIT));
    }
}
