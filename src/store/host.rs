//! The interface of the cache that the shared tier uses. The tier is in `tier.rs`.

use std::pin::Pin;
use std::time::Duration;

use crate::invalidation::floors::{Stamp, TagHash};
use crate::store::entry::Entry;
use crate::store::request::Request;
use crate::util::clock::Nanos;

/// Applies invalidations that other nodes published.
pub(crate) trait FloorSink {
    /// Raises the floors of these tags in one step.
    fn raise(&self, tags: &[TagHash]);
    fn raise_everything(&self);
}

/// The node that uses the tier.
pub(crate) trait Host: FloorSink + Send + Sync + 'static {
    /// The stamp of a computation that begins at this call.
    fn stamp(&self) -> Stamp;

    /// Whether memory has an entry of the identity with this hash.
    fn holds(&self, hash: u128) -> bool;

    /// Whether an entry may be returned to a caller that arrived at `arrived`.
    fn usable(&self, entry: &Entry, request: &Request<'_>, arrived: Nanos) -> bool;

    /// Waits without blocking the thread.
    fn sleep(&self, span: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + '_>>;
}
