//! Encodes inputs as bytes, so that equal inputs are found by their hash.
//!
//! Values that MiniJinja makes itself (from serde, `context!`, literals) and collections of the standard library are
//! read. Objects of the application are not, because reading them runs code that may be slow, fail or have an effect;
//! `Builder::measure_object` allows it for a type. A lazy value is encoded as its computed value. If it was not
//! computed, the output does not depend on it.
//!
//! Values that print differently have different bytes: `1`, `"1"` and `1.0`, markup and text, maps in another order.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use minijinja::value::{DynObject, Enumerator, Value, ValueKind};

use super::input_kind::{InputKind, UnreadableReason};
use super::macros::is_measured;
use super::objects::{Readable, STRUCT, is_loop, is_module, is_plain};
use super::plan::{CALLER, InputPath};
use crate::template::lazy;

/// The largest encoding of a call's inputs that is compared. Comparing larger ones may cost more than caching saves.
const MAX_BYTES: usize = 256 << 10;
const TOO_LARGE: UnreadableReason = UnreadableReason::Kind("too large to compare");
/// The deepest nesting of a value that is compared.
const MAX_DEPTH: usize = 64;

const UNDEFINED: u8 = 0;
const NONE: u8 = 1;
const BOOL: u8 = 2;
const INTEGER: u8 = 3;
const FLOAT: u8 = 4;
const TEXT: u8 = 5;
const MARKUP: u8 = 6;
const BYTES: u8 = 7;
const LIST: u8 = 8;
const MAP: u8 = 9;
/// A function, macro or module. Only its path identifies it, which is the same in all calls.
const CODE: u8 = 10;
/// A lazy value that was not computed.
const NOT_COMPUTED: u8 = 11;
const END: u8 = 12;

/// Encodes inputs as bytes.
pub(super) struct InputReader<'r> {
    /// The types of the application whose objects may be read.
    pub(super) readable: &'r [Readable],
    pub(super) bytes: Vec<u8>,
}

/// The end of a path.
enum PathEnd {
    Value(Value),
    /// A function, macro or module.
    Code,
    /// The path passes a lazy value that was not computed.
    NotComputed,
}

impl InputReader<'_> {
    /// Appends the value at the end of a path. `values` are those of the plan's roots.
    pub(super) fn append_path(&mut self, path: &InputPath, values: &[Value]) -> Result<(), UnreadableReason> {
        if self.readable.is_empty() {
            return self.read(path, values);
        }
        // Objects of types that were declared readable run code of the application. A panic there must not fail the
        // page.
        catch_unwind(AssertUnwindSafe(|| self.read(path, values)))
            .unwrap_or(Err(UnreadableReason::Kind("an object that panics")))
    }

    fn read(&mut self, path: &InputPath, values: &[Value]) -> Result<(), UnreadableReason> {
        match self.follow(path, values)? {
            PathEnd::Value(value) => return self.append(&value, 0),
            PathEnd::Code => self.bytes.push(CODE),
            PathEnd::NotComputed => self.bytes.push(NOT_COMPUTED),
        }
        Ok(())
    }

    /// How the value at the end of a path fits into a cache key.
    pub(super) fn kind(&self, path: &InputPath, values: &[Value]) -> InputKind {
        let root = values.get(path.root);
        if root.is_some_and(|root| lazy::peek(root).is_some()) {
            return InputKind::Lazy;
        }
        if &*path.name == CALLER {
            return InputKind::NoValue;
        }
        match catch_unwind(AssertUnwindSafe(|| self.follow(path, values))) {
            Ok(Ok(PathEnd::Code)) => InputKind::Code,
            Ok(Ok(PathEnd::NotComputed)) => InputKind::Lazy,
            Ok(Ok(PathEnd::Value(value))) => match value.as_object() {
                Some(object) if is_code(object) => InputKind::Code,
                Some(_) if lazy::peek(&value).is_some() => InputKind::Lazy,
                None if value.is_undefined() && root.is_none_or(Value::is_undefined) => path.kind_if_missing(),
                None if value.is_undefined() => InputKind::MissingAttribute,
                _ => InputKind::Data,
            },
            Ok(Err(_)) | Err(_) => InputKind::Data,
        }
    }

    /// Follows a path from its root, without computing lazy values.
    fn follow(&self, path: &InputPath, values: &[Value]) -> Result<PathEnd, UnreadableReason> {
        let mut value = values.get(path.root).cloned().unwrap_or_default();
        for attribute in &path.attributes {
            match lazy::peek(&value) {
                Some(Some(computed)) => value = computed,
                Some(None) => return Ok(PathEnd::NotComputed),
                None => {}
            }
            let Some(object) = value.as_object().map(lazy::behind) else { return Ok(PathEnd::Value(Value::UNDEFINED)) };
            let counter = is_loop(object) && COUNTERS.contains(&&**attribute);
            if !(counter || is_module(object) || self.may_read(object)) {
                return Err(unreadable(object));
            }
            value = object.get_value_by_str(attribute).unwrap_or_default();
        }
        let Some(object) = value.as_object().filter(|_| lazy::peek(&value).is_none()) else {
            return Ok(PathEnd::Value(value));
        };
        let object = lazy::behind(object);
        // `caller` is another macro at each call, so its name does not identify it.
        let code = is_code(object) || is_module(object) || path.called && !self.may_read(object);
        Ok(if code && &*path.name != CALLER { PathEnd::Code } else { PathEnd::Value(value) })
    }

    fn may_read(&self, object: &DynObject) -> bool {
        is_plain(object) || self.readable.iter().any(|of_type| of_type(object))
    }

    fn append(&mut self, value: &Value, depth: usize) -> Result<(), UnreadableReason> {
        if depth > MAX_DEPTH {
            return Err(UnreadableReason::Kind("nested too deep"));
        }
        let out = &mut self.bytes;
        if out.len() > MAX_BYTES {
            return Err(TOO_LARGE);
        }
        // `Value::kind` of an object would run the object's code.
        if let Some(object) = value.as_object() {
            return self.append_object(value, object, depth);
        }
        match value.kind() {
            ValueKind::Undefined => out.push(UNDEFINED),
            ValueKind::None => out.push(NONE),
            ValueKind::Bool => out.extend([BOOL, u8::from(value.is_true())]),
            ValueKind::Number => append_number(value, out)?,
            ValueKind::String => {
                let kind = if value.is_safe() { MARKUP } else { TEXT };
                append_sized(kind, value.as_str().unwrap_or_default().as_bytes(), out)?;
            }
            ValueKind::Bytes => append_sized(BYTES, value.as_bytes().unwrap_or_default(), out)?,
            _ => return Err(UnreadableReason::Kind("an invalid value")),
        }
        Ok(())
    }

    fn append_object(&mut self, value: &Value, object: &DynObject, depth: usize) -> Result<(), UnreadableReason> {
        match lazy::peek(value) {
            Some(Some(computed)) => return self.append(&computed, depth + 1),
            Some(None) => {
                self.bytes.push(NOT_COMPUTED);
                return Ok(());
            }
            None => {}
        }
        let object = lazy::behind(object);
        // Lists and maps are the most frequent objects. Downcasting them avoids a clone of each item.
        if let Some(list) = object.downcast_ref::<Vec<Value>>() {
            self.bytes.push(LIST);
            for item in list {
                self.append(item, depth + 1)?;
            }
        } else if let Some(map) = object.downcast_ref::<BTreeMap<Value, Value>>() {
            self.bytes.push(MAP);
            for (key, item) in map {
                self.append(key, depth + 1)?;
                self.append(item, depth + 1)?;
            }
        } else if object.type_name() == STRUCT {
            self.append_fields(object, depth)?;
        } else if !self.may_read(object) {
            return Err(unreadable(object));
        } else if let Some(pairs) = object.try_iter_pairs() {
            self.bytes.push(MAP);
            for (key, item) in pairs {
                self.append(&key, depth + 1)?;
                self.append(&item, depth + 1)?;
            }
        } else if let Some(items) = object.try_iter() {
            self.bytes.push(LIST);
            for item in items {
                self.append(&item, depth + 1)?;
            }
        } else {
            return Err(unreadable(object));
        }
        self.bytes.push(END);
        Ok(())
    }

    /// Appends the fields of a struct that came through serde. Iterating over pairs would look up each name as a value.
    fn append_fields(&mut self, object: &DynObject, depth: usize) -> Result<(), UnreadableReason> {
        self.bytes.push(MAP);
        let Enumerator::Values(names) = object.enumerate() else { return Err(unreadable(object)) };
        for name in &names {
            let Some(name) = name.as_str() else { return Err(unreadable(object)) };
            append_sized(TEXT, name.as_bytes(), &mut self.bytes)?;
            self.append(&object.get_value_by_str(name).unwrap_or_default(), depth + 1)?;
        }
        Ok(())
    }
}

fn append_number(value: &Value, out: &mut Vec<u8>) -> Result<(), UnreadableReason> {
    if !value.is_integer() {
        let float = f64::try_from(value.clone()).map_err(|_| UnreadableReason::Kind("an unreadable number"))?;
        // All NaNs print the same.
        let float = if float.is_nan() { f64::NAN } else { float };
        out.push(FLOAT);
        out.extend_from_slice(&float.to_bits().to_le_bytes());
        return Ok(());
    }
    out.push(INTEGER);
    if let Some(small) = value.as_i64() {
        out.extend_from_slice(&i128::from(small).to_le_bytes());
    } else if let Ok(wide) = i128::try_from(value.clone()) {
        out.extend_from_slice(&wide.to_le_bytes());
    } else {
        let wide = u128::try_from(value.clone()).map_err(|_| UnreadableReason::Kind("an unreadable number"))?;
        out.push(INTEGER);
        out.extend_from_slice(&wide.to_le_bytes());
    }
    Ok(())
}

/// Appends bytes after their kind and length.
fn append_sized(kind: u8, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), UnreadableReason> {
    if out.len() + bytes.len() > MAX_BYTES {
        return Err(TOO_LARGE);
    }
    out.push(kind);
    out.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
    out.extend_from_slice(bytes);
    Ok(())
}

/// The reason why an object is not read.
fn unreadable(object: &DynObject) -> UnreadableReason {
    let name = object.type_name();
    let of_minijinja = name.starts_with("minijinja::");
    match name {
        _ if is_code(object) => UnreadableReason::Kind("a function or macro"),
        _ if is_module(object) => UnreadableReason::Kind("an imported module"),
        _ if is_loop(object) => UnreadableReason::Kind("a loop's items"),
        _ if of_minijinja && name.contains("amespace") => UnreadableReason::Kind("a namespace, which changes"),
        _ if of_minijinja && name.contains("merge") => UnreadableReason::Kind("joined lists or maps"),
        _ if of_minijinja => UnreadableReason::Kind("an iterator"),
        _ => UnreadableReason::Object(name),
    }
}

/// Attributes of a loop that can be read without its items.
const COUNTERS: [&str; 9] = ["index", "index0", "length", "revindex", "revindex0", "first", "last", "depth", "depth0"];

/// Whether an object is a function or a macro.
fn is_code(object: &DynObject) -> bool {
    is_measured(object)
        || matches!(object.type_name(), "minijinja::vm::macro_object::Macro" | "minijinja::functions::BoxedFunction")
}
