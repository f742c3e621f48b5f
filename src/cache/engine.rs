//! What all handles of one cache share, and how it is started.

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

/// What all handles share.
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
    timer: OnceLock<Timer>,
    #[cfg(feature = "metrics")]
    publisher: OnceLock<Timer>,
}

/// Looks a template up in what a loader loads from.
pub(crate) type Look = dyn Fn(&str) -> Option<Dependency> + Send + Sync;

impl Engine {
    /// Starts an engine and its threads.
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
        // Set once, here: the cell exists only because the thread needs the cache first.
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

    /// Computation that begins here.
    pub(crate) fn begin(&self) -> StartStamp {
        // The stamp first: what is read after it is covered by it.
        let stamp = self.floors.stamp();
        let shared = self.shared.as_ref().map_or(0, Tier::stamp);
        StartStamp { stamp, shared, at: self.clock.now() }
    }

    /// When work here began: with what encloses it, else here.
    pub(crate) fn scope_begin(&self) -> StartStamp {
        stack::scope_begin(self.id).unwrap_or_else(|| self.begin())
    }

    /// What the timer does every second.
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

    /// Invalidates a key, by its floor.
    pub(crate) fn invalidate_key(&self, floor: TagHash, key: KeyHash, by: By) -> Invalidation {
        let invalidation = self.raise(floor);
        self.telemetry.record_invalidation(|| Target::Key(key), by);
        invalidation
    }

    /// An invalidation made here, and by whom it is known beside this node. The order is the replica's.
    pub(super) fn invalidate(&self, tag: TagHash, raise: impl FnOnce(&Engine)) -> Invalidation {
        self.counters.count(Counter::invalidations);
        let told = self.shared.as_ref().map(|shared| (shared, shared.invalidate(tag)));
        raise(self);
        Invalidation(told.map(|(shared, ticket)| self.telling(shared, ticket)))
    }

    fn telling(&self, shared: &Tier, ticket: Ticket) -> PendingConfirmation {
        PendingConfirmation {
            confirmation: shared.tell(ticket),
            patience: self.settings.patience(),
            deadline: self.end_of_patience(),
            sleep: self.timer().map(|timer| timer.sleep_until(self.end_of_patience())),
        }
    }

    /// Counts a failure of the cache and tells the application.
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

    /// After it took effect here, so that what a purged cache asks for is new.
    pub(crate) fn notify_invalidated(&self, what: Invalidated<'_>, by: By) {
        self.telemetry.record_invalidation(|| what.into(), by);
        if let Some(tell) = &self.settings.on_invalidate
            && catch_unwind(AssertUnwindSafe(|| tell(what))).is_err()
        {
            self.counters.count(Counter::errors);
        }
    }
}
