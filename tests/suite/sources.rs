//! Files that are no templates.

use std::fs;
use std::path::Path;

use minijinja_cache::{FragmentCache, Happened, Options, Target};

use crate::support::{Reports, STUCK, cache, ok, until};

fn current(cache: &FragmentCache, path: &Path) -> String {
    let read = || ok(fs::read_to_string(path).unwrap_or_else(|_| "none".into()));
    cache.get_or_set("menu", Options::forever().tag("menu"), read).unwrap().to_string()
}

#[test]
fn saving_creating_replacing_and_deleting_a_file_shows() {
    let folder = tempfile::tempdir().unwrap();
    let menu = folder.path().join("menu.json");
    let cache = cache();
    let _watched = cache.watch_file(&menu).unwrap().invalidates("menu");
    assert_eq!(current(&cache, &menu), "none");
    let shows = |expected: &str| until(expected, || current(&cache, &menu) == expected);
    fs::write(&menu, "one").unwrap();
    shows("one");
    fs::write(&menu, "two").unwrap();
    shows("two");
    let aside = folder.path().join("aside");
    fs::write(&aside, "new").unwrap();
    fs::rename(&aside, &menu).unwrap();
    shows("new");
    fs::remove_file(&menu).unwrap();
    shows("none");
    fs::write(&menu, "back").unwrap();
    shows("back");
}

#[test]
fn a_folder_that_comes_later_and_goes_is_no_trouble() {
    let folder = tempfile::tempdir().unwrap();
    let sub = folder.path().join("not/yet");
    let menu = sub.join("menu.json");
    let cache = cache();
    let _watched = cache.watch_file(&menu).unwrap().invalidates("menu");
    assert_eq!(current(&cache, &menu), "none");
    fs::create_dir_all(&sub).unwrap();
    fs::write(&menu, "one").unwrap();
    until("one", || current(&cache, &menu) == "one");
    fs::rename(folder.path().join("not"), folder.path().join("gone")).unwrap();
    until("none", || current(&cache, &menu) == "none");
}

#[test]
fn a_file_saved_as_it_was_invalidates_nothing_and_one_that_is_not_watched_neither() {
    let folder = tempfile::tempdir().unwrap();
    let (menu, other) = (folder.path().join("menu.json"), folder.path().join("other.json"));
    // In one step: a file being written is empty for a moment.
    let save = |text: &str| {
        let aside = folder.path().join("aside");
        fs::write(&aside, text).unwrap();
        fs::rename(&aside, &menu).unwrap();
    };
    save("one");
    fs::write(&other, "one").unwrap();
    let cache = cache();
    let events = cache.subscribe();
    let watched = cache.watch_file(&menu).unwrap().invalidates("menu").invalidates("front");
    for n in 0..5 {
        save("one");
        fs::write(&other, n.to_string()).unwrap();
        std::thread::sleep(std::time::Duration::from_millis(60));
    }
    save("two");
    let told: Vec<Target> = std::iter::from_fn(|| events.wait(STUCK))
        .take(2)
        .map(|event| match event.what {
            Happened::Invalidated { what, .. } => what,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(told, [Target::Tag("menu".into()), Target::Tag("front".into())]);
    drop(watched);
    save("three");
    std::thread::sleep(std::time::Duration::from_millis(200));
    assert!(events.try_next().is_none());
}

#[test]
fn what_is_no_file_is_refused_or_reported() {
    let folder = tempfile::tempdir().unwrap();
    let (reports, sink) = Reports::collect();
    let cache = FragmentCache::builder().on_error(sink).build().unwrap();
    let error = cache.watch_file(folder.path()).unwrap_err();
    assert!(error.to_string().contains("it is a folder"), "{error}");
    let path = folder.path().join("menu");
    let _watched = cache.watch_file(&path).unwrap().invalidates("menu");
    assert_eq!(current(&cache, &path), "none");
    fs::create_dir(&path).unwrap();
    until("a report", || reports.all().iter().any(|report| report.contains("cannot be read")));
}

#[cfg(unix)]
#[test]
fn a_link_is_followed_to_what_it_leads_to() {
    let folder = tempfile::tempdir().unwrap();
    let (one, two, link) = (folder.path().join("1"), folder.path().join("2"), folder.path().join("link"));
    fs::write(&one, "one").unwrap();
    fs::write(&two, "two").unwrap();
    std::os::unix::fs::symlink(&one, &link).unwrap();
    let cache = cache();
    let _watched = cache.watch_file(&link).unwrap().invalidates("menu");
    assert_eq!(current(&cache, &link), "one");
    fs::remove_file(&link).unwrap();
    std::os::unix::fs::symlink(&two, &link).unwrap();
    until("two", || current(&cache, &link) == "two");
}

#[test]
fn a_watch_that_outlives_its_cache_does_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let menu = folder.path().join("menu.json");
    let cache = cache();
    let watched = cache.watch_file(&menu).unwrap().invalidates("menu");
    drop(cache);
    fs::write(&menu, "one").unwrap();
    std::thread::sleep(std::time::Duration::from_millis(120));
    drop(watched);
}

#[test]
fn a_tag_named_after_the_file_changed_is_invalidated_all_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let menu = folder.path().join("menu.json");
    fs::write(&menu, "old").unwrap();
    let cache = cache();
    assert_eq!(current(&cache, &menu), "old");
    let events = cache.subscribe();
    let watched = cache.watch_file(&menu).unwrap().invalidates("noticed");
    fs::write(&menu, "new").unwrap();
    assert!(events.wait(STUCK).is_some());
    let _watched = watched.invalidates("menu");
    assert_eq!(current(&cache, &menu), "new");
}

#[cfg(unix)]
#[test]
fn a_change_that_keeps_length_and_time_shows() {
    let folder = tempfile::tempdir().unwrap();
    let menu = folder.path().join("menu.json");
    let old = std::time::SystemTime::now() - std::time::Duration::from_secs(3600);
    // In place, as `cp --preserve` and archives do.
    let write = |text: &str| {
        fs::write(&menu, text).unwrap();
        fs::File::options().write(true).open(&menu).unwrap().set_modified(old).unwrap();
    };
    write("one");
    let cache = cache();
    let _watched = cache.watch_file(&menu).unwrap().invalidates("menu");
    // Looked at until its time is all there is to see.
    std::thread::sleep(std::time::Duration::from_millis(200));
    assert_eq!(current(&cache, &menu), "one");
    write("two");
    until("two", || current(&cache, &menu) == "two");
}
