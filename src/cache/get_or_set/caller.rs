//! A handler as the caller of a look-up, and its label in statistics.

use std::panic::Location;
use std::sync::Arc;

use crate::cache::Engine;
use crate::invalidation::dependencies::{Dependency, StartStamp};
use crate::store::caller::Caller;
use crate::telemetry::{FragmentCounters, FragmentKind};

/// The name of a handler's result in statistics and reports.
#[derive(Debug, Clone, Copy)]
pub(crate) enum CallSite<'a> {
    Name(&'a str),
    /// No name was given, so the place of the call is the name.
    Here(&'static Location<'static>),
}

impl<'a> CallSite<'a> {
    pub(crate) fn new(name: Option<&'a str>, here: &'static Location<'static>) -> CallSite<'a> {
        name.map_or(CallSite::Here(here), CallSite::Name)
    }

    pub(crate) fn label(self, kind: FragmentKind, cache: &Engine) -> Arc<FragmentCounters> {
        match self {
            CallSite::Name(name) => cache.telemetry.labels.get(kind, name),
            CallSite::Here(at) => cache.telemetry.labels.get(kind, &format!("{}:{}", at.file(), at.line())),
        }
    }
}

/// A handler that looks up. It is not in a render, and belongs to no environment.
pub(crate) struct HandlerCaller<'a> {
    pub(crate) cache: &'a Engine,
    pub(crate) kind: FragmentKind,
    pub(crate) called: CallSite<'a>,
}

impl Caller for HandlerCaller<'_> {
    fn again(&mut self, _: StartStamp) -> StartStamp {
        self.begin()
    }

    fn begin(&mut self) -> StartStamp {
        self.cache.scope_begin()
    }

    fn template(&mut self, name: &str) -> Option<Dependency> {
        self.cache.only_template(name)
    }

    fn label(&mut self) -> Arc<FragmentCounters> {
        self.called.label(self.kind, self.cache)
    }

    fn page(&mut self) -> Option<u64> {
        None
    }
}
