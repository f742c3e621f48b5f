//! A holder of an environment for long-running processes with templates that change.
//!
//! MiniJinja keeps every template it ever replaced for as long as an environment is shared, because somebody may
//! still be rendering it. A clone of the environment leaves them behind, so after some reloads the holder goes on
//! with a clone, and the old one is freed when its last render ends.

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

/// Reloads between two swaps: what is kept of old templates at the most.
const RELOADS_PER_SWAP: u64 = 16;

/// An environment that can be edited under: a cheap handle which always renders with the current one, see
/// [`FragmentCache::environment`].
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
    /// The cache's count of reloads when this environment was taken.
    reloads: u64,
}

impl FragmentCache {
    /// Holds an environment whose templates may change while the process runs, without keeping the old ones.
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
    /// The environment to render with. Take it per request: one that is kept keeps its old templates.
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
    /// The work counts as begun here, unless a scope encloses it.
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
