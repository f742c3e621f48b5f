//! A measured macro as an object of templates: it prints, iterates and compares as the macro that it wraps, and each
//! call is a frame of the render's call stack.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use minijinja::value::{DynObject, Enumerator, Object, ObjectRepr, Value};
use minijinja::{Error, State};

use super::call_stack::{CallInputs, CallStack, escaping};
use super::macros::MeasuredMacro;

impl Object for MeasuredMacro {
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
        let inputs =
            CallInputs { plan: Arc::clone(&self.plan), values: self.root_values(args), escaping: escaping(state) };
        let calls = CallStack::of(state);
        let depth = calls.depth();
        calls.begin(Arc::clone(&self.site), inputs, since);
        let result = self.inner.call(state, args);
        let calls = CallStack::of(state);
        match &result {
            Ok(body) => calls.end(depth, body, &self.measurements),
            Err(_) => calls.abandon(depth),
        }
        result
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.inner, f)
    }
}

impl fmt::Debug for MeasuredMacro {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.inner, f)
    }
}
