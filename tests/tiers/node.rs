//! One process of a fleet: a cache on a shared store, and readers that note what they were given.
//!
//! Reads a command per line and answers each with one line. The database is a folder with a file for each key, which
//! holds a version: whoever drives the fleet replaces it.
//!
//! | command | answer |
//! |---|---|
//! | `get KEY` | `got VERSION loaded\|cached MICROSECONDS` |
//! | `page KEY…` | `page VERSION… MICROSECONDS`, beside loading |
//! | `invalidate KEY`, `invalidate-tag TAG`, `invalidate-template NAME`, `clear`, each with or without `wait` | `done BEGUN RETURNED TOLD`, moments; `TOLD` is 0 if the store did not confirm it |
//! | `flush MILLISECONDS` | `flushed true\|false` |
//! | `status` | `in_touch=… breaker_open=… untold=…` |
//! | `stats` | `shared_hits=… loads=… …` |
//! | `load THREADS KEYS PAUSE` | `loading`; readers run until `stop`, with a pause in microseconds between pages |
//! | `stop FROM TO` | the report, in JSON; times are of pages that began between the two moments |
#![allow(missing_docs, unreachable_pub, dead_code, clippy::unwrap_used)]

#[path = "report.rs"]
mod report;

use std::cell::Cell;
use std::collections::HashMap;
use std::io::{self, BufRead};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use minijinja::{Environment, context};
use minijinja_cache::{FragmentCache, Invalidation, Options, RedisStore, SharedTier};
use report::{Moment, Report, Run, Times, now};

/// All fragments of a page, each for one key.
const PAGE: &str = "{% for key in keys %}{% cache key tags=[key] %}{% include 'row' %}{% endcache %} {% endfor %}";
const ROW: &str = "{{ row(key) }}";
const FRAGMENTS: usize = 4;

fn main() {
    let node = Node::open(&Settings::read());
    println!("ready");
    let mut load = None;
    for line in io::stdin().lock().lines() {
        println!("{}", node.answer(&line.unwrap(), &mut load));
    }
    // Whoever drove this is gone, and readers would go on for ever.
    std::process::exit(0);
}

#[derive(Default)]
struct Settings {
    store: String,
    data: PathBuf,
    bound: u64,
    budget: u64,
    patience: u64,
    lease: u64,
    work: u64,
    memory: bool,
}

impl Settings {
    fn read() -> Settings {
        let mut settings = Settings { bound: 1000, budget: 20, patience: 5000, memory: true, ..Settings::default() };
        let mut arguments = std::env::args().skip(1);
        while let (Some(name), Some(value)) = (arguments.next(), arguments.next()) {
            let number = || value.parse().unwrap();
            match name.as_str() {
                "--store" => settings.store = value,
                "--data" => settings.data = value.into(),
                "--bound" => settings.bound = number(),
                "--budget" => settings.budget = number(),
                // How long to wait for a confirmation, or for another thread's work.
                "--patience" => settings.patience = number(),
                "--lease" => settings.lease = number(),
                // How long it takes to load a key.
                "--work" => settings.work = number(),
                "--memory" => settings.memory = value == "on",
                _ => panic!("no setting: {name}"),
            }
        }
        settings
    }

    fn tier(&self) -> SharedTier {
        let (kind, place) = self.store.split_once(':').unwrap();
        let tier = match kind {
            "cluster" => SharedTier::new(RedisStore::cluster(place.split(',')).unwrap()),
            "sentinel" => {
                let (name, urls) = place.split_once('@').unwrap();
                SharedTier::new(RedisStore::sentinel(urls.split(','), name).unwrap())
            }
            #[cfg(feature = "memcached")]
            "memcached" => SharedTier::new(minijinja_cache::MemcachedStore::connect(place.split(',')).unwrap()),
            _ => SharedTier::new(RedisStore::connect(&self.store).unwrap()),
        };
        let tier = tier.budget(millis(self.budget)).staleness_bound(millis(self.bound));
        if self.lease > 0 { tier.lease(millis(self.lease)) } else { tier }
    }
}

fn millis(number: u64) -> Duration {
    Duration::from_millis(number)
}

struct Node {
    cache: FragmentCache,
    env: Arc<Environment<'static>>,
    database: Arc<Database>,
    pulse: Arc<Pulse>,
}

impl Node {
    fn open(settings: &Settings) -> Node {
        let cache = FragmentCache::builder()
            .shared(settings.tier())
            .memory(settings.memory)
            .wait_timeout(millis(settings.patience))
            .on_error(|error| eprintln!("{} {error}", now()))
            .build()
            .unwrap();
        let database =
            Database { folder: settings.data.clone(), work: millis(settings.work), loads: AtomicU64::new(0) };
        let database = Arc::new(database);
        let mut env = Environment::new();
        // By a name, so that fragments of one process are found by another.
        cache.add_to_environment_as("tiers", &mut env);
        cache.add_template(&mut env, "page", PAGE).unwrap();
        cache.add_template(&mut env, "row", ROW).unwrap();
        let rows = Arc::clone(&database);
        env.add_function("row", move |key: &str| rows.row(key));
        Node { cache, env: Arc::new(env), database, pulse: Pulse::start() }
    }

    fn answer(&self, line: &str, load: &mut Option<Load>) -> String {
        let words: Vec<&str> = line.split_whitespace().collect();
        let wait = words.last() == Some(&"wait");
        let told = |begun: Moment, invalidation: Invalidation| {
            let returned = now();
            let told = if wait && invalidation.wait().is_ok() { now() } else { 0 };
            format!("done {begun} {returned} {told}")
        };
        match words[..] {
            ["get", key] => self.get(key),
            ["page", ref keys @ ..] => self.page(keys),
            ["invalidate", key, ..] => told(now(), self.cache.invalidate(key)),
            ["invalidate-tag", tag, ..] => told(now(), self.cache.invalidate_tag(tag)),
            ["invalidate-template", name, ..] => told(now(), self.cache.invalidate_template(name)),
            ["clear", ..] => told(now(), self.cache.clear()),
            ["flush", patience] => format!("flushed {}", self.cache.flush(millis(patience.parse().unwrap()))),
            ["status"] => {
                let status = self.cache.shared_status().unwrap();
                let (touch, open, untold) = (status.in_touch, status.breaker_open, status.untold);
                format!("in_touch={touch} breaker_open={open} untold={untold}")
            }
            ["stats"] => self.stats(),
            ["load", threads, keys, pause] => {
                let number = |word: &str| word.parse().unwrap();
                *load = Some(Load::start(self, number(threads), number(keys), number(pause) as u64));
                "loading".into()
            }
            ["stop", from, to] => {
                let load = load.take().expect("nothing is being loaded");
                serde_json::to_string(&load.stop(&self.pulse, from.parse().unwrap()..to.parse().unwrap())).unwrap()
            }
            _ => panic!("no command: {line}"),
        }
    }

    fn get(&self, key: &str) -> String {
        let (before, start) = (self.database.loads.load(Ordering::SeqCst), Instant::now());
        let text = self.read(key).unwrap_or_else(|error| error);
        let took = start.elapsed().as_micros();
        let how = if self.database.loads.load(Ordering::SeqCst) > before { "loaded" } else { "cached" };
        format!("got {} {how} {took}", text.split_once('=').map_or(&*text, |(_, version)| version))
    }

    fn page(&self, keys: &[&str]) -> String {
        let names: Vec<String> = keys.iter().map(ToString::to_string).collect();
        LOADING.set(Duration::ZERO);
        let start = Instant::now();
        let text = self.render(&names).unwrap();
        let took = start.elapsed().saturating_sub(LOADING.get()).as_micros();
        let versions: Vec<String> = versions(&text, &names).unwrap().iter().map(ToString::to_string).collect();
        format!("page {} {took}", versions.join(" "))
    }

    fn render(&self, keys: &[String]) -> Result<String, String> {
        let page = || self.env.get_template("page")?.render(context! { keys => keys.to_vec() });
        page().map_err(|error| format!("{error:#}"))
    }

    /// A fragment made by a handler.
    fn read(&self, key: &str) -> Result<String, String> {
        let read = self.cache.get_or_set(key, Options::default().tag(key), || self.database.row(key));
        read.map(|fragment| fragment.to_string()).map_err(|error| error.to_string())
    }

    fn stats(&self) -> String {
        let stats = self.cache.stats();
        let loads = self.database.loads.load(Ordering::SeqCst);
        format!(
            "hits={} misses={} loads={loads} shared_hits={} shared_misses={} shared_skips={} shared_rejects={} \
             shared_failures={} shared_stores={} shared_drops={} shared_invalidations={}",
            stats.hits,
            stats.misses,
            stats.shared_hits,
            stats.shared_misses,
            stats.shared_skips,
            stats.shared_rejects,
            stats.shared_failures,
            stats.shared_stores,
            stats.shared_drops,
            stats.shared_invalidations
        )
    }
}

thread_local! {
    /// What this thread has spent on loading.
    static LOADING: Cell<Duration> = const { Cell::new(Duration::ZERO) };
}

/// What the fragments are made from.
struct Database {
    folder: PathBuf,
    work: Duration,
    loads: AtomicU64,
}

impl Database {
    /// A key and its version.
    fn row(&self, key: &str) -> Result<String, minijinja::Error> {
        let start = Instant::now();
        let loads = self.loads.fetch_add(1, Ordering::SeqCst);
        let text = read(&self.folder.join(key))?;
        // Every now and then what was read is old by the time it is stored.
        if !self.work.is_zero() {
            thread::sleep(self.work);
        } else if loads.is_multiple_of(4) {
            thread::sleep(Duration::from_millis(1));
        }
        LOADING.set(LOADING.get() + start.elapsed());
        Ok(format!("{key}={text}"))
    }
}

fn read(path: &Path) -> Result<String, minijinja::Error> {
    let broken = |error| minijinja::Error::new(minijinja::ErrorKind::InvalidOperation, format!("database: {error}"));
    std::fs::read_to_string(path).map_err(broken)
}

/// Readers at work.
struct Load {
    stop: Arc<AtomicBool>,
    readers: Vec<JoinHandle<Reader>>,
}

impl Load {
    fn start(node: &Node, threads: usize, keys: usize, pause: u64) -> Load {
        let stop = Arc::new(AtomicBool::new(false));
        let readers = (0..threads).map(|thread| {
            let node = Node {
                cache: node.cache.clone(),
                env: Arc::clone(&node.env),
                database: Arc::clone(&node.database),
                pulse: Arc::clone(&node.pulse),
            };
            let stop = Arc::clone(&stop);
            let mut reader = Reader { random: now() | thread as u64 | 1, ..Reader::default() };
            thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    reader.read(&node, keys);
                    thread::sleep(Duration::from_micros(pause));
                }
                reader
            })
        });
        Load { readers: readers.collect(), stop }
    }

    fn stop(self, pulse: &Pulse, trouble: std::ops::Range<Moment>) -> Report {
        self.stop.store(true, Ordering::Relaxed);
        let mut report = Report::default();
        let mut times = Vec::new();
        for reader in self.readers {
            let reader = reader.join().unwrap();
            report.pages += reader.pages.len() as u64;
            report.failed += reader.failed;
            report.failures.extend(reader.failures);
            report.runs.extend(reader.current.into_values().chain(reader.runs));
            let troubled = reader.pages.into_iter().filter(|(begun, _)| trouble.contains(begun));
            times.extend(troubled.map(|(begun, took)| took.saturating_sub(pulse.missed(begun, took)) / 1000));
        }
        report.troubled = Times::of(times);
        report
    }
}

#[derive(Default)]
struct Reader {
    random: u64,
    current: HashMap<usize, Run>,
    runs: Vec<Run>,
    /// When each page began, and how many nanoseconds it took beside loading.
    pages: Vec<(Moment, u64)>,
    failed: u64,
    failures: Vec<String>,
}

impl Reader {
    /// A page of some keys, or a fragment by itself.
    fn read(&mut self, node: &Node, keys: usize) {
        let single = self.next(4) == 0;
        let wanted: Vec<usize> = (0..if single { 1 } else { FRAGMENTS }).map(|_| self.next(keys)).collect();
        let names: Vec<String> = wanted.iter().map(|key| format!("k{key}")).collect();
        LOADING.set(Duration::ZERO);
        let (begun, start) = (now(), Instant::now());
        let text = if single {
            node.read(&names[0])
        } else {
            let page = || node.env.get_template("page")?.render(context! { keys => names.clone() });
            page().map_err(|error| format!("{error:#}"))
        };
        let took = start.elapsed().saturating_sub(LOADING.get());
        let ended = now();
        self.pages.push((begun, u64::try_from(took.as_nanos()).unwrap()));
        match text.and_then(|text| versions(&text, &names)) {
            Ok(versions) => {
                for (key, version) in wanted.into_iter().zip(versions) {
                    self.note(Run { key, version, first: begun, last: begun, first_end: ended });
                }
            }
            Err(failure) => {
                self.failed += 1;
                if self.failures.len() < 5 {
                    self.failures.push(failure);
                }
            }
        }
    }

    fn note(&mut self, read: Run) {
        let current = self.current.entry(read.key).or_insert(read);
        if current.version == read.version {
            current.last = read.last;
        } else {
            self.runs.push(std::mem::replace(current, read));
        }
    }

    /// Xorshift: a number below.
    fn next(&mut self, below: usize) -> usize {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        usize::try_from(self.random >> 33).unwrap() % below
    }
}

/// The versions on a page, if it shows what was asked for.
fn versions(text: &str, names: &[String]) -> Result<Vec<u64>, String> {
    let shown: Vec<&str> = text.split_whitespace().collect();
    let version = |(shown, name): (&&str, &String)| shown.strip_prefix(name.as_str())?.strip_prefix('=')?.parse().ok();
    let versions: Option<Vec<u64>> = shown.iter().zip(names).map(version).collect();
    versions.filter(|versions| versions.len() == names.len()).ok_or_else(|| format!("{names:?} shows {text:?}"))
}

/// A thread that wakes up often, and so knows when this process could not run: what a page waited meanwhile was not
/// the store's fault.
struct Pulse(Mutex<Vec<(Moment, Moment)>>);

impl Pulse {
    const EVERY: Duration = Duration::from_millis(2);
    /// What is missed beyond this counts.
    const LATE: u64 = 10_000_000;

    fn start() -> Arc<Pulse> {
        let pulse = Arc::new(Pulse(Mutex::default()));
        let beats = Arc::clone(&pulse);
        thread::spawn(move || {
            let mut last = now();
            loop {
                thread::sleep(Pulse::EVERY);
                let this = now();
                if this - last > Pulse::LATE {
                    beats.0.lock().unwrap().push((last, this));
                }
                last = this;
            }
        });
        pulse
    }

    /// How much of so many nanoseconds from a moment on the process could not run.
    fn missed(&self, from: Moment, took: u64) -> u64 {
        let gaps = self.0.lock().unwrap();
        gaps.iter().map(|(start, end)| (*end).min(from + took).saturating_sub((*start).max(from))).sum()
    }
}
