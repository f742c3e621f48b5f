//! Explaining what the cache did in a closure or a future.
//!
//! Owns a collector while it is at work. What it collects is `telemetry/explain.rs`.

use std::future::Future;
use std::sync::Arc;

use crate::cache::FragmentCache;
use crate::cache::scope::Scope;
use crate::telemetry::{Collector, Explanation, collector, explained};

impl FragmentCache {
    /// Runs a closure, and tells what the cache was asked in it and why it answered as it did: for tests of what is
    /// cached, and for finding out why something is not.
    ///
    /// ```
    /// use minijinja::{Environment, context};
    /// use minijinja_cache::FragmentCache;
    ///
    /// let cache = FragmentCache::builder().build()?;
    /// let mut env = Environment::new();
    /// cache.add_to_environment(&mut env);
    /// cache.add_template(&mut env, "bio.html", "{% cache user tags=['users'] %}{{ user }}{% endcache %}")?;
    /// let page = || env.get_template("bio.html")?.render(context! { user => "ada" });
    ///
    /// let (_, first) = cache.explain(page);
    /// assert_eq!(first.fragments[0].outcome.to_string(), "miss (never stored)");
    /// let (_, second) = cache.explain(page);
    /// assert_eq!(second.find("bio.html:1").unwrap().outcome.name(), "hit");
    /// cache.invalidate_tag("users");
    /// let (_, third) = cache.explain(page);
    /// assert_eq!(third.fragments[0].outcome.to_string(), "miss (tag \"users\" invalidated)");
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    pub fn explain<R>(&self, f: impl FnOnce() -> R) -> (R, Explanation) {
        let collecting = Collecting::begin(self, false);
        let result = collecting.scope().run(f);
        (result, collecting.end())
    }

    /// The same with a future.
    pub async fn explain_async<F: Future>(&self, future: F) -> (F::Output, Explanation) {
        let collecting = Collecting::begin(self, false);
        let result = collecting.scope().run_async(future).await;
        (result, collecting.end())
    }
}

/// A collector at work. What it found is added to the one around it at its end.
pub(crate) struct Collecting {
    cache: FragmentCache,
    collector: Arc<Collector>,
    outer: Option<Arc<Collector>>,
    /// The look-up around it, among those of the outer one.
    inside: Option<usize>,
}

impl Collecting {
    pub(crate) fn begin(cache: &FragmentCache, marks: bool) -> Collecting {
        Collecting {
            cache: cache.clone(),
            collector: cache.inner.telemetry.collectors.begin(marks),
            outer: collector(cache.inner.id),
            inside: explained(cache.inner.id),
        }
    }

    pub(crate) fn scope(&self) -> Scope {
        self.cache.scope_collected_by(Arc::clone(&self.collector))
    }

    pub(crate) fn end(self) -> Explanation {
        let fragments = self.collector.take();
        if let Some(outer) = &self.outer {
            outer.add(&fragments, self.inside);
        }
        Explanation { fragments }
    }
}

impl Drop for Collecting {
    fn drop(&mut self) {
        self.cache.inner.telemetry.collectors.end(&self.collector);
    }
}
