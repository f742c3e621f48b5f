//! A template as the caller of a look-up, and a handler that has one rendered.

use std::sync::Arc;

use minijinja::{Environment, State};

use super::binding::Binding;
use super::rendering::{RenderStart, Rendering};
use super::{look_ups, renders};
use crate::cache::Engine;
use crate::invalidation::dependencies::{Dependency, StartStamp};
use crate::invalidation::stack;
use crate::key::identity::{TagClass, tag_hash};
use crate::store::caller::Caller;
use crate::telemetry::{FragmentCounters, FragmentKind};

/// A template that asks.
pub(super) struct TemplateCaller<'a, 'b, 'vm, 'env> {
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
    pub(super) fn label(self, cache: &Engine) -> Arc<FragmentCounters> {
        match self {
            Named::Site(site) => cache.telemetry.labels.of_site(site),
            Named::Partial(name) => cache.telemetry.labels.get(FragmentKind::Partial, name),
        }
    }
}

impl Caller for TemplateCaller<'_, '_, '_, '_> {
    fn begin(&mut self) -> StartStamp {
        let cache = self.binding.cache.inner.id;
        stack::scope_begin(cache).unwrap_or_else(|| RenderStart::of(self.state, cache))
    }

    fn template(&mut self, name: &str) -> Option<Dependency> {
        template_in(self.state.env(), &self.binding.cache.inner, name)
    }

    fn label(&mut self) -> Arc<FragmentCounters> {
        self.named.label(&self.binding.cache.inner)
    }

    fn page(&mut self) -> Option<u64> {
        // Its end says that the page is complete.
        Rendering::of(self.state, &self.binding.cache.inner);
        Some(tag_hash(TagClass::Template, self.binding.environment, self.state.name().as_bytes()))
    }
}

/// A handler that has a template rendered.
pub(crate) struct EnvironmentCaller<'a> {
    pub(crate) cache: &'a Engine,
    pub(crate) env: &'a Environment<'a>,
    /// What it has rendered, or calls that.
    pub(crate) name: &'a str,
}

impl Caller for EnvironmentCaller<'_> {
    fn begin(&mut self) -> StartStamp {
        renders::work_begin(self.cache.id).unwrap_or_else(|| self.cache.begin())
    }

    fn template(&mut self, name: &str) -> Option<Dependency> {
        template_in(self.env, self.cache, name)
    }

    fn label(&mut self) -> Arc<FragmentCounters> {
        self.cache.telemetry.labels.get(FragmentKind::Partial, self.name)
    }

    fn page(&mut self) -> Option<u64> {
        None
    }
}

/// The template that a name stands for in an environment, in its current state.
pub(crate) fn template_in(env: &Environment<'_>, cache: &Engine, name: &str) -> Option<Dependency> {
    look_ups::observe(cache.id, cache.begin(), name, || {
        // A missing one is observed as well, by the loader that was asked for it.
        if let Ok(template) = env.get_template(name) {
            cache.note_added(&template);
        }
    })
}
