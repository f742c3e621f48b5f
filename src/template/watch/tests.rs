//! Changes of real files in temporary folders, which must be reported with the caller's names.
#![allow(clippy::print_stderr)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use notify::event::{Event, EventKind};
use tempfile::TempDir;

use super::batch::EventBatch;
use super::error::{Refusals, WatchRefusal};
use super::inbox::Inbox;
use super::native::NativeWatcher;
use super::tree::WatchTree;
use super::{
    CHECK, Change, Schedule, WatchError, WatchErrorKind, WatchMode, Watcher, check_interval, handle_batch, poll, watch,
};

const PATIENCE: Duration = Duration::from_secs(10);
const POLL: WatchMode = WatchMode::Poll(Duration::from_millis(20));

struct WatchReports {
    _watcher: Watcher,
    rx: Receiver<Change>,
    root: PathBuf,
}

impl WatchReports {
    fn new(root: &Path, mode: WatchMode) -> Self {
        let (tx, rx) = channel();
        let watcher = watch(root, mode, move |change| drop(tx.send(change))).unwrap();
        Self { _watcher: watcher, rx, root: root.to_owned() }
    }

    /// Waits until all these names, or folders above them, were reported.
    #[track_caller]
    fn reports_paths(&self, names: &[&str]) {
        let mut missing: BTreeSet<PathBuf> = names.iter().map(|name| self.root.join(name)).collect();
        let end = Instant::now() + PATIENCE;
        while !missing.is_empty() {
            match self.rx.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(Change::Paths(paths)) => {
                    assert!(paths.iter().all(|path| path.starts_with(&self.root)), "{paths:?}");
                    missing.retain(|path| !paths.iter().any(|reported| path.starts_with(reported)));
                }
                Ok(Change::Everything { reason }) => panic!("everything: {reason}"),
                Err(_) => panic!("not reported: {missing:?}"),
            }
        }
    }

    #[track_caller]
    fn reports_everything(&self) -> String {
        let end = Instant::now() + PATIENCE;
        loop {
            match self.rx.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(Change::Everything { reason }) => return reason,
                Ok(Change::Paths(_)) => {}
                Err(_) => panic!("everything was not reported"),
            }
        }
    }

    /// Waits for the reports of earlier changes, so that they are not taken for those of the next one. Polling repeats
    /// reports for two seconds.
    fn wait_until_quiet(&self) {
        while self.rx.recv_timeout(Duration::from_millis(250)).is_ok() {}
    }
}

type Save = fn(&Path, &str);

const SAVES: [(&str, Save); 6] = [
    ("in place", |path, text| {
        use std::io::Write as _;
        fs::OpenOptions::new().write(true).open(path).unwrap().write_all(text.as_bytes()).unwrap();
    }),
    ("truncate and write", |path, text| fs::write(path, text).unwrap()),
    ("append", |path, text| {
        use std::io::Write as _;
        fs::OpenOptions::new().append(true).open(path).unwrap().write_all(text.as_bytes()).unwrap();
    }),
    ("write aside and rename", |path, text| {
        let aside = path.with_extension("tmp");
        fs::write(&aside, text).unwrap();
        fs::rename(&aside, path).unwrap();
    }),
    ("back up by renaming and create", |path, text| {
        fs::rename(path, path.with_extension("bak")).unwrap();
        fs::write(path, text).unwrap();
    }),
    ("remove and create", |path, text| {
        fs::remove_file(path).unwrap();
        fs::write(path, text).unwrap();
    }),
];

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

fn put(root: &Path, name: &str, text: &str) {
    let path = root.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

#[cfg(unix)]
fn link(to: impl AsRef<Path>, at: impl AsRef<Path>) {
    std::os::unix::fs::symlink(to, at).unwrap();
}

/// Replaces a link the way Kubernetes and deployment tools do.
#[cfg(unix)]
fn swap(to: impl AsRef<Path>, at: &Path) {
    let aside = at.with_file_name("swap_tmp");
    link(to, &aside);
    fs::rename(aside, at).unwrap();
}

fn each_save_is_reported(mode: WatchMode) {
    thread::scope(|scope| {
        for (how, save) in SAVES {
            scope.spawn(move || a_save_is_reported(mode, how, save));
        }
    });
}

fn a_save_is_reported(mode: WatchMode, how: &str, save: Save) {
    for name in ["a.html", "deep/er/a.html"] {
        let dir = folder();
        put(dir.path(), name, "old");
        let seen = WatchReports::new(dir.path(), mode);
        save(&dir.path().join(name), how);
        seen.reports_paths(&[name]);
    }
    let dir = folder();
    let seen = WatchReports::new(dir.path(), mode);
    put(dir.path(), "fresh/folder/a.html", "old");
    seen.reports_paths(&["fresh/folder/a.html"]);
    seen.wait_until_quiet();
    save(&dir.path().join("fresh/folder/a.html"), how);
    seen.reports_paths(&["fresh/folder/a.html"]);
}

#[test]
fn each_way_of_saving_is_reported() {
    each_save_is_reported(WatchMode::Native);
}

#[test]
fn polling_reports_each_way_of_saving() {
    each_save_is_reported(POLL);
}

fn created_removed_and_renamed_files_are_reported(mode: WatchMode) {
    let dir = folder();
    put(dir.path(), "here.html", "1");
    put(dir.path(), "a/x.html", "1");
    put(dir.path(), "a/b/y.html", "1");
    let seen = WatchReports::new(dir.path(), mode);
    put(dir.path(), "new.html", "1");
    seen.reports_paths(&["new.html"]);
    fs::remove_file(dir.path().join("new.html")).unwrap();
    seen.reports_paths(&["new.html"]);
    fs::rename(dir.path().join("here.html"), dir.path().join("a/there.html")).unwrap();
    seen.reports_paths(&["here.html", "a/there.html"]);
    seen.wait_until_quiet();
    fs::rename(dir.path().join("a"), dir.path().join("z")).unwrap();
    seen.reports_paths(&["a/x.html", "a/b/y.html", "z/x.html", "z/b/y.html", "z/there.html"]);
    seen.wait_until_quiet();
    fs::write(dir.path().join("z/b/y.html"), "2").unwrap();
    seen.reports_paths(&["z/b/y.html"]);
    seen.wait_until_quiet();
    fs::remove_dir_all(dir.path().join("z")).unwrap();
    seen.reports_paths(&["z/x.html", "z/b/y.html"]);
    put(dir.path(), "z/b/y.html", "3");
    seen.reports_paths(&["z/b/y.html"]);
    seen.wait_until_quiet();
    put(dir.path(), "z/b/y.html", "4");
    seen.reports_paths(&["z/b/y.html"]);
}

#[test]
fn creating_removing_and_renaming_is_reported() {
    created_removed_and_renamed_files_are_reported(WatchMode::Native);
}

#[test]
fn polling_reports_creating_removing_and_renaming() {
    created_removed_and_renamed_files_are_reported(POLL);
}

#[test]
fn a_folder_moved_in_is_watched_and_a_folder_moved_out_is_reported() {
    let (dir, other) = (folder(), folder());
    put(other.path(), "set/deep/x.html", "1");
    let seen = WatchReports::new(dir.path(), WatchMode::Native);
    fs::rename(other.path().join("set"), dir.path().join("set")).unwrap();
    seen.reports_paths(&["set/deep/x.html"]);
    seen.wait_until_quiet();
    put(dir.path(), "set/deep/x.html", "2");
    seen.reports_paths(&["set/deep/x.html"]);
    seen.wait_until_quiet();
    fs::rename(dir.path().join("set"), other.path().join("set")).unwrap();
    seen.reports_paths(&["set/deep/x.html"]);
    seen.wait_until_quiet();
    put(other.path(), "set/deep/x.html", "3");
    assert!(seen.rx.recv_timeout(Duration::from_millis(200)).is_err());
}

#[test]
fn folders_created_and_replaced_in_quick_succession_end_up_watched() {
    let dir = folder();
    let seen = WatchReports::new(dir.path(), WatchMode::Native);
    for round in 0..50 {
        put(dir.path(), "d/e/x.html", &round.to_string());
        put(dir.path(), "f/x.html", &round.to_string());
        fs::rename(dir.path().join("f"), dir.path().join("g")).unwrap();
        fs::remove_dir_all(dir.path().join("g")).unwrap();
        fs::remove_dir_all(dir.path().join("d")).unwrap();
    }
    put(dir.path(), "d/e/x.html", "last");
    seen.reports_paths(&["d/e/x.html"]);
    seen.wait_until_quiet();
    put(dir.path(), "d/e/x.html", "very last");
    seen.reports_paths(&["d/e/x.html"]);
}

#[test]
fn files_written_before_their_folder_is_watched_are_readable_when_reported() {
    let dir = folder();
    let (tx, rx) = channel();
    let root = dir.path().to_owned();
    let last = root.join("new/deep/er/499.html");
    let reader = last.clone();
    let _watcher = watch(&root, WatchMode::Native, move |_| drop(tx.send(fs::read_to_string(&reader).ok()))).unwrap();
    for n in 0..500 {
        put(&root, &format!("new/deep/er/{n}.html"), "text");
    }
    let mut read = None;
    while read.as_deref() != Some("text") {
        read = rx.recv_timeout(PATIENCE).expect("a report after the last file was written");
    }
}

#[test]
fn reading_is_not_a_change() {
    let dir = folder();
    put(dir.path(), "a/x.html", "1");
    let seen = WatchReports::new(dir.path(), WatchMode::Native);
    for _ in 0..10 {
        fs::read(dir.path().join("a/x.html")).unwrap();
        fs::read_dir(dir.path().join("a")).unwrap().count();
    }
    assert_eq!(seen.rx.recv_timeout(Duration::from_millis(300)).ok(), None);
}

#[test]
fn permissions_and_times_count_as_changes() {
    let dir = folder();
    put(dir.path(), "x.html", "1");
    let seen = WatchReports::new(dir.path(), WatchMode::Native);
    let file = fs::File::options().write(true).open(dir.path().join("x.html")).unwrap();
    file.set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
    seen.reports_paths(&["x.html"]);
}

#[test]
fn a_relative_root_is_reported_absolute() {
    let here = std::env::current_dir().unwrap();
    let dir = tempfile::tempdir_in(&here).unwrap();
    let seen = WatchReports::new(dir.path().strip_prefix(&here).unwrap(), WatchMode::Native);
    put(dir.path(), "x.html", "1");
    let Ok(Change::Paths(paths)) = seen.rx.recv_timeout(PATIENCE) else { panic!("no paths") };
    assert_eq!(paths, [dir.path().join("x.html")]);
}

#[cfg(unix)]
fn changes_below_a_linked_root_are_reported(mode: WatchMode) {
    let dir = folder();
    put(dir.path(), "v1/a/x.html", "1");
    put(dir.path(), "v2/a/x.html", "2");
    link(dir.path().join("v1"), dir.path().join("current"));
    let seen = WatchReports::new(&dir.path().join("current"), mode);
    put(dir.path(), "v1/a/x.html", "1b");
    seen.reports_paths(&["a/x.html"]);
    seen.wait_until_quiet();
    swap("v2", &dir.path().join("current"));
    if mode == WatchMode::Native {
        seen.reports_everything();
    } else {
        seen.reports_paths(&["a/x.html"]);
    }
    seen.wait_until_quiet();
    put(dir.path(), "v2/a/x.html", "2b");
    seen.reports_paths(&["a/x.html"]);
}

#[cfg(unix)]
#[test]
fn the_target_of_a_root_that_is_a_link_is_watched() {
    changes_below_a_linked_root_are_reported(WatchMode::Native);
    changes_below_a_linked_root_are_reported(POLL);
}

#[cfg(unix)]
#[test]
fn replacing_a_link_above_the_root_reports_everything() {
    let dir = folder();
    put(dir.path(), "v1/templates/x.html", "1");
    put(dir.path(), "v2/templates/x.html", "2");
    link("v1", dir.path().join("current"));
    let seen = WatchReports::new(&dir.path().join("current/templates"), WatchMode::Native);
    swap("v2", &dir.path().join("current"));
    assert!(seen.reports_everything().contains("replaced"));
    put(dir.path(), "v2/templates/x.html", "2b");
    seen.reports_paths(&["x.html"]);
}

#[cfg(unix)]
fn changes_of_link_targets_are_reported(mode: WatchMode) {
    let (dir, other) = (folder(), folder());
    put(other.path(), "set/deep/x.html", "1");
    put(other.path(), "single.html", "1");
    put(dir.path(), "real/y.html", "1");
    link(other.path().join("set"), dir.path().join("set"));
    link(other.path().join("single.html"), dir.path().join("single.html"));
    link("real", dir.path().join("alias"));
    link(".", dir.path().join("loop"));
    let seen = WatchReports::new(dir.path(), mode);
    put(other.path(), "set/deep/x.html", "2");
    seen.reports_paths(&["set/deep/x.html"]);
    put(other.path(), "single.html", "2");
    seen.reports_paths(&["single.html"]);
    fs::write(other.path().join("aside"), "3").unwrap();
    fs::rename(other.path().join("aside"), other.path().join("single.html")).unwrap();
    seen.reports_paths(&["single.html"]);
    put(dir.path(), "real/y.html", "2");
    seen.reports_paths(&["real/y.html", "alias/y.html"]);
    put(other.path(), "set/new/z.html", "1");
    seen.reports_paths(&["set/new/z.html"]);
    seen.wait_until_quiet();
    put(other.path(), "set/new/z.html", "2");
    seen.reports_paths(&["set/new/z.html"]);
}

#[cfg(unix)]
#[test]
fn the_target_of_links_is_reported_under_each_name() {
    changes_of_link_targets_are_reported(WatchMode::Native);
    changes_of_link_targets_are_reported(POLL);
}

#[cfg(unix)]
#[test]
fn links_made_replaced_and_removed_later_are_followed() {
    let (dir, other) = (folder(), folder());
    put(other.path(), "one/x.html", "1");
    put(other.path(), "two/x.html", "2");
    let seen = WatchReports::new(dir.path(), WatchMode::Native);
    link(other.path().join("one"), dir.path().join("set"));
    seen.reports_paths(&["set/x.html"]);
    seen.wait_until_quiet();
    put(other.path(), "one/x.html", "1b");
    seen.reports_paths(&["set/x.html"]);
    seen.wait_until_quiet();
    swap(other.path().join("two"), &dir.path().join("set"));
    seen.reports_paths(&["set/x.html"]);
    seen.wait_until_quiet();
    put(other.path(), "one/x.html", "1c");
    assert_eq!(seen.rx.recv_timeout(Duration::from_millis(200)).ok(), None);
    put(other.path(), "two/x.html", "2b");
    seen.reports_paths(&["set/x.html"]);
    seen.wait_until_quiet();
    fs::remove_file(dir.path().join("set")).unwrap();
    seen.reports_paths(&["set/x.html"]);
    seen.wait_until_quiet();
    put(other.path(), "two/x.html", "2c");
    assert_eq!(seen.rx.recv_timeout(Duration::from_millis(200)).ok(), None);
}

#[cfg(unix)]
#[test]
fn retargeting_a_link_to_a_file_keeps_its_folder_watched() {
    let dir = folder();
    put(dir.path(), "one.html", "1");
    put(dir.path(), "two.html", "2");
    put(dir.path(), "sub/x.html", "1");
    link("one.html", dir.path().join("it.html"));
    let seen = WatchReports::new(dir.path(), WatchMode::Native);
    swap("two.html", &dir.path().join("it.html"));
    seen.reports_paths(&["it.html"]);
    seen.wait_until_quiet();
    put(dir.path(), "sub/x.html", "2");
    put(dir.path(), "two.html", "2b");
    seen.reports_paths(&["sub/x.html", "it.html", "two.html"]);
}

#[cfg(unix)]
#[test]
fn dangling_links_are_followed_when_their_target_appears() {
    let (dir, other) = (folder(), folder());
    link(other.path().join("later/set"), dir.path().join("set"));
    link(other.path().join("later.html"), dir.path().join("later.html"));
    let seen = WatchReports::new(dir.path(), WatchMode::Native);
    put(other.path(), "later/set/x.html", "1");
    put(other.path(), "later.html", "1");
    seen.reports_paths(&["set/x.html", "later.html"]);
    seen.wait_until_quiet();
    put(other.path(), "later/set/x.html", "2");
    put(other.path(), "later.html", "2");
    seen.reports_paths(&["set/x.html", "later.html"]);
}

#[cfg(unix)]
#[test]
fn a_folder_replaced_behind_two_links_is_watched_under_both() {
    let (dir, other) = (folder(), folder());
    put(other.path(), "up/d/x.html", "1");
    link(other.path().join("up/d/x.html"), dir.path().join("a.html"));
    link(other.path().join("up/d"), dir.path().join("set"));
    link(other.path().join("up/d/x.html"), dir.path().join("z.html"));
    let seen = WatchReports::new(dir.path(), WatchMode::Native);
    put(other.path(), "next/d/x.html", "2");
    put(other.path(), "next/d/deep/y.html", "2");
    fs::rename(other.path().join("up"), other.path().join("old")).unwrap();
    fs::rename(other.path().join("next"), other.path().join("up")).unwrap();
    seen.reports_paths(&["a.html", "set/x.html", "set/deep/y.html", "z.html"]);
    seen.wait_until_quiet();
    put(other.path(), "up/d/x.html", "3");
    put(other.path(), "up/d/deep/y.html", "3");
    seen.reports_paths(&["a.html", "set/x.html", "set/deep/y.html", "z.html"]);
}

#[cfg(unix)]
fn a_config_map_update_is_seen(mode: WatchMode) {
    let dir = folder();
    put(dir.path(), "..v1/a.html", "1");
    put(dir.path(), "..v1/sub/b.html", "1");
    link("..v1", dir.path().join("..data"));
    link("..data/a.html", dir.path().join("a.html"));
    link("..data/sub", dir.path().join("sub"));
    let seen = WatchReports::new(dir.path(), mode);
    let versions = if mode == WatchMode::Native { 2..5 } else { 2..3 };
    for version in versions {
        put(dir.path(), &format!("..v{version}/a.html"), "next");
        put(dir.path(), &format!("..v{version}/sub/b.html"), "next");
        seen.wait_until_quiet();
        swap(format!("..v{version}"), &dir.path().join("..data"));
        seen.reports_paths(&["a.html", "sub/b.html", "..data/a.html"]);
        fs::remove_dir_all(dir.path().join(format!("..v{}", version - 1))).unwrap();
        seen.wait_until_quiet();
        put(dir.path(), &format!("..v{version}/a.html"), "again");
        put(dir.path(), &format!("..v{version}/sub/b.html"), "again");
        seen.reports_paths(&["a.html", "sub/b.html"]);
    }
}

#[cfg(unix)]
#[test]
fn a_config_map_update_is_reported() {
    a_config_map_update_is_seen(WatchMode::Native);
}

#[cfg(unix)]
#[test]
fn polling_reports_a_config_map_update() {
    a_config_map_update_is_seen(POLL);
}

fn a_vanished_root_is_reported(mode: WatchMode) {
    let dir = folder();
    let root = dir.path().join("templates");
    put(&root, "sub/x.html", "1");
    let seen = WatchReports::new(&root, mode);
    let rounds = if mode == WatchMode::Native { 3 } else { 1 };
    for round in 0..rounds {
        fs::remove_dir_all(&root).unwrap();
        seen.reports_everything();
        seen.wait_until_quiet();
        put(&root, "sub/x.html", "2");
        seen.reports_everything();
        seen.wait_until_quiet();
        put(&root, "sub/x.html", &round.to_string());
        seen.reports_paths(&["sub/x.html"]);
    }
}

#[test]
fn a_root_that_vanishes_and_comes_back_is_watched_again() {
    a_vanished_root_is_reported(WatchMode::Native);
}

#[test]
fn polling_watches_a_root_that_comes_back() {
    a_vanished_root_is_reported(POLL);
}

#[test]
fn a_root_replaced_at_once_is_watched_again() {
    let dir = folder();
    let root = dir.path().join("templates");
    put(&root, "sub/x.html", "1");
    put(dir.path(), "next/sub/x.html", "2");
    let seen = WatchReports::new(&root, WatchMode::Native);
    fs::rename(&root, dir.path().join("old")).unwrap();
    fs::rename(dir.path().join("next"), &root).unwrap();
    seen.reports_everything();
    seen.wait_until_quiet();
    put(&root, "sub/x.html", "3");
    seen.reports_paths(&["sub/x.html"]);
    seen.wait_until_quiet();
    put(dir.path(), "old/sub/x.html", "4");
    assert_eq!(seen.rx.recv_timeout(Duration::from_millis(200)).ok(), None);
}

#[test]
fn a_thousand_changed_files_cause_few_reports() {
    let dir = folder();
    let seen = WatchReports::new(dir.path(), WatchMode::Native);
    let names: Vec<String> = (0..1_000).map(|n| format!("{n}.html")).collect();
    let start = Instant::now();
    for name in &names {
        put(dir.path(), name, "text");
    }
    let took = start.elapsed();
    let mut missing: BTreeSet<&str> = names.iter().map(String::as_str).collect();
    let mut reports = 0;
    while !missing.is_empty() {
        match seen.rx.recv_timeout(PATIENCE).expect("all files are reported") {
            Change::Paths(paths) => paths.iter().for_each(|path| {
                missing.remove(path.file_name().unwrap().to_str().unwrap());
            }),
            Change::Everything { .. } => missing.clear(),
        }
        reports += 1;
    }
    let most = 5 + took.as_millis() / 20;
    assert!(reports <= most, "{reports} reports in {took:?}");
}

#[test]
fn a_constant_stream_of_changes_does_not_delay_reports() {
    let dir = folder();
    put(dir.path(), "x.html", "1");
    let seen = WatchReports::new(dir.path(), WatchMode::Native);
    let done = Arc::new(AtomicBool::new(false));
    let stream = {
        let (done, noise) = (Arc::clone(&done), dir.path().join("noise"));
        thread::spawn(move || {
            for n in 0.. {
                if done.load(Ordering::Relaxed) {
                    return;
                }
                fs::write(&noise, n.to_string()).unwrap();
                thread::sleep(Duration::from_millis(1));
            }
        })
    };
    // The fastest of several, because on a busy machine a single one may wait for a processor.
    let mut quickest = Duration::MAX;
    for n in 0..10 {
        let start = Instant::now();
        put(dir.path(), "x.html", &n.to_string());
        seen.reports_paths(&["x.html"]);
        quickest = quickest.min(start.elapsed());
        thread::sleep(Duration::from_millis(60));
        while seen.rx.try_recv().is_ok() {}
    }
    done.store(true, Ordering::Relaxed);
    stream.join().unwrap();
    assert!(quickest < Duration::from_millis(250), "{quickest:?}");
}

#[test]
fn the_callback_is_not_called_after_stopping() {
    for mode in [WatchMode::Native, POLL] {
        let dir = folder();
        let calls = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&calls);
        let watcher = watch(dir.path(), mode, move |_| {
            counter.fetch_add(1, Ordering::SeqCst);
        });
        let watcher = watcher.unwrap();
        put(dir.path(), "x.html", "1");
        watcher.stop();
        watcher.stop();
        let before = calls.load(Ordering::SeqCst);
        put(dir.path(), "x.html", "2");
        drop(watcher);
        thread::sleep(Duration::from_millis(100));
        assert_eq!(calls.load(Ordering::SeqCst), before);
        assert_eq!(Arc::strong_count(&calls), 1, "the thread has dropped the callback");
    }
}

#[test]
fn stopping_does_not_wait_for_the_interval() {
    let dir = folder();
    let start = Instant::now();
    drop(watch(dir.path(), WatchMode::Poll(Duration::from_secs(3_600)), |_| {}).unwrap());
    assert!(start.elapsed() < Duration::from_secs(60));
}

#[test]
fn a_watcher_dropped_inside_its_callback_stops() {
    let dir = folder();
    let slot: Arc<Mutex<Option<Watcher>>> = Arc::default();
    let (tx, rx) = channel();
    let inside = Arc::clone(&slot);
    let watcher = watch(dir.path(), WatchMode::Native, move |_| {
        drop(inside.lock().unwrap().take());
        tx.send(()).unwrap();
    });
    *slot.lock().unwrap() = Some(watcher.unwrap());
    put(dir.path(), "x.html", "1");
    rx.recv_timeout(PATIENCE).unwrap();
    put(dir.path(), "x.html", "2");
    let end = rx.recv_timeout(PATIENCE);
    assert_eq!(end, Err(std::sync::mpsc::RecvTimeoutError::Disconnected), "the callback is gone");
}

#[test]
fn two_watchers_on_one_folder_report_and_stop_independently() {
    let dir = folder();
    let first = WatchReports::new(dir.path(), WatchMode::Native);
    let second = WatchReports::new(dir.path(), WatchMode::Native);
    put(dir.path(), "x.html", "1");
    first.reports_paths(&["x.html"]);
    second.reports_paths(&["x.html"]);
    drop(first);
    second.wait_until_quiet();
    put(dir.path(), "x.html", "2");
    second.reports_paths(&["x.html"]);
}

#[test]
fn a_panic_in_the_callback_is_followed_by_everything() {
    let dir = folder();
    let (tx, rx) = channel();
    let watcher = watch(dir.path(), WatchMode::Native, move |change| match change {
        Change::Paths(_) => panic!("on purpose"),
        Change::Everything { reason } => drop(tx.send(reason)),
    });
    let _watcher = watcher.unwrap();
    for n in 0..2 {
        put(dir.path(), "x.html", &n.to_string());
        assert!(rx.recv_timeout(PATIENCE).unwrap().contains("panicked"));
    }
}

#[test]
fn errors_explain_why_a_root_cannot_be_watched() {
    let dir = folder();
    put(dir.path(), "file", "");
    for mode in [WatchMode::Native, POLL] {
        let missing = watch(&dir.path().join("none"), mode, |_| {}).unwrap_err();
        assert_eq!(missing.kind(), WatchErrorKind::Missing);
        assert!(missing.to_string().contains("none`: there is no such folder"), "{missing}");
        let file = watch(&dir.path().join("file"), mode, |_| {}).unwrap_err();
        assert_eq!(file.kind(), WatchErrorKind::NotAFolder);
        assert_eq!(watch(Path::new(""), mode, |_| {}).unwrap_err().kind(), WatchErrorKind::Unreadable);
    }
}

#[test]
fn a_refusal_names_the_number_the_first_folder_and_a_remedy() {
    let mut refusals = Refusals::default();
    for folder in ["t/a", "t/b", "t/c"] {
        let refusal = WatchRefusal::from(notify::Error::new(notify::ErrorKind::MaxFilesWatch));
        refusals.add(Path::new(folder), refusal);
    }
    refusals.set_folders(8);
    let error = WatchError::refused(Path::new("t"), &refusals).unwrap();
    assert_eq!(error.kind(), WatchErrorKind::Refused);
    let expected = "watch `t`: 3 of 8 folders cannot be watched, the first is `t/a`: the limit of watched folders is reached; \
                    raise fs.inotify.max_user_watches or use WatchMode::Poll";
    assert_eq!(error.to_string(), expected);
}

/// Runs `test` again in a user namespace of its own, where the limit of watches can be lowered; false if there is none.
#[cfg(target_os = "linux")]
fn with_few_watches(test: &str, watches: usize) -> bool {
    let script = format!("echo {watches} > /proc/sys/user/max_inotify_watches && exec \"$0\" \"$@\"");
    let namespace = |program: &str| {
        let mut command = Command::new("unshare");
        command.args(["--user", "--map-root-user", "sh", "-c", &script, program]);
        command
    };
    if !namespace("true").output().is_ok_and(|output| output.status.success()) {
        eprintln!("{test} is skipped: no user namespaces here");
        return false;
    }
    let program = std::env::current_exe().unwrap();
    let mut command = namespace(program.to_str().unwrap());
    let name = format!("{}::{test}", module_path!().split_once("::").unwrap().1);
    let output = command.args(["--exact", &name, "--nocapture"]).env("FEW_WATCHES", "1").output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
    true
}

#[cfg(target_os = "linux")]
fn few_watches() -> bool {
    std::env::var_os("FEW_WATCHES").is_some()
}

#[cfg(target_os = "linux")]
#[test]
fn too_many_folders_are_refused_but_can_be_polled() {
    if !few_watches() {
        with_few_watches("too_many_folders_are_refused_but_can_be_polled", 3);
        return;
    }
    let dir = folder();
    (0..6).for_each(|n| put(dir.path(), &format!("{n}/x.html"), ""));
    let error = watch(dir.path(), WatchMode::Native, |_| {}).unwrap_err();
    assert_eq!(error.kind(), WatchErrorKind::Refused);
    assert!(error.to_string().contains("4 of 7 folders cannot be watched"), "{error}");
    let seen = WatchReports::new(dir.path(), POLL);
    put(dir.path(), "5/x.html", "2");
    seen.reports_paths(&["5/x.html"]);
}

#[cfg(target_os = "linux")]
#[test]
fn everything_is_reported_until_a_folder_refused_later_can_be_watched() {
    if !few_watches() {
        with_few_watches("everything_is_reported_until_a_folder_refused_later_can_be_watched", 3);
        return;
    }
    let dir = folder();
    put(dir.path(), "a/x.html", "");
    let seen = WatchReports::new(dir.path(), WatchMode::Native);
    put(dir.path(), "b/x.html", "");
    put(dir.path(), "c/x.html", "");
    assert!(seen.reports_everything().contains("cannot be watched"));
    assert!(seen.reports_everything().contains("cannot be watched"), "a retry reports too");
    fs::remove_dir_all(dir.path().join("a")).unwrap();
    while !seen.reports_everything().contains("watched again") {}
    seen.wait_until_quiet();
    put(dir.path(), "c/x.html", "2");
    put(dir.path(), "b/x.html", "2");
    seen.reports_paths(&["b/x.html", "c/x.html"]);
}

/// Changes come faster than they are read, until the system drops some. If it never does, all of them are reported.
#[test]
fn an_overflow_reports_everything_and_watching_continues() {
    let dir = folder();
    let seen = WatchReports::new(dir.path(), WatchMode::Native);
    let done = AtomicBool::new(false);
    let overflow = thread::scope(|scope| {
        for worker in 0..4 {
            let files = [0, 1].map(|n| fs::File::create(dir.path().join(format!("{worker}-{n}"))).unwrap());
            let done = &done;
            scope.spawn(move || {
                let times = (0..).map(|n| std::time::UNIX_EPOCH + Duration::from_secs(n));
                for time in times.take_while(|_| !done.load(Ordering::Relaxed)) {
                    // Two files in turn, because the system merges equal consecutive notifications.
                    files.iter().for_each(|file| file.set_modified(time).unwrap());
                }
            });
        }
        let start = Instant::now();
        let mut reports = seen.rx.iter().take_while(|_| start.elapsed() < Duration::from_secs(5));
        let overflow = reports.find(|change| matches!(change, Change::Everything { .. }));
        done.store(true, Ordering::Relaxed);
        overflow
    });
    match overflow {
        Some(Change::Everything { reason }) => assert!(reason.contains("too many at once"), "{reason}"),
        _ => eprintln!("no overflow here"),
    }
    put(dir.path(), "made/just/after.html", "1");
    let reported = |change: Change| match change {
        Change::Paths(paths) => paths.iter().any(|path| dir.path().join("made/just/after.html").starts_with(path)),
        Change::Everything { .. } => true,
    };
    while !reported(seen.rx.recv_timeout(PATIENCE).unwrap()) {}
    seen.wait_until_quiet();
    put(dir.path(), "made/just/after.html", "2");
    seen.reports_paths(&["made/just/after.html"]);
}

#[test]
fn a_watcher_can_be_shared() {
    fn check<T: Send + Sync>() {}
    check::<Watcher>();
    check::<WatchError>();
}

#[test]
fn an_error_counts_as_lost_notifications() {
    let mut batch = EventBatch::default();
    batch.add(Err(notify::Error::generic("bad")));
    assert!(batch.lost.unwrap().contains("bad"));
}

#[test]
fn too_many_paths_count_as_lost_notifications() {
    let mut batch = EventBatch::default();
    for n in 0..50_001 {
        batch.add(Ok(Event::new(EventKind::Any).add_path(PathBuf::from(n.to_string()))));
    }
    assert!(batch.moved.is_empty() && batch.lost.unwrap().contains("more than"));
}

#[test]
fn only_the_end_of_the_current_watcher_counts_as_lost_notifications() {
    let dir = folder();
    let mut tree = WatchTree::new(dir.path().to_owned(), NativeWatcher::new(Arc::default()));
    tree.reset();
    let now = Instant::now();
    let mut schedule = Schedule { check: now, retry: now, delay: Duration::ZERO };
    let mut closed = |generation| {
        handle_batch(&mut tree, EventBatch { ended: Some(generation), ..EventBatch::default() }, &mut schedule)
    };
    assert_eq!(closed(0), None);
    assert!(matches!(closed(1), Some(Change::Everything { .. })));
}

#[cfg(unix)]
fn pipe(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

#[cfg(unix)]
fn special_files_are_skipped(mode: WatchMode) {
    let (dir, other) = (folder(), folder());
    pipe(&dir.path().join("pipe"));
    pipe(&other.path().join("pipe"));
    link(other.path().join("pipe"), dir.path().join("linked"));
    link("/dev/zero", dir.path().join("endless"));
    link("circle", dir.path().join("circle"));
    let seen = WatchReports::new(dir.path(), mode);
    put(dir.path(), "x.html", "1");
    seen.reports_paths(&["x.html"]);
    pipe(&dir.path().join("later"));
    let socket = std::os::unix::net::UnixListener::bind(dir.path().join("socket")).unwrap();
    fs::create_dir(dir.path().join("folder")).unwrap();
    seen.reports_paths(&["later", "socket"]);
    for name in ["pipe", "linked", "later", "socket", "endless", "circle"] {
        seen.wait_until_quiet();
        put(other.path(), "aside", "a file after all");
        fs::rename(other.path().join("aside"), dir.path().join(name)).unwrap();
        seen.reports_paths(&[name]);
    }
    seen.wait_until_quiet();
    fs::remove_dir(dir.path().join("folder")).unwrap();
    put(dir.path(), "folder", "a file after all");
    seen.reports_paths(&["folder"]);
    drop(socket);
}

#[cfg(unix)]
#[test]
fn pipes_devices_sockets_and_circles_do_not_stop_a_watcher() {
    special_files_are_skipped(WatchMode::Native);
}

#[cfg(unix)]
#[test]
fn pipes_devices_sockets_and_circles_do_not_stop_polling() {
    special_files_are_skipped(POLL);
}

#[cfg(unix)]
#[test]
fn a_linked_pipe_that_becomes_a_file_is_reported() {
    let (dir, other) = (folder(), folder());
    pipe(&other.path().join("pipe"));
    link(other.path().join("pipe"), dir.path().join("it.html"));
    let seen = WatchReports::new(dir.path(), WatchMode::Native);
    put(other.path(), "aside", "1");
    fs::rename(other.path().join("aside"), other.path().join("pipe")).unwrap();
    seen.reports_paths(&["it.html"]);
    seen.wait_until_quiet();
    put(other.path(), "pipe", "2");
    seen.reports_paths(&["it.html"]);
}

#[cfg(unix)]
#[test]
fn a_linked_folder_that_goes_away_and_comes_back_is_watched_again() {
    let (dir, other) = (folder(), folder());
    put(other.path(), "up/set/deep/x.html", "1");
    link(other.path().join("up/set"), dir.path().join("set"));
    link(other.path().join("up/set/deep/x.html"), dir.path().join("x.html"));
    let seen = WatchReports::new(dir.path(), WatchMode::Native);
    for round in 0..3 {
        fs::rename(other.path().join("up/set"), other.path().join("away")).unwrap();
        fs::rename(other.path().join("away"), other.path().join("up/set")).unwrap();
        seen.wait_until_quiet();
        put(other.path(), "up/set/deep/x.html", &round.to_string());
        seen.reports_paths(&["set/deep/x.html", "x.html"]);
    }
}

#[test]
fn the_interval_of_checking_links_depends_on_their_number_alone() {
    assert_eq!([check_interval(0), check_interval(1), check_interval(1_000)], [CHECK; 3]);
    assert!(check_interval(10_000) <= Duration::from_millis(200));
    assert!(check_interval(usize::MAX) > check_interval(10_000));
}

#[cfg(unix)]
#[test]
fn a_running_walk_ends_when_the_watcher_is_stopped() {
    let dir = folder();
    put(dir.path(), "deep/x.html", "1");
    link("deep/x.html", dir.path().join("it.html"));
    let inbox = Arc::<Inbox>::default();
    let tree = || {
        let mut tree = WatchTree::new(dir.path().to_owned(), NativeWatcher::new(Arc::clone(&inbox)));
        tree.reset();
        tree.links()
    };
    assert_eq!((tree(), poll::take_snapshot(dir.path(), &inbox).unwrap().len()), (1, 2));
    inbox.stop();
    assert_eq!((tree(), poll::take_snapshot(dir.path(), &inbox).unwrap().len()), (0, 0));
}
