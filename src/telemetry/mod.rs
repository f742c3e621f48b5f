//! Telemetry: counters by fragment, reasons of misses, events, explanations, metrics and tracing.
//!
//! Other rooms record each outcome once, in `recorder.rs`, which passes it to counters, subscribers, collectors and
//! tracing. A hit is the exception: it increments its fragment's counter directly (`label.rs`). Without a subscriber or
//! a collector that is its only telemetry cost.

mod difference;
mod event;
mod explain;
#[cfg(feature = "metrics")]
pub(crate) mod export;
#[cfg(not(feature = "metrics"))]
#[path = "export/disabled.rs"]
pub(crate) mod export;
mod fragment_ref;
mod fragment_stats;
mod label;
mod mark;
pub(crate) mod mark_text;
mod misses;
mod outcome;
mod past;
mod reason;
mod recorder;
pub(crate) mod report;
pub(crate) mod stats;
mod subscription;
#[cfg(feature = "tracing")]
pub(crate) mod trace;
#[cfg(not(feature = "tracing"))]
#[path = "trace/disabled.rs"]
pub(crate) mod trace;

pub use self::difference::Difference;
pub(crate) use self::difference::VerifiedHit;
pub use self::event::{By, Event, Happened, Target};
pub(crate) use self::explain::{Collector, EntryReport, LookupHandle, collector, explained};
pub use self::explain::{Explained, Explanation};
pub(crate) use self::fragment_ref::key_hash;
pub use self::fragment_ref::{About, KeyHash};
pub use self::fragment_stats::{FragmentKind, FragmentStats};
pub(crate) use self::label::{FragmentCounter, FragmentCounters};
#[cfg(feature = "debug")]
pub(crate) use self::mark::MARKS;
pub(crate) use self::mark::{marked, readable, unmarked};
pub use self::misses::Miss;
pub use self::outcome::Outcome;
pub(crate) use self::past::{LastOutcome, RemovalHistory};
#[cfg(all(test, feature = "dashboard"))]
pub(crate) use self::reason::NAMES as REASONS;
pub use self::reason::{Bypass, MissReason, Rejection};
pub(crate) use self::recorder::{LookupSubject, Telemetry};
pub use self::subscription::Subscription;
pub(crate) use self::subscription::{Interest, Subscribers};
