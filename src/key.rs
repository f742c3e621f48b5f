//! The injective encoding of keys: two values that differ have different bytes, whatever they hold.
//!
//! Owns the byte format and the encoding of template values; `key/handler.rs` encodes Rust values into the same
//! bytes. Leaves to its callers what else belongs to an identity.
//!
//! Every item is one type byte and a body that knows its own end, so items can follow one another without a
//! separator. Integers are sign and magnitude without leading zeros, whatever width they came in; map entries
//! are sorted by their encoded keys.

mod handler;
mod readable;

use std::fmt::{self, Write as _};

use minijinja::value::{Value, ValueKind};
use serde::Serialize;

pub(crate) use self::readable::{extent, readable};
use crate::potential::is_measured;

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

/// How deep a key may nest; what is deeper is more likely a cycle than a key.
const MAX_DEPTH: usize = 64;

/// Why a value is no key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum KeyError {
    /// Undefined, at any depth; the operand of a `~` when one is to blame (counted from 1).
    Undefined(Option<usize>),
    /// `none` alone.
    None,
    /// `""` alone.
    Empty,
    /// A function, macro, one-shot iterator or another thing without a value of its own.
    Kind(String),
    /// Nested too deep.
    Depth,
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            KeyError::Undefined(None) => f.write_str("is undefined, or holds something undefined"),
            KeyError::Undefined(Some(operand)) => write!(f, "joins something undefined (operand {operand} of `~`)"),
            KeyError::None => f.write_str("is none"),
            KeyError::Empty => f.write_str("is empty"),
            KeyError::Kind(kind) => {
                write!(f, "is or holds {kind}; a key is a string, number, boolean, or a list or map of these")
            }
            KeyError::Depth => write!(f, "nests deeper than {MAX_DEPTH} levels"),
        }
    }
}

/// Appends the encoding of a template's key.
pub(crate) fn encode_value(value: &Value, out: &mut Vec<u8>) -> Result<(), KeyError> {
    match value.kind() {
        ValueKind::None => Err(KeyError::None),
        ValueKind::String if value.as_str() == Some("") => Err(KeyError::Empty),
        _ => value_at(value, out, 0),
    }
}

/// Appends the encoding of a value that qualifies a key (`vary`, `version`): `none` and `""` are values there.
pub(crate) fn encode_qualifier(value: &Value, out: &mut Vec<u8>) -> Result<(), KeyError> {
    value_at(value, out, 0)
}

/// Appends the encoding of `first ~ rest[0] ~ …`, without making that string.
pub(crate) fn encode_joined(first: &Value, rest: &[Value], escape: bool, out: &mut Vec<u8>) -> Result<(), KeyError> {
    let operands = || std::iter::once(first).chain(rest);
    if let Some(at) = operands().position(Value::is_undefined) {
        return Err(KeyError::Undefined(Some(at + 1)));
    }
    // Joining markup with text escapes the text, as the template's own `~` does.
    let escape = escape && operands().any(Value::is_safe);
    let start = open_text(out);
    for operand in operands() {
        join(operand, escape && !operand.is_safe(), out);
    }
    if out.len() == start {
        return Err(KeyError::Empty);
    }
    close_text(start, out);
    Ok(())
}

/// Appends the encoding of a handler's key.
pub(crate) fn encode_handler<K: Serialize + ?Sized>(key: &K, out: &mut Vec<u8>) -> Result<(), KeyError> {
    let start = out.len();
    encode_handler_qualifier(key, out)?;
    match &out[start..] {
        [NONE] => Err(KeyError::None),
        [TEXT, 0, 0, 0, 0, 0, 0, 0, 0] => Err(KeyError::Empty),
        _ => Ok(()),
    }
}

/// Appends the encoding of a Rust value that qualifies a key.
pub(crate) fn encode_handler_qualifier<K: Serialize + ?Sized>(value: &K, out: &mut Vec<u8>) -> Result<(), KeyError> {
    value.serialize(handler::Encoder::new(out)).map_err(handler::Refused::into_reason)
}

fn join(operand: &Value, escape: bool, out: &mut Vec<u8>) {
    let written = match operand.as_str() {
        Some(text) if !escape => Utf8(out).write_str(text),
        _ if escape => write!(Utf8(out), "{}", minijinja::HtmlEscape(&operand.to_string())),
        _ => write!(Utf8(out), "{operand}"),
    };
    debug_assert!(written.is_ok(), "writing to memory");
}

fn value_at(value: &Value, out: &mut Vec<u8>, depth: usize) -> Result<(), KeyError> {
    if depth > MAX_DEPTH {
        return Err(KeyError::Depth);
    }
    match value.kind() {
        ValueKind::Undefined => return Err(KeyError::Undefined(None)),
        ValueKind::None => out.push(NONE),
        ValueKind::Bool => boolean(value.is_true(), out),
        ValueKind::Number => number(value, out)?,
        ValueKind::String => text(value.as_str().unwrap_or_default(), out),
        ValueKind::Bytes => bytes(value.as_bytes().unwrap_or_default(), out),
        ValueKind::Seq => {
            let items = value.try_iter().map_err(|_| KeyError::Kind("an unreadable list".into()))?;
            let start = open_list(out);
            let mut count = 0;
            for item in items {
                value_at(&item, out, depth + 1)?;
                count += 1;
            }
            close_list(start, count, out);
        }
        // Macros, modules and loops look like maps, and are not what their author means by a key.
        ValueKind::Map
            if value
                .as_object()
                .is_some_and(|object| is_measured(object) || object.type_name().starts_with("minijinja::vm")) =>
        {
            return Err(KeyError::Kind("a macro, a module or a loop".into()));
        }
        ValueKind::Map => {
            let keys = value.try_iter().map_err(|_| KeyError::Kind("an unreadable map".into()))?;
            let mut entries = Vec::new();
            for key in keys {
                let (mut encoded_key, mut encoded_value) = (Vec::new(), Vec::new());
                value_at(&key, &mut encoded_key, depth + 1)?;
                let item = value.get_item(&key).unwrap_or_default();
                value_at(&item, &mut encoded_value, depth + 1)?;
                entries.push((encoded_key, encoded_value));
            }
            map(entries, out);
        }
        ValueKind::Iterable => {
            return Err(KeyError::Kind("an iterator, which can be read only once (`|list` makes it a list)".into()));
        }
        kind => return Err(KeyError::Kind(format!("a value of type {kind}"))),
    }
    Ok(())
}

fn number(value: &Value, out: &mut Vec<u8>) -> Result<(), KeyError> {
    if let Some(small) = value.as_i64()
        && value.is_integer()
    {
        integer(small < 0, u128::from(small.unsigned_abs()), out);
        return Ok(());
    }
    if value.is_integer() {
        if let Ok(wide) = i128::try_from(value.clone()) {
            integer(wide < 0, wide.unsigned_abs(), out);
        } else if let Ok(wide) = u128::try_from(value.clone()) {
            integer(false, wide, out);
        } else {
            return Err(KeyError::Kind("an integer beyond 128 bits".into()));
        }
        return Ok(());
    }
    let Ok(wide) = f64::try_from(value.clone()) else {
        return Err(KeyError::Kind("an unreadable number".into()));
    };
    float(wide, out);
    Ok(())
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

/// Entries in any order; two with one key keep the last, as a map does.
fn map(mut entries: Vec<(Vec<u8>, Vec<u8>)>, out: &mut Vec<u8>) {
    entries.reverse();
    entries.sort_by(|a, b| a.0.cmp(&b.0));
    entries.dedup_by(|b, a| a.0 == b.0);
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

/// Formats straight into the bytes.
struct Utf8<'a>(&'a mut Vec<u8>);

impl fmt::Write for Utf8<'_> {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        self.0.extend_from_slice(s.as_bytes());
        Ok(())
    }
}
