//! The settings of a cache after it is built.
//!
//! Leaves checks and defaults to `builder.rs`.

use std::sync::Arc;
use std::time::Duration;

use minijinja::syntax::SyntaxConfig;

use super::invalidate::OnInvalidate;
use crate::store::tier::{NodeSettings, SharedTier};
use crate::telemetry::report::OnError;
use crate::util::attachments::Attachments;
use crate::util::clock::{Clock, Nanos};

/// The default wait timeout, for callers that wait for one another.
pub(super) const WAIT_TIMEOUT: Duration = Duration::from_secs(5);

/// The settings of a cache after it is built.
pub(crate) struct Settings {
    pub(crate) name: Arc<str>,
    pub(crate) max_bytes: u64,
    pub(crate) max_entry_bytes: u64,
    pub(crate) default_ttl: Nanos,
    pub(crate) wait_timeout: Duration,
    pub(crate) jitter: f64,
    pub(crate) floor_slots: usize,
    pub(crate) enabled: bool,
    pub(crate) shadow: f64,
    pub(crate) syntax: SyntaxConfig,
    pub(crate) clock: Clock,
    pub(crate) on_error: Option<OnError>,
    pub(crate) on_invalidate: Option<OnInvalidate>,
    /// Whether entries are stored in memory.
    pub(crate) memory: bool,
    /// Values that upper modules attach: whether includes and macros are measured, and which types of the application
    /// are read for that.
    pub(crate) extensions: Attachments,
    pub(crate) shared: Option<SharedTier>,
}

impl Settings {
    /// The timeout of a wait for something that the caller cannot compute instead: a hole, a body, the confirmation of
    /// an invalidation. A wait timeout of zero means that callers do not wait for one another. It does not apply here,
    /// so the default is used.
    pub(crate) fn patience(&self) -> Duration {
        if self.wait_timeout.is_zero() { WAIT_TIMEOUT } else { self.wait_timeout }
    }

    /// The settings that the shared tier needs, for the cache with this id.
    pub(super) fn node(&self, cache: u64) -> NodeSettings {
        NodeSettings {
            cache,
            clock: self.clock.clone(),
            wait_timeout: self.wait_timeout,
            floor_slots: self.floor_slots,
        }
    }
}
