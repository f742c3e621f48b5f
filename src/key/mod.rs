//! The injective encoding of keys: two values that differ have different bytes.
//!
//! `key/format.rs` owns the bytes. `key/handler.rs` encodes Rust values; the template room encodes MiniJinja's values into
//! the same bytes. What else belongs to an identity is `identity.rs`.

mod error;
pub(crate) mod format;
mod handler;
pub(crate) mod identity;
mod readable;

pub(crate) use self::error::{KeyError, KeyPlace, refuse_nothing};
pub(crate) use self::handler::{encode_handler, encode_handler_qualifier};
pub(crate) use self::readable::{extent, readable};
