//! Many files at once: ten thousand templates saved in a burst, and a thousand single files.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use minijinja::{Environment, context};
use minijinja_cache::{FragmentCache, WatchMode};
use tempfile::TempDir;

use crate::support::{cache, show, until};

/// `cargo bench --bench watching` measures a tenth of a second. A test must also hold without optimisation and beside
/// all others; work that grows with files times paths, or files times links, takes minutes.
const SOON: Duration = Duration::from_secs(15);

const TEMPLATES: usize = 10_000;

/// In memory where the system has such a folder: on a disk, saving would take most of the time.
fn folder() -> TempDir {
    TempDir::new_in("/dev/shm").or_else(|_| TempDir::new()).unwrap()
}

struct Bulk {
    /// Outside of the watched folder, for what is made aside.
    parent: TempDir,
    files: Vec<PathBuf>,
    names: Vec<String>,
    cache: FragmentCache,
    env: Environment<'static>,
}

impl Bulk {
    /// Templates of these names, in files that `place` may put elsewhere; all are loaded.
    fn new(names: impl Iterator<Item = String>, place: impl Fn(&Path, &str) -> PathBuf) -> Bulk {
        let parent = folder();
        let root = parent.path().join("templates");
        fs::create_dir(&root).unwrap();
        let names: Vec<String> = names.collect();
        let files = names.iter().map(|name| {
            let file = place(&root, name);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(&file, "old").unwrap();
            file
        });
        let files = files.collect();
        let cache = cache();
        let mut env = Environment::new();
        cache.add_to_environment(&mut env);
        env.set_loader(cache.path_loader(&root).unwrap());
        let bulk = Bulk { parent, files, names, cache, env };
        bulk.names.iter().for_each(|name| assert_eq!(show(&bulk.env, name, context! {}), "old"));
        bulk
    }

    fn root(&self) -> PathBuf {
        self.parent.path().join("templates")
    }

    fn save_all(&self, text: &str) {
        self.files.iter().for_each(|file| fs::write(file, text).unwrap());
    }

    #[track_caller]
    fn all_show(&self, text: &str) {
        let start = Instant::now();
        for name in &self.names {
            while show(&self.env, name, context! {}) != text {
                assert!(start.elapsed() < SOON, "{name} does not show {text} after {SOON:?}");
                std::thread::yield_now();
            }
        }
    }
}

fn nested(n: usize) -> String {
    format!("{}/{}/{n}.html", n % 7, n % 100)
}

#[test]
fn ten_thousand_saved_templates_are_shown_and_one_saved_beside_them() {
    let bulk = Bulk::new((0..TEMPLATES).map(nested), |root, name| root.join(name));
    let _watcher = bulk.cache.watch(bulk.root()).unwrap();
    for round in ["one", "two"] {
        bulk.save_all(round);
        bulk.all_show(round);
    }
    let beside = TEMPLATES / 2;
    bulk.save_all("three");
    fs::write(&bulk.files[beside], "beside").unwrap();
    let start = Instant::now();
    while show(&bulk.env, &bulk.names[beside], context! {}) != "beside" {
        assert!(start.elapsed() < SOON);
        std::thread::yield_now();
    }
}

#[test]
fn ten_thousand_templates_in_one_folder_written_aside_and_renamed_are_shown() {
    let bulk = Bulk::new((0..TEMPLATES).map(|n| n.to_string()), |root, name| root.join(name));
    let _watcher = bulk.cache.watch(bulk.root()).unwrap();
    for file in &bulk.files {
        let aside = bulk.root().join(".aside");
        fs::write(&aside, "new").unwrap();
        fs::rename(&aside, file).unwrap();
    }
    bulk.all_show("new");
}

#[test]
fn polling_shows_ten_thousand_saved_templates() {
    let bulk = Bulk::new((0..TEMPLATES).map(nested), |root, name| root.join(name));
    let mode = WatchMode::Poll(Duration::from_millis(20));
    let _watcher = bulk.cache.watch_with(bulk.root(), mode).unwrap();
    bulk.save_all("new");
    bulk.all_show("new");
}

#[test]
fn a_renamed_folder_of_ten_thousand_templates_is_shown() {
    let bulk = Bulk::new((0..TEMPLATES).map(|n| format!("set/{}", nested(n))), |root, name| root.join(name));
    let _watcher = bulk.cache.watch(bulk.root()).unwrap();
    let next = bulk.parent.path().join("next");
    for name in &bulk.names {
        let file = next.join(name.strip_prefix("set/").unwrap());
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, "new").unwrap();
    }
    fs::rename(bulk.root().join("set"), bulk.parent.path().join("old")).unwrap();
    fs::rename(next, bulk.root().join("set")).unwrap();
    bulk.all_show("new");
}

/// As Kubernetes mounts a `ConfigMap`: each name is a link, by way of a link that is replaced.
#[cfg(unix)]
#[test]
fn ten_thousand_templates_behind_links_are_shown_when_saved_and_when_replaced_at_once() {
    use std::os::unix::fs::symlink;
    let bulk = Bulk::new((0..TEMPLATES).map(|n| n.to_string()), |root, name| {
        symlink(Path::new("..data").join(name), root.join(name)).unwrap();
        if !root.join("..data").is_symlink() {
            symlink("..v1", root.join("..data")).unwrap();
        }
        root.join("..v1").join(name)
    });
    let _watcher = bulk.cache.watch(bulk.root()).unwrap();
    bulk.save_all("saved");
    bulk.all_show("saved");
    let next = bulk.root().join("..v2");
    fs::create_dir(&next).unwrap();
    bulk.names.iter().for_each(|name| fs::write(next.join(name), "replaced").unwrap());
    symlink("..v2", bulk.root().join("..aside")).unwrap();
    fs::rename(bulk.root().join("..aside"), bulk.root().join("..data")).unwrap();
    bulk.all_show("replaced");
}

/// As build tools lay out what they made: all names are links into the folder that is edited and watched.
#[cfg(unix)]
#[test]
fn templates_that_are_links_into_the_watched_folder_are_shown_when_saved() {
    let edited = folder();
    let bulk = Bulk::new((0..1_000).map(|n| n.to_string()), |root, name| {
        let file = edited.path().join(name);
        std::os::unix::fs::symlink(&file, root.join(name)).unwrap();
        file
    });
    let _watcher = bulk.cache.watch(edited.path()).unwrap();
    bulk.save_all("new");
    bulk.all_show("new");
}

/// Each look at a link is a few system calls, and none of them may be asked of every link for every folder.
#[cfg(unix)]
#[test]
fn a_folder_above_what_two_thousand_links_lead_to_may_be_replaced() {
    use std::os::unix::fs::symlink;
    let other = folder();
    let make = |version: &str, name: &str| {
        let file = other.path().join(version).join(name);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, version).unwrap();
        file
    };
    symlink("old", other.path().join("current")).unwrap();
    let bulk = Bulk::new((0..2_000).map(|n| format!("{n}/x")), |root, name| {
        let folder = name.strip_suffix("/x").unwrap();
        make("old", name);
        symlink(other.path().join("current").join(folder), root.join(folder)).unwrap();
        other.path().join("old").join(name)
    });
    let _watcher = bulk.cache.watch(bulk.root()).unwrap();
    bulk.names.iter().for_each(|name| drop(make("new", name)));
    symlink("new", other.path().join("aside")).unwrap();
    fs::rename(other.path().join("aside"), other.path().join("current")).unwrap();
    bulk.all_show("new");
}

/// How many threads look at single files.
#[cfg(target_os = "linux")]
fn file_threads() -> usize {
    let tasks = fs::read_dir("/proc/self/task").unwrap().flatten();
    let names = tasks.filter_map(|task| fs::read_to_string(task.path().join("comm")).ok());
    names.filter(|name| name.trim() == "file watch").count()
}

#[test]
fn a_thousand_watched_files_share_one_thread_that_ends_with_them() {
    let dir = folder();
    let caches = [cache(), cache()];
    let path = |n: usize| dir.path().join(n.to_string());
    let watch = |n: usize| {
        fs::write(path(n), "old").unwrap();
        caches[n % 2].watch_file(path(n)).unwrap().invalidates(n.to_string())
    };
    let even: Vec<_> = (0..1_000).step_by(2).map(watch).collect();
    let odd: Vec<_> = (1..1_000).step_by(2).map(watch).collect();
    #[cfg(target_os = "linux")]
    assert_eq!(file_threads(), 1);
    let seen = || caches.each_ref().map(|cache| cache.stats().invalidations);
    (0..1_000).for_each(|n| fs::write(path(n), "new").unwrap());
    until("all files were looked at", || seen().iter().sum::<u64>() >= 1_000);
    // Half of them are let go, and the others are looked at as before.
    drop(odd);
    let before = seen();
    fs::write(path(10), "newer").unwrap();
    fs::write(path(11), "newer").unwrap();
    until("a file that is still watched shows", || seen()[0] > before[0]);
    assert_eq!(seen()[1], before[1], "no odd file is watched any more");
    drop(even);
    #[cfg(target_os = "linux")]
    until("the thread has ended", || file_threads() == 0);
    let _again = watch(1);
    fs::write(path(1), "again").unwrap();
    until("a file watched after that shows", || seen()[1] > before[1]);
}
