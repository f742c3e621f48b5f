//! The interface of contents that `http` defines and `store` does not know: whole responses.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use crate::util::clock::Nanos;

pub(crate) trait Payload: Any + fmt::Debug + Send + Sync {
    /// Its size, in bytes.
    fn len(&self) -> usize;

    /// Bytes that it takes in memory, itself included.
    fn weight(&self) -> usize;

    /// How long after its expiry it may still be used.
    #[cfg_attr(not(feature = "shared"), expect(dead_code, reason = "only a shared tier asks"))]
    fn longest_grace(&self) -> Nanos;

    /// Whether it is the `Vary` index, which leads to the identity of a response.
    fn is_index(&self) -> bool;

    /// Its bytes for a shared store; `None` if it is larger than the encoding allows.
    #[cfg_attr(not(feature = "shared"), expect(dead_code, reason = "only a shared tier asks"))]
    fn encode(&self) -> Option<Vec<u8>>;
}

/// Decodes bytes that [`Payload::encode`] wrote; `None` for other bytes.
pub(crate) type DecodePayload = fn(&[u8]) -> Option<Arc<dyn Payload>>;
