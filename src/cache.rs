//! `FragmentCache`: the handle applications hold, and what all handles of one cache share.
//!
//! Owns invalidation, namespaces and statistics. How results are computed and cached for handlers is in
//! `handler.rs`; templates come in through `runtime.rs` and `loader.rs`.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
#[cfg(feature = "watch")]
use std::sync::atomic::AtomicBool;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use serde::Serialize;

use crate::builder::{Builder, Settings};
use crate::clock::Clock;
use crate::context;
use crate::entry::Entry;
use crate::error::{Error, ErrorKind};
use crate::flight::Flights;
use crate::floors::{Floors, Slot};
use crate::identity::{TagClass, tag_hash};
use crate::janitor::Janitor;
use crate::jitter::Jitter;
use crate::key;
use crate::record::{Begin, Tag};
use crate::stats::{Counter, Counters, Stats};
use crate::store::memory::Memory;
use crate::templates::Templates;

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
    pub(crate) inner: Arc<Inner>,
    pub(crate) namespace: Arc<Namespace>,
}

/// What all handles share.
pub(crate) struct Inner {
    pub(crate) id: u64,
    pub(crate) settings: Settings,
    pub(crate) clock: Clock,
    pub(crate) floors: Floors,
    pub(crate) flights: Arc<Flights<Arc<Entry>>>,
    pub(crate) memory: Memory,
    pub(crate) templates: Templates,
    pub(crate) counters: Counters,
    pub(crate) jitter: Jitter,
    /// Template loads that replaced an earlier one; what MiniJinja keeps of the old ones grows with it.
    pub(crate) reloads: AtomicU64,
    /// Loaders made.
    pub(crate) loaders: AtomicU64,
    /// Whether a folder is watched by polling.
    #[cfg(feature = "watch")]
    pub(crate) polling: AtomicBool,
    janitor: OnceLock<Janitor>,
}

/// A part of the cache whose keys and tags are its own.
#[derive(Debug)]
pub(crate) struct Namespace {
    path: String,
    pub(crate) id: u64,
    /// The floors of this namespace and of those around it; none for the whole cache.
    pub(crate) slots: Vec<Slot>,
}

impl FragmentCache {
    /// Starts configuring a cache.
    pub fn builder() -> Builder {
        Builder::default()
    }

    pub(crate) fn from_settings(settings: Settings) -> Result<FragmentCache, Error> {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let inner = Arc::new(Inner {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            clock: settings.clock.clone(),
            floors: Floors::new(settings.floor_slots),
            flights: Arc::new(Flights::new()),
            memory: Memory::new(settings.max_bytes, settings.clock.clone()),
            templates: Templates::default(),
            counters: Counters::new(),
            jitter: Jitter::new(settings.jitter),
            reloads: AtomicU64::new(0),
            loaders: AtomicU64::new(0),
            #[cfg(feature = "watch")]
            polling: AtomicBool::new(false),
            janitor: OnceLock::new(),
            settings,
        });
        let janitor = Janitor::start(Arc::downgrade(&inner), Inner::maintain)?;
        // Set once, here: the cell exists only because the thread needs the cache first.
        let _ = inner.janitor.set(janitor);
        let namespace = Arc::new(Namespace { path: String::new(), id: 0, slots: Vec::new() });
        Ok(FragmentCache { inner, namespace })
    }

    /// A handle whose keys, tags and [`clear`](FragmentCache::clear) are its own, in the same memory. Names nest:
    /// clearing a namespace clears those inside it, and clearing the cache clears all.
    #[must_use]
    pub fn namespace(&self, name: &str) -> FragmentCache {
        let path = format!("{}{}:{name}", self.namespace.path, name.len());
        let id = tag_hash(TagClass::Namespace, 0, path.as_bytes());
        let mut slots = self.namespace.slots.clone();
        slots.push(self.inner.floors.slot(id));
        FragmentCache { inner: Arc::clone(&self.inner), namespace: Arc::new(Namespace { path, id, slots }) }
    }

    /// Invalidates every result of a key in this namespace: blocks of all templates, partials, texts and values,
    /// all variants and versions, and whatever contains them.
    ///
    /// When it returns, nothing whose work began before is stored or returned to a caller who arrives later. The
    /// cost does not depend on the number of entries. A value that cannot be a key changes nothing and is reported.
    pub fn invalidate<K: Serialize>(&self, key: K) -> Invalidation {
        let mut bytes = Vec::new();
        match key::encode_handler(&key, &mut bytes) {
            Ok(()) => self.inner.raise(self.key_slot(&bytes)),
            Err(reason) => {
                self.inner.report(&Error::new(ErrorKind::Key, format!("cannot invalidate: the key {reason}")));
                Invalidation(())
            }
        }
    }

    /// Invalidates every result with this tag in this namespace, and whatever contains one. As
    /// [`invalidate`](FragmentCache::invalidate) otherwise.
    pub fn invalidate_tag(&self, tag: &str) -> Invalidation {
        self.inner.raise(self.tag_slot(tag))
    }

    /// Invalidates every result made with the templates of this name, whichever environment they are in, and makes
    /// the loaders of this cache load them again: for templates that do not come from a watched folder.
    pub fn invalidate_template(&self, name: &str) -> Invalidation {
        self.inner.counters.count(Counter::invalidations);
        for template in self.inner.templates.named(name) {
            template.invalidate(&self.inner.floors);
        }
        Invalidation(())
    }

    /// Invalidates everything in this namespace and those inside it; everything at all on the cache's first handle.
    pub fn clear(&self) -> Invalidation {
        match self.namespace.slots.last() {
            Some(own) => self.inner.raise(*own),
            None => {
                self.inner.counters.count(Counter::invalidations);
                self.inner.floors.raise_everything();
                self.inner.memory.clear();
                Invalidation(())
            }
        }
    }

    /// What the cache did so far, over all namespaces.
    pub fn stats(&self) -> Stats {
        let memory = &self.inner.memory;
        Stats { entries: memory.len(), bytes: memory.bytes(), ..self.inner.counters.read() }
    }

    /// Frees at once what has expired or been invalidated by [`clear`](FragmentCache::clear), and brings
    /// [`Stats::entries`] and [`Stats::bytes`] up to date; otherwise this happens every second.
    pub fn run_maintenance(&self) {
        self.inner.maintain();
    }

    pub(crate) fn key_slot(&self, encoded: &[u8]) -> Slot {
        self.inner.floors.slot(tag_hash(TagClass::Key, self.namespace.id, encoded))
    }

    pub(crate) fn tag(&self, name: Arc<str>) -> Tag {
        Tag { slot: self.tag_slot(&name), name: Some(name) }
    }

    /// The tag of an environment, by its id.
    pub(crate) fn environment_tag(&self, environment: u64) -> Tag {
        Tag { slot: self.inner.floors.slot(environment), name: None }
    }

    fn tag_slot(&self, name: &str) -> Slot {
        self.inner.floors.slot(tag_hash(TagClass::Declared, self.namespace.id, name.as_bytes()))
    }
}

impl fmt::Debug for FragmentCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FragmentCache")
            .field("namespace", &self.namespace.path)
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}

/// An invalidation that has taken effect on this node. Ignore it freely: nothing remains to be done.
#[derive(Debug)]
pub struct Invalidation(());

impl Inner {
    /// Work that begins here.
    pub(crate) fn begin(&self) -> Begin {
        // The stamp first: what is read after it is covered by it.
        let stamp = self.floors.stamp();
        Begin { stamp, at: self.clock.now() }
    }

    /// When work here began: with what encloses it, else here.
    pub(crate) fn scope_begin(&self) -> Begin {
        context::scope_begin(self.id).unwrap_or_else(|| self.begin())
    }

    /// When work of a template here began: with what encloses it, else with the render.
    pub(crate) fn render_begin(&self) -> Begin {
        context::scope_begin(self.id).unwrap_or_else(|| context::render_begin(self.id, self.begin()))
    }

    /// What the janitor does every second.
    fn maintain(&self) {
        self.memory.maintain();
        #[cfg(feature = "watch")]
        self.recheck_loaded();
    }

    pub(crate) fn raise(&self, slot: Slot) -> Invalidation {
        self.counters.count(Counter::invalidations);
        self.floors.raise(slot);
        Invalidation(())
    }

    /// Counts a failure of the cache and tells the application.
    pub(crate) fn report(&self, error: &Error) {
        self.counters.count(Counter::errors);
        if let Some(on_error) = &self.settings.on_error {
            // A panic in here must not fail the page the report is about; it is counted as a second error.
            if catch_unwind(AssertUnwindSafe(|| on_error(error))).is_err() {
                self.counters.count(Counter::errors);
            }
        }
    }

    pub(crate) fn janitor(&self) -> Option<&Janitor> {
        self.janitor.get()
    }
}
