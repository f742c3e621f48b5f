//! The builder of a cache, which checks the configuration once, in `build`.
//!
//! Configuration from files and variables is in `config.rs`.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use minijinja::syntax::SyntaxConfig;

use super::engine::Engine;
use super::fragment_cache::FragmentCache;
use super::settings::{Settings, WAIT_TIMEOUT};
use crate::cache::invalidate::{Invalidated, OnInvalidate};
use crate::error::{Error, ErrorKind};
use crate::store::tier::SharedTier;
use crate::telemetry::report::OnError;
use crate::util::attachments::Attachments;
use crate::util::clock::{Clock, FAR, ManualClock, nanos};

/// Builds a [`FragmentCache`]; see [`FragmentCache::builder`].
#[must_use]
pub struct Builder {
    name: Arc<str>,
    max_bytes: u64,
    max_entry_bytes: Option<u64>,
    default_ttl: Duration,
    wait_timeout: Duration,
    jitter: f64,
    floor_slots: usize,
    enabled: bool,
    shadow: f64,
    syntax: SyntaxConfig,
    clock: Clock,
    on_error: Option<OnError>,
    on_invalidate: Option<OnInvalidate>,
    memory: bool,
    pub(crate) extensions: Attachments,
    shared: Option<SharedTier>,
    /// A remark on the configuration, reported after the cache is built.
    report: Option<Error>,
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("name", &self.name)
            .field("max_bytes", &self.max_bytes)
            .field("max_entry_bytes", &self.max_entry_bytes)
            .field("default_ttl", &self.default_ttl)
            .field("wait_timeout", &self.wait_timeout)
            .field("jitter", &self.jitter)
            .field("enabled", &self.enabled)
            .field("shadow", &self.shadow)
            .field("memory", &self.memory)
            .field("shared", &self.shared)
            .finish_non_exhaustive()
    }
}

impl FragmentCache {
    /// Starts the configuration of a cache.
    pub fn builder() -> Builder {
        Builder::default()
    }
}

impl Default for Builder {
    fn default() -> Builder {
        Builder {
            name: "default".into(),
            max_bytes: 64 << 20,
            max_entry_bytes: None,
            default_ttl: Duration::from_secs(300),
            wait_timeout: WAIT_TIMEOUT,
            jitter: 0.0,
            floor_slots: 1 << 20,
            enabled: true,
            shadow: 0.0,
            syntax: SyntaxConfig::default(),
            clock: Clock::System,
            on_error: None,
            on_invalidate: None,
            memory: true,
            extensions: Attachments::default(),
            shared: None,
            report: None,
        }
    }
}

impl Builder {
    /// The name of the cache in metrics, traces and logs; `default` by default. Two caches in one process need two
    /// names, otherwise their metrics are added up.
    pub fn name(mut self, name: impl Into<Arc<str>>) -> Builder {
        self.name = name.into();
        self
    }

    /// The bound of the memory tier, in bytes; 64 MiB by default. The least recently used entries are evicted first.
    ///
    /// The bound counts the memory that entries take in the process, within some percent: text, key, tags, the
    /// bookkeeping of the store, and the rounding of the allocator. In addition each thread keeps up to 256 of its
    /// hottest entries of at most 8 KiB; most of these are counted by the bound too. The guide lists what other memory
    /// the cache uses.
    pub fn max_bytes(mut self, bytes: u64) -> Builder {
        self.max_bytes = bytes;
        self
    }

    /// The largest result that is stored, in bytes of its text, value or response; a quarter of `max_bytes` by default.
    /// A larger result is served and not stored.
    pub fn max_entry_bytes(mut self, bytes: u64) -> Builder {
        self.max_entry_bytes = Some(bytes);
        self
    }

    /// The lifetime of blocks and calls that do not give one; 300 s by default.
    pub fn default_ttl(mut self, ttl: Duration) -> Builder {
        self.default_ttl = ttl;
        self
    }

    /// How long a caller waits for another caller that computes the same result; 5 s by default. After that it computes
    /// the result itself, without storing it. Zero means not to wait.
    ///
    /// The timeout also applies to a page that waits for its holes or for the body of a response, and to
    /// [`Invalidation::wait`]. These waits cannot be replaced by a computation, so zero means 5 s for them.
    ///
    /// [`Invalidation::wait`]: crate::Invalidation::wait
    pub fn wait_timeout(mut self, timeout: Duration) -> Builder {
        self.wait_timeout = timeout;
        self
    }

    /// Shortens each lifetime by a random part, at most this fraction of it; 0 by default. Spreads the expiry of
    /// results that were stored at the same time.
    pub fn jitter(mut self, fraction: f64) -> Builder {
        self.jitter = fraction;
        self
    }

    /// The size of the table of invalidations; 2²⁰ slots of 8 bytes by default, rounded up to a power of two, allocated
    /// as used. Two tags that share a slot invalidate each other: this costs a needless render, and never serves a
    /// stale result.
    pub fn floor_slots(mut self, slots: usize) -> Builder {
        self.floor_slots = slots;
        self
    }

    /// Switches caching off: every body runs, every closure is called, nothing is stored. Templates and calls work as
    /// before, and wrong use still fails.
    pub fn enabled(mut self, yes: bool) -> Builder {
        self.enabled = yes;
        self
    }

    /// Verifies this share of all hits, from 0 (the default) to 1: computes their results again and compares them. A
    /// difference is reported as [`Difference`](crate::Difference), as an event, and to [`on_error`](Builder::on_error)
    /// without the texts. This finds a fragment whose key lacks a value that its body reads (the visitor, the language)
    /// before a visitor does, and a fragment that outlives its data. With much traffic a share of 0.01 is enough.
    ///
    /// If the texts differ, the computed one is served, because it was made for this caller. It is not stored. If a
    /// closure fails, its caller gets the hit. If the body of a block fails, the page fails, as it would without a
    /// cache. After a failure nothing is verified for ten seconds. Whole pages (feature `http`) are generated again in
    /// the background, after they were served.
    ///
    /// ```
    /// use minijinja::{Environment, context};
    /// use minijinja_cache::FragmentCache;
    ///
    /// let cache = FragmentCache::builder().shadow(1.0).build()?;
    /// let mut env = Environment::new();
    /// cache.add_to_environment(&mut env);
    /// cache.add_template(&mut env, "who.html", "{% cache 'greeting' 60 %}Hello {{ user }}{% endcache %}")?;
    /// let page = |user: &str| env.get_template("who.html")?.render(context! { user });
    ///
    /// page("ada")?;
    /// assert_eq!(page("bob")?, "Hello bob");
    /// let difference = &cache.differences()[0];
    /// assert_eq!(difference.place.as_deref(), Some("who.html:1"));
    /// assert_eq!((&*difference.cached, &*difference.computed), ("Hello ada", "Hello bob"));
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    pub fn shadow(mut self, share: f64) -> Builder {
        self.shadow = share;
        self
    }

    /// The syntax of templates that the loaders of this cache load; MiniJinja's default unless given. A loader cannot
    /// see the environment it serves, so set the syntax here as well as with `Environment::set_syntax`.
    pub fn syntax(mut self, syntax: SyntaxConfig) -> Builder {
        self.syntax = syntax;
        self
    }

    /// A manual clock, for tests.
    pub fn clock(mut self, clock: &ManualClock) -> Builder {
        self.clock = Clock::Manual(clock.clone());
        self
    }

    /// Sets the callback for failures of the cache itself: an empty key, a value that cannot be encoded, a lost watch,
    /// a shared store that does not answer. None of these fails a page. The callback runs on the thread that met the
    /// failure, so it must not wait for the cache. Panics in it are caught.
    ///
    /// Without a callback, and without a `tracing` subscriber (feature `tracing`), the first failure of each kind in a
    /// minute is printed as a line on stderr. A closure that does nothing, `|_| {}`, prevents that.
    pub fn on_error(mut self, report: impl Fn(&Error) + Send + Sync + 'static) -> Builder {
        self.on_error = Some(Arc::new(report));
        self
    }

    /// Sets the callback for invalidations on this node, for example to purge a content delivery network. It is called
    /// after the invalidation took effect. It runs on the thread that invalidates, so pass the invalidation on to a
    /// thread that may wait. Panics in it are caught.
    ///
    /// The callback is not called for keys, because their text may be private: add a tag to a result that is to be
    /// purged. It is not called for invalidations by other nodes, which notify their own application, nor for templates
    /// that a watcher saw change.
    ///
    /// ```
    /// use std::sync::mpsc;
    /// use minijinja_cache::{FragmentCache, Invalidated};
    ///
    /// let (purges, purger) = mpsc::channel::<String>();
    /// let cache = FragmentCache::builder()
    ///     .on_invalidate(move |what| {
    ///         if let Invalidated::Tag(tag) = what {
    ///             let _ = purges.send(tag.to_owned());
    ///         }
    ///     })
    ///     .build()?;
    /// cache.invalidate_tag("films");
    /// assert_eq!(purger.recv()?, "films");
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    pub fn on_invalidate(mut self, tell: impl Fn(Invalidated<'_>) + Send + Sync + 'static) -> Builder {
        self.on_invalidate = Some(Arc::new(tell));
        self
    }

    /// Adds a store that several processes share, behind memory. A result that is not in memory is read from the store,
    /// results are written to it, and an invalidation on one node applies to all nodes. Takes a store, or a
    /// [`SharedTier`] to change its settings. A store that is slow or fails never makes a page fail, or wait longer
    /// than its budget.
    ///
    /// Fragments of templates are shared between environments that were registered with
    /// [`add_to_environment_as`](FragmentCache::add_to_environment_as): only by the name can the cache know which
    /// environments of two processes are the same.
    #[cfg(feature = "shared")]
    pub fn shared(mut self, tier: impl Into<SharedTier>) -> Builder {
        self.shared = Some(tier.into());
        self
    }

    /// Whether entries are stored in the memory of this process; `true` by default. Without memory each look-up reads
    /// the shared tier, so there must be one.
    #[cfg(feature = "shared")]
    pub fn memory(mut self, yes: bool) -> Builder {
        self.memory = yes;
        self
    }

    /// Adds a remark on the configuration that is not an error.
    pub(crate) fn report_once_built(mut self, report: Error) -> Builder {
        self.report = Some(report);
        self
    }

    /// Builds the cache.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`] names the setting that has an invalid value.
    pub fn build(self) -> Result<FragmentCache, Error> {
        let refuse = |message: String| Err(Error::new(ErrorKind::Config, message));
        if self.name.is_empty() || self.name.len() > 120 {
            return refuse("name must have from 1 to 120 bytes".into());
        }
        if self.max_bytes == 0 {
            return refuse("max_bytes is 0; to switch caching off, use enabled(false)".into());
        }
        if self.default_ttl.is_zero() {
            return refuse("default_ttl is 0; to switch caching off, use enabled(false)".into());
        }
        if !(0.0..=1.0).contains(&self.jitter) {
            return refuse(format!("jitter is {}, but must be a fraction from 0 to 1", self.jitter));
        }
        if !(0.0..=1.0).contains(&self.shadow) {
            return refuse(format!("shadow is {}, but must be a share from 0 to 1", self.shadow));
        }
        if self.floor_slots == 0 || self.floor_slots > 1 << 30 {
            return refuse(format!("floor_slots is {}, but must be from 1 to 2^30", self.floor_slots));
        }
        if self.max_entry_bytes == Some(0) {
            return refuse(
                "max_entry_bytes is 0, so nothing could be stored; to switch caching off, use enabled(false)".into(),
            );
        }
        if self.max_entry_bytes.is_some_and(|bytes| bytes > self.max_bytes) {
            return refuse("max_entry_bytes is larger than max_bytes".into());
        }
        if let Some(shared) = &self.shared {
            shared.check()?;
        } else if !self.memory {
            return refuse(
                "memory is off and there is no shared tier; to switch caching off, use enabled(false)".into(),
            );
        }
        let inner = Engine::start(Settings {
            name: self.name,
            max_bytes: self.max_bytes,
            max_entry_bytes: self.max_entry_bytes.unwrap_or(self.max_bytes.div_ceil(4)),
            default_ttl: nanos(self.default_ttl),
            wait_timeout: self.wait_timeout.min(FAR),
            jitter: self.jitter,
            floor_slots: self.floor_slots,
            enabled: self.enabled,
            shadow: self.shadow,
            syntax: self.syntax,
            clock: self.clock,
            on_error: self.on_error,
            on_invalidate: self.on_invalidate,
            memory: self.memory,
            extensions: self.extensions,
            shared: self.shared,
        })?;
        if let Some(report) = &self.report {
            inner.report(report);
        }
        Ok(FragmentCache { inner, namespace: Arc::default() })
    }
}
