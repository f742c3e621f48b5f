//! A template as the one who asks.

use std::sync::Arc;

use minijinja::State;

use super::Binding;
use super::rendering::{RenderStart, Rendering};
use crate::asker::{Asker, template_in};
use crate::cache::Inner;
use crate::context;
use crate::identity::{TagClass, tag_hash};
use crate::observe::{FragmentKind, Label};
use crate::record::Begin;
use crate::templates::Dependency;

/// A template that asks.
pub(super) struct InTemplate<'a, 'b, 'vm, 'env> {
    pub(super) binding: &'a Binding,
    pub(super) state: &'b mut State<'vm, 'env>,
    pub(super) named: Named<'b>,
}

/// What a template asks for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Named<'a> {
    /// A block, by the digest of its text.
    Site(u128),
    /// A partial, by its template or what its caller calls it.
    Partial(&'a str),
}

impl Named<'_> {
    pub(super) fn label(self, cache: &Inner) -> Arc<Label> {
        match self {
            Named::Site(site) => cache.observers.labels.of_site(site),
            Named::Partial(name) => cache.observers.labels.get(FragmentKind::Partial, name),
        }
    }
}

impl Asker for InTemplate<'_, '_, '_, '_> {
    fn begin(&mut self) -> Begin {
        let cache = self.binding.cache.inner.id;
        context::scope_begin(cache).unwrap_or_else(|| RenderStart::of(self.state, cache))
    }

    fn template(&mut self, name: &str) -> Option<Dependency> {
        template_in(self.state.env(), &self.binding.cache.inner, name)
    }

    fn label(&mut self) -> Arc<Label> {
        self.named.label(&self.binding.cache.inner)
    }

    fn page(&mut self) -> Option<u64> {
        // Its end says that the page is complete.
        Rendering::of(self.state, &self.binding.cache.inner);
        Some(tag_hash(TagClass::Template, self.binding.environment, self.state.name().as_bytes()))
    }
}
