//! Templates in folders, and changes on disk.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use minijinja::{Environment, context};
use minijinja_cache::{ErrorKind, FragmentCache, WatchMode, Watcher};
use tempfile::TempDir;

use crate::support::{Ticks, cache, p, show};

pub struct Site {
    pub folder: TempDir,
    pub cache: FragmentCache,
    pub env: Environment<'static>,
    ticks: Ticks,
}

impl Site {
    pub fn new(files: &[(&str, &str)]) -> Site {
        let (folder, cache) = (TempDir::new().unwrap(), cache());
        files.iter().for_each(|(name, source)| write(folder.path(), name, source));
        let mut env = Environment::new();
        cache.add_to_environment(&mut env);
        env.set_loader(cache.path_loader(folder.path()).unwrap());
        let ticks = Ticks::add_to(&mut env);
        Site { folder, cache, env, ticks }
    }

    fn watched(files: &[(&str, &str)]) -> (Site, Watcher) {
        let site = Site::new(files);
        let watcher = site.cache.watch(site.folder.path()).unwrap();
        (site, watcher)
    }

    pub fn save(&self, name: &str, source: &str) {
        write(self.folder.path(), name, source);
    }

    pub fn remove(&self, name: &str) {
        fs::remove_file(self.folder.path().join(name)).unwrap();
    }

    /// Waits until the page shows what is expected.
    pub fn becomes(&self, expected: &str) {
        self.comes_to(expected, |shown| shown == expected);
    }

    /// Waits until the page fails with these words.
    pub fn fails(&self, words: &str) {
        self.comes_to(words, |shown| shown.starts_with("failed") && shown.contains(words));
    }

    fn comes_to(&self, expected: &str, is: impl Fn(&str) -> bool) {
        let start = Instant::now();
        loop {
            let page = self.env.get_template("p").and_then(|p| p.render(context! {}));
            let shown = page.unwrap_or_else(|error| format!("failed: {error:#}"));
            if is(&shown) {
                return;
            }
            assert!(start.elapsed() < Duration::from_secs(10), "still {shown:?}, not {expected:?}");
            std::thread::yield_now();
        }
    }

    /// Waits until the watcher has dealt with everything saved so far.
    fn settled(&self, round: u32) {
        self.save("sentinel", &format!("{round}"));
        let start = Instant::now();
        while show(&self.env, "sentinel", context! {}) != round.to_string() {
            assert!(start.elapsed() < Duration::from_secs(10), "the watcher is gone");
            std::thread::yield_now();
        }
    }
}

fn write(folder: &Path, name: &str, source: &str) {
    let path = folder.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, source).unwrap();
}

const PAGE: &str = "{% import 'lib' as l %}{% cache 'k' %}{% include 'x' ignore missing %}{{ l.m() }}{% endcache %}";
const LIB: &str = "{% macro m() %}m1{% endmacro %}";

#[test]
fn saving_creating_deleting_and_renaming_refresh_what_used_the_file() {
    let (site, _watcher) = Site::watched(&[("p", PAGE), ("lib", LIB)]);
    site.becomes("m1");
    site.save("x", "created ");
    site.becomes("created m1");
    site.save("x", "saved ");
    site.becomes("saved m1");
    site.save("lib", "{% macro m() %}m2{% endmacro %}");
    site.becomes("saved m2");
    fs::write(site.folder.path().join(".x.tmp"), "renamed over ").unwrap();
    fs::rename(site.folder.path().join(".x.tmp"), site.folder.path().join("x")).unwrap();
    site.becomes("renamed over m2");
    fs::rename(site.folder.path().join("x"), site.folder.path().join("y")).unwrap();
    site.becomes("m2");
    fs::rename(site.folder.path().join("y"), site.folder.path().join("x")).unwrap();
    site.becomes("renamed over m2");
    site.remove("x");
    site.becomes("m2");
}

#[test]
fn files_in_folders_made_later_are_seen() {
    let (site, _watcher) =
        Site::watched(&[("p", "{% cache 'k' %}{% include 'a/b/x' ignore missing %}.{% endcache %}")]);
    assert_eq!(p(&site.env), ".");
    site.save("a/b/x", "deep");
    site.becomes("deep.");
    site.save("a/b/x", "deeper");
    site.becomes("deeper.");
    fs::remove_dir_all(site.folder.path().join("a")).unwrap();
    site.becomes(".");
}

#[test]
fn a_parents_and_a_candidates_change_is_seen() {
    let (site, _watcher) = Site::watched(&[
        (
            "p",
            "{% extends 'base' %}{% block b %}{% cache 'k' %}{{ super() }}{% include ['x', 'y'] %}{% endcache %}{% endblock %}",
        ),
        ("base", "{% block b %}one{% endblock %}"),
        ("y", "-y"),
    ]);
    site.becomes("one-y");
    site.save("base", "{% block b %}two{% endblock %}");
    site.becomes("two-y");
    site.save("x", "-x");
    site.becomes("two-x");
}

#[test]
fn an_unrelated_change_keeps_hits_and_saving_the_same_text_refreshes_nothing() {
    let (site, _watcher) = Site::watched(&[
        ("p", "{% cache 'k' %}{{ tick() }}{% include 'x' %}{% endcache %}"),
        ("x", "x"),
        ("other", "1"),
        ("sentinel", "0"),
    ]);
    p(&site.env);
    show(&site.env, "other", context! {});
    for round in 1..=3 {
        site.save("other", &round.to_string());
        site.save("x", "x");
        fs::rename(site.folder.path().join("x"), site.folder.path().join("z")).unwrap();
        fs::rename(site.folder.path().join("z"), site.folder.path().join("x")).unwrap();
        site.settled(round);
        p(&site.env);
    }
    assert!(site.ticks.count() <= 4, "saving the same text refreshed");
    let runs = site.ticks.count();
    site.save("x", "x");
    site.settled(4);
    p(&site.env);
    assert_eq!(site.ticks.count(), runs);
}

#[test]
fn an_edit_of_a_layout_refreshes_a_block_of_a_child_only_where_that_can_reach_it() {
    let (site, _watcher) = Site::watched(&[
        ("p", "{% extends 'base' %}{% block b %}{% cache 'k' %}{{ x }}{{ tick() }}{% endcache %}{% endblock %}"),
        ("base", "{% set x = 'a' %}{% block b %}{% endblock %}:1"),
    ]);
    // In one step: a loader that reads half a file has read another layout.
    let replace = |name: &str, source: &str| {
        site.save(".half", source);
        fs::rename(site.folder.path().join(".half"), site.folder.path().join(name)).unwrap();
    };
    // What a render shows that began before a change is not stored.
    let stored = || {
        let mut runs = 0;
        while runs != site.ticks.count() {
            runs = site.ticks.count();
            p(&site.env);
        }
        runs
    };
    for (x, footers) in [("a", [1, 2]), ("b", [2, 3])] {
        let before = site.ticks.count();
        replace("base", &format!("{{% set x = '{x}' %}}{{% block b %}}{{% endblock %}}:{}", footers[0]));
        site.comes_to(x, |shown| shown.starts_with(x));
        let runs = stored();
        assert!(runs > before, "{x}: the block was kept");
        replace("base", &format!("{{% set x = '{x}' %}}{{% block b %}}{{% endblock %}}:{}", footers[1]));
        site.becomes(&format!("{x}{runs}:{}", footers[1]));
        assert_eq!(site.ticks.count(), runs, "{x}: an edit of the footer ran the block");
    }
}

#[test]
fn looking_up_an_unchanged_template_asks_the_file_system_nothing() {
    let site = Site::new(&[("p", PAGE), ("lib", LIB), ("x", "x ")]);
    assert_eq!(p(&site.env), "x m1");
    ["p", "lib", "x"].iter().for_each(|name| site.remove(name));
    site.cache.clear();
    assert_eq!(p(&site.env), "x m1", "a file was looked for again");
}

#[test]
fn environments_with_folders_of_their_own_do_not_mix() {
    let cache = cache();
    let folders = ["de", "en"].map(|language| {
        let folder = TempDir::new().unwrap();
        write(folder.path(), "p", "{% cache 'k' %}{% include 'x' %}{% endcache %}");
        write(folder.path(), "x", language);
        folder
    });
    let envs: Vec<_> = folders
        .iter()
        .map(|folder| {
            let mut env = Environment::new();
            cache.add_to_environment(&mut env);
            env.set_loader(cache.path_loader(folder.path()).unwrap());
            (env, cache.watch(folder.path()).unwrap())
        })
        .collect();
    assert_eq!([p(&envs[0].0), p(&envs[1].0)], ["de", "en"]);
    write(folders[0].path(), "x", "DE");
    let start = Instant::now();
    while p(&envs[0].0) != "DE" {
        assert!(start.elapsed() < Duration::from_secs(10));
    }
    let misses = cache.stats().misses;
    assert_eq!(p(&envs[1].0), "en");
    assert_eq!(cache.stats().misses, misses, "the other folder's fragment was refreshed too");
}

#[test]
fn names_that_leave_the_folder_are_not_found() {
    let site = Site::new(&[("inside/templates/p", "x"), ("secret", "secret"), ("inside/templates/.hidden", "h")]);
    let mut env = Environment::new();
    site.cache.add_to_environment(&mut env);
    env.set_loader(site.cache.path_loader(site.folder.path().join("inside/templates")).unwrap());
    assert_eq!(p(&env), "x");
    let absolute = site.folder.path().join("secret").display().to_string();
    for name in [
        "../secret",
        "../../secret",
        "/etc/passwd",
        "p/../../../secret",
        "a/../p",
        "./p",
        "p/",
        "/p",
        "",
        ".",
        "..",
        ".hidden",
        "..\\secret",
        "p\0",
        &absolute,
    ] {
        let error = env.get_template(name).map(|_| ()).unwrap_err();
        assert_eq!(error.kind(), minijinja::ErrorKind::TemplateNotFound, "{name}: {error}");
    }
}

#[test]
fn a_missing_folder_is_an_error_at_once() {
    let site = Site::new(&[("p", "x")]);
    for wrong in ["gone", "p"] {
        let path = site.folder.path().join(wrong);
        let errors = [
            site.cache.path_loader(&path).map(|_| ()).unwrap_err(),
            site.cache.watch(&path).map(|_| ()).unwrap_err(),
            site.cache.watch_with(&path, WatchMode::Poll(Duration::from_secs(1))).map(|_| ()).unwrap_err(),
        ];
        for error in errors {
            assert_eq!(error.kind(), ErrorKind::Templates);
            assert!(error.to_string().contains(&path.display().to_string()), "{error}");
        }
    }
}

#[test]
fn polling_sees_changes_too() {
    let site = Site::new(&[("p", PAGE), ("lib", LIB)]);
    let _watcher = site.cache.watch_with(site.folder.path(), WatchMode::Poll(Duration::from_millis(10))).unwrap();
    site.becomes("m1");
    site.save("lib", "{% macro m() %}longer than before{% endmacro %}");
    site.becomes("longer than before");
    site.save("x", "created ");
    site.becomes("created longer than before");
    site.remove("x");
    site.becomes("longer than before");
}

#[test]
fn stopping_twice_is_harmless_and_a_watcher_may_outlive_its_cache() {
    let (site, watcher) = Site::watched(&[("p", "1")]);
    let Site { folder, cache, env, .. } = site;
    drop((env, cache));
    write(folder.path(), "p", "2");
    watcher.stop();
    watcher.stop();
}

#[test]
fn a_template_that_is_no_text_is_an_error_and_its_repair_is_seen() {
    let (site, _watcher) = Site::watched(&[("p", "{% cache 'k' %}{% include 'x' %}{% endcache %}"), ("x", "1")]);
    site.becomes("1");
    fs::write(site.folder.path().join("x"), [0xff, 0xfe]).unwrap();
    site.fails("UTF-8");
    site.save("x", "{% cache %}");
    site.fails("missing key");
    site.save("x", "repaired");
    site.becomes("repaired");
}

#[test]
fn edited_files_leave_a_live_environment_up_to_date() {
    let (site, _watcher) = Site::watched(&[("p", "{% cache 'k' %}0{% endcache %}")]);
    let live = site.cache.environment(site.env.clone());
    for n in 1..=40 {
        site.save("p", &format!("{{% cache 'k' %}}{n}{{% endcache %}}"));
        let start = Instant::now();
        while live.render("p", context! {}).unwrap() != n.to_string() {
            assert!(start.elapsed() < Duration::from_secs(10), "edit {n} was not seen");
            std::thread::yield_now();
        }
    }
}
