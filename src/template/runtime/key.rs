//! Encodes template values as keys. Owns the rule which values may be part of a key, at any depth.
//!
//! A safe string is encoded in the same bytes as a plain one, so one key invalidates both. The positions of safe
//! strings follow the key, so the two are different look-ups, because a body prints them differently. The byte format
//! is in `key/format.rs`; keys of handlers are in `key/handler.rs`.

use std::fmt::Write as _;

use minijinja::HtmlEscape;
use minijinja::value::{DynObject, Enumerator, Value, ValueKind};
use xxhash_rust::xxh3::xxh3_128;

use crate::key::format::{
    MARKUP, MAX_DEPTH, NONE, boolean, bytes, close_list, close_text, float, integer, open_list, open_map, open_text,
    sorted, text,
};
use crate::key::{KeyError, KeyPlace, refuse_nothing};
use crate::store::request::RequestBuilder;
use crate::template::lazy;
use crate::template::profile::is_measured;

impl RequestBuilder {
    pub(crate) fn template_key(&mut self, key: &Value) -> Result<(), KeyError> {
        self.encode_key(|bytes| encode_value(key, bytes))
    }

    /// The key `first ~ rest[0] ~ …`.
    pub(crate) fn joined_key(&mut self, first: &Value, rest: &[Value], escape: bool) -> Result<(), KeyError> {
        self.encode_key(|bytes| encode_joined(first, rest, escape, bytes))
    }

    pub(crate) fn vary(&mut self, variants: &Value) -> Result<(), KeyError> {
        self.encode_qualifier(|bytes| encode_qualifier(variants, bytes))
    }

    pub(crate) fn version(&mut self, version: &Value) -> Result<(), KeyError> {
        let mut bytes = Vec::new();
        encode_qualifier(version, &mut bytes)?;
        self.set_version(Some(xxh3_128(&bytes)));
        Ok(())
    }
}

/// Appends the encoding of a template's key, followed by the positions of its safe strings. Returns where the key ends.
pub(crate) fn encode_value(value: &Value, out: &mut Vec<u8>) -> Result<usize, KeyError> {
    let start = out.len();
    let mut encoder = ValueEncoder { out, safe: Vec::new() };
    encoder.value(value, 0)?;
    refuse_nothing(&encoder.out[start..])?;
    Ok(encoder.finish())
}

/// Appends the encoding of `vary` or a version. `none` and `""` are valid values there.
pub(crate) fn encode_qualifier(value: &Value, out: &mut Vec<u8>) -> Result<(), KeyError> {
    let mut encoder = ValueEncoder { out, safe: Vec::new() };
    encoder.value(value, 0)?;
    encoder.finish();
    Ok(())
}

/// Appends the encoding of `first ~ rest[0] ~ …` without building that string, followed by the positions of its safe
/// operands. Returns where the key ends.
pub(crate) fn encode_joined(first: &Value, rest: &[Value], escape: bool, out: &mut Vec<u8>) -> Result<usize, KeyError> {
    // Joining markup with text escapes the text, as the `~` of templates does.
    let escape = escape && (first.is_safe() || rest.iter().any(Value::is_safe));
    let start = open_text(out);
    let mut encoder = ValueEncoder { out, safe: Vec::new() };
    encoder.operand(0, first, escape)?;
    for (at, operand) in rest.iter().enumerate() {
        encoder.operand(at + 1, operand, escape)?;
    }
    if encoder.out.len() == start {
        return Err(KeyError::empty());
    }
    close_text(start, encoder.out);
    Ok(encoder.finish())
}

/// Checks a value from which the template computes a part of a key: it must be defined. A lazy value is computed.
pub(crate) fn defined(value: &Value) -> Result<Value, KeyError> {
    let value = loaded(value)?;
    match value.kind() {
        ValueKind::Undefined => Err(KeyError::undefined()),
        ValueKind::Invalid => Err(invalid()),
        _ => Ok(value),
    }
}

/// Checks a value that the template converts to text for a key: it must be valid as a part of a key and have a text. An
/// iterator of known length is converted to a list.
pub(crate) fn part(value: &Value) -> Result<Value, KeyError> {
    checked(value, |iterator| iterator.len().is_some())
}

/// As [`part`], where the template reads an iterator to its end in any case.
pub(crate) fn part_of_items(value: &Value) -> Result<Value, KeyError> {
    checked(value, |_| true)
}

fn checked(value: &Value, is_list: impl FnOnce(&Value) -> bool) -> Result<Value, KeyError> {
    let mut value = defined(value)?;
    if value.as_object().is_none() {
        return Ok(value);
    }
    if value.kind() == ValueKind::Iterable
        && is_list(&value)
        && let Ok(items) = value.try_iter()
    {
        value = Value::from_iter(items);
    }
    encode_qualifier(&value, &mut Vec::new())?;
    // MiniJinja panics if an object fails to be written.
    text_of(&value).map(|_| value)
}

fn text_of(value: &Value) -> Result<String, KeyError> {
    let mut text = String::new();
    match write!(text, "{value}") {
        Ok(()) => Ok(text),
        Err(_) => Err(KeyError::kind("an object that cannot be written as text")),
    }
}

fn loaded(value: &Value) -> Result<Value, KeyError> {
    let mut value = value.clone();
    for _ in 0..MAX_DEPTH {
        match lazy::load(&value) {
            None => return Ok(value),
            Some(Ok(inner)) => value = inner,
            Some(Err(error)) => return Err(KeyError::failed(&error)),
        }
    }
    Err(KeyError::depth())
}

/// Encodes one key, `vary` or version.
struct ValueEncoder<'a> {
    out: &'a mut Vec<u8>,
    /// The positions of safe texts: their offsets, or the index of the operand in a joined key.
    safe: Vec<usize>,
}

/// A separate encoding, until its position in the key is known.
#[derive(Default)]
struct Encoded {
    bytes: Vec<u8>,
    safe: Vec<usize>,
}

impl ValueEncoder<'_> {
    /// Appends the positions of safe texts, if there are any. Returns where the encoding ends without them.
    #[inline]
    fn finish(mut self) -> usize {
        let end = self.out.len();
        if !self.safe.is_empty() {
            self.mark_safe();
        }
        end
    }

    #[cold]
    fn mark_safe(&mut self) {
        self.out.push(MARKUP);
        self.out.extend_from_slice(&(self.safe.len() as u64).to_le_bytes());
        self.out.extend(self.safe.iter().flat_map(|at| (*at as u64).to_le_bytes()));
    }

    fn value(&mut self, value: &Value, depth: usize) -> Result<(), KeyError> {
        match value.kind() {
            ValueKind::Undefined => return Err(KeyError::undefined()),
            ValueKind::None => self.out.push(NONE),
            ValueKind::Bool => boolean(value.is_true(), self.out),
            ValueKind::Number => number(value, self.out)?,
            ValueKind::String => {
                if value.is_safe() {
                    self.safe.push(self.out.len());
                }
                text(value.as_str().unwrap_or_default(), self.out);
            }
            ValueKind::Bytes => bytes(value.as_bytes().unwrap_or_default(), self.out),
            _ => return self.object(value, depth),
        }
        Ok(())
    }

    fn object(&mut self, value: &Value, depth: usize) -> Result<(), KeyError> {
        if depth >= MAX_DEPTH {
            return Err(KeyError::depth());
        }
        match lazy::load(value) {
            None => {}
            Some(Ok(inner)) => return self.value(&inner, depth + 1),
            Some(Err(error)) => return Err(KeyError::failed(&error)),
        }
        let (Some(object), kind) = (value.as_object(), value.kind()) else {
            return Err(invalid());
        };
        let empty = match kind {
            ValueKind::Seq => self.list(object, depth)?,
            // Macros, modules and loops look like maps, but an author does not mean them as keys.
            ValueKind::Map if is_measured(object) || object.type_name().starts_with("minijinja::vm") => {
                return Err(KeyError::kind("a macro, a module or a loop"));
            }
            ValueKind::Map => self.map(object, depth)?,
            ValueKind::Iterable => {
                return Err(KeyError::kind("an iterator, which can be read only once (`|list` makes it a list)"));
            }
            kind => return Err(KeyError::kind(format!("a value of type {kind}"))),
        };
        // An object that does not implement `enumerate` returns `Empty`, and so does MiniJinja's own empty tuple.
        if empty && matches!(object.enumerate(), Enumerator::Empty) && !object.type_name().starts_with("minijinja::") {
            return Err(unlisted());
        }
        Ok(())
    }

    /// Returns whether the list is empty.
    fn list(&mut self, object: &DynObject, depth: usize) -> Result<bool, KeyError> {
        let items = object.try_iter().ok_or_else(unlisted)?;
        let start = open_list(self.out);
        let mut count = 0;
        for item in items {
            count += 1;
            self.value(&item, depth + 1).map_err(|error| error.within(KeyPlace::Item(count)))?;
        }
        close_list(start, count as u64, self.out);
        Ok(count == 0)
    }

    /// Returns whether the map is empty.
    fn map(&mut self, object: &DynObject, depth: usize) -> Result<bool, KeyError> {
        let pairs = object.try_iter_pairs().ok_or_else(unlisted)?;
        let mut entries = Vec::new();
        for (key, value) in pairs {
            let at = entries.len() + 1;
            let entry = encoded(&key, depth + 1).and_then(|key| Ok((key, encoded(&value, depth + 1)?)));
            entries.push(entry.map_err(|error| error.within(KeyPlace::Entry(at)))?);
        }
        sorted(&mut entries, |(key, _)| &key.bytes);
        open_map(entries.len() as u64, self.out);
        let empty = entries.is_empty();
        for (key, value) in entries {
            self.append(&key);
            self.append(&value);
        }
        Ok(empty)
    }

    fn append(&mut self, encoded: &Encoded) {
        let start = self.out.len();
        self.safe.extend(encoded.safe.iter().map(|at| start + at));
        self.out.extend_from_slice(&encoded.bytes);
    }

    /// Appends the text of an operand of `~`.
    #[inline]
    fn operand(&mut self, at: usize, operand: &Value, escape: bool) -> Result<(), KeyError> {
        match operand.as_str() {
            Some(text) if !escape && !operand.is_safe() => self.out.extend_from_slice(text.as_bytes()),
            _ => match operand.as_i64().filter(|_| operand.is_integer()) {
                Some(integer) => decimal(integer, self.out),
                None => {
                    let written = self.other_operand(operand, at, escape);
                    return written.map_err(|error| error.within(KeyPlace::Operand(at + 1)));
                }
            },
        }
        Ok(())
    }

    #[inline(never)]
    fn other_operand(&mut self, operand: &Value, at: usize, escape: bool) -> Result<(), KeyError> {
        if operand.is_safe() {
            self.safe.push(at);
            self.out.extend_from_slice(operand.as_bytes().unwrap_or_default());
            return Ok(());
        }
        let text = text_of(&part(operand)?)?;
        let text = if escape { HtmlEscape(&text).to_string() } else { text };
        self.out.extend_from_slice(text.as_bytes());
        Ok(())
    }
}

fn encoded(value: &Value, depth: usize) -> Result<Encoded, KeyError> {
    let mut encoded = Encoded::default();
    let mut encoder = ValueEncoder { out: &mut encoded.bytes, safe: Vec::new() };
    encoder.value(value, depth)?;
    encoded.safe = encoder.safe;
    Ok(encoded)
}

fn invalid() -> KeyError {
    KeyError::kind("an invalid value")
}

#[cold]
fn unlisted() -> KeyError {
    KeyError::kind("an object that does not list its parts")
}

/// Appends the decimal text of an integer. Most joined keys contain an integer, and `Display` costs several times as
/// much.
fn decimal(integer: i64, out: &mut Vec<u8>) {
    let mut digits = [0; 20];
    let mut start = digits.len();
    let mut rest = integer.unsigned_abs();
    while rest > 0 || start == digits.len() {
        start -= 1;
        digits[start] = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    if integer < 0 {
        out.push(b'-');
    }
    out.extend_from_slice(&digits[start..]);
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
            return Err(KeyError::kind("an integer beyond 128 bits"));
        }
        return Ok(());
    }
    let Ok(wide) = f64::try_from(value.clone()) else {
        return Err(KeyError::kind("an unreadable number"));
    };
    float(wide, out);
    Ok(())
}
