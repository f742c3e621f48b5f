//! The cache, as the shared tier sees it.

use std::pin::Pin;
use std::time::Duration;

use crate::invalidation::floors::{Stamp, TagHash};
use crate::store::entry::Entry;
use crate::store::request::Request;
use crate::util::clock::Nanos;

/// Where invalidations that other nodes published take effect.
pub(crate) trait FloorSink {
    /// Raises the floors of these tags as one.
    fn raise(&self, tags: &[TagHash]);
    fn raise_everything(&self);
}

/// The node that uses the tier.
pub(crate) trait Host: FloorSink + Send + Sync + 'static {
    /// The stamp of work that begins here.
    fn stamp(&self) -> Stamp;

    /// Whether memory holds something under an identity, by its hash.
    fn holds(&self, hash: u128) -> bool;

    /// Whether an entry answers a request of a caller who came at `arrived`.
    fn usable(&self, entry: &Entry, request: &Request<'_>, arrived: Nanos) -> bool;

    /// Waits without blocking the thread.
    fn sleep(&self, span: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + '_>>;
}
