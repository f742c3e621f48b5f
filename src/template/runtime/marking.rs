//! Marks around what a template prints, for those who debug it.

use minijinja::{State, Value};

use super::binding::Binding;
use super::captured::{PrintedFragment, is_captured};
use crate::telemetry::{marked, unmarked};

impl Binding {
    /// The number to mark by what was just looked up, unless the template can read what is printed here.
    #[inline]
    pub(super) fn mark(&self, state: &mut State<'_, '_>, printed: PrintedFragment) -> Option<u64> {
        self.cache.inner.telemetry.take_mark().filter(|_| !is_captured(state, printed))
    }

    /// A partial as it is given to its template, which may read it unless it prints all of them.
    pub(super) fn printed(&self, state: &mut State<'_, '_>, text: Value, mark: Option<u64>) -> Value {
        if !self.cache.inner.telemetry.collectors.have_marked() {
            return text;
        }
        if is_captured(state, PrintedFragment::Partial) { unmarked(&text) } else { marked(text, mark) }
    }
}
