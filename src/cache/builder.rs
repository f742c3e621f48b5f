//! Configuration, checked once when the cache is built.

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
    /// A remark on the configuration, reported once the cache is built.
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
    /// Starts configuring a cache.
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
    /// What the cache is called in metrics, traces and logs; `default` by default. Two caches of one process need two
    /// names, or what they count is told as one.
    pub fn name(mut self, name: impl Into<Arc<str>>) -> Builder {
        self.name = name.into();
        self
    }

    /// The bound of the memory tier, in bytes; 64 MiB by default. What was used least recently goes first.
    ///
    /// It counts what entries take of the process, within some percent: text, key, tags, the store's bookkeeping, and
    /// what the allocator rounds up. Beside it each thread keeps up to 256 of its hottest entries of at most 8 KiB,
    /// most of which the bound counts too; the guide lists what else there is.
    pub fn max_bytes(mut self, bytes: u64) -> Builder {
        self.max_bytes = bytes;
        self
    }

    /// The largest result that is stored, in bytes of its text, value or response; a quarter of `max_bytes` by default.
    /// A larger one is served and not stored.
    pub fn max_entry_bytes(mut self, bytes: u64) -> Builder {
        self.max_entry_bytes = Some(bytes);
        self
    }

    /// The lifetime of blocks and calls that name none; 300 s by default.
    pub fn default_ttl(mut self, ttl: Duration) -> Builder {
        self.default_ttl = ttl;
        self
    }

    /// How long a caller waits for another one that computes the same, before it computes for itself without storing;
    /// 5 s by default. Zero means not to wait.
    ///
    /// So long a page waits as well for its holes and for the body of a response, and [`Invalidation::wait`] for the
    /// shared store. Nothing can stand in for these, so that zero means 5 s for them.
    ///
    /// [`Invalidation::wait`]: crate::Invalidation::wait
    pub fn wait_timeout(mut self, timeout: Duration) -> Builder {
        self.wait_timeout = timeout;
        self
    }

    /// Shortens each lifetime by a random part, at most this fraction of it; 0 by default. Spreads the expiry of
    /// what was stored together.
    pub fn jitter(mut self, fraction: f64) -> Builder {
        self.jitter = fraction;
        self
    }

    /// The size of the table that invalidations are kept in; 2²⁰ slots of 8 bytes by default, rounded up to a power
    /// of two, allocated as used. Two tags that share a slot invalidate each other: a needless render, never a
    /// stale one.
    pub fn floor_slots(mut self, slots: usize) -> Builder {
        self.floor_slots = slots;
        self
    }

    /// Switches caching off: every body runs, every closure is called, nothing is stored. Templates and calls work
    /// as before, and wrong use still fails.
    pub fn enabled(mut self, yes: bool) -> Builder {
        self.enabled = yes;
        self
    }

    /// Computes this share of all hits again, from 0 (the default) to 1, and reports those that come out differently: as
    /// [`Difference`](crate::Difference), as an event, and to [`on_error`](Builder::on_error) without the texts. That finds
    /// a fragment whose key lacks what its body reads (the visitor, the language) before a visitor does, and one that
    /// outlives its data. A hundredth is enough where there is traffic.
    ///
    /// What was computed is shown, where it is another text: it is this caller's. It is not stored. A closure that fails
    /// leaves its caller with the hit; a body of a block that fails, fails its page, as it would without a cache. Either
    /// way nothing is verified for ten seconds. Whole pages (feature `http`) are made again after they were shown, in the
    /// background.
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

    /// The syntax of templates that loaders of this cache load; MiniJinja's default unless given. A loader cannot
    /// see the environment it serves, so say it here as well as to `Environment::set_syntax`.
    pub fn syntax(mut self, syntax: SyntaxConfig) -> Builder {
        self.syntax = syntax;
        self
    }

    /// A clock that tests move by hand.
    pub fn clock(mut self, clock: &ManualClock) -> Builder {
        self.clock = Clock::Manual(clock.clone());
        self
    }

    /// CallSite with each failure of the cache itself, none of which fails a page: an empty key, a value that does
    /// not encode, a lost watch, a shared store that does not answer. It runs on the thread that met the failure, so it
    /// must not wait for the cache; panics in it are caught.
    ///
    /// Without it, and without a `tracing` subscriber (feature `tracing`), the first failure of each kind in a minute is a
    /// line on stderr. A closure that does nothing, `|_| {}`, keeps them off it.
    pub fn on_error(mut self, report: impl Fn(&Error) + Send + Sync + 'static) -> Builder {
        self.on_error = Some(Arc::new(report));
        self
    }

    /// CallSite with what this node invalidates, after it took effect: for a content delivery network that is to let go
    /// of it as well. It runs on the thread that invalidates, so hand it on to one that may wait; panics in it are
    /// caught.
    ///
    /// Keys are not told, since their text may be private: give what is to be purged a tag. Nor is what other nodes
    /// invalidate, who tell their own application, nor the templates that a watcher saw change.
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

    /// Adds a store that several processes share, behind memory: what memory does not hold is looked for there, results
    /// are written there, and an invalidation on one node is one on all. Takes a store, or a [`SharedTier`] where its
    /// settings are to be changed. It can only help: whatever it does, no page fails or waits beyond its budget.
    ///
    /// Fragments of templates are shared between environments registered with
    /// [`add_to_environment_as`](FragmentCache::add_to_environment_as): only a name says which environments of two
    /// processes are the same.
    #[cfg(feature = "shared")]
    pub fn shared(mut self, tier: impl Into<SharedTier>) -> Builder {
        self.shared = Some(tier.into());
        self
    }

    /// Whether entries are kept in this process's memory; yes by default. Without, each look-up asks the shared tier,
    /// which there must be.
    #[cfg(feature = "shared")]
    pub fn memory(mut self, yes: bool) -> Builder {
        self.memory = yes;
        self
    }

    /// Adds a remark on the configuration that is no error.
    pub(crate) fn report_once_built(mut self, report: Error) -> Builder {
        self.report = Some(report);
        self
    }

    /// Builds the cache.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`] names the setting that makes no sense.
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
