//! What a miss knows before it computes.

use crate::invalidation::dependencies::StartStamp;
use crate::invalidation::floors::TagHash;
use crate::telemetry::{LookupSubject, MissReason};
use crate::util::clock::Nanos;

/// What a miss knows before it computes: when its work began, and the tags of its key and namespaces.
pub(crate) struct Origin {
    pub(crate) begin: StartStamp,
    pub(crate) tags: Vec<TagHash>,
    /// Flights ended when the store was last known not to hold it.
    pub(crate) ended: u64,
    /// When the caller came.
    pub(crate) arrived: Nanos,
    pub(crate) subject: LookupSubject,
    /// Why it must be computed, if it must; unknown where nobody looked.
    pub(crate) reason: Option<MissReason>,
}
