//! `FragmentCache`: the handle that applications hold. Namespaces, and invalidation.

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

/// A fragment cache: a cheap handle, cloned freely, shared by all threads.
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
    /// A handle whose keys, tags and [`clear`](FragmentCache::clear) are its own, in the same memory. Names nest:
    /// clearing a namespace clears those inside it, and clearing the cache clears all.
    #[must_use]
    pub fn namespace(&self, name: &str) -> FragmentCache {
        FragmentCache { inner: Arc::clone(&self.inner), namespace: Arc::new(self.namespace.inner(name)) }
    }

    /// Invalidates every result of a key in this namespace: blocks of all templates, partials, texts and values,
    /// all variants and versions, and whatever contains them.
    ///
    /// When it returns, nothing whose work began before is stored or returned to a caller who arrives later. The
    /// cost does not depend on the number of entries. A value that cannot be a key changes nothing and is reported.
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

    /// Invalidates every result with this tag in this namespace, and whatever contains one. As
    /// [`invalidate`](FragmentCache::invalidate) otherwise.
    pub fn invalidate_tag(&self, tag: &str) -> Invalidation {
        self.invalidate_tag_by(tag, By::Call)
    }

    pub(crate) fn invalidate_tag_by(&self, tag: &str, by: By) -> Invalidation {
        let invalidation = self.inner.raise(self.declared_tag(tag));
        self.inner.notify_invalidated(Invalidated::Tag(tag), by);
        invalidation
    }

    /// Invalidates every result made with the templates of this name, whichever environment they are in, and makes the
    /// loaders of this cache load them again: for templates that do not come from a watched folder. A block that stands
    /// in such a template is what its own text and what it reaches make it, so it goes when those differ once the
    /// template is loaded again, and stays when they do not. So does a block of a template that extends it: what it
    /// reaches there are the statements outside of the blocks, and all of it by `super()`.
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

    /// Invalidates everything in this namespace and those inside it; everything at all on the cache's first handle.
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

    /// Frees at once what has expired or been invalidated by [`clear`](FragmentCache::clear), and brings
    /// [`Stats::entries`](crate::Stats::entries) and [`Stats::bytes`](crate::Stats::bytes) up to date; otherwise this happens every second.
    pub fn run_maintenance(&self) {
        self.inner.maintain();
    }

    /// How the shared tier is doing: for a readiness check, or a page that operators read. `None` without one.
    #[cfg(feature = "shared")]
    pub fn shared_status(&self) -> Option<SharedStatus> {
        self.inner.shared.as_ref().map(Tier::status)
    }

    /// Blocks until all results and invalidations of this process were told to the shared tier, at most for `patience`;
    /// whether they were. Results the store did not take are given up, and counted in [`Stats::shared_drops`](crate::Stats::shared_drops). For the
    /// end of a process: what is not written is computed again somewhere, but an invalidation that was not told is lost
    /// with the process. `true` at once without a shared tier.
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
