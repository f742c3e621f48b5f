//! `FragmentCache`: the handle applications hold, and what all handles of one cache share.
//!
//! Owns invalidation, namespaces and statistics. How results are computed and cached for handlers is in
//! `handler.rs`; templates come in through `runtime.rs` and `loader.rs`.

pub(crate) mod builder;
pub(crate) mod computation;
pub(crate) mod config;
pub(crate) mod explain;
pub(crate) mod flight;
pub(crate) mod get_or_set;
pub(crate) mod hole;
#[cfg(feature = "dashboard")]
pub(crate) mod inspect;
pub(crate) mod invalidate;
pub(crate) mod invalidation;
pub(crate) mod lookup;
mod miss_reason;
#[cfg(doctest)]
mod must_use;
#[cfg(feature = "shared")]
mod node;
pub(crate) mod options;
pub(crate) mod scope;
pub(crate) mod shadow;
pub(crate) mod signal;
mod statistics;

use std::fmt;
#[cfg(feature = "watch")]
use std::sync::atomic::AtomicBool;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, Weak};
use std::time::Duration;
#[cfg(any(feature = "http", feature = "shared"))]
use std::time::Instant;

use minijinja::syntax::SyntaxConfig;
use serde::Serialize;

use crate::cache::builder::{Builder, Settings};
use crate::cache::flight::Flights;
use crate::cache::invalidate::Invalidated;
use crate::cache::invalidation::{Invalidation, Telling};
use crate::error::{Error, ErrorKind};
use crate::invalidation::dependencies::{Begin, Tag};
use crate::invalidation::floors::{EVERYTHING, Floors, TagHash};
use crate::invalidation::namespace::Namespace;
use crate::invalidation::stack;
use crate::invalidation::templates::{Dependency, Templates};
use crate::key;
use crate::key::identity::{TagClass, tag_hash, template_tag};
use crate::store::entry::Entry;
use crate::store::eviction_listener::Departures;
#[cfg(feature = "shared")]
use crate::store::host::Host;
use crate::store::memory::Memory;
#[cfg(feature = "shared")]
use crate::store::tier::SharedStatus;
use crate::store::tier::{NodeSettings, Shared, Ticket};
use crate::telemetry::report::Reporter;
use crate::telemetry::stats::{Counter, Counters};
use crate::telemetry::{By, KeyHash, Observers, Target, key_hash};
use crate::util::attachments::Attachments;
use crate::util::clock::Clock;
use crate::util::random::Jitter;
use crate::util::timer::Timer;

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
    pub(crate) shared: Option<Shared>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) observers: Observers,
    pub(crate) reporter: Arc<Reporter>,
    pub(crate) jitter: Jitter,
    /// What upper rooms keep with the cache.
    pub(crate) extensions: Attachments,
    /// Template loads that replaced an earlier one; what MiniJinja keeps of the old ones grows with it.
    pub(crate) reloads: AtomicU64,
    /// Loaders made.
    pub(crate) loaders: AtomicU64,
    /// The syntaxes of environments that were registered.
    pub(crate) syntaxes: Mutex<Vec<SyntaxConfig>>,
    /// What each loader knows of a name, without compiling anything.
    pub(crate) looks: Mutex<Vec<Weak<Look>>>,
    /// Whether a folder is watched by polling.
    #[cfg(feature = "watch")]
    pub(crate) polling: AtomicBool,
    janitor: OnceLock<Timer>,
    #[cfg(feature = "metrics")]
    publisher: OnceLock<Timer>,
}

/// Looks a template up in what a loader loads from.
pub(crate) type Look = dyn Fn(&str) -> Option<Dependency> + Send + Sync;

impl FragmentCache {
    /// Starts configuring a cache.
    pub fn builder() -> Builder {
        Builder::default()
    }

    pub(crate) fn from_settings(settings: Settings) -> Result<FragmentCache, Error> {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        let counters = Arc::new(Counters::new());
        let observers = Observers::new(id, Arc::clone(&settings.name), settings.clock.clone(), &counters);
        let reporter =
            Arc::new(Reporter::new(&counters, &observers, settings.on_error.clone(), settings.clock.clone()));
        let shared = settings.shared.as_ref();
        let shared = shared.map(|tier| {
            let node = NodeSettings {
                cache: id,
                clock: settings.clock.clone(),
                wait_timeout: settings.wait_timeout,
                floor_slots: settings.floor_slots,
            };
            Shared::new(tier, node, &counters, &reporter)
        });
        let inner = Arc::new(Inner {
            id,
            clock: settings.clock.clone(),
            floors: Floors::new(settings.floor_slots),
            flights: Arc::new(Flights::new()),
            memory: Memory::new(settings.max_bytes, settings.clock.clone(), {
                let (departures, clock) = (Departures::of(&observers), settings.clock.clone());
                move |hash, entry, departure| departures.note(hash, entry, departure, clock.now())
            }),
            templates: Templates::default(),
            shared,
            counters,
            observers,
            reporter,
            jitter: Jitter::new(settings.jitter),
            extensions: settings.extensions.clone(),
            reloads: AtomicU64::new(0),
            loaders: AtomicU64::new(0),
            syntaxes: Mutex::default(),
            looks: Mutex::default(),
            #[cfg(feature = "watch")]
            polling: AtomicBool::new(false),
            janitor: OnceLock::new(),
            #[cfg(feature = "metrics")]
            publisher: OnceLock::new(),
            settings,
        });
        let janitor = Timer::start("minijinja-cache", Arc::downgrade(&inner), Inner::maintain)?;
        // Set once, here: the cell exists only because the thread needs the cache first.
        let _ = inner.janitor.set(janitor);
        #[cfg(feature = "metrics")]
        let _ = inner.publisher.set(Timer::start("cache-metrics", Arc::downgrade(&inner), Inner::publish_quietly)?);
        #[cfg(feature = "shared")]
        if let Some(shared) = &inner.shared {
            let host: Weak<dyn Host> = Arc::<Inner>::downgrade(&inner);
            shared.start(&host, &inner.clock)?;
        }
        Ok(FragmentCache { inner, namespace: Arc::default() })
    }

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
        self.inner.tell_invalidated(Invalidated::Tag(tag), by);
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
        self.inner.tell_invalidated(Invalidated::Template(name), by);
        invalidation
    }

    /// Invalidates everything in this namespace and those inside it; everything at all on the cache's first handle.
    pub fn clear(&self) -> Invalidation {
        self.clear_by(By::Call)
    }

    pub(crate) fn clear_by(&self, by: By) -> Invalidation {
        let (invalidation, what) = match self.namespace.tags.last() {
            Some(own) => (self.inner.raise(*own), Invalidated::Namespace(&self.namespace.name)),
            None => (self.inner.invalidate(EVERYTHING, Inner::drop_everything), Invalidated::Everything),
        };
        self.inner.tell_invalidated(what, by);
        invalidation
    }

    /// Frees at once what has expired or been invalidated by [`clear`](FragmentCache::clear), and brings
    /// [`Stats::entries`] and [`Stats::bytes`] up to date; otherwise this happens every second.
    pub fn run_maintenance(&self) {
        self.inner.maintain();
    }

    /// How the shared tier is doing: for a readiness check, or a page that operators read. `None` without one.
    #[cfg(feature = "shared")]
    pub fn shared_status(&self) -> Option<SharedStatus> {
        self.inner.shared.as_ref().map(Shared::status)
    }

    /// Blocks until all results and invalidations of this process were told to the shared tier, at most for `patience`;
    /// whether they were. Results the store did not take are given up, and counted in [`Stats::shared_drops`]. For the
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

impl Inner {
    /// Work that begins here.
    pub(crate) fn begin(&self) -> Begin {
        // The stamp first: what is read after it is covered by it.
        let stamp = self.floors.stamp();
        let shared = self.shared.as_ref().map_or(0, Shared::stamp);
        Begin { stamp, shared, at: self.clock.now() }
    }

    /// When work here began: with what encloses it, else here.
    pub(crate) fn scope_begin(&self) -> Begin {
        stack::scope_begin(self.id).unwrap_or_else(|| self.begin())
    }

    /// What the janitor does every second.
    fn maintain(&self) {
        self.memory.maintain();
        #[cfg(feature = "watch")]
        self.recheck_loaded();
    }

    pub(crate) fn drop_everything(&self) {
        self.floors.raise_everything();
        self.memory.clear();
        self.observers.past.note_clear();
    }

    pub(crate) fn raise(&self, tag: TagHash) -> Invalidation {
        self.invalidate(tag, |inner| inner.floors.raise(tag))
    }

    /// Invalidates a key, by its floor.
    pub(crate) fn invalidate_key(&self, floor: TagHash, key: KeyHash, by: By) -> Invalidation {
        let invalidation = self.raise(floor);
        self.observers.tell_invalidation(|| Target::Key(key), by);
        invalidation
    }

    /// An invalidation made here, and by whom it is known beside this node. The order is the replica's.
    fn invalidate(&self, tag: TagHash, raise: impl FnOnce(&Inner)) -> Invalidation {
        self.counters.count(Counter::invalidations);
        let told = self.shared.as_ref().map(|shared| (shared, shared.invalidate(tag)));
        raise(self);
        Invalidation(told.map(|(shared, ticket)| self.telling(shared, ticket)))
    }

    fn telling(&self, shared: &Shared, ticket: Ticket) -> Telling {
        let confirmation = shared.tell(ticket);
        let deadline = self.end_of_patience();
        let sleep = self.janitor().map(|janitor| janitor.sleep_until(deadline));
        Telling { confirmation, patience: self.settings.patience(), deadline, sleep }
    }

    /// Counts a failure of the cache and tells the application.
    pub(crate) fn report(&self, error: &Error) {
        self.reporter.report(error);
    }

    #[cfg(any(feature = "http", feature = "shared"))]
    pub(crate) async fn sleep_until(&self, deadline: Instant) {
        if let Some(janitor) = self.janitor() {
            janitor.sleep_until(deadline).await;
        }
    }

    pub(crate) fn janitor(&self) -> Option<&Timer> {
        self.janitor.get()
    }
}
