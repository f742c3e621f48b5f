//! What several areas share: caches with a manual clock, environments from pairs, bodies that count their runs.

use std::convert::Infallible;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use minijinja::{Environment, Error, Value, context};
use minijinja_cache::{FragmentCache, ManualClock};

/// How long a test waits for what must happen before it calls it stuck.
pub const STUCK: Duration = Duration::from_secs(60);

pub fn cache() -> FragmentCache {
    FragmentCache::builder().build().unwrap()
}

pub fn timed() -> (FragmentCache, ManualClock) {
    let clock = ManualClock::new();
    let cache = FragmentCache::builder().clock(&clock).build().unwrap();
    (cache, clock)
}

pub fn env_of<'a>(cache: &FragmentCache, templates: &[(&str, &str)]) -> Environment<'a> {
    let mut env = Environment::new();
    cache.add_to_environment(&mut env);
    for (name, source) in templates {
        cache.add_template(&mut env, name, source).unwrap();
    }
    env
}

/// A function for templates that counts its calls and gives the count.
#[derive(Clone, Default)]
pub struct Ticks(Arc<AtomicU64>);

impl Ticks {
    pub fn add_to(env: &mut Environment<'_>) -> Ticks {
        let ticks = Ticks::default();
        let calls = ticks.clone();
        env.add_function("tick", move || calls.tick());
        ticks
    }

    pub fn tick(&self) -> u64 {
        self.0.fetch_add(1, Ordering::SeqCst) + 1
    }

    pub fn count(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }
}

/// One template named `p`, with `tick()`.
pub fn page<'a>(cache: &FragmentCache, source: &str) -> (Environment<'a>, Ticks) {
    let mut env = env_of(cache, &[("p", source)]);
    let ticks = Ticks::add_to(&mut env);
    (env, ticks)
}

pub fn show(env: &Environment<'_>, name: &str, context: Value) -> String {
    env.get_template(name).unwrap().render(context).unwrap()
}

pub fn failure(env: &Environment<'_>, name: &str, context: Value) -> Error {
    env.get_template(name).unwrap().render(context).unwrap_err()
}

pub fn p(env: &Environment<'_>) -> String {
    show(env, "p", context! {})
}

/// A closure's result that cannot fail.
pub fn ok<T>(value: T) -> Result<T, Infallible> {
    Ok(value)
}

/// All that a cache reported.
#[derive(Clone, Default)]
pub struct Reports(Arc<Mutex<Vec<String>>>);

impl Reports {
    pub fn collect() -> (Reports, impl Fn(&minijinja_cache::Error) + Send + Sync + 'static) {
        let reports = Reports::default();
        let sink = Arc::clone(&reports.0);
        (reports, move |error: &minijinja_cache::Error| {
            sink.lock().unwrap().push(format!("{:?}: {error} {error:?}", error.kind()));
        })
    }

    pub fn all(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

/// Runs `f` on a thread of its own and fails if it does not end: a deadlock is a failed test, not a hung run.
pub fn must_end<T: Send + 'static>(f: impl FnOnce() -> T + Send + 'static) -> T {
    let (done, ended) = channel();
    let thread = std::thread::spawn(move || done.send(f()).unwrap());
    match ended.recv_timeout(STUCK) {
        Ok(value) => {
            thread.join().unwrap();
            value
        }
        Err(RecvTimeoutError::Timeout) => panic!("stuck"),
        Err(RecvTimeoutError::Disconnected) => match thread.join() {
            Err(panic) => std::panic::resume_unwind(panic),
            Ok(()) => unreachable!("a thread that ended well has sent"),
        },
    }
}

/// Waits, without sleeping, until something another thread does is visible.
pub fn until(what: &str, mut done: impl FnMut() -> bool) {
    let start = std::time::Instant::now();
    while !done() {
        assert!(start.elapsed() < STUCK, "never happened: {what}");
        std::thread::yield_now();
    }
}
