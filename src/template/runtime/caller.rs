//! The callers of look-ups that render templates: a template, and a handler that renders one. The trait is in
//! `store/caller.rs`.

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

/// A template that looks a fragment up.
pub(super) struct TemplateCaller<'a, 'b, 'vm, 'env> {
    pub(super) binding: &'a Binding,
    pub(super) state: &'b mut State<'vm, 'env>,
    pub(super) named: Named<'b>,
}

/// The fragment that a template looks up.
#[derive(Debug, Clone, Copy)]
pub(super) enum Named<'a> {
    /// A block, by its block digest.
    Site(u128),
    /// A partial, by its template's name or the label that its caller gave.
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
        // This creates the `Rendering`. Dropping that informs the tier that the page is complete.
        Rendering::of(self.state, &self.binding.cache.inner);
        Some(tag_hash(TagClass::Template, self.binding.environment, self.state.name().as_bytes()))
    }
}

/// A handler that renders a template.
pub(crate) struct EnvironmentCaller<'a> {
    pub(crate) cache: &'a Engine,
    pub(crate) env: &'a Environment<'a>,
    /// The name of the template, or the label that the handler gave.
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

/// The current state of the template `name` in an environment.
pub(crate) fn template_in(env: &Environment<'_>, cache: &Engine, name: &str) -> Option<Dependency> {
    look_ups::observe(cache.id, cache.begin(), name, || {
        // A missing template is recorded as well, by the loader that MiniJinja called.
        if let Ok(template) = env.get_template(name) {
            cache.note_added(&template);
        }
    })
}
