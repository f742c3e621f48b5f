//! A handler as the caller of a look-up.

use std::panic::Location;
use std::sync::Arc;

use crate::cache::Inner;
use crate::invalidation::dependencies::{Begin, Dependency};
use crate::store::caller::Asker;
use crate::telemetry::{FragmentKind, Label};

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
