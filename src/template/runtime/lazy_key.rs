//! Detects keys that compute a lazy value. Such a key works, but it costs the value's query on every hit. Reported once
//! for each block and partial.
//!
//! A lazy value is computed when the key's expression is evaluated, before any code of the cache runs. `lazy.rs`
//! records the address of the name by which the last one was computed. If that address is in the tag of the look-up,
//! the look-up computed the value.

use std::ops::Range;

use minijinja::{State, Value};

use super::binding::Binding;
use super::caller::Named;
use crate::error::{Error, ErrorKind};
use crate::telemetry::collector;
use crate::template::lazy;

/// A lazy value that a look-up computed, with its name if it has one.
pub(super) struct LazyKey(Option<String>);

impl LazyKey {
    /// The lazy value that was computed for this look-up, if any.
    #[inline]
    pub(super) fn of(state: &State<'_, '_>, named: Named<'_>, key: &Value) -> Option<LazyKey> {
        let at = lazy::take_computed()?;
        LazyKey::computed(state, named, key, at)
    }

    #[cold]
    fn computed(state: &State<'_, '_>, named: Named<'_>, key: &Value, at: usize) -> Option<LazyKey> {
        let template = state.get_template(state.name()).ok()?;
        let (source, syntax) = (template.source(), state.env().syntax());
        let named_in_tag = at.checked_sub(source.as_ptr().addr()).filter(|at| *at < source.len()).filter(|at| {
            let call = match named {
                Named::Site(site) => format!("({site}, "),
                Named::Partial(_) => "cache_partial".to_owned(),
            };
            let starts = [syntax.variable_delimiters().0, syntax.block_delimiters().0];
            let in_tag = |between: Range<usize>| {
                source.get(between).is_some_and(|between| !starts.iter().any(|start| between.contains(start)))
            };
            source.match_indices(&call).any(|(call, _)| in_tag(call.min(*at)..call.max(*at)))
        });
        match named_in_tag {
            Some(at) => {
                let name = source[at..].split(|c: char| !(c.is_alphanumeric() || c == '_')).next();
                Some(LazyKey(name.map(str::to_owned)))
            }
            // The value was computed without a name, when the cache read the key.
            None => lazy::peek(key).map(|_| LazyKey(None)),
        }
    }
}

impl Binding {
    /// Records that the look-up just made computed a lazy value, and reports that once.
    #[cold]
    pub(super) fn tell_lazy_key(&self, named: Named<'_>, key: &LazyKey) {
        let inner = &self.cache.inner;
        let label = named.label(inner);
        if let Some(collector) = collector(inner.id) {
            collector.lazy_key(&label.name);
        }
        if label.has_lazy_key() {
            return;
        }
        let (kind, place) = (label.kind, &label.name);
        let value = key.0.as_ref().map_or_else(|| "a lazy value".to_owned(), |name| format!("the lazy value `{name}`"));
        let message = format!(
            "{kind} {place}: looking it up computes {value}, which then costs its query on every hit; give the template \
             what identifies it (an id) beside it, and put that into the key"
        );
        inner.report(&Error::new(ErrorKind::Key, message));
    }
}
