//! The data of a miss before its computation starts.

use crate::invalidation::dependencies::StartStamp;
use crate::invalidation::floors::TagHash;
use crate::telemetry::{LookupSubject, MissReason};
use crate::util::clock::Nanos;

/// The data of a miss before its computation starts: the start stamp, and the tags of its key and namespaces.
pub(crate) struct Origin {
    pub(crate) begin: StartStamp,
    pub(crate) tags: Vec<TagHash>,
    /// The number of ended flights, read before memory was last found to lack the entry; see `Flights::ended`.
    pub(crate) ended: u64,
    /// When the caller arrived.
    pub(crate) arrived: Nanos,
    pub(crate) subject: LookupSubject,
    /// The reason of the miss; `None` if the look-up did not determine it.
    pub(crate) reason: Option<MissReason>,
}
