//! How soon saved templates are shown, and what watching single files costs.
//!
//! `cargo bench --bench watching`
#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use minijinja::{Environment, context};
use minijinja_cache::{FragmentCache, WatchMode};
use tempfile::TempDir;

const ROUNDS: usize = 5;

/// Where the files of the templates are.
#[derive(Clone, Copy, PartialEq)]
enum Layout {
    Flat,
    /// A hundred in each folder.
    Folders,
    /// Each name is a link to a file elsewhere, by way of another link, as Kubernetes mounts a `ConfigMap`.
    Links,
}

/// In memory where the system has such a folder: a disk would be measured otherwise.
fn folder() -> TempDir {
    TempDir::new_in("/dev/shm").or_else(|_| TempDir::new()).unwrap()
}

struct Site {
    folder: TempDir,
    files: Vec<PathBuf>,
    names: Vec<String>,
    cache: FragmentCache,
    env: Environment<'static>,
}

impl Site {
    fn new(count: usize, layout: Layout) -> Site {
        let folder = folder();
        let root = folder.path().join("templates");
        fs::create_dir(&root).unwrap();
        let store = if layout == Layout::Links { root.join("..v1") } else { root.clone() };
        fs::create_dir_all(&store).unwrap();
        let name =
            |n: usize| if layout == Layout::Folders { format!("{}/{n}.html", n / 100) } else { format!("{n}.html") };
        let names: Vec<String> = (0..count).map(name).collect();
        let files: Vec<PathBuf> = names.iter().map(|name| store.join(name)).collect();
        for file in &files {
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, "0").unwrap();
        }
        #[cfg(unix)]
        if layout == Layout::Links {
            std::os::unix::fs::symlink("..v1", root.join("..data")).unwrap();
            for name in &names {
                std::os::unix::fs::symlink(Path::new("..data").join(name), root.join(name)).unwrap();
            }
        }
        let cache = FragmentCache::builder().build().unwrap();
        let mut env = Environment::new();
        cache.add_to_environment(&mut env);
        env.set_loader(cache.path_loader(&root).unwrap());
        let site = Site { folder, files, names, cache, env };
        site.names.iter().for_each(|name| assert_eq!(site.shown(name), "0"));
        site
    }

    fn root(&self) -> PathBuf {
        self.folder.path().join("templates")
    }

    fn shown(&self, name: &str) -> String {
        self.env.get_template(name).unwrap().render(context! {}).unwrap_or_default()
    }

    fn shows(&self, name: &str, text: &str) {
        let start = Instant::now();
        while self.shown(name) != text {
            assert!(start.elapsed() < Duration::from_secs(120), "{name} still shows {}", self.shown(name));
            thread::yield_now();
        }
    }
}

fn middle(mut times: Vec<Duration>) -> String {
    times.sort();
    format!("{:7.1} ms (worst {:7.1})", ms(times[times.len() / 2]), ms(*times.last().unwrap()))
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// What the threads that watch have used of a processor: on a busy machine the only figure that holds.
fn used() -> Duration {
    let mut used = Duration::ZERO;
    #[cfg(target_os = "linux")]
    for task in fs::read_dir("/proc/self/task").unwrap().flatten() {
        let read = |file: &str| fs::read_to_string(task.path().join(file)).unwrap_or_default();
        let name = read("comm");
        if ["template watch", "notify-rs", "file watch"].iter().any(|watching| name.starts_with(watching)) {
            let nanos = read("schedstat").split_whitespace().next().and_then(|n| n.parse().ok()).unwrap_or_default();
            used += Duration::from_nanos(nanos);
        }
    }
    used
}

/// From the last save of a burst: until one saved right after it is shown, until the watcher has dealt with all, and
/// until all were rendered anew. Then the same for one saved by itself.
fn burst(what: &str, count: usize, layout: Layout, mode: WatchMode) {
    let site = Site::new(count, layout);
    let _watcher = site.cache.watch_with(site.root(), mode).unwrap();
    // Polling looks twice at what is younger.
    thread::sleep(Duration::from_millis(2_500));
    let (mut beside, mut noticed, mut shown) = (Vec::new(), Vec::new(), Vec::new());
    let (mut alone, mut busy) = (Vec::new(), Vec::new());
    let one = count / 2;
    for round in 1..=ROUNDS {
        let text = round.to_string();
        let (before, used_before) = (site.cache.stats().invalidations, used());
        let others = || site.files.iter().zip(&site.names).enumerate().filter(|(n, _)| *n != one).map(|(_, file)| file);
        others().for_each(|(file, _)| fs::write(file, &text).unwrap());
        fs::write(&site.files[one], &text).unwrap();
        let start = Instant::now();
        site.shows(&site.names[one], &text);
        beside.push(start.elapsed());
        while site.cache.stats().invalidations < before + count as u64 {
            thread::sleep(Duration::from_millis(1));
        }
        noticed.push(start.elapsed());
        others().for_each(|(_, name)| site.shows(name, &text));
        shown.push(start.elapsed());
        busy.push(used() - used_before);
        thread::sleep(Duration::from_millis(300));
        fs::write(&site.files[one], "alone").unwrap();
        let start = Instant::now();
        site.shows(&site.names[one], "alone");
        alone.push(start.elapsed());
        thread::sleep(Duration::from_millis(300));
    }
    println!("{what}:");
    let figures = [
        ("one saved last is shown", beside),
        ("all are noticed", noticed),
        ("all are rendered", shown),
        ("processor time of watching", busy),
        ("one saved alone is shown", alone),
    ];
    for (figure, times) in figures {
        println!("    {figure:28} {}", middle(times));
    }
}

/// How late a folder behind a link, replaced above what is watched, is seen while all processors are busy.
#[cfg(unix)]
fn links_under_load(what: &str, links: usize) {
    let (dir, other) = (folder(), folder());
    let done = Arc::new(AtomicBool::new(false));
    let burn = |done: Arc<AtomicBool>| while !done.load(Ordering::Relaxed) {};
    for version in 0..10 {
        for n in 0..links {
            let set = other.path().join(format!("v{version}/set{n}"));
            fs::create_dir_all(&set).unwrap();
            fs::write(set.join("x"), version.to_string()).unwrap();
        }
    }
    let swap = |version: usize| {
        std::os::unix::fs::symlink(format!("v{version}"), other.path().join("aside")).unwrap();
        fs::rename(other.path().join("aside"), other.path().join("current")).unwrap();
    };
    swap(0);
    for n in 0..links {
        std::os::unix::fs::symlink(other.path().join(format!("current/set{n}")), dir.path().join(format!("set{n}")))
            .unwrap();
    }
    let cache = FragmentCache::builder().build().unwrap();
    let mut env = Environment::new();
    cache.add_to_environment(&mut env);
    env.set_loader(cache.path_loader(dir.path()).unwrap());
    let _watcher = cache.watch(dir.path()).unwrap();
    let burners: Vec<_> = (0..8)
        .map(|_| {
            thread::spawn({
                let done = Arc::clone(&done);
                move || burn(done)
            })
        })
        .collect();
    let show = || env.get_template("set0/x").and_then(|t| t.render(context! {})).unwrap_or_default();
    let mut times = Vec::new();
    for version in 1..10 {
        show();
        thread::sleep(Duration::from_millis(700));
        swap(version);
        let start = Instant::now();
        while show() != version.to_string() {
            thread::sleep(Duration::from_millis(1));
        }
        times.push(start.elapsed());
    }
    done.store(true, Ordering::Relaxed);
    burners.into_iter().for_each(|burner| burner.join().unwrap());
    println!("{what}: {}", middle(times));
}

/// Threads and processor time of a thousand watched files.
#[cfg(target_os = "linux")]
fn single_files() {
    let ticks = || {
        let stat = fs::read_to_string("/proc/self/stat").unwrap();
        let fields: Vec<i64> =
            stat.rsplit(')').next().unwrap().split_whitespace().skip(1).filter_map(|f| f.parse().ok()).collect();
        // utime and stime, in hundredths of a second
        (fields[10] + fields[11], fields[16])
    };
    let folder = folder();
    let cache = FragmentCache::builder().build().unwrap();
    let watched: Vec<_> = (0..1_000)
        .map(|n| {
            let path = folder.path().join(n.to_string());
            fs::write(&path, "0").unwrap();
            cache.watch_file(&path).unwrap().invalidates(n.to_string())
        })
        .collect();
    thread::sleep(Duration::from_secs(3));
    let (before, threads) = ticks();
    thread::sleep(Duration::from_secs(5));
    let (after, _) = ticks();
    println!("1,000 watched files: {threads} threads in all, {:.1} % of a processor", (after - before) as f64 / 5.0);
    let start = Instant::now();
    for n in 0..1_000 {
        fs::write(folder.path().join(n.to_string()), "1").unwrap();
    }
    let saved = start.elapsed();
    let start = Instant::now();
    while cache.stats().invalidations < 1_000 {
        assert!(start.elapsed() < Duration::from_secs(60));
        thread::sleep(Duration::from_millis(1));
    }
    println!("    all saved in {:.0} ms, noticed after {:.0} ms", ms(saved), ms(start.elapsed()));
    let start = Instant::now();
    drop(watched);
    println!("    dropped in {:.0} ms", ms(start.elapsed()));
}

/// `cargo bench --bench watching -- WORDS` measures only what has these words in its name.
fn main() {
    let only = std::env::args().nth(1).filter(|arg| !arg.starts_with("--"));
    let wants = |what: &str| only.as_deref().is_none_or(|only| what.contains(only));
    let polled = WatchMode::Poll(Duration::from_millis(50));
    let layouts = [
        ("in one folder", Layout::Flat, WatchMode::Native),
        ("in many folders", Layout::Folders, WatchMode::Native),
        ("in one folder, polled", Layout::Flat, polled),
        #[cfg(unix)]
        ("behind links", Layout::Links, WatchMode::Native),
    ];
    for count in [2_000, 10_000] {
        for (what, layout, mode) in layouts {
            let what = format!("{count} templates {what}");
            if wants(&what) {
                burst(&what, count, layout, mode);
            }
        }
    }
    #[cfg(unix)]
    for links in [1, 500] {
        let what = format!("{links} links, a folder above replaced, 8 busy threads");
        if wants(&what) {
            links_under_load(&what, links);
        }
    }
    #[cfg(target_os = "linux")]
    if wants("1,000 watched files") {
        single_files();
    }
}
