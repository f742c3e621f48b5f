//! What every room uses and what knows nothing of the cache: clocks, durations, locks, a timer thread, random numbers.

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
