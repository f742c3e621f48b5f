//! The injective encoding of keys: two values that differ have different bytes, whatever they hold.
//!
//! Owns the byte format; `key/template.rs` encodes template values and `key/handler.rs` Rust values into the same bytes.
//! Leaves to its callers what else belongs to an identity.
//!
//! Every item is one type byte and a body that knows its own end, so items can follow one another without a
//! separator. Integers are sign and magnitude without leading zeros, whatever width they came in; map entries
//! are sorted by their encoded keys.

mod error;
mod handler;
mod readable;
mod template;

use serde::Serialize;

pub(crate) use self::error::KeyError;
pub(crate) use self::readable::{extent, readable};
pub(crate) use self::template::{defined, encode_joined, encode_qualifier, encode_value, part, part_of_items};

const NONE: u8 = 0;
const FALSE: u8 = 1;
const TRUE: u8 = 2;
const POSITIVE: u8 = 3;
const NEGATIVE: u8 = 4;
const FLOAT: u8 = 5;
const TEXT: u8 = 6;
const BYTES: u8 = 7;
const LIST: u8 = 8;
const MAP: u8 = 9;
/// After an item: which of its texts are safe strings. No item begins with it.
const MARKUP: u8 = 10;

/// How deep a key may nest; what is deeper is more likely a cycle than a key.
const MAX_DEPTH: usize = 64;

/// Appends the encoding of a handler's key.
pub(crate) fn encode_handler<K: Serialize + ?Sized>(key: &K, out: &mut Vec<u8>) -> Result<(), KeyError> {
    let start = out.len();
    encode_handler_qualifier(key, out)?;
    refuse_nothing(&out[start..])
}

/// Appends the encoding of a Rust value that qualifies a key.
pub(crate) fn encode_handler_qualifier<K: Serialize + ?Sized>(value: &K, out: &mut Vec<u8>) -> Result<(), KeyError> {
    value.serialize(handler::Encoder::new(out)).map_err(handler::Refused::into_reason)
}

/// Refuses `none` alone and `""` alone.
fn refuse_nothing(encoded: &[u8]) -> Result<(), KeyError> {
    match encoded {
        [NONE] => Err(KeyError::none()),
        [TEXT, 0, 0, 0, 0, 0, 0, 0, 0] => Err(KeyError::empty()),
        _ => Ok(()),
    }
}

fn boolean(value: bool, out: &mut Vec<u8>) {
    out.push(if value { TRUE } else { FALSE });
}

fn integer(negative: bool, magnitude: u128, out: &mut Vec<u8>) {
    let digits = magnitude.to_le_bytes();
    let length = 16 - magnitude.leading_zeros() as usize / 8;
    out.push(if negative { NEGATIVE } else { POSITIVE });
    out.push(length as u8);
    out.extend_from_slice(&digits[..length]);
}

fn float(value: f64, out: &mut Vec<u8>) {
    // All NaNs are one key: their payloads are not visible to a template.
    let value = if value.is_nan() { f64::NAN } else { value };
    out.push(FLOAT);
    out.extend_from_slice(&value.to_bits().to_le_bytes());
}

fn text(value: &str, out: &mut Vec<u8>) {
    let start = open_text(out);
    out.extend_from_slice(value.as_bytes());
    close_text(start, out);
}

fn bytes(value: &[u8], out: &mut Vec<u8>) {
    out.push(BYTES);
    out.extend_from_slice(&(value.len() as u64).to_le_bytes());
    out.extend_from_slice(value);
}

/// Sorts the entries of a map by their encoded keys; of two with one key the last is kept, as a map does.
fn sorted<E>(entries: &mut Vec<E>, key: impl Fn(&E) -> &[u8]) {
    entries.reverse();
    entries.sort_by(|a, b| key(a).cmp(key(b)));
    entries.dedup_by(|b, a| key(a) == key(b));
}

fn map(mut entries: Vec<(Vec<u8>, Vec<u8>)>, out: &mut Vec<u8>) {
    sorted(&mut entries, |(key, _)| key);
    open_map(entries.len() as u64, out);
    for (key, value) in entries {
        out.extend_from_slice(&key);
        out.extend_from_slice(&value);
    }
}

fn open_map(count: u64, out: &mut Vec<u8>) {
    out.push(MAP);
    out.extend_from_slice(&count.to_le_bytes());
}

/// Starts a text of unknown length; the length is filled in by [`close_text`].
fn open_text(out: &mut Vec<u8>) -> usize {
    out.push(TEXT);
    out.extend_from_slice(&[0; 8]);
    out.len()
}

fn close_text(start: usize, out: &mut [u8]) {
    let length = (out.len() - start) as u64;
    out[start - 8..start].copy_from_slice(&length.to_le_bytes());
}

fn open_list(out: &mut Vec<u8>) -> usize {
    out.push(LIST);
    out.extend_from_slice(&[0; 8]);
    out.len()
}

fn close_list(start: usize, count: u64, out: &mut [u8]) {
    out[start - 8..start].copy_from_slice(&count.to_le_bytes());
}
