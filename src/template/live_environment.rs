//! Owns `LiveEnvironment`, a handle on an environment for long-running processes with templates that change.
//!
//! While an environment is shared, MiniJinja keeps every template that it replaced, because a render may still use that
//! template. A clone of the environment does not contain replaced templates. So after some reloads the handle changes
//! to a clone, and the old environment is freed when its last render ends.

use std::fmt;
use std::sync::atomic::Ordering;
use std::sync::{Arc, RwLock};

use minijinja::{Environment, Error, Value};

use crate::cache::FragmentCache;
use crate::invalidation::stack;
use crate::template::lazy;
use crate::template::partial::Nested;
use crate::template::runtime::look_ups;
use crate::util::sync::{read_lock, write_lock};

/// Reloads between two changes to a clone; also the maximum number of replaced templates that are kept.
const RELOADS_PER_SWAP: u64 = 16;

/// A handle on an environment whose templates may change at run time. It is cheap to clone and renders with the current
/// environment. See [`FragmentCache::environment`].
#[derive(Clone)]
pub struct LiveEnvironment {
    shared: Arc<LiveState>,
}

struct LiveState {
    cache: FragmentCache,
    current: RwLock<Current>,
}

struct Current {
    environment: Arc<Environment<'static>>,
    /// The cache's count of reloads when this environment became the current one.
    reloads: u64,
}

impl FragmentCache {
    /// Returns a handle on an environment whose templates may change while the process runs. Old versions of templates
    /// are freed.
    ///
    /// ```
    /// use minijinja::{Environment, context};
    /// use minijinja_cache::FragmentCache;
    ///
    /// let cache = FragmentCache::builder().build()?;
    /// let mut env = Environment::new();
    /// cache.add_to_environment(&mut env);
    /// env.set_loader(cache.loader(|name| Ok((name == "hi").then(|| "{% cache 'hi' %}Hi{% endcache %}".into()))));
    ///
    /// let env = cache.environment(env); // clone it into handlers
    /// assert_eq!(env.render("hi", context! {})?, "Hi");
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    pub fn environment(&self, environment: Environment<'static>) -> LiveEnvironment {
        let current =
            Current { environment: Arc::new(environment), reloads: self.inner.reloads.load(Ordering::Relaxed) };
        LiveEnvironment { shared: Arc::new(LiveState { cache: self.clone(), current: RwLock::new(current) }) }
    }
}

impl LiveEnvironment {
    /// The environment to render with. Take it for each request, because it keeps old templates alive as long as it is
    /// held.
    pub fn current(&self) -> Arc<Environment<'static>> {
        let reloads = self.shared.cache.inner.reloads.load(Ordering::Relaxed);
        let current = read_lock(&self.shared.current);
        if reloads.wrapping_sub(current.reloads) < RELOADS_PER_SWAP {
            return Arc::clone(&current.environment);
        }
        drop(current);
        self.swap(reloads)
    }

    /// Renders a template.
    ///
    /// If a scope of this cache is open, the render counts as begun with the scope. Otherwise it begins here.
    ///
    /// # Errors
    ///
    /// The template is missing or does not compile, or rendering it failed.
    pub fn render(&self, template: &str, context: impl Into<Value>) -> Result<String, Error> {
        let environment = self.current();
        let _inside = Nested::begin()?;
        let cache = self.shared.cache.inner.id;
        let render = || {
            look_ups::look_up(cache, || environment.get_template(template)).0?.render(lazy::resolving(context.into()))
        };
        if stack::scope_begin(cache).is_some() { render() } else { self.shared.cache.scope().run(render) }
    }

    fn swap(&self, reloads: u64) -> Arc<Environment<'static>> {
        let mut current = write_lock(&self.shared.current);
        if reloads.wrapping_sub(current.reloads) >= RELOADS_PER_SWAP {
            let clone = Environment::clone(&current.environment);
            *current = Current { environment: Arc::new(clone), reloads };
        }
        Arc::clone(&current.environment)
    }
}

impl fmt::Debug for LiveEnvironment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LiveEnvironment").field("current", &self.current()).finish_non_exhaustive()
    }
}
