//! Owns `with_lazy` and the wrapper that resolves lazy values of a context when a template looks them up.
//!
//! A wrapper replaces the context, and every MiniJinja map or list in it that holds lazy values at any depth. Maps and
//! lists without lazy values are not wrapped. Objects of the application are not wrapped either, because filters and
//! functions expect their types. Lazy values themselves are in `lazy.rs`.

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

/// Maximum depth to which a context is searched for lazy values.
const MAX_DEPTH: usize = 64;

thread_local! {
    static UNTOUCHED: Cell<bool> = const { Cell::new(false) };
}

/// A context for MiniJinja's own `render` that resolves [`lazy`](super::lazy) values when the template looks them up.
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
/// It resolves lazy values that are names of the context, and those in maps, lists and iterators of MiniJinja and the
/// standard library below it. It does not resolve attributes of application objects, globals of the environment, or
/// results of functions.
pub fn with_lazy(context: impl Into<Value>) -> Value {
    resolving(context.into())
}

/// As [`with_lazy`]; returns the context unchanged if it cannot hold lazy values.
pub(crate) fn resolving(context: Value) -> Value {
    match context.as_object() {
        Some(object) if wraps(object) => context,
        // An object of the application may compute a lazy value later, although none exists yet.
        Some(object) if ALIVE.load(Atomic::Relaxed) > 0 || !is_plain(object) => wrap(object),
        _ => context,
    }
}

/// Runs `f`. Look-ups in wrapped contexts return lazy values uncomputed meanwhile.
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

/// The object inside a wrapper; another object unchanged.
pub(crate) fn behind(object: &DynObject) -> &DynObject {
    object.downcast_ref::<Resolved>().map_or(object, |resolved| &resolved.inner)
}

/// The value for a template that looks it up by `name`, with lazy values resolved.
pub(super) fn resolve(value: Value, name: &str) -> Result<Value, Failure> {
    let Some(object) = value.as_object() else { return Ok(value) };
    if let Some(lazy) = object.downcast_ref::<Lazy>() {
        let computed = lazy.value(name)?;
        // A list or a map is read through the lazy value. So each fragment that reads it, under any name, takes over
        // its dependencies.
        return Ok(if computed.as_object().is_some_and(is_data) { value } else { computed });
    }
    if ALIVE.load(Atomic::Relaxed) == 0 || !(passes_on(object) || holds_lazy(object, 0)) {
        return Ok(value);
    }
    // MiniJinja recognises a tuple by its type, so a tuple cannot be wrapped.
    if let Some(tuple) = object.downcast_ref::<Tuple>() {
        let items: Result<Vec<Value>, Failure> = tuple.iter().map(|item| resolve(item.clone(), "")).collect();
        return Ok(Tuple::from(items?).into());
    }
    Ok(wrap(object))
}

/// Whether an object is a list or a map of plain data, whose type no filter or function depends on.
fn is_data(object: &DynObject) -> bool {
    let told_by_type = object.downcast_ref::<Tuple>().is_some();
    !told_by_type && (is_plain(object) || passes_on(object) || wraps(object) || object.downcast_ref::<Lazy>().is_some())
}

/// Whether an object is one of MiniJinja's that takes its items from another object or an iterator. Searching it would
/// run application code or use up the iterator.
fn passes_on(object: &DynObject) -> bool {
    let name = object.type_name();
    name.starts_with("minijinja::value::")
        && ["::Iterable", "::ProxyMapObject<", "::MergeDict", "::MergeSeq"].iter().any(|own| name.contains(own))
}

/// Whether an object is a list or map that can be read without running application code and that holds a lazy value.
/// True also if it is nested deeper than [`MAX_DEPTH`].
fn holds_lazy(object: &DynObject, depth: usize) -> bool {
    let found = |value: &Value| {
        value.as_object().is_some_and(|object| {
            object.downcast_ref::<Lazy>().is_some() || passes_on(object) || holds_lazy(object, depth + 1)
        })
    };
    // Only collections of MiniJinja values can hold lazy values.
    if !is_plain(object) || !object.type_name().contains("minijinja::value::") {
        return false;
    }
    if depth > MAX_DEPTH {
        return true;
    }
    // This avoids a copy of each item.
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

/// A context, or a map or list in one, whose lazy values are resolved at look-up.
struct Resolved {
    inner: DynObject,
    /// Attributes that were searched for lazy values, with the resolved result. `None` if a later look-up may return
    /// another object.
    known: Option<RwLock<HashMap<Box<str>, Value>>>,
}

impl Resolved {
    fn known(&self, name: &str) -> Option<Value> {
        let known = read_lock(self.known.as_ref()?);
        known.get(name).cloned()
    }

    /// Records a resolved attribute. Not used for a lazy value, because each fragment that looks it up must take over
    /// its dependencies.
    fn note(&self, name: &str, value: &Value) {
        let Some(known) = &self.known else { return };
        write_lock(known).insert(name.into(), value.clone());
    }
}

/// A failure becomes an invalid value, which fails the render where the template looks it up.
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
        // Items of a tuple may be lazy values, and those must not be recorded.
        if !value.is_tuple() {
            self.note(name, &value);
        }
        Some(value)
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        // Enumerates only the keys of a map. Its values are looked up by key, so a lazy value that the template does
        // not read is not computed.
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
