//! Sets debug marks around printed fragments. `captured.rs` decides which fragments must not have one.

use minijinja::{State, Value};

use super::binding::Binding;
use super::captured::{PrintedFragment, is_captured};
use crate::telemetry::{marked, unmarked};

impl Binding {
    /// The number of the mark for the look-up just made. `None` if a template can read the output.
    #[inline]
    pub(super) fn mark(&self, state: &mut State<'_, '_>, printed: PrintedFragment) -> Option<u64> {
        self.cache.inner.telemetry.take_mark().filter(|_| !is_captured(state, printed))
    }

    /// The result of `cache_partial`. It has no marks if the template may read it, that is, unless the template prints
    /// all its partials.
    pub(super) fn printed(&self, state: &mut State<'_, '_>, text: Value, mark: Option<u64>) -> Value {
        if !self.cache.inner.telemetry.collectors.have_marked() {
            return text;
        }
        if is_captured(state, PrintedFragment::Partial) { unmarked(&text) } else { marked(text, mark) }
    }
}
