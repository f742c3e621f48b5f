//! Cached bodies that are being rendered, and the look-up result that waits for `_f.open`. `rendering.rs` stores both
//! for a render.

use minijinja::value::Value;

use crate::cache::computation::Computation;
use crate::cache::shadow::Verifying;

/// A body that is being rendered. Its variants are boxed, because every render that hits allocates space for this type
/// and moves it.
pub(super) enum OpenBody {
    Compute(Box<Computation>),
    /// A body rendered for shadow verification of a hit.
    Verify(Box<VerifiedBody>),
}

pub(super) struct VerifiedBody {
    pub(super) verifying: Box<Verifying>,
    pub(super) cached: Value,
    pub(super) mark: Option<u64>,
}

pub(super) enum NextBody {
    Open(OpenBody),
    /// With the number of the debug mark for the text, if any.
    Bypass(Option<u64>),
    Refused(String),
}

/// The ticket of a body that is not cached.
pub(super) const NO_TICKET: u64 = 0;

/// Bit in the ticket of a body that is not cached. The other bits are the number of its debug mark.
pub(super) const MARKED: u64 = 1 << 63;
