//! When requests are sent. In a closed loop each connection sends its next request when the last one is answered: a slow
//! server is asked less often, and the requests it keeps from being sent are in no figure (coordinated omission). In an
//! open loop requests are due at times drawn beforehand, and their latency counts from then, whatever they wait for.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rand::SeedableRng;
use rand::distr::Distribution;
use rand::rngs::StdRng;
use rand_distr::Exp;
use tokio::sync::Semaphore;

/// When requests of an open loop are due, after the start: at random, like those of people who do not know of each
/// other (a Poisson process).
#[derive(Debug)]
pub(crate) struct Arrivals {
    gaps: Exp<f64>,
    random: StdRng,
    /// Seconds after the start.
    at: f64,
}

impl Arrivals {
    /// So many a second on average.
    pub(crate) fn new(rate: f64, seed: u64) -> Result<Arrivals, String> {
        let gaps = Exp::new(rate).map_err(|error| format!("no arrivals at {rate} a second: {error}"))?;
        Ok(Arrivals { gaps, random: StdRng::seed_from_u64(seed), at: 0.0 })
    }
}

impl Iterator for Arrivals {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        self.at += self.gaps.sample(&mut self.random);
        Some(Duration::from_secs_f64(self.at))
    }
}

/// Hands out turns to connections until the time is up.
#[derive(Debug)]
pub(crate) struct Schedule {
    end: Instant,
    /// Turns there must be, even if it takes longer.
    at_least: u64,
    taken: AtomicU64,
    stopped: AtomicBool,
    /// How long a connection rests between turns of a closed loop; an open loop is paced by `due`.
    think: Option<Duration>,
    due: Mutex<VecDeque<Instant>>,
    permits: Semaphore,
}

impl Schedule {
    /// Turns as soon as they are asked for, and after a rest.
    pub(crate) fn closed(end: Instant, at_least: u64, think: Duration) -> Schedule {
        Schedule { think: Some(think), ..Schedule::open(end, at_least) }
    }

    /// Turns when they are due, which `run` says.
    pub(crate) fn open(end: Instant, at_least: u64) -> Schedule {
        Schedule {
            end,
            at_least,
            taken: AtomicU64::new(0),
            stopped: AtomicBool::new(false),
            think: None,
            due: Mutex::default(),
            permits: Semaphore::new(0),
        }
    }

    /// Waits for a turn; the time from which its latency counts, or nothing when the time is up.
    pub(crate) async fn turn(&self) -> Option<Instant> {
        let Some(think) = self.think else { return self.due_turn().await };
        if !think.is_zero() {
            tokio::time::sleep(think).await;
        }
        let now = Instant::now();
        if self.is_over(now) {
            return None;
        }
        self.taken.fetch_add(1, Ordering::Relaxed);
        Some(now)
    }

    async fn due_turn(&self) -> Option<Instant> {
        self.permits.acquire().await.ok()?.forget();
        let due = self.queue().pop_front()?;
        self.taken.fetch_add(1, Ordering::Relaxed);
        Some(due)
    }

    /// Makes the arrivals of an open loop due one after the other, until the time is up. For a thread of its own, which
    /// sleeps more exactly than timers of the runtime do: these count in milliseconds.
    pub(crate) fn run(&self, start: Instant, arrivals: impl Iterator<Item = Duration>) {
        for arrival in arrivals {
            let due = start + arrival;
            // Should this thread wake late, what was due before the end is still due.
            if self.is_over(due) {
                break;
            }
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            self.queue().push_back(due);
            self.permits.add_permits(1);
        }
        std::thread::sleep(self.end.saturating_duration_since(Instant::now()));
        self.permits.close();
    }

    /// How long those had waited that were due and for which no connection was free.
    pub(crate) fn unsent(&self) -> Vec<Duration> {
        let now = Instant::now();
        self.queue().drain(..).map(|due| now.saturating_duration_since(due)).collect()
    }

    /// Ends the run early.
    pub(crate) fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
        self.permits.close();
    }

    fn is_over(&self, at: Instant) -> bool {
        let enough = at >= self.end && self.taken.load(Ordering::Relaxed) >= self.at_least;
        enough || self.stopped.load(Ordering::Relaxed)
    }

    fn queue(&self) -> MutexGuard<'_, VecDeque<Instant>> {
        self.due.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
