//! Helpers that every room uses and that do not depend on the cache: clocks, durations, files, locks, random numbers
//! and a timer thread.

pub(crate) mod attachments;
pub(crate) mod clock;
pub(crate) mod duration;
pub(crate) mod file;
pub(crate) mod random;
#[cfg(feature = "http")]
pub(crate) mod recent_set;
pub(crate) mod sync;
pub(crate) mod timer;
pub(crate) mod weight;
