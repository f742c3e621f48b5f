//! Who asks for an entry: what a look-up that misses has to know of the place it is made at.

use std::panic::Location;
use std::sync::Arc;

use minijinja::Environment;

use crate::cache::Inner;
use crate::observe::{FragmentKind, Label};
use crate::record::Begin;
use crate::runtime::{look_ups, renders};
use crate::templates::Dependency;

/// Asked only on a miss.
pub(crate) trait Asker {
    /// When the work here began.
    fn begin(&mut self) -> Begin;

    /// When it begins again, after a wait for what turned out to be of no use.
    fn again(&mut self, first: Begin) -> Begin {
        first
    }

    /// The template that a name stands for here, in its current state.
    fn template(&mut self, name: &str) -> Option<Dependency>;

    /// The page being rendered, if one is.
    fn page(&mut self) -> Option<u64>;

    /// What the answer is counted under.
    fn label(&mut self) -> Arc<Label>;
}

/// What a handler calls what it asks for.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Called<'a> {
    Name(&'a str),
    /// Nothing, so it is known by the place of the call.
    Here(&'static Location<'static>),
}

impl<'a> Called<'a> {
    pub(crate) fn new(name: Option<&'a str>, here: &'static Location<'static>) -> Called<'a> {
        name.map_or(Called::Here(here), Called::Name)
    }

    pub(crate) fn label(self, kind: FragmentKind, cache: &Inner) -> Arc<Label> {
        match self {
            Called::Name(name) => cache.observers.labels.get(kind, name),
            Called::Here(at) => cache.observers.labels.get(kind, &format!("{}:{}", at.file(), at.line())),
        }
    }
}

/// A handler that asks: it renders nothing yet, and names no environment.
pub(crate) struct Handler<'a> {
    pub(crate) cache: &'a Inner,
    pub(crate) kind: FragmentKind,
    pub(crate) called: Called<'a>,
}

impl Asker for Handler<'_> {
    fn again(&mut self, _: Begin) -> Begin {
        self.begin()
    }

    fn begin(&mut self) -> Begin {
        self.cache.scope_begin()
    }

    fn template(&mut self, name: &str) -> Option<Dependency> {
        self.cache.only_template(name)
    }

    fn label(&mut self) -> Arc<Label> {
        self.called.label(self.kind, self.cache)
    }

    fn page(&mut self) -> Option<u64> {
        None
    }
}

/// A handler that has a template rendered.
pub(crate) struct InEnvironment<'a> {
    pub(crate) cache: &'a Inner,
    pub(crate) env: &'a Environment<'a>,
    /// What it has rendered, or calls that.
    pub(crate) name: &'a str,
}

impl Asker for InEnvironment<'_> {
    fn begin(&mut self) -> Begin {
        renders::work_begin(self.cache.id).unwrap_or_else(|| self.cache.begin())
    }

    fn template(&mut self, name: &str) -> Option<Dependency> {
        template_in(self.env, self.cache, name)
    }

    fn label(&mut self) -> Arc<Label> {
        self.cache.observers.labels.get(FragmentKind::Partial, self.name)
    }

    fn page(&mut self) -> Option<u64> {
        None
    }
}

/// The template that a name stands for in an environment, in its current state.
pub(crate) fn template_in(env: &Environment<'_>, cache: &Inner, name: &str) -> Option<Dependency> {
    look_ups::observe(cache.id, cache.begin(), name, || {
        // A missing one is observed as well, by the loader that was asked for it.
        if let Ok(template) = env.get_template(name) {
            cache.note_added(&template);
        }
    })
}
