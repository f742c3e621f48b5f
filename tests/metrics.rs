//! What the cache publishes to a recorder of the `metrics` facade.
#![allow(missing_docs, clippy::unwrap_used)]

#[allow(dead_code, unreachable_pub)]
#[path = "suite/support.rs"]
mod support;

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::pin;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit, with_local_recorder};
use metrics_util::debugging::{DebugValue, DebuggingRecorder, Snapshotter};
use minijinja_cache::{FragmentCache, Options};
use support::{Reports, STUCK, env_of, must_end, ok, p, until};

/// What a recorder has, by name and labels.
fn read(recorded: &Snapshotter) -> BTreeMap<String, DebugValue> {
    let line = |key: &Key| {
        let labels: Vec<_> = key.labels().map(|label| format!("{}={}", label.key(), label.value())).collect();
        format!("{}{{{}}}", key.name().strip_prefix("minijinja_cache.").unwrap(), labels.join(","))
    };
    recorded.snapshot().into_vec().into_iter().map(|(key, _, _, value)| (line(key.key()), value)).collect()
}

fn published(cache: &FragmentCache) -> BTreeMap<String, DebugValue> {
    let recorder = DebuggingRecorder::new();
    with_local_recorder(&recorder, || cache.publish_metrics());
    read(&recorder.snapshotter())
}

fn number(metrics: &BTreeMap<String, DebugValue>, name: &str) -> f64 {
    match metrics.get(name) {
        Some(DebugValue::Counter(count)) => *count as f64,
        Some(DebugValue::Gauge(value)) => value.into_inner(),
        other => panic!("{name}: {other:?} among {:#?}", metrics.keys()),
    }
}

#[test]
fn what_is_published_is_what_was_counted() {
    let cache = FragmentCache::builder().name("films").max_bytes(1 << 20).build().unwrap();
    let env = env_of(&cache, &[("p", "{% cache 'k' tags=['t'] name='bio' %}four{% endcache %}")]);
    for _ in 0..3 {
        p(&env);
    }
    cache.invalidate_tag("t");
    p(&env);
    let text = |options: Options| cache.get_or_set("k", options.label("text"), || Err::<&str, _>("no"));
    text(Options::default()).unwrap_err();
    text(Options::ttl(Duration::ZERO)).unwrap_err();
    cache.run_maintenance();

    let metrics = published(&cache);
    let bio = "cache=films,fragment=bio,kind=block";
    let stats = &cache.fragment_stats().into_iter().find(|stats| stats.label == "bio").unwrap();
    for (name, value) in [
        (format!("lookups{{{bio},outcome=hit}}"), 2.0),
        (format!("lookups{{{bio},outcome=miss}}"), 2.0),
        ("lookups{cache=films,fragment=text,kind=text,outcome=miss}".into(), 1.0),
        ("lookups{cache=films,fragment=text,kind=text,outcome=bypass}".into(), 1.0),
        ("misses{cache=films,reason=cold}".into(), 2.0),
        ("misses{cache=films,reason=tag-invalidated}".into(), 1.0),
        ("misses{cache=films,reason=bypass-lifetime}".into(), 1.0),
        ("computation.failures{cache=films,fragment=text,kind=text}".into(), 1.0),
        (format!("computation.rejections{{{bio}}}"), 0.0),
        (format!("computation.output{{{bio}}}"), 8.0),
        (format!("computation.time_saved{{{bio}}}"), stats.render_time_saved.as_secs_f64()),
        (format!("fragment.entries{{{bio}}}"), 1.0),
        (format!("fragment.usage{{{bio}}}"), stats.bytes as f64),
        (format!("evictions{{{bio}}}"), 0.0),
        (format!("unused_evictions{{{bio}}}"), 0.0),
        ("memory.usage{cache=films}".into(), cache.stats().bytes as f64),
        ("memory.entries{cache=films}".into(), 1.0),
        ("memory.limit{cache=films}".into(), f64::from(1 << 20)),
        ("invalidations{cache=films}".into(), 1.0),
        ("errors{cache=films}".into(), 0.0),
        ("wait.timeouts{cache=films}".into(), 0.0),
    ] {
        assert_eq!(number(&metrics, &name), value, "{name}");
    }
    assert!(!metrics.keys().any(|name| name.contains("shared")), "there is no shared tier");
}

#[test]
fn computing_is_recorded_in_seconds_as_it_happens_and_hits_record_nothing() {
    let recorder = DebuggingRecorder::new();
    let cache = FragmentCache::builder().build().unwrap();
    let get = || {
        let load = || {
            std::thread::sleep(Duration::from_millis(20));
            ok("x")
        };
        cache.get_or_set("k", Options::default().label("bio"), load).unwrap()
    };
    with_local_recorder(&recorder, || (get(), get()));
    let recorded = read(&recorder.snapshotter());
    let name = "computation.duration{cache=default,fragment=bio,kind=text}";
    let DebugValue::Histogram(took) = &recorded[name] else { panic!("{recorded:?}") };
    assert!(took.len() == 1 && (0.02..60.0).contains(&took[0].into_inner()), "{took:?}");
}

#[test]
fn a_recorder_that_comes_late_is_told_everything_and_no_count_goes_back() {
    let cache = FragmentCache::builder().build().unwrap();
    let get = || cache.get_or_set("k", Options::default().label("bio"), || ok("x")).unwrap();
    let hits = "lookups{cache=default,fragment=bio,kind=text,outcome=hit}";
    let recorder = DebuggingRecorder::new();
    let mut last = 0.0;
    get();
    for _ in 0..3 {
        get();
        with_local_recorder(&recorder, || cache.publish_metrics());
        let now = number(&read(&recorder.snapshotter()), hits);
        assert_eq!(now, last + 1.0);
        last = now;
    }
    assert_eq!(number(&published(&cache), hits), 3.0);
}

#[test]
fn labels_are_bounded_whatever_is_cached_under() {
    let cache = FragmentCache::builder().build().unwrap();
    for n in 0..2000 {
        let label = format!("{n} \"quoted\\ \n ü {}", "x".repeat(300));
        cache.get_or_set(n, Options::default().label(label), || ok("x")).unwrap();
    }
    let metrics = published(&cache);
    let series = |name: &str| metrics.keys().filter(|key| key.starts_with(name)).count();
    assert_eq!((series("lookups{"), series("fragment.entries{")), (513, 513));
    assert_eq!(number(&metrics, "lookups{cache=default,fragment=(others),kind=text,outcome=miss}"), 1488.0);
    assert!(metrics.keys().all(|key| key.len() < 400));
}

#[test]
fn a_cache_has_a_name_of_use() {
    assert!(format!("{:?}", FragmentCache::builder().name("films").build().unwrap()).contains("name: \"films\""));
    for name in [String::new(), "x".repeat(121)] {
        let error = FragmentCache::builder().name(name).build().unwrap_err();
        assert_eq!(error.to_string(), "name must have from 1 to 120 bytes");
    }
    let config = minijinja_cache::CacheConfig::from_variables("CACHE_", [("CACHE_NAME", "films")]).unwrap();
    assert!(format!("{:?}", config.build().unwrap()).contains("name: \"films\""));
}

/// The recorder of this process. What a cache called `panics` tells it makes it panic, and one called `slow` has to
/// wait.
struct Moody {
    well: DebuggingRecorder,
    gate: Mutex<Receiver<()>>,
    waiting: Mutex<Sender<()>>,
}

impl Moody {
    fn look_at(&self, key: &Key) {
        match key.labels().find(|label| label.key() == "cache").map(metrics::Label::value) {
            Some("panics") => panic!("a recorder's panic"),
            Some("slow") => {
                let _ = self.waiting.lock().unwrap_or_else(PoisonError::into_inner).send(());
                let _ = self.gate.lock().unwrap_or_else(PoisonError::into_inner).recv();
            }
            _ => {}
        }
    }
}

impl Recorder for Moody {
    fn describe_counter(&self, key: KeyName, unit: Option<Unit>, description: SharedString) {
        self.well.describe_counter(key, unit, description);
    }

    fn describe_gauge(&self, key: KeyName, unit: Option<Unit>, description: SharedString) {
        self.well.describe_gauge(key, unit, description);
    }

    fn describe_histogram(&self, key: KeyName, unit: Option<Unit>, description: SharedString) {
        self.well.describe_histogram(key, unit, description);
    }

    fn register_counter(&self, key: &Key, metadata: &Metadata<'_>) -> Counter {
        self.look_at(key);
        self.well.register_counter(key, metadata)
    }

    fn register_gauge(&self, key: &Key, metadata: &Metadata<'_>) -> Gauge {
        self.look_at(key);
        self.well.register_gauge(key, metadata)
    }

    fn register_histogram(&self, key: &Key, metadata: &Metadata<'_>) -> Histogram {
        self.look_at(key);
        self.well.register_histogram(key, metadata)
    }
}

/// One test, since a process has one recorder.
#[test]
fn a_thread_publishes_every_second_and_neither_a_panic_nor_a_stall_of_the_recorder_reaches_the_cache() {
    let (go, gate) = channel();
    let (waiting, waits) = channel();
    let well = DebuggingRecorder::new();
    let recorded = well.snapshotter();
    metrics::set_global_recorder(Moody { well, gate: Mutex::new(gate), waiting: Mutex::new(waiting) }).unwrap();

    let cache = FragmentCache::builder().name("by itself").build().unwrap();
    cache.get_or_set("k", Options::default().label("bio"), || ok("x")).unwrap();
    let expected = "lookups{cache=by itself,fragment=bio,kind=text,outcome=miss}";
    until("it is published", || read(&recorded).contains_key(expected));

    let (reports, report) = Reports::collect();
    let cache = FragmentCache::builder().name("panics").on_error(report).build().unwrap();
    cache.get_or_set("k", Options::default(), || ok("x")).unwrap();
    assert_eq!(cache.stats().errors, 1, "the duration could not be recorded");
    until("the panic is told, and the thread goes on", || reports.all().len() > 1);
    assert!(reports.all()[0].starts_with("Callback: publishing metrics: the recorder panicked"), "{:?}", reports.all());

    let cache = FragmentCache::builder().name("slow").wait_timeout(Duration::from_millis(50)).build().unwrap();
    waits.recv_timeout(STUCK).unwrap();
    // The recorder is stuck. Waits end in time all the same, which the thread that maintains the cache sees to.
    let stuck = cache.clone();
    must_end(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let bypassed = Options::ttl(Duration::ZERO);
        assert_eq!(stuck.get_or_set("b", bypassed, || ok("x")).unwrap(), "x");
        runtime.block_on(async {
            let never = async {
                std::future::pending::<()>().await;
                ok("never")
            };
            let mut leader = pin!(stuck.get_or_set_async("k", Options::default(), never));
            let follower = stuck.get_or_set_async("k", Options::default(), std::future::pending::<Result<&str, ()>>());
            let mut follower = pin!(follower);
            std::future::poll_fn(|context| {
                let _ = leader.as_mut().poll(context);
                let _ = follower.as_mut().poll(context);
                match stuck.stats().wait_timeouts {
                    0 => std::task::Poll::Pending,
                    _ => std::task::Poll::Ready(()),
                }
            })
            .await;
        });
    });
    drop(cache);
    // Nobody is to hang at the end of the process.
    drop(go);
}
