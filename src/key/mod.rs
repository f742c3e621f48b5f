//! The injective encoding of keys: different values have different bytes.
//!
//! `key/format.rs` defines the bytes, `key/handler.rs` encodes Rust values, `key/readable.rs` decodes a key for
//! reports, and `key/error.rs` explains a refusal. `key/identity.rs` has the other parts of an identity. The template
//! room encodes MiniJinja values into the same format.

mod error;
pub(crate) mod format;
mod handler;
pub(crate) mod identity;
mod readable;

pub(crate) use self::error::{KeyError, KeyPlace, refuse_nothing};
pub(crate) use self::handler::{encode_handler, encode_handler_qualifier};
pub(crate) use self::readable::{extent, readable};
