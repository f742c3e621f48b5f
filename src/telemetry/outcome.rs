//! What a look-up came to.

use std::fmt;

use serde::Serialize;

use super::reason::MissReason;

/// How a look-up was answered.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// From memory.
    Hit,
    /// With an expired entry within its grace, because somebody else computes it anew.
    #[serde(rename = "stale")]
    StaleHit,
    /// By somebody else's computation that was under way.
    Joined,
    /// By the shared tier.
    #[serde(rename = "shared")]
    SharedHit,
    /// By computing it, for this reason.
    Miss(MissReason),
}

impl Outcome {
    /// In one word: `hit`, `stale`, `joined`, `shared`, `miss` or `bypass`.
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
    /// The word, and for what was computed the reason in words.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Outcome::Miss(reason) => write!(f, "miss ({reason})"),
            other => f.write_str(other.name()),
        }
    }
}
