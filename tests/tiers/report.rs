//! What a node says about its readers: which versions they were given when, and how long that took.

use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// Nanoseconds since 1970. All nodes and the test are one machine, so that theirs are one clock.
pub type Moment = u64;

pub fn now() -> Moment {
    u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos()).unwrap()
}

#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Report {
    pub pages: u64,
    /// Pages that failed or showed what nobody wrote, and the first few of them in words.
    pub failed: u64,
    pub failures: Vec<String>,
    /// Pages of the trouble, and how long they took beside loading: the slowest last.
    pub troubled: Times,
    pub runs: Vec<Run>,
}

/// Reads by one thread of one key that gave one version, none in between that gave another.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Run {
    pub key: usize,
    pub version: u64,
    /// When the first and the last of them began, and when the first ended.
    pub first: Moment,
    pub last: Moment,
    pub first_end: Moment,
}

/// In microseconds.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub struct Times {
    pub count: usize,
    pub p50: u64,
    pub p99: u64,
    pub max: u64,
}

impl Times {
    pub fn of(mut micros: Vec<u64>) -> Times {
        micros.sort_unstable();
        let at = |percent: usize| micros.get((micros.len() * percent / 100).min(micros.len().max(1) - 1)).copied();
        let at = |percent: usize| at(percent).unwrap_or_default();
        Times { count: micros.len(), p50: at(50), p99: at(99), max: at(100) }
    }
}

impl std::fmt::Display for Times {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let millis = |micros: u64| micros as f64 / 1000.0;
        let (p50, p99, max) = (millis(self.p50), millis(self.p99), millis(self.max));
        write!(f, "{} times, p50 {p50:.2} ms, p99 {p99:.2} ms, max {max:.2} ms", self.count)
    }
}
