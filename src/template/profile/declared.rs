//! A macro whose calls are measured. To templates it is the macro: it prints, counts and compares as that does.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use minijinja::value::{DynObject, Enumerator, Object, ObjectRepr, Value};
use minijinja::{Error, State};

use super::plan::Plan;
use super::running::{Given, Running, escaping};
use super::{Measurements, Site};

/// A call block's body, which a macro is handed by its caller without naming it.
pub(crate) const CALLER: &str = "caller";

pub(crate) struct Declared {
    pub(crate) inner: Value,
    pub(crate) all: Arc<Measurements>,
    pub(crate) site: Arc<Site>,
    pub(crate) plan: Arc<Plan>,
    /// What the macro read from outside when it was declared, by the plan's roots; undefined for parameters.
    pub(crate) outside: Vec<Value>,
    pub(crate) parameters: Vec<Box<str>>,
}

/// Whether an object is a macro that is measured.
pub(crate) fn is_measured(object: &DynObject) -> bool {
    object.downcast_ref::<Declared>().is_some()
}

impl Declared {
    /// The values of the plan's roots in a call.
    fn values(&self, args: &[Value]) -> Vec<Value> {
        let (args, named) = match args.split_last() {
            Some((named, args)) if named.is_kwargs() => (args, Some(named)),
            _ => (args, None),
        };
        let named = |name: &str| named.and_then(|named| named.get_attr(name).ok()).unwrap_or_default();
        let value =
            |root: &str, outside: &Value| match self.parameters.iter().position(|parameter| **parameter == *root) {
                Some(at) => args.get(at).cloned().unwrap_or_else(|| named(root)),
                None if *root == *CALLER => named(root),
                None => outside.clone(),
            };
        self.plan.roots.iter().zip(&self.outside).map(|(root, outside)| value(root, outside)).collect()
    }

    fn object(&self) -> Option<&DynObject> {
        self.inner.as_object()
    }
}

impl Object for Declared {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        self.object().map_or(ObjectRepr::Plain, DynObject::repr)
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.object()?.get_value(key)
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        self.object().map_or(Enumerator::NonEnumerable, DynObject::enumerate)
    }

    fn is_true(self: &Arc<Self>) -> bool {
        self.inner.is_true()
    }

    fn call(self: &Arc<Self>, state: &mut State<'_, '_>, args: &[Value]) -> Result<Value, Error> {
        let since = Instant::now();
        let given = Given { plan: Arc::clone(&self.plan), values: self.values(args), escaping: escaping(state) };
        let running = Running::of(state);
        let depth = running.depth();
        running.begin(Arc::clone(&self.site), given, since);
        let result = self.inner.call(state, args);
        let running = Running::of(state);
        match &result {
            Ok(body) => running.end(depth, body, &self.all),
            Err(_) => running.abandon(depth),
        }
        result
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.inner, f)
    }
}

impl fmt::Debug for Declared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.inner, f)
    }
}
