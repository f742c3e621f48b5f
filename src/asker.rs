//! Who asks for an entry: what a look-up that misses has to know of the place it is made at.

use minijinja::Environment;

use crate::cache::Inner;
use crate::context;
use crate::loader;
use crate::record::{Begin, Dependency};

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
}

/// A handler that asks: it renders nothing yet, and names no environment.
pub(crate) struct Handler<'a>(pub(crate) &'a Inner);

impl Asker for Handler<'_> {
    fn again(&mut self, _: Begin) -> Begin {
        self.begin()
    }

    fn begin(&mut self) -> Begin {
        self.0.scope_begin()
    }

    fn template(&mut self, name: &str) -> Option<Dependency> {
        self.0.only_template(name)
    }

    fn page(&mut self) -> Option<u64> {
        None
    }
}

/// A handler that has a template rendered.
pub(crate) struct InEnvironment<'a> {
    pub(crate) cache: &'a Inner,
    pub(crate) env: &'a Environment<'a>,
}

impl Asker for InEnvironment<'_> {
    fn begin(&mut self) -> Begin {
        self.cache.scope_begin()
    }

    fn template(&mut self, name: &str) -> Option<Dependency> {
        template_in(self.env, self.cache, name)
    }

    fn page(&mut self) -> Option<u64> {
        None
    }
}

/// The template that a name stands for in an environment, in its current state.
pub(crate) fn template_in(env: &Environment<'_>, cache: &Inner, name: &str) -> Option<Dependency> {
    context::observe(cache.id, cache.begin(), name, || {
        // A missing one is observed as well, by the loader that was asked for it.
        if let Ok(template) = env.get_template(name)
            && let Some((id, generation)) = loader::added_mark(template.source())
            && let Some(dependency) = cache.added(id, generation)
        {
            context::looked_up(cache.id, dependency, || cache.begin());
        }
    })
}
