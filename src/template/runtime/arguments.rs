//! Reads the arguments that templates pass: lifetimes, options, tags and parts of keys. Owns the text of their errors.
//! `key.rs` encodes keys.

use std::fmt::{self, Write as _};
use std::sync::Arc;

use minijinja::value::{Kwargs, Value, ValueKind};
use minijinja::{Error, ErrorKind};

use super::key;
use crate::cache::options::Options;
use crate::compile::names;
use crate::compile::spelling::Form;
use crate::invalidation::declared_tags::TagNames;
use crate::invalidation::dependencies::FOREVER;
use crate::telemetry::Bypass;
use crate::template::lazy;
use crate::util::clock::{Nanos, nanos};
use crate::util::duration::{Ttl, is_duration, parse_ttl_value};

/// A lowered lifetime literal: nanoseconds, -1 for no expiry, `none` for the default. `None` if it is another value.
pub(super) fn literal_ttl(value: &Value) -> Option<Option<Nanos>> {
    if value.is_none() {
        return Some(None);
    }
    match value.as_i64() {
        Some(-1) => Some(Some(FOREVER)),
        Some(literal) => u64::try_from(literal).ok().map(Some),
        None => None,
    }
}

/// A lifetime that a template computes; `None` for the default.
pub(super) fn computed_ttl(value: &Value) -> Result<Option<Nanos>, String> {
    match parse_ttl_value(&loaded(value)?) {
        Ok(Ttl::Default) => Ok(None),
        Ok(Ttl::Forever) => Ok(Some(FOREVER)),
        Ok(Ttl::Bypass) => Ok(Some(0)),
        Ok(Ttl::For(ttl)) => Ok(Some(nanos(ttl))),
        Err(error) => Err(error.to_string()),
    }
}

/// A lifetime given by position after a key. Other caches expect the lifetime first, so the error says if the two seem
/// to be swapped.
pub(super) fn positional_ttl(ttl: &Value, key: Option<&Value>, form: Form) -> Result<Option<Nanos>, String> {
    let message = match computed_ttl(ttl) {
        Err(message) => message,
        ttl => return ttl,
    };
    let number = key.is_some_and(Value::is_number);
    if !number && !key.and_then(Value::as_str).is_some_and(is_duration) {
        return Err(message);
    }
    // If the arguments are swapped, this value is the key, so the error does not quote it.
    let given = match ttl.kind() {
        ValueKind::Number | ValueKind::Undefined => message,
        _ => "the lifetime is neither a number nor a duration".into(),
    };
    let key = if number { "number" } else { "duration" };
    Err(form.order(&format!("{given}, and a {key} stands where the key belongs")))
}

/// The options that are read only on a miss.
pub(super) fn block_options(kwargs: &Kwargs) -> Result<Options, String> {
    let read = |name| given(kwargs, name).map_err(|error| error.to_string());
    let mut options = Options::default();
    if kwargs.args().next().is_none() {
        return Ok(options);
    }
    if let Some(tags) = read("tags")? {
        options.tags = listed_tags(&tags)?;
    }
    if let Some(stale) = read("stale")? {
        options.stale = computed_ttl(&stale)?.unwrap_or(0);
    }
    if let Some(label) = read("name")? {
        let mut text = String::new();
        write!(text, "{}", loaded(&label)?).map_err(|_| "name is an object that cannot be written as text")?;
        options.label = Some(text.into());
    }
    Ok(options)
}

/// The value of a lazy value; any other value unchanged.
fn loaded(value: &Value) -> Result<Value, String> {
    lazy::load(value).unwrap_or_else(|| Ok(value.clone())).map_err(|error| error.to_string())
}

/// Splits off the tags of a block, which follow the operands of the key if the block declares tags.
pub(super) fn split_tags<const TAGGED: bool>(args: &[Value]) -> Option<(Option<&Value>, &[Value])> {
    if TAGGED { args.split_last().map(|(tags, rest)| (Some(tags), rest)) } else { Some((None, args)) }
}

/// The tags that a block declares. On a bypass they are not read: they may be undefined, because the condition may
/// check exactly that.
#[inline]
pub(super) fn declared_names(tags: Option<&Value>, bypass: Option<Bypass>) -> Result<TagNames, String> {
    match tags {
        Some(tags) if bypass.is_none() => {
            TagNames::of_list(tags).map_or_else(|| listed_tags(tags).map(TagNames::Given), Ok)
        }
        _ => Ok(TagNames::NONE),
    }
}

fn listed_tags(tags: &Value) -> Result<Vec<Arc<str>>, String> {
    let tags = &loaded(tags)?;
    match tags.kind() {
        ValueKind::None => Ok(Vec::new()),
        ValueKind::Seq | ValueKind::Iterable => tag_names(tags.try_iter().map_err(|error| error.to_string())?),
        ValueKind::String => Err(format!("tags is the string {tags:?}; give a list, as in tags=[{tags:?}]")),
        kind => Err(format!("tags is {kind}, but must be a list of names")),
    }
}

/// An option as it was given. `none` and undefined are values too.
pub(super) fn given(kwargs: &Kwargs, name: &str) -> Result<Option<Value>, Error> {
    if kwargs.has(name) { kwargs.get(name).map(Some) } else { Ok(None) }
}

/// The names of tags, which are strings or numbers. A list is replaced by the tags in it.
pub(super) fn tag_names(values: impl Iterator<Item = Value>) -> Result<Vec<Arc<str>>, String> {
    let mut names = Vec::new();
    for value in values {
        let value = loaded(&value)?;
        match value.kind() {
            ValueKind::String | ValueKind::Number if value.as_str() != Some("") => names.push(value.to_string().into()),
            ValueKind::Seq => {
                let inner = value.try_iter().map_err(|error| error.to_string())?;
                names.extend(tag_names(inner)?);
            }
            ValueKind::String => return Err("a tag is empty".into()),
            kind => return Err(format!("a tag is {kind}, but must be a string or a number")),
        }
    }
    Ok(names)
}

pub(super) fn in_call(call: &str, message: impl fmt::Display) -> Error {
    Error::new(ErrorKind::InvalidOperation, format!("{call}: {message}"))
}

pub(super) fn in_block(source: &str, message: impl fmt::Display) -> Error {
    in_call(&format!("cache `{source}`"), message)
}

pub(super) fn foreign_call(name: &str) -> Error {
    Error::new(
        ErrorKind::InvalidOperation,
        format!("{name} is what cache blocks are lowered to, and cannot be called by itself"),
    )
}

/// `OPERAND|_f.defined(TEXT, WANTED)`: checks an operand of a key or tag. `WANTED` is one of the `GUARD_…` constants.
pub(super) fn defined(args: &[Value]) -> Result<Value, Error> {
    let [operand, source, wanted] = args else { return Err(foreign_call(names::DEFINED)) };
    let checked = match wanted.as_usize().and_then(|wanted| u32::try_from(wanted).ok()) {
        Some(names::GUARD_DEFINED) => key::defined(operand),
        Some(names::GUARD_PART) => key::part(operand),
        Some(names::GUARD_ITEMS) => key::part_of_items(operand),
        _ => return Err(foreign_call(names::DEFINED)),
    };
    checked.map_err(|reason| {
        let kind = if reason.is_undefined() { ErrorKind::UndefinedError } else { ErrorKind::InvalidOperation };
        Error::new(kind, format!("`{source}`, which goes into a key or a tag, {reason}"))
    })
}
