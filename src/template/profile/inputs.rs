//! Inputs as bytes, so that equal ones are found: of any value, without running anything of the application's.
//!
//! Read are the values that MiniJinja makes itself (from serde, `context!`, literals) and collections of the standard
//! library. What another object would answer may cost, fail or have an effect, so it is not asked. A lazy value is
//! what it was computed to, and where nothing has touched it nothing depends on it.
//!
//! The bytes tell apart what prints differently: `1`, `"1"` and `1.0`, markup and text, maps in another order.

use std::collections::BTreeMap;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use minijinja::value::{DynObject, Enumerator, ObjectRepr, Value, ValueKind};

use super::declared::{self, CALLER};
use super::plan::Path;
use crate::template::lazy;

/// The longest inputs that are compared, in bytes; what is longer costs more to compare than it may be worth.
const MAX_BYTES: usize = 256 << 10;
const TOO_LARGE: Why = Why::Kind("too large to compare");
/// How deep a value may nest.
const MAX_DEPTH: usize = 64;

/// Why an input cannot be compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Why {
    /// What it holds can be read once, or changes.
    Kind(&'static str),
    /// Of a type that is not asked.
    Object(&'static str),
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Why::Kind(kind) => f.write_str(kind),
            Why::Object(name) => write!(f, "an object of type {name}"),
        }
    }
}

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
/// A function, macro or module: what it is, its name says.
const CODE: u8 = 10;
/// A lazy value that nothing has touched.
const UNTOUCHED: u8 = 11;
const END: u8 = 12;

/// A type of the application's whose objects may be read.
pub(crate) type Readable = fn(&DynObject) -> bool;

/// Reads inputs into bytes.
pub(crate) struct Reader<'r> {
    pub(crate) readable: &'r [Readable],
    pub(crate) bytes: Vec<u8>,
}

/// What an input is, seen as a part of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum InputKind {
    /// A function or a macro.
    Code,
    Data,
    /// Undefined, and must not be in a key as it is.
    MissingAttribute,
    /// The same, and what it would be an attribute of as well.
    Missing,
    /// What would be computed for the key.
    Lazy,
    /// What shows there is not to be had as a value: a caller's text, a loop or a block that is not there.
    NoValue,
}

/// Where a path leads.
enum End {
    Value(Value),
    /// A function, macro or module.
    Code,
    /// A lazy value on the way is not computed.
    Untouched,
}

impl Reader<'_> {
    /// Appends what a path leads to, given the values of its plan's roots.
    pub(crate) fn path(&mut self, path: &Path, values: &[Value]) -> Result<(), Why> {
        if self.readable.is_empty() {
            return self.read(path, values);
        }
        // What is declared to be readable is still the application's code, and must not fail a page from here.
        catch_unwind(AssertUnwindSafe(|| self.read(path, values))).unwrap_or(Err(Why::Kind("an object that panics")))
    }

    fn read(&mut self, path: &Path, values: &[Value]) -> Result<(), Why> {
        match self.follow(path, values)? {
            End::Value(value) => return self.append(&value, 0),
            End::Code => self.bytes.push(CODE),
            End::Untouched => self.bytes.push(UNTOUCHED),
        }
        Ok(())
    }

    /// What a key could be made of at the end of a path.
    pub(crate) fn kind(&self, path: &Path, values: &[Value]) -> InputKind {
        let root = values.get(path.root);
        if root.is_some_and(|root| lazy::peek(root).is_some()) {
            return InputKind::Lazy;
        }
        if &*path.name == CALLER {
            return InputKind::NoValue;
        }
        match catch_unwind(AssertUnwindSafe(|| self.follow(path, values))) {
            Ok(Ok(End::Code)) => InputKind::Code,
            Ok(Ok(End::Untouched)) => InputKind::Lazy,
            Ok(Ok(End::Value(value))) => match value.as_object() {
                Some(object) if is_code(object) => InputKind::Code,
                Some(_) if lazy::peek(&value).is_some() => InputKind::Lazy,
                None if value.is_undefined() && root.is_none_or(Value::is_undefined) => path.missing(),
                None if value.is_undefined() => InputKind::MissingAttribute,
                _ => InputKind::Data,
            },
            Ok(Err(_)) | Err(_) => InputKind::Data,
        }
    }

    fn follow(&self, path: &Path, values: &[Value]) -> Result<End, Why> {
        let mut value = values.get(path.root).cloned().unwrap_or_default();
        for attribute in &path.attributes {
            match lazy::peek(&value) {
                Some(Some(computed)) => value = computed,
                Some(None) => return Ok(End::Untouched),
                None => {}
            }
            let Some(object) = value.as_object().map(lazy::behind) else { return Ok(End::Value(Value::UNDEFINED)) };
            let counter = is_loop(object) && COUNTERS.contains(&&**attribute);
            if !(counter || is_module(object) || self.may_read(object)) {
                return Err(refused(object));
            }
            value = object.get_value_by_str(attribute).unwrap_or_default();
        }
        let Some(object) = value.as_object().filter(|_| lazy::peek(&value).is_none()) else {
            return Ok(End::Value(value));
        };
        let object = lazy::behind(object);
        // `caller` is another one at each call, whatever it is named.
        let code = is_code(object) || is_module(object) || path.called && !self.may_read(object);
        Ok(if code && &*path.name != CALLER { End::Code } else { End::Value(value) })
    }

    fn may_read(&self, object: &DynObject) -> bool {
        is_plain(object) || self.readable.iter().any(|of_type| of_type(object))
    }

    fn append(&mut self, value: &Value, depth: usize) -> Result<(), Why> {
        if depth > MAX_DEPTH {
            return Err(Why::Kind("nested too deep"));
        }
        let out = &mut self.bytes;
        if out.len() > MAX_BYTES {
            return Err(TOO_LARGE);
        }
        // Asking an object for its kind asks the object.
        if let Some(object) = value.as_object() {
            return self.object(value, object, depth);
        }
        match value.kind() {
            ValueKind::Undefined => out.push(UNDEFINED),
            ValueKind::None => out.push(NONE),
            ValueKind::Bool => out.extend([BOOL, u8::from(value.is_true())]),
            ValueKind::Number => number(value, out)?,
            ValueKind::String => {
                let kind = if value.is_safe() { MARKUP } else { TEXT };
                sized(kind, value.as_str().unwrap_or_default().as_bytes(), out)?;
            }
            ValueKind::Bytes => sized(BYTES, value.as_bytes().unwrap_or_default(), out)?,
            _ => return Err(Why::Kind("an invalid value")),
        }
        Ok(())
    }

    fn object(&mut self, value: &Value, object: &DynObject, depth: usize) -> Result<(), Why> {
        match lazy::peek(value) {
            Some(Some(computed)) => return self.append(&computed, depth + 1),
            Some(None) => {
                self.bytes.push(UNTOUCHED);
                return Ok(());
            }
            None => {}
        }
        let object = lazy::behind(object);
        // The two that nearly all data consists of, without a copy of each item.
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
            self.fields(object, depth)?;
        } else if !self.may_read(object) {
            return Err(refused(object));
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
            return Err(refused(object));
        }
        self.bytes.push(END);
        Ok(())
    }

    /// The fields of a struct that came through serde. Pairs would look each name up as a value.
    fn fields(&mut self, object: &DynObject, depth: usize) -> Result<(), Why> {
        self.bytes.push(MAP);
        let Enumerator::Values(names) = object.enumerate() else { return Err(refused(object)) };
        for name in &names {
            let Some(name) = name.as_str() else { return Err(refused(object)) };
            sized(TEXT, name.as_bytes(), &mut self.bytes)?;
            self.append(&object.get_value_by_str(name).unwrap_or_default(), depth + 1)?;
        }
        Ok(())
    }
}

fn number(value: &Value, out: &mut Vec<u8>) -> Result<(), Why> {
    if !value.is_integer() {
        let float = f64::try_from(value.clone()).map_err(|_| Why::Kind("an unreadable number"))?;
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
        let wide = u128::try_from(value.clone()).map_err(|_| Why::Kind("an unreadable number"))?;
        out.push(INTEGER);
        out.extend_from_slice(&wide.to_le_bytes());
    }
    Ok(())
}

fn sized(kind: u8, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), Why> {
    if out.len() + bytes.len() > MAX_BYTES {
        return Err(TOO_LARGE);
    }
    out.push(kind);
    out.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
    out.extend_from_slice(bytes);
    Ok(())
}

fn refused(object: &DynObject) -> Why {
    let name = object.type_name();
    let of_minijinja = name.starts_with("minijinja::");
    match name {
        _ if is_code(object) => Why::Kind("a function or macro"),
        _ if is_module(object) => Why::Kind("an imported module"),
        _ if is_loop(object) => Why::Kind("a loop's items"),
        _ if of_minijinja && name.contains("amespace") => Why::Kind("a namespace, which changes"),
        _ if of_minijinja && name.contains("merge") => Why::Kind("joined lists or maps"),
        _ if of_minijinja => Why::Kind("an iterator"),
        _ => Why::Object(name),
    }
}

/// What MiniJinja makes of a struct, and of `context!`.
const STRUCT: &str = "minijinja::value::StaticKeyMap";

const COUNTERS: [&str; 9] = ["index", "index0", "length", "revindex", "revindex0", "first", "last", "depth", "depth0"];

fn is_loop(object: &DynObject) -> bool {
    object.type_name() == "minijinja::vm::loop_object::Loop"
}

fn is_module(object: &DynObject) -> bool {
    object.type_name() == "minijinja::vm::module_object::Module"
}

fn is_code(object: &DynObject) -> bool {
    declared::is_measured(object)
        || matches!(object.type_name(), "minijinja::vm::macro_object::Macro" | "minijinja::functions::BoxedFunction")
}

/// Whether an object is a list that can be read again and again.
pub(crate) fn is_plain_list(object: &DynObject) -> bool {
    is_plain(object) && object.repr() == ObjectRepr::Seq
}

/// Whether everything that reading an object runs is MiniJinja's or the standard library's.
pub(crate) fn is_plain(object: &DynObject) -> bool {
    match object.type_name() {
        STRUCT | "minijinja::value::tuple::Tuple" | "minijinja::value::argtypes::KwargsValues" => true,
        name => is_collection(name),
    }
}

/// Whether a type's name is that of a collection of the standard library, of nothing but values and the library's own.
/// A name that is not understood is none.
fn is_collection(name: &str) -> bool {
    let outer = ["alloc::", "std::collections::", "indexmap::", "["].iter().any(|own| name.starts_with(own));
    let parts = |c: char| !(c.is_alphanumeric() || matches!(c, '_' | ':' | '{' | '}'));
    outer
        && name.split(parts).filter(|part| part.contains([':', '{'])).all(|part| {
            part == "minijinja::value::Value"
                || ["alloc::", "std::", "core::", "indexmap::"].iter().any(|own| part.starts_with(own))
                    && !part.contains('{')
        })
}
