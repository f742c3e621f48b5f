//! How a cache behaves, once it is built.

use std::sync::Arc;
use std::time::Duration;

use minijinja::syntax::SyntaxConfig;

use super::invalidate::OnInvalidate;
use crate::store::tier::{NodeSettings, SharedTier};
use crate::telemetry::report::OnError;
use crate::util::attachments::Attachments;
use crate::util::clock::{Clock, Nanos};

/// How long is waited by default.
pub(super) const WAIT_TIMEOUT: Duration = Duration::from_secs(5);

/// How a cache behaves, once built.
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
    /// Whether entries are kept in memory.
    pub(crate) memory: bool,
    /// Whether includes and macros are measured, and which of the application's types are read for it.
    pub(crate) extensions: Attachments,
    pub(crate) shared: Option<SharedTier>,
}

impl Settings {
    /// How long is waited for what nothing can stand in for: a hole, a body, the confirmation of an invalidation. That
    /// callers do not wait for one another says nothing of these.
    pub(crate) fn patience(&self) -> Duration {
        if self.wait_timeout.is_zero() { WAIT_TIMEOUT } else { self.wait_timeout }
    }

    /// What the shared tier takes from the cache of this id.
    pub(super) fn node(&self, cache: u64) -> NodeSettings {
        NodeSettings {
            cache,
            clock: self.clock.clone(),
            wait_timeout: self.wait_timeout,
            floor_slots: self.floor_slots,
        }
    }
}
