//! Records samples of the counters, one a second, and the last events, while a dashboard is mounted. Charts and the
//! pages of events read from here.

use std::cmp::Reverse;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::thread;
use std::time::{Duration, Instant};

use crate::cache::{Engine, FragmentCache};
use crate::error::{Error, ErrorKind};
use crate::telemetry::{Event, Happened, Subscription};
use crate::util::sync::lock;

/// The number of seconds that charts show.
pub(super) const SHOWN: usize = 300;

/// The number of events kept of each kind. Each kind has its own limit, so that evictions do not displace
/// invalidations.
pub(super) const EVENTS: usize = 200;

const INTERVAL: Duration = Duration::from_secs(1);

/// The counters of the cache at one time, summed over all fragments.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sample {
    /// The number of earlier samples.
    pub(super) number: u64,
    pub(super) at: Instant,
    /// Look-ups that were answered without a computation.
    pub(super) answered: u64,
    /// Look-ups that needed a computation.
    pub(super) computed: u64,
    /// Successful computations.
    pub(super) renders: u64,
    pub(super) render_nanos: u64,
    pub(super) saved_nanos: u64,
}

/// Takes the samples on a thread of its own. The thread ends within a second after the recorder is dropped.
pub(super) struct Recorder {
    cache: Weak<Engine>,
    kept: Mutex<Kept>,
}

struct Kept {
    samples: VecDeque<Sample>,
    taken: u64,
    /// By kind, each with its number in the order of arrival.
    events: BTreeMap<&'static str, VecDeque<(u64, Event)>>,
    received: u64,
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
            // The dashboard works without the thread, but its charts stay empty.
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
            received: 0,
            subscription: cache.subscribe(),
        };
        Recorder { cache: Arc::downgrade(&cache.inner), kept: Mutex::new(kept) }
    }

    /// Takes a sample, and fetches the events since the last one.
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

    /// The last events, the newest first, and the number of events that were lost.
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
            known.push_back((self.received, event));
            self.received += 1;
        }
    }
}

impl Sample {
    fn of(cache: &Engine) -> Sample {
        let mut sample = Sample {
            number: 0,
            at: Instant::now(),
            answered: 0,
            computed: 0,
            renders: 0,
            render_nanos: 0,
            saved_nanos: 0,
        };
        for label in cache.telemetry.labels.read() {
            sample.answered += label.answered();
            sample.computed += label.misses + label.bypasses;
            sample.renders += label.renders;
            sample.render_nanos += nanos(label.render_time);
            sample.saved_nanos += nanos(label.render_time_saved);
        }
        sample
    }

    /// All look-ups.
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

    fn look_up(cache: &FragmentCache, key: u32) {
        cache.get_or_set(key, Options::default(), || Ok::<_, Infallible>("x")).unwrap();
    }

    #[test]
    fn samples_are_the_sums_over_all_fragments_and_the_oldest_go() {
        let cache = FragmentCache::builder().build().unwrap();
        let recorder = Recorder::new(&cache);
        recorder.take();
        for key in [1, 1, 1, 2] {
            look_up(&cache, key);
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
        let text = |at: usize| format!("{:?}", events[at].what);
        assert!(text(0).contains("\"399\"") && text(EVENTS - 1).contains("\"200\""), "{}", text(0));
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
