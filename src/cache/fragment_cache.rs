//! `FragmentCache`: the handle that applications hold. Namespaces and invalidation.
//!
//! Leaves the invalidation itself to `engine.rs`, and cached texts and values to `get_or_set.rs`.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use super::engine::Engine;
use crate::cache::invalidate::Invalidated;
use crate::cache::invalidation::Invalidation;
use crate::error::{Error, ErrorKind};
use crate::invalidation::dependencies::Tag;
use crate::invalidation::floors::{EVERYTHING, TagHash};
use crate::invalidation::namespace::Namespace;
use crate::key;
use crate::key::identity::{TagClass, tag_hash, template_tag};
#[cfg(feature = "shared")]
use crate::store::tier::SharedStatus;
#[cfg(feature = "shared")]
use crate::store::tier::Tier;
use crate::telemetry::{By, key_hash};

/// A fragment cache: a handle that is cheap to clone and shared by all threads.
///
/// ```
/// use std::time::Duration;
/// use minijinja::{Environment, context};
/// use minijinja_cache::FragmentCache;
///
/// let cache = FragmentCache::builder()
///     .max_bytes(64 << 20)
///     .default_ttl(Duration::from_secs(300))
///     .build()?;
///
/// let mut env = Environment::new();
/// cache.add_to_environment(&mut env);
/// cache.add_template(&mut env, "hello.html", "{% cache 'hello' 60 %}Hi{% endcache %}")?;
///
/// let page = || env.get_template("hello.html")?.render(context! {});
/// assert_eq!(page()?, "Hi");
/// assert_eq!(page()?, "Hi");
/// assert_eq!((cache.stats().misses, cache.stats().hits), (1, 1));
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct FragmentCache {
    pub(crate) inner: Arc<Engine>,
    pub(crate) namespace: Arc<Namespace>,
}

impl FragmentCache {
    /// A handle with its own keys, tags and [`clear`](FragmentCache::clear), in the same memory. Namespaces nest:
    /// clearing a namespace also clears the namespaces inside it, and clearing the cache clears all of them.
    #[must_use]
    pub fn namespace(&self, name: &str) -> FragmentCache {
        FragmentCache { inner: Arc::clone(&self.inner), namespace: Arc::new(self.namespace.inner(name)) }
    }

    /// Invalidates every result of a key in this namespace: blocks of all templates, partials, texts and values, in all
    /// variants and versions, and every result that contains one of them.
    ///
    /// After this call has returned, a result whose computation began earlier is neither stored nor returned to a
    /// caller who arrives later. The cost does not depend on the number of entries. A value that cannot be a key
    /// invalidates nothing and is reported to [`Builder::on_error`](crate::Builder::on_error).
    pub fn invalidate<K: Serialize>(&self, key: K) -> Invalidation {
        let mut bytes = Vec::new();
        match key::encode_handler(&key, &mut bytes) {
            Ok(()) => self.inner.invalidate_key(self.key_tag(&bytes), key_hash(&bytes), By::Call),
            Err(reason) => {
                self.inner.report(&Error::new(ErrorKind::Key, format!("cannot invalidate: the key {reason}")));
                Invalidation(None)
            }
        }
    }

    /// Invalidates every result with this tag in this namespace, and every result that contains one. The guarantees are
    /// those of [`invalidate`](FragmentCache::invalidate).
    pub fn invalidate_tag(&self, tag: &str) -> Invalidation {
        self.invalidate_tag_by(tag, By::Call)
    }

    pub(crate) fn invalidate_tag_by(&self, tag: &str, by: By) -> Invalidation {
        let invalidation = self.inner.raise(self.declared_tag(tag));
        self.inner.notify_invalidated(Invalidated::Tag(tag), by);
        invalidation
    }

    /// Invalidates every result made with the templates of this name, in all environments, and makes the loaders of
    /// this cache load these templates again. Use it for templates that do not come from a watched folder.
    ///
    /// A block in such a template depends on its own text and on the text that it reaches. It is invalid if that text
    /// differs after the template was loaded again, and stays valid if it does not. The same holds for a block of a
    /// template that extends this one: there it reaches the statements outside of the blocks, and with `super()` the
    /// whole template.
    pub fn invalidate_template(&self, name: &str) -> Invalidation {
        self.invalidate_template_by(name, By::Call)
    }

    pub(crate) fn invalidate_template_by(&self, name: &str, by: By) -> Invalidation {
        let invalidation = self.inner.invalidate(template_tag(name), |inner| {
            inner.templates.named(name).iter().for_each(|template| template.invalidate(&inner.floors));
        });
        self.inner.notify_invalidated(Invalidated::Template(name), by);
        invalidation
    }

    /// Invalidates every result in this namespace and in the namespaces inside it. On the first handle of a cache,
    /// invalidates all results.
    pub fn clear(&self) -> Invalidation {
        self.clear_by(By::Call)
    }

    pub(crate) fn clear_by(&self, by: By) -> Invalidation {
        let (invalidation, what) = match self.namespace.tags.last() {
            Some(own) => (self.inner.raise(*own), Invalidated::Namespace(&self.namespace.name)),
            None => (self.inner.invalidate(EVERYTHING, Engine::drop_everything), Invalidated::Everything),
        };
        self.inner.notify_invalidated(what, by);
        invalidation
    }

    /// Frees expired entries and entries that [`clear`](FragmentCache::clear) invalidated, and updates
    /// [`Stats::entries`](crate::Stats::entries) and [`Stats::bytes`](crate::Stats::bytes). The cache also does this by
    /// itself, every second.
    pub fn run_maintenance(&self) {
        self.inner.maintain();
    }

    /// The state of the shared tier, for a readiness check or a page for operators. `None` without a shared tier.
    #[cfg(feature = "shared")]
    pub fn shared_status(&self) -> Option<SharedStatus> {
        self.inner.shared.as_ref().map(Tier::status)
    }

    /// Blocks until the shared tier has received all results and invalidations of this process, at most for `patience`.
    /// Returns whether it received them; `true` at once without a shared tier.
    ///
    /// Results that the store did not accept are dropped and counted in
    /// [`Stats::shared_drops`](crate::Stats::shared_drops). Call it before the process ends: a result that was not
    /// written is computed again, but an invalidation that was not published is lost with the process.
    pub fn flush(&self, patience: Duration) -> bool {
        self.inner.shared.as_ref().is_none_or(|shared| shared.flush(patience))
    }

    pub(crate) fn key_tag(&self, encoded: &[u8]) -> TagHash {
        tag_hash(TagClass::Key, self.namespace.id, encoded)
    }

    pub(crate) fn tag(&self, name: Arc<str>) -> Tag {
        Tag { hash: self.declared_tag(&name), name: Some(name) }
    }

    pub(crate) fn declared_tag(&self, name: &str) -> TagHash {
        tag_hash(TagClass::Declared, self.namespace.id, name.as_bytes())
    }
}

impl fmt::Debug for FragmentCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FragmentCache")
            .field("name", &self.inner.settings.name)
            .field("namespace", &self.namespace.path)
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}
