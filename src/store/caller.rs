//! The caller of a look-up: a handler, or a template with its `State`. The interface that a miss and the shared tier
//! use. The implementations are in `cache/get_or_set/caller.rs` and `template/runtime/caller.rs`.

use std::sync::Arc;

use crate::invalidation::dependencies::{Dependency, StartStamp};
use crate::telemetry::FragmentCounters;

/// Used only on a miss.
pub(crate) trait Caller {
    /// The start stamp for a computation of this caller: that of the scope or render around it, if there is one.
    fn begin(&mut self) -> StartStamp;

    /// The start stamp after the caller waited for a flight whose result it could not use.
    fn again(&mut self, first: StartStamp) -> StartStamp {
        first
    }

    /// The template of this name in the caller's environment, in its current version.
    #[cfg_attr(not(feature = "shared"), expect(dead_code, reason = "only a shared tier asks"))]
    fn template(&mut self, name: &str) -> Option<Dependency>;

    /// The hash of the page that is being rendered, if there is one.
    fn page(&mut self) -> Option<u64>;

    /// The counters that the result is counted under.
    fn label(&mut self) -> Arc<FragmentCounters>;
}
