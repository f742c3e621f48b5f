//! Bodies that are being rendered, and what a look-up leaves for the filter that opens one.

use minijinja::value::Value;

use crate::cache::computation::Computation;
use crate::cache::shadow::Verifying;

/// A body that is being rendered. Boxed: every render that hits makes room for it and moves it about.
pub(super) enum OpenBody {
    Compute(Box<Computation>),
    /// One of which there is a hit.
    Verify(Box<VerifiedBody>),
}

pub(super) struct VerifiedBody {
    pub(super) verifying: Box<Verifying>,
    pub(super) cached: Value,
    pub(super) mark: Option<u64>,
}

pub(super) enum NextBody {
    Open(OpenBody),
    /// With the number that the text is to be marked by, if any.
    Bypass(Option<u64>),
    Refused(String),
}

/// The ticket of a body that is not cached.
pub(super) const NO_TICKET: u64 = 0;

/// In the ticket of a body that is not cached: the rest is the number that its text is to be marked by.
pub(super) const MARKED: u64 = 1 << 63;
