//! A macro whose calls are measured, as data. `macro_object.rs` makes it behave as the macro that it wraps.

use std::sync::Arc;

use minijinja::value::{DynObject, Value};

use super::measurements::Measurements;
use super::plan::{CALLER, Plan};
use super::site::Site;

/// Wraps a macro of a template.
pub(crate) struct MeasuredMacro {
    pub(crate) inner: Value,
    pub(crate) measurements: Arc<Measurements>,
    pub(crate) site: Arc<Site>,
    pub(crate) plan: Arc<Plan>,
    /// The values that the macro captured from its surroundings when it was declared, in the order of the plan's roots;
    /// undefined for parameters.
    pub(crate) captured: Vec<Value>,
    pub(crate) parameters: Vec<Box<str>>,
}

/// Whether an object is a macro that is measured.
pub(crate) fn is_measured(object: &DynObject) -> bool {
    object.downcast_ref::<MeasuredMacro>().is_some()
}

impl MeasuredMacro {
    /// The values of the plan's roots in a call with these arguments.
    pub(super) fn root_values(&self, args: &[Value]) -> Vec<Value> {
        let (args, named) = match args.split_last() {
            Some((named, args)) if named.is_kwargs() => (args, Some(named)),
            _ => (args, None),
        };
        let named = |name: &str| named.and_then(|named| named.get_attr(name).ok()).unwrap_or_default();
        let value =
            |root: &str, captured: &Value| match self.parameters.iter().position(|parameter| **parameter == *root) {
                Some(at) => args.get(at).cloned().unwrap_or_else(|| named(root)),
                None if *root == *CALLER => named(root),
                None => captured.clone(),
            };
        self.plan.roots.iter().zip(&self.captured).map(|(root, captured)| value(root, captured)).collect()
    }

    /// The macro as an object.
    pub(super) fn object(&self) -> Option<&DynObject> {
        self.inner.as_object()
    }
}
