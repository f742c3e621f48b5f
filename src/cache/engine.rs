//! The engine: the state that all handles of one cache share, and how it is started.
//!
//! Owns the start stamps of computations, invalidations on this node, and the work of the timer thread. Leaves look-ups
//! to `lookup.rs`, statistics to `statistics.rs`, and the calls that the shared tier makes to `node.rs`.

use std::panic::{AssertUnwindSafe, catch_unwind};
#[cfg(feature = "watch")]
use std::sync::atomic::AtomicBool;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, Weak};
#[cfg(any(feature = "http", feature = "shared"))]
use std::time::Instant;

use minijinja::syntax::SyntaxConfig;

use super::settings::Settings;
use crate::cache::flight::Flights;
use crate::cache::invalidate::Invalidated;
use crate::cache::invalidation::{Invalidation, PendingConfirmation};
use crate::error::Error;
use crate::invalidation::dependencies::{Dependency, StartStamp};
use crate::invalidation::floors::{Floors, TagHash};
use crate::invalidation::stack;
use crate::invalidation::templates::Templates;
use crate::store::entry::Entry;
use crate::store::eviction_listener::EvictionListener;
#[cfg(feature = "shared")]
use crate::store::host::Host;
use crate::store::memory::Memory;
use crate::store::tier::{Ticket, Tier};
use crate::telemetry::report::Reporter;
use crate::telemetry::stats::{Counter, Counters};
use crate::telemetry::{By, KeyHash, Target, Telemetry};
use crate::util::attachments::Attachments;
use crate::util::clock::Clock;
use crate::util::random::Jitter;
use crate::util::timer::Timer;

/// The state that all handles of a cache share.
pub(crate) struct Engine {
    pub(crate) id: u64,
    pub(crate) settings: Settings,
    pub(crate) clock: Clock,
    pub(crate) floors: Floors,
    pub(crate) flights: Arc<Flights<Arc<Entry>>>,
    pub(crate) memory: Memory,
    pub(crate) templates: Templates,
    pub(crate) shared: Option<Tier>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) telemetry: Telemetry,
    pub(crate) reporter: Arc<Reporter>,
    pub(crate) jitter: Jitter,
    /// Values that other modules attach to the cache.
    pub(crate) extensions: Attachments,
    /// Number of template loads that replaced an earlier load. MiniJinja keeps data of the old templates, so its memory
    /// grows with this number.
    pub(crate) reloads: AtomicU64,
    /// Number of loaders created.
    pub(crate) loaders: AtomicU64,
    /// The syntaxes of the registered environments.
    pub(crate) syntaxes: Mutex<Vec<SyntaxConfig>>,
    /// For each loader, a function that looks a template up by name without compiling it.
    pub(crate) looks: Mutex<Vec<Weak<Look>>>,
    /// Whether a folder is watched by polling.
    #[cfg(feature = "watch")]
    pub(crate) polling: AtomicBool,
    timer: OnceLock<Timer>,
    #[cfg(feature = "metrics")]
    publisher: OnceLock<Timer>,
}

/// Looks a template up in the source of a loader.
pub(crate) type Look = dyn Fn(&str) -> Option<Dependency> + Send + Sync;

impl Engine {
    /// Starts an engine and its threads.
    ///
    /// # Errors
    ///
    /// A thread could not be started.
    pub(crate) fn start(settings: Settings) -> Result<Arc<Engine>, Error> {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        let counters = Arc::new(Counters::new());
        let telemetry = Telemetry::new(id, Arc::clone(&settings.name), settings.clock.clone(), &counters);
        let reporter = Arc::new(Reporter::new(
            &counters,
            &telemetry.name,
            &telemetry.subscribers,
            settings.on_error.clone(),
            settings.clock.clone(),
        ));
        let shared = settings.shared.as_ref();
        let shared = shared.map(|tier| Tier::new(tier, settings.node(id), &counters, &reporter));
        let inner = Arc::new(Engine {
            id,
            clock: settings.clock.clone(),
            floors: Floors::new(settings.floor_slots),
            flights: Arc::new(Flights::new()),
            memory: Memory::new(settings.max_bytes, settings.clock.clone(), {
                let (departures, clock) = (EvictionListener::of(&telemetry), settings.clock.clone());
                move |hash, entry, departure| departures.note(hash, entry, departure, clock.now())
            }),
            templates: Templates::default(),
            shared,
            counters,
            telemetry,
            reporter,
            jitter: Jitter::new(settings.jitter),
            extensions: settings.extensions.clone(),
            reloads: AtomicU64::new(0),
            loaders: AtomicU64::new(0),
            syntaxes: Mutex::default(),
            looks: Mutex::default(),
            #[cfg(feature = "watch")]
            polling: AtomicBool::new(false),
            timer: OnceLock::new(),
            #[cfg(feature = "metrics")]
            publisher: OnceLock::new(),
            settings,
        });
        let timer = Timer::start("minijinja-cache", Arc::downgrade(&inner), Engine::maintain)?;
        // Set once, here. The cell exists only because the timer thread needs a reference to the engine first.
        let _ = inner.timer.set(timer);
        #[cfg(feature = "metrics")]
        let _ = inner.publisher.set(Timer::start("cache-metrics", Arc::downgrade(&inner), Engine::publish_quietly)?);
        #[cfg(feature = "shared")]
        if let Some(shared) = &inner.shared {
            let host: Weak<dyn Host> = Arc::<Engine>::downgrade(&inner);
            shared.start(&host, &inner.clock)?;
        }
        Ok(inner)
    }

    /// The start stamp of a computation that begins now.
    pub(crate) fn begin(&self) -> StartStamp {
        // Read the local stamp first: it then covers everything that is read after it.
        let stamp = self.floors.stamp();
        let shared = self.shared.as_ref().map_or(0, Tier::stamp);
        StartStamp { stamp, shared, at: self.clock.now() }
    }

    /// The start stamp of a computation on this thread: that of the innermost enclosing frame of this cache, or else
    /// now.
    pub(crate) fn scope_begin(&self) -> StartStamp {
        stack::scope_begin(self.id).unwrap_or_else(|| self.begin())
    }

    /// Maintenance: the timer thread runs it every second.
    pub(super) fn maintain(&self) {
        self.memory.maintain();
        #[cfg(feature = "watch")]
        self.recheck_loaded();
    }

    pub(crate) fn drop_everything(&self) {
        self.floors.raise_everything();
        self.memory.clear();
        self.telemetry.past.note_clear();
    }

    pub(crate) fn raise(&self, tag: TagHash) -> Invalidation {
        self.invalidate(tag, |inner| inner.floors.raise(tag))
    }

    /// Invalidates a key through its floor.
    pub(crate) fn invalidate_key(&self, floor: TagHash, key: KeyHash, by: By) -> Invalidation {
        let invalidation = self.raise(floor);
        self.telemetry.record_invalidation(|| Target::Key(key), by);
        invalidation
    }

    /// Invalidates on this node and, with a shared tier, publishes the invalidation to the other nodes.
    /// `Tier::invalidate` must come before the floor is raised and `Tier::tell` after it; `store/tier/replica.rs`
    /// explains the order.
    pub(super) fn invalidate(&self, tag: TagHash, raise: impl FnOnce(&Engine)) -> Invalidation {
        self.counters.count(Counter::invalidations);
        let told = self.shared.as_ref().map(|shared| (shared, shared.invalidate(tag)));
        raise(self);
        Invalidation(told.map(|(shared, ticket)| self.telling(shared, ticket)))
    }

    fn telling(&self, shared: &Tier, ticket: Ticket) -> PendingConfirmation {
        let deadline = self.end_of_patience();
        PendingConfirmation {
            patience: self.settings.patience(),
            deadline,
            sleep: self.timer().map(|timer| timer.sleep_until(deadline)),
            confirmation: shared.tell(ticket),
        }
    }

    /// Counts a failure of the cache and notifies the application.
    pub(crate) fn report(&self, error: &Error) {
        self.reporter.report(error);
    }

    #[cfg(any(feature = "http", feature = "shared"))]
    pub(crate) async fn sleep_until(&self, deadline: Instant) {
        if let Some(timer) = self.timer() {
            timer.sleep_until(deadline).await;
        }
    }

    pub(crate) fn timer(&self) -> Option<&Timer> {
        self.timer.get()
    }

    /// Records an invalidation and calls `on_invalidate`. Must run after the floors were raised: a purged proxy may
    /// request the page again at once, and must not get the old one. A panic in the callback is counted as an error.
    pub(crate) fn notify_invalidated(&self, what: Invalidated<'_>, by: By) {
        self.telemetry.record_invalidation(|| what.into(), by);
        if let Some(tell) = &self.settings.on_invalidate
            && catch_unwind(AssertUnwindSafe(|| tell(what))).is_err()
        {
            self.counters.count(Counter::errors);
        }
    }
}
