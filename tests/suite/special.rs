//! What is no regular file in the place of a template or a watched file: it is an error that names it, and nothing waits
//! for it.

use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use minijinja::context;
use minijinja_cache::{FragmentCache, Options, WatchMode};

use crate::support::{Reports, STUCK, cache, ok, until};
use crate::watching::Site;

/// How a thing comes to be at a path, and what the error of loading it says.
type Special = (&'static str, fn(&Path), &'static str);

const SPECIALS: [Special; 8] = [
    ("a named pipe", pipe, "a named pipe"),
    ("a socket", |at| drop(UnixListener::bind(at).unwrap()), "a socket"),
    ("a link to a pipe", |at| linked(at, pipe), "a named pipe"),
    ("a link to a device that never ends", |at| symlink("/dev/zero", at).unwrap(), "a device"),
    ("a link to a device that is empty", |at| symlink("/dev/null", at).unwrap(), "a device"),
    ("a link to itself", |at| symlink(at, at).unwrap(), "symbolic links"),
    ("a file larger than memory", |at| fs::File::create(at).unwrap().set_len(1 << 40).unwrap(), "limit"),
    ("a folder", |at| fs::create_dir(at).unwrap(), "template not found"),
];

fn pipe(at: &Path) {
    assert!(Command::new("mkfifo").arg(at).status().unwrap().success());
}

fn linked(at: &Path, make: fn(&Path)) {
    let target = at.with_file_name(".target");
    if fs::symlink_metadata(&target).is_err() {
        make(&target);
    }
    symlink(target, at).unwrap();
}

fn clear(at: &Path) {
    if at.is_dir() { fs::remove_dir(at).unwrap() } else { fs::remove_file(at).unwrap() }
}

/// Fails where the body waits for ever, which a test without a thread of its own would do as well.
#[track_caller]
fn ends(what: &str, body: impl FnOnce() + Send + 'static) {
    let (done, ended) = channel();
    let body = thread::spawn(move || {
        body();
        done.send(()).unwrap();
    });
    if ended.recv_timeout(STUCK) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
        panic!("{what} is waited for");
    }
    body.join().unwrap();
}

fn site() -> Site {
    Site::new(&[("p", "{% cache 'k' %}{% include 'x' %}{% endcache %}"), ("other", "1"), ("x", "old")])
}

#[test]
fn loading_what_is_no_file_is_an_error_that_names_it() {
    for (what, make, words) in SPECIALS {
        ends(what, move || {
            let site = site();
            let path = site.folder.path().join("x");
            clear(&path);
            make(&path);
            let error = site.env.get_template("x").map(|_| ()).unwrap_err();
            assert!(format!("{error:#}").contains(words), "{what}: {error:#}");
            if words != "template not found" {
                assert!(error.to_string().contains(path.to_str().unwrap()), "{what}: {error}");
            }
        });
    }
}

fn special_files_come_and_go(mode: WatchMode) {
    for (what, make, words) in SPECIALS {
        ends(what, move || {
            let site = site();
            let watcher = site.cache.watch_with(site.folder.path(), mode).unwrap();
            site.becomes("old");
            for round in 0..2 {
                site.remove("x");
                make(&site.folder.path().join("x"));
                site.fails(words);
                let beside = format!("other {round}");
                site.save("other", &beside);
                until(&format!("a file beside {what} shows"), || {
                    site.env.get_template("other").unwrap().render(context! {}).unwrap() == beside
                });
                clear(&site.folder.path().join("x"));
                let text = format!("repaired {round}");
                site.save("x", &text);
                site.becomes(&text);
            }
            site.remove("x");
            make(&site.folder.path().join("x"));
            watcher.stop();
        });
    }
}

#[test]
fn special_files_that_come_and_go_are_seen_and_the_watcher_stops() {
    special_files_come_and_go(WatchMode::Native);
}

#[test]
fn special_files_that_come_and_go_are_seen_by_polling_and_it_stops() {
    special_files_come_and_go(WatchMode::Poll(Duration::from_millis(10)));
}

#[test]
fn a_pipe_behind_a_linked_folder_is_no_obstacle() {
    ends("a pipe behind a linked folder", || {
        let elsewhere = tempfile::tempdir().unwrap();
        let site = Site::new(&[("p", "{% cache 'k' %}{% include 'set/x' %}{% endcache %}")]);
        fs::write(elsewhere.path().join("x"), "old").unwrap();
        symlink(elsewhere.path(), site.folder.path().join("set")).unwrap();
        let watcher = site.cache.watch(site.folder.path()).unwrap();
        site.becomes("old");
        fs::remove_file(elsewhere.path().join("x")).unwrap();
        pipe(&elsewhere.path().join("x"));
        site.fails("a named pipe");
        fs::remove_file(elsewhere.path().join("x")).unwrap();
        fs::write(elsewhere.path().join("x"), "new").unwrap();
        site.becomes("new");
        pipe(&site.folder.path().join("unused"));
        drop(watcher);
    });
}

#[test]
fn a_template_that_is_rendered_from_a_handler_and_is_a_pipe_is_an_error() {
    ends("a pipe", || {
        let site = site();
        site.remove("x");
        pipe(&site.folder.path().join("x"));
        let rendered = site.cache.render(&site.env, "x", context! {}, "x", Options::default());
        assert!(rendered.unwrap_err().to_string().contains("a named pipe"));
    });
}

fn current(cache: &FragmentCache, path: &Path) -> String {
    let kind = || ok(fs::symlink_metadata(path).map_or("nothing".into(), |meta| format!("{:?}", meta.file_type())));
    cache.get_or_set("menu", Options::forever().tag("menu"), kind).unwrap().to_string()
}

#[test]
fn a_watched_file_that_is_something_else_is_reported_and_the_others_are_watched() {
    for (what, make, _) in SPECIALS.into_iter().filter(|(_, _, words)| *words != "limit") {
        ends(what, move || {
            let folder = tempfile::tempdir().unwrap();
            let (menu, other) = (folder.path().join("menu"), folder.path().join("other"));
            let (reports, sink) = Reports::collect();
            let cache = FragmentCache::builder().on_error(sink).build().unwrap();
            fs::write(&menu, "a file").unwrap();
            let watched = cache.watch_file(&menu).unwrap().invalidates("menu");
            let _other = cache.watch_file(&other).unwrap().invalidates("other");
            for round in 1..=2 {
                clear(&menu);
                make(&menu);
                let told = |report: &String| report.contains("cannot be read") && report.contains("menu");
                until(what, || reports.all().iter().filter(|report| told(report)).count() >= round);
                let before = current(&cache, &menu);
                fs::write(&other, round.to_string()).unwrap();
                clear(&menu);
                fs::write(&menu, "a file again").unwrap();
                until(what, || current(&cache, &menu) != before);
            }
            let invalidations = cache.stats().invalidations;
            fs::write(&other, "and again").unwrap();
            until("the other file shows", || cache.stats().invalidations > invalidations);
            clear(&menu);
            make(&menu);
            drop(watched);
        });
    }
}

#[test]
fn a_pipe_may_be_watched_before_it_is_a_file() {
    ends("a pipe", || {
        let folder = tempfile::tempdir().unwrap();
        let menu = folder.path().join("menu");
        pipe(&menu);
        let (reports, sink) = Reports::collect();
        let cache = FragmentCache::builder().on_error(sink).build().unwrap();
        let _watched = cache.watch_file(&menu).unwrap().invalidates("menu");
        assert!(reports.all()[0].contains("it is a named pipe, not a regular file"), "{:?}", reports.all());
        let before = current(&cache, &menu);
        fs::remove_file(&menu).unwrap();
        fs::write(&menu, "a file").unwrap();
        until("the file shows", || current(&cache, &menu) != before);
    });
}

#[test]
fn a_watched_file_too_large_to_read_shows_by_its_size_and_times() {
    let folder = tempfile::tempdir().unwrap();
    let menu = folder.path().join("menu");
    let file = fs::File::create(&menu).unwrap();
    file.set_len(1 << 40).unwrap();
    let cache = cache();
    let _watched = cache.watch_file(&menu).unwrap().invalidates("menu");
    let invalidations = || cache.stats().invalidations;
    file.set_len((1 << 40) + 1).unwrap();
    until("it shows", || invalidations() == 1);
    fs::write(&menu, "small").unwrap();
    until("it shows", || invalidations() > 1);
}
