//! Contents of entries that an upper room defines: whole responses.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use crate::util::clock::Nanos;

pub(crate) trait Payload: Any + fmt::Debug + Send + Sync {
    /// Its size, in bytes.
    fn len(&self) -> usize;

    /// Bytes it takes in memory, itself included.
    fn weight(&self) -> usize;

    /// How long after its expiry it may be of use.
    #[cfg_attr(not(feature = "shared"), expect(dead_code, reason = "only a shared tier asks"))]
    fn longest_grace(&self) -> Nanos;

    /// Whether it only leads to the identity of the response.
    fn is_index(&self) -> bool;

    /// Its bytes for a shared store; `None` if it is larger than the encoding allows.
    #[cfg_attr(not(feature = "shared"), expect(dead_code, reason = "only a shared tier asks"))]
    fn encode(&self) -> Option<Vec<u8>>;
}

/// Reads what [`Payload::encode`] wrote; `None` for other bytes.
pub(crate) type DecodePayload = fn(&[u8]) -> Option<Arc<dyn Payload>>;
