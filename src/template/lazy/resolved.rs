//! Contexts in which lazy values are resolved where a template looks them up.
//!
//! A wrapper stands for the context, and for what of MiniJinja's own maps and lists in it holds lazy values at any depth.
//! What holds none is left alone, and so are the application's objects: filters and functions want them as they are.

use std::cell::Cell;
use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::Ordering as Atomic;
use std::sync::{Arc, RwLock};

use minijinja::value::{DynObject, Enumerator, Object, ObjectRepr, Tuple, Value, ValueKind};
use minijinja::{Error, State};

use super::{ALIVE, Failure, Lazy};
use crate::template::profile::is_plain;
use crate::util::sync::{read_lock, write_lock};

/// How deep a context is searched for lazy values.
const MAX_DEPTH: usize = 64;

thread_local! {
    static UNTOUCHED: Cell<bool> = const { Cell::new(false) };
}

/// A context for MiniJinja's own `render`, in which [`lazy`](super::lazy) values are what their closures give.
///
/// ```
/// use std::convert::Infallible;
/// use minijinja::{Environment, context};
/// use minijinja_cache::{lazy, with_lazy};
///
/// let env = Environment::new();
/// let total = lazy(|| Ok::<_, Infallible>(5));
/// let page = env.render_str("{{ total > 30 }} {{ total + 1 }}", with_lazy(context! { total }))?;
/// assert_eq!(page, "False 6");
/// # Ok::<_, minijinja::Error>(())
/// ```
///
/// Resolved are the names of the context, and what lies in maps, lists and iterators of MiniJinja's and the standard
/// library's behind them. What an object of the application gives for an attribute is not, nor are globals of the
/// environment and results of functions.
pub fn with_lazy(context: impl Into<Value>) -> Value {
    resolving(context.into())
}

/// The same; the context itself where it cannot hold lazy values.
pub(crate) fn resolving(context: Value) -> Value {
    match context.as_object() {
        Some(object) if wraps(object) => context,
        // What the application computes may be lazy although no lazy value is alive at the moment.
        Some(object) if ALIVE.load(Atomic::Relaxed) > 0 || !is_plain(object) => wrap(object),
        _ => context,
    }
}

/// Runs something that finds lazy values in contexts as they are, without computing them.
pub(crate) fn untouched<R>(f: impl FnOnce() -> R) -> R {
    struct Restore(bool);
    impl Drop for Restore {
        fn drop(&mut self) {
            UNTOUCHED.set(self.0);
        }
    }
    let _restore = Restore(UNTOUCHED.replace(true));
    f()
}

/// The object that a wrapper stands for; others as they are.
pub(crate) fn behind(object: &DynObject) -> &DynObject {
    object.downcast_ref::<Resolved>().map_or(object, |resolved| &resolved.inner)
}

/// The value that a template is to see, looked up by `name`.
pub(super) fn resolve(value: Value, name: &str) -> Result<Value, Failure> {
    let Some(object) = value.as_object() else { return Ok(value) };
    if let Some(lazy) = object.downcast_ref::<Lazy>() {
        let computed = lazy.value(name)?;
        // A list or a map is read through the lazy value, so that each fragment that reads it, under whatever name,
        // knows what it depends on.
        return Ok(if computed.as_object().is_some_and(is_data) { value } else { computed });
    }
    if ALIVE.load(Atomic::Relaxed) == 0 || !(passes_on(object) || holds_lazy(object, 0)) {
        return Ok(value);
    }
    // What makes a tuple of a list is its type.
    if let Some(tuple) = object.downcast_ref::<Tuple>() {
        let items: Result<Vec<Value>, Failure> = tuple.iter().map(|item| resolve(item.clone(), "")).collect();
        return Ok(Tuple::from(items?).into());
    }
    Ok(wrap(object))
}

/// Whether an object is a list or a map of nothing but data, which no filter or function tells by its type.
fn is_data(object: &DynObject) -> bool {
    let told_by_type = object.downcast_ref::<Tuple>().is_some();
    !told_by_type && (is_plain(object) || passes_on(object) || wraps(object) || object.downcast_ref::<Lazy>().is_some())
}

/// Whether an object is one of MiniJinja's that passes on what it does not hold itself. Looking for lazy values in it
/// would run code of the application, or use up an iterator.
fn passes_on(object: &DynObject) -> bool {
    let name = object.type_name();
    name.starts_with("minijinja::value::")
        && ["::Iterable", "::ProxyMapObject<", "::MergeDict", "::MergeSeq"].iter().any(|own| name.contains(own))
}

/// Whether a list or map that can be read without running any code of the application's holds a lazy value, or may hold
/// one further down than is searched.
fn holds_lazy(object: &DynObject, depth: usize) -> bool {
    let found = |value: &Value| {
        value.as_object().is_some_and(|object| {
            object.downcast_ref::<Lazy>().is_some() || passes_on(object) || holds_lazy(object, depth + 1)
        })
    };
    // Collections of numbers or strings hold no values.
    if !is_plain(object) || !object.type_name().contains("minijinja::value::") {
        return false;
    }
    if depth > MAX_DEPTH {
        return true;
    }
    // Without a copy of each item.
    if let Some(list) = object.downcast_ref::<Vec<Value>>() {
        return list.iter().any(found);
    }
    match object.try_iter_pairs() {
        Some(mut pairs) => pairs.any(|(_, value)| found(&value)),
        None => false,
    }
}

fn wraps(object: &DynObject) -> bool {
    object.downcast_ref::<Resolved>().is_some()
}

fn wrap(object: &DynObject) -> Value {
    Value::from_object(Resolved { inner: object.clone(), known: is_plain(object).then(RwLock::default) })
}

/// A context, or a map or list in one, whose lazy values are resolved where they are looked up.
struct Resolved {
    inner: DynObject,
    /// Attributes that had to be searched for lazy values. None where the next look-up may give another object.
    known: Option<RwLock<HashMap<Box<str>, Value>>>,
}

impl Resolved {
    fn known(&self, name: &str) -> Option<Value> {
        let known = read_lock(self.known.as_ref()?);
        known.get(name).cloned()
    }

    /// Not of a lazy value: each fragment that looks one up has to be told what it depends on.
    fn note(&self, name: &str, value: &Value) {
        let Some(known) = &self.known else { return };
        write_lock(known).insert(name.into(), value.clone());
    }
}

/// As MiniJinja wants a value that may have failed: an invalid one fails the render where it is looked up.
fn or_invalid(value: Result<Value, Failure>) -> Value {
    value.unwrap_or_else(|failure| Error::from(failure).into())
}

fn resolve_item(value: Value) -> Value {
    or_invalid(resolve(value, ""))
}

impl fmt::Debug for Resolved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.inner, f)
    }
}

impl Object for Resolved {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        self.inner.repr()
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        match key.as_str().filter(|_| key.kind() == ValueKind::String) {
            Some(name) => self.get_value_by_str(name),
            None => self.inner.get_value(key).map(resolve_item),
        }
    }

    fn get_value_by_str(self: &Arc<Self>, name: &str) -> Option<Value> {
        let value = self.inner.get_value_by_str(name)?;
        let Some(object) = value.as_object().filter(|_| !UNTOUCHED.get()) else { return Some(value) };
        if object.downcast_ref::<Lazy>().is_some() {
            return Some(or_invalid(resolve(value, name)));
        }
        if let Some(known) = self.known(name) {
            return Some(known);
        }
        let value = or_invalid(resolve(value, name));
        // The items of a tuple may have been lazy themselves.
        if !value.is_tuple() {
            self.note(name, &value);
        }
        Some(value)
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        // A map's values are looked up by its keys, so that one that is not looked at is not computed.
        let keys = self.inner.repr() == ObjectRepr::Map;
        let resolve_pair = |(key, value)| (key, resolve_item(value));
        match self.inner.enumerate() {
            Enumerator::KeyValueIter(pairs) if keys => Enumerator::Iter(Box::new(pairs.map(|(key, _)| key))),
            Enumerator::RevKeyValueIter(pairs) if keys => Enumerator::RevIter(Box::new(pairs.map(|(key, _)| key))),
            items if keys => items,
            Enumerator::Iter(items) => Enumerator::Iter(Box::new(items.map(resolve_item))),
            Enumerator::RevIter(items) => Enumerator::RevIter(Box::new(items.map(resolve_item))),
            Enumerator::KeyValueIter(pairs) => Enumerator::KeyValueIter(Box::new(pairs.map(resolve_pair))),
            Enumerator::RevKeyValueIter(pairs) => Enumerator::RevKeyValueIter(Box::new(pairs.map(resolve_pair))),
            Enumerator::Values(items) => Enumerator::Iter(Box::new(items.into_iter().map(resolve_item))),
            items => items,
        }
    }

    fn enumerator_len(self: &Arc<Self>) -> Option<usize> {
        self.inner.enumerator_len()
    }

    fn is_true(self: &Arc<Self>) -> bool {
        self.inner.is_true()
    }

    fn call(self: &Arc<Self>, state: &mut State<'_, '_>, args: &[Value]) -> Result<Value, Error> {
        self.inner.call(state, args)
    }

    fn call_method(self: &Arc<Self>, state: &mut State<'_, '_>, method: &str, args: &[Value]) -> Result<Value, Error> {
        self.inner.call_method(state, method, args)
    }
}
