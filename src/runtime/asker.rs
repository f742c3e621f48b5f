//! A template as the one who asks.

use minijinja::State;

use super::{Binding, Rendering};
use crate::asker::{Asker, template_in};
use crate::identity::{TagClass, tag_hash};
use crate::record::{Begin, Dependency};

/// A template that asks.
pub(super) struct InTemplate<'a, 'b, 'vm, 'env> {
    pub(super) binding: &'a Binding,
    pub(super) state: &'b mut State<'vm, 'env>,
}

impl Asker for InTemplate<'_, '_, '_, '_> {
    fn begin(&mut self) -> Begin {
        self.binding.cache.inner.render_begin()
    }

    fn template(&mut self, name: &str) -> Option<Dependency> {
        template_in(self.state.env(), &self.binding.cache.inner, name)
    }

    fn page(&mut self) -> Option<u64> {
        // Has the end of the render noticed.
        Rendering::of(self.state, &self.binding.cache.inner);
        Some(tag_hash(TagClass::Template, self.binding.environment, self.state.name().as_bytes()))
    }
}
