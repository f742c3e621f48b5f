//! What was counted in the last minutes, second by second, and the last events: kept while a dashboard is mounted.

use std::cmp::Reverse;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::thread;
use std::time::{Duration, Instant};

use crate::cache::{FragmentCache, Inner};
use crate::error::{Error, ErrorKind};
use crate::telemetry::{Event, Happened, Subscription};
use crate::util::sync::lock;

/// Seconds that charts show.
pub(super) const SHOWN: usize = 300;

/// Events kept of each kind: a thousand evictions push out no invalidation.
pub(super) const EVENTS: usize = 200;

const INTERVAL: Duration = Duration::from_secs(1);

/// What was counted by a moment.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sample {
    /// How many came before it.
    pub(super) number: u64,
    pub(super) at: Instant,
    /// Look-ups that were spared the work.
    pub(super) answered: u64,
    /// Look-ups that were not.
    pub(super) computed: u64,
    /// Results computed, and how long that took.
    pub(super) renders: u64,
    pub(super) render_nanos: u64,
    pub(super) saved_nanos: u64,
}

/// Ends its thread, within a second, when it is dropped.
pub(super) struct Recorder {
    cache: Weak<Inner>,
    kept: Mutex<Kept>,
}

struct Kept {
    samples: VecDeque<Sample>,
    taken: u64,
    /// By their kind.
    events: BTreeMap<&'static str, VecDeque<(u64, Event)>>,
    heard: u64,
    subscription: Subscription,
}

impl Recorder {
    pub(super) fn start(cache: &FragmentCache) -> Arc<Recorder> {
        let recorder = Arc::new(Recorder::new(cache));
        let weak = Arc::downgrade(&recorder);
        let spawned = thread::Builder::new().name("minijinja-cache-dashboard".into()).spawn(move || {
            loop {
                let Some(recorder) = weak.upgrade() else { return };
                recorder.take();
                drop(recorder);
                thread::park_timeout(INTERVAL);
            }
        });
        if let Err(error) = spawned {
            // Without it the charts stay empty.
            let error = Error::new(ErrorKind::Config, "cannot start the dashboard's thread").with_source(error);
            cache.inner.report(&error);
        }
        recorder
    }

    fn new(cache: &FragmentCache) -> Recorder {
        let kept = Kept {
            samples: VecDeque::with_capacity(SHOWN + 1),
            taken: 0,
            events: BTreeMap::new(),
            heard: 0,
            subscription: cache.subscribe(),
        };
        Recorder { cache: Arc::downgrade(&cache.inner), kept: Mutex::new(kept) }
    }

    /// Takes a sample, and the events that came.
    fn take(&self) {
        let Some(cache) = self.cache.upgrade() else { return };
        let mut sample = Sample::of(&cache);
        let mut kept = self.lock();
        sample.number = kept.taken;
        kept.taken += 1;
        if kept.samples.len() > SHOWN {
            kept.samples.pop_front();
        }
        kept.samples.push_back(sample);
        kept.take_events();
    }

    /// The samples, the oldest first.
    pub(super) fn samples(&self) -> Vec<Sample> {
        self.lock().samples.iter().copied().collect()
    }

    /// The last events, the newest first, and how many were lost.
    pub(super) fn events(&self) -> (Vec<Event>, u64) {
        let mut kept = self.lock();
        kept.take_events();
        let mut events: Vec<&(u64, Event)> = kept.events.values().flatten().collect();
        events.sort_unstable_by_key(|(number, _)| Reverse(*number));
        (events.into_iter().map(|(_, event)| event.clone()).collect(), kept.subscription.missed())
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        lock(&self.kept)
    }
}

impl Kept {
    fn take_events(&mut self) {
        while let Some(event) = self.subscription.try_next() {
            let known = self.events.entry(kind_of(&event)).or_default();
            if known.len() == EVENTS {
                known.pop_front();
            }
            known.push_back((self.heard, event));
            self.heard += 1;
        }
    }
}

impl Sample {
    fn of(cache: &Inner) -> Sample {
        let mut sample = Sample {
            number: 0,
            at: Instant::now(),
            answered: 0,
            computed: 0,
            renders: 0,
            render_nanos: 0,
            saved_nanos: 0,
        };
        for label in cache.observers.labels.read() {
            sample.answered += label.answered();
            sample.computed += label.misses + label.bypasses;
            sample.renders += label.renders;
            sample.render_nanos += nanos(label.render_time);
            sample.saved_nanos += nanos(label.render_time_saved);
        }
        sample
    }

    /// Look-ups so far.
    pub(super) fn lookups(&self) -> u64 {
        self.answered + self.computed
    }
}

/// The kind of an event, as links and templates name it.
pub(super) fn kind_of(event: &Event) -> &'static str {
    match event.what {
        Happened::Invalidated { .. } => "invalidated",
        Happened::Evicted { .. } => "evicted",
        Happened::Refreshed { .. } => "refreshed",
        Happened::Differed(_) => "differed",
        Happened::Error { .. } => "error",
        // Subscriptions to changes do not deliver the other kinds.
        _ => "other",
    }
}

fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(all(test, not(shuttle)))]
mod tests {
    use std::convert::Infallible;

    use super::*;
    use crate::Options;

    fn ask(cache: &FragmentCache, key: u32) {
        cache.get_or_set(key, Options::default(), || Ok::<_, Infallible>("x")).unwrap();
    }

    #[test]
    fn samples_are_the_sums_over_all_fragments_and_the_oldest_go() {
        let cache = FragmentCache::builder().build().unwrap();
        let recorder = Recorder::new(&cache);
        recorder.take();
        for key in [1, 1, 1, 2] {
            ask(&cache, key);
        }
        recorder.take();
        let samples = recorder.samples();
        assert_eq!((samples[0].lookups(), samples[0].number), (0, 0));
        assert_eq!((samples[1].answered, samples[1].computed, samples[1].renders), (2, 2, 2));
        for _ in 0..2 * SHOWN {
            recorder.take();
        }
        let samples = recorder.samples();
        assert_eq!((samples.len(), samples.last().unwrap().number), (SHOWN + 1, 2 * SHOWN as u64 + 1));
    }

    #[test]
    fn the_last_events_are_kept_and_no_more() {
        let cache = FragmentCache::builder().build().unwrap();
        let recorder = Recorder::new(&cache);
        for tag in 0..2 * EVENTS {
            cache.invalidate_tag(&tag.to_string());
        }
        let (events, missed) = recorder.events();
        assert_eq!((events.len(), missed), (EVENTS, 0));
        let said = |at: usize| format!("{:?}", events[at].what);
        assert!(said(0).contains("\"399\"") && said(EVENTS - 1).contains("\"200\""), "{}", said(0));
        for tag in 0..30 * EVENTS {
            cache.invalidate_tag(&tag.to_string());
        }
        assert!(recorder.events().1 > 0, "what was not fetched in time is counted");
    }

    #[test]
    fn a_recorder_keeps_no_cache_alive_and_ends_with_its_dashboard() {
        let cache = FragmentCache::builder().build().unwrap();
        let recorder = Recorder::start(&cache);
        let (inner, weak) = (Arc::downgrade(&cache.inner), Arc::downgrade(&recorder));
        drop(cache);
        assert!(inner.upgrade().is_none());
        recorder.take();
        drop(recorder);
        // Its thread may hold it for the moment of a sample.
        while weak.upgrade().is_some() {
            thread::yield_now();
        }
    }
}
