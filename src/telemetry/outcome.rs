//! The outcome of a look-up, for counters, events and explanations.
//!
//! The reasons of misses are in `reason.rs`.

use std::fmt;

use serde::Serialize;

use super::reason::MissReason;

/// How a look-up was answered.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// Memory answered.
    Hit,
    /// An expired entry within its grace time answered, while another caller computes the fragment.
    #[serde(rename = "stale")]
    StaleHit,
    /// The running computation of another caller answered.
    Joined,
    /// The shared tier answered.
    #[serde(rename = "shared")]
    SharedHit,
    /// The fragment was computed, for this reason.
    Miss(MissReason),
}

impl Outcome {
    /// The outcome in one word: `hit`, `stale`, `joined`, `shared`, `miss` or `bypass`.
    pub fn name(&self) -> &'static str {
        match self {
            Outcome::Hit => "hit",
            Outcome::StaleHit => "stale",
            Outcome::Joined => "joined",
            Outcome::SharedHit => "shared",
            Outcome::Miss(MissReason::Bypassed(_)) => "bypass",
            Outcome::Miss(_) => "miss",
        }
    }
}

impl fmt::Display for Outcome {
    /// The word of [`name`](Outcome::name); for a miss followed by the reason.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Outcome::Miss(reason) => write!(f, "miss ({reason})"),
            other => f.write_str(other.name()),
        }
    }
}
