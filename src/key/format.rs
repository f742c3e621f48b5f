//! The byte format of encoded keys: the encoding of each kind of item.
//!
//! An item is one type byte and a body that determines its own length, so items need no separator. Integers are sign
//! and magnitude without leading zeros, so the width of the Rust type does not change a key. Map entries are sorted by
//! their encoded keys. Values are turned into items by `key/handler.rs` (Rust values) and by the template room
//! (MiniJinja values).

pub(crate) const NONE: u8 = 0;
pub(crate) const FALSE: u8 = 1;
pub(crate) const TRUE: u8 = 2;
pub(crate) const POSITIVE: u8 = 3;
pub(crate) const NEGATIVE: u8 = 4;
pub(crate) const FLOAT: u8 = 5;
pub(crate) const TEXT: u8 = 6;
pub(crate) const BYTES: u8 = 7;
pub(crate) const LIST: u8 = 8;
pub(crate) const MAP: u8 = 9;
/// Follows an item and says which of its strings are safe strings. No item starts with this byte.
pub(crate) const MARKUP: u8 = 10;

/// The maximum depth of a key. A deeper value is more likely a cycle than a key.
pub(crate) const MAX_DEPTH: usize = 64;

pub(crate) fn boolean(value: bool, out: &mut Vec<u8>) {
    out.push(if value { TRUE } else { FALSE });
}

pub(crate) fn integer(negative: bool, magnitude: u128, out: &mut Vec<u8>) {
    let digits = magnitude.to_le_bytes();
    let length = 16 - magnitude.leading_zeros() as usize / 8;
    out.push(if negative { NEGATIVE } else { POSITIVE });
    out.push(length as u8);
    out.extend_from_slice(&digits[..length]);
}

pub(crate) fn float(value: f64, out: &mut Vec<u8>) {
    // All NaNs are one key, because templates cannot see their payloads.
    let value = if value.is_nan() { f64::NAN } else { value };
    out.push(FLOAT);
    out.extend_from_slice(&value.to_bits().to_le_bytes());
}

pub(crate) fn text(value: &str, out: &mut Vec<u8>) {
    let start = open_text(out);
    out.extend_from_slice(value.as_bytes());
    close_text(start, out);
}

pub(crate) fn bytes(value: &[u8], out: &mut Vec<u8>) {
    out.push(BYTES);
    out.extend_from_slice(&(value.len() as u64).to_le_bytes());
    out.extend_from_slice(value);
}

/// Sorts the entries of a map by their encoded keys. Of several entries with the same key the last is kept, as in a
/// map.
pub(crate) fn sorted<E>(entries: &mut Vec<E>, key: impl Fn(&E) -> &[u8]) {
    entries.reverse();
    entries.sort_by(|a, b| key(a).cmp(key(b)));
    entries.dedup_by(|b, a| key(a) == key(b));
}

pub(crate) fn map(mut entries: Vec<(Vec<u8>, Vec<u8>)>, out: &mut Vec<u8>) {
    sorted(&mut entries, |(key, _)| key);
    open_map(entries.len() as u64, out);
    for (key, value) in entries {
        out.extend_from_slice(&key);
        out.extend_from_slice(&value);
    }
}

pub(crate) fn open_map(count: u64, out: &mut Vec<u8>) {
    out.push(MAP);
    out.extend_from_slice(&count.to_le_bytes());
}

/// Starts a text of unknown length. [`close_text`] fills in the length.
pub(crate) fn open_text(out: &mut Vec<u8>) -> usize {
    out.push(TEXT);
    out.extend_from_slice(&[0; 8]);
    out.len()
}

pub(crate) fn close_text(start: usize, out: &mut [u8]) {
    let length = (out.len() - start) as u64;
    out[start - 8..start].copy_from_slice(&length.to_le_bytes());
}

pub(crate) fn open_list(out: &mut Vec<u8>) -> usize {
    out.push(LIST);
    out.extend_from_slice(&[0; 8]);
    out.len()
}

pub(crate) fn close_list(start: usize, count: u64, out: &mut [u8]) {
    out[start - 8..start].copy_from_slice(&count.to_le_bytes());
}
