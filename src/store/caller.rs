//! The caller of a look-up, as far as a miss needs to know it.

use std::sync::Arc;

use crate::invalidation::dependencies::{Dependency, StartStamp};
use crate::telemetry::FragmentCounters;

/// Asked only on a miss.
pub(crate) trait Caller {
    /// When the work here began.
    fn begin(&mut self) -> StartStamp;

    /// When it begins again, after a wait for what turned out to be of no use.
    fn again(&mut self, first: StartStamp) -> StartStamp {
        first
    }

    /// The template that a name stands for here, in its current state.
    #[cfg_attr(not(feature = "shared"), expect(dead_code, reason = "only a shared tier asks"))]
    fn template(&mut self, name: &str) -> Option<Dependency>;

    /// The page being rendered, if one is.
    fn page(&mut self) -> Option<u64>;

    /// What the answer is counted under.
    fn label(&mut self) -> Arc<FragmentCounters>;
}
