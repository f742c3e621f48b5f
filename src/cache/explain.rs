//! Explanations: a report of the look-ups in a closure or a future.
//!
//! Owns the start and the end of a collector. The collector and the explanation are in `telemetry/explain.rs`.

use std::future::Future;
use std::sync::Arc;

use crate::cache::FragmentCache;
use crate::cache::scope::Scope;
use crate::telemetry::{Collector, Explanation, collector, explained};

impl FragmentCache {
    /// Runs a closure and reports each look-up in it with its outcome and the reason. Use it in tests of what is
    /// cached, and to find out why a result is not cached.
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

    /// [`explain`](FragmentCache::explain) for a future.
    pub async fn explain_async<F: Future>(&self, future: F) -> (F::Output, Explanation) {
        let collecting = Collecting::begin(self, false);
        let result = collecting.scope().run_async(future).await;
        (result, collecting.end())
    }
}

/// A running collector. When it ends, its look-ups are added to the collector around it.
pub(crate) struct Collecting {
    cache: FragmentCache,
    collector: Arc<Collector>,
    outer: Option<Arc<Collector>>,
    /// The enclosing look-up, as an index into the look-ups of the outer collector.
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
