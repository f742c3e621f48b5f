//! Which files a set of changed paths concerns, whatever names the loader and the watcher use for them.
//!
//! The work grows with the number of paths plus that of files: each folder is resolved and judged once, each file is one
//! look-up.

use std::collections::{HashMap, HashSet};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::watch::{HOPS, Resolver};

pub(super) struct ChangedPaths {
    resolver: Resolver,
    /// The paths, each of which stands for everything below it.
    changed: HashSet<String, ahash::RandomState>,
    /// The folders that directly hold one of them.
    around: HashSet<String, ahash::RandomState>,
    /// The watched folder by its name and, where that is a link, by where it leads.
    root: [String; 2],
    /// The folders that were asked for, by their text.
    folders: HashMap<OsString, KnownFolder, ahash::RandomState>,
}

struct KnownFolder {
    real: PathBuf,
    /// All in it may have changed.
    changed: bool,
    /// Some names directly in it may have changed.
    touched: bool,
    /// It is the watched folder or below it.
    watched: bool,
}

impl ChangedPaths {
    pub(super) fn new(paths: &[PathBuf], root: &Path) -> Self {
        let mut resolver = Resolver::default();
        let real: Vec<PathBuf> = paths.iter().map(|path| resolver.name(path)).collect();
        let around = real.iter().filter_map(|path| path.parent()).map(key).collect();
        let mut changed: HashSet<_, _> = real.iter().map(|path| key(path)).collect();
        let root_keys = [key(&resolver.name(root)), key(&resolver.resolve(root))];
        if paths.iter().any(|path| path == root) {
            changed.extend(root_keys.clone());
        }
        Self { resolver, changed, around, root: root_keys, folders: HashMap::default() }
    }

    /// Whether the file is one of the paths, or below one. The watcher gives every name that a file has below the
    /// watched folder, so links in it need not be followed; a file elsewhere may be a link into it.
    pub(super) fn concern(&mut self, file: &Path) -> bool {
        let mut link: PathBuf;
        let mut file = file;
        for _ in 0..HOPS {
            let (Some(parent), Some(name)) = (file.parent(), file.file_name()) else { return false };
            self.judge(parent);
            let Some(folder) = self.folders.get(parent.as_os_str()) else { return false };
            if folder.changed || (folder.touched && self.changed.contains(&key(&folder.real.join(name)))) {
                return true;
            }
            if folder.watched {
                return false;
            }
            let Ok(to) = std::fs::read_link(file) else { return false };
            link = parent.join(to);
            file = &link;
        }
        false
    }

    /// Judges a folder, unless it has been.
    fn judge(&mut self, folder: &Path) -> (bool, bool) {
        if let Some(known) = self.folders.get(folder.as_os_str()) {
            return (known.changed, known.watched);
        }
        let name = key(&self.resolver.name(folder));
        let (mut changed, mut watched) = (self.changed.contains(&name), self.root.contains(&name));
        let real = self.resolver.resolve(folder);
        // Above a link there may be other folders than above the place where it leads.
        let elsewhere = Some(real.as_path()).filter(|real| *real != folder);
        for above in [folder.parent(), elsewhere].into_iter().flatten() {
            let above = self.judge(above);
            changed |= above.0;
            watched |= above.1;
        }
        let touched = self.around.contains(&key(&real));
        self.folders.insert(folder.as_os_str().to_owned(), KnownFolder { real, changed, touched, watched });
        (changed, watched)
    }
}

/// Equal for names that a file system may take for the same: a file that is looked at in vain costs one reading.
fn key(path: &Path) -> String {
    path.to_string_lossy().to_lowercase()
}

#[cfg(all(test, not(shuttle)))]
mod tests {
    use super::*;

    fn concerned<'a>(changed: &[&str], root: &Path, files: &[&'a str]) -> Vec<&'a str> {
        let paths: Vec<PathBuf> = changed.iter().map(|path| root.join(path)).collect();
        let mut changed = ChangedPaths::new(&paths, root);
        files.iter().copied().filter(|file| changed.concern(&root.join(file))).collect()
    }

    #[test]
    fn paths_concern_the_files_they_name_and_those_below_them() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("a/b")).unwrap();
        let files = ["x", "a/x", "a/b/x", "a/bc/x", "ab/x", "gone/deep/x"];
        assert_eq!(concerned(&["a/b"], dir.path(), &files), ["a/b/x"]);
        assert_eq!(concerned(&["a/x", "gone"], dir.path(), &files), ["a/x", "gone/deep/x"]);
        assert_eq!(concerned(&[""], dir.path(), &files), files);
    }

    #[test]
    fn names_that_differ_in_case_are_taken_for_the_same() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(
            concerned(&["Cards/Film.HTML"], dir.path(), &["cards/film.html", "cards/films.html"]),
            ["cards/film.html"]
        );
    }

    #[cfg(unix)]
    #[test]
    fn files_are_found_by_whatever_links_lead_to_them() {
        use std::os::unix::fs::symlink;
        let (dir, farm) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        std::fs::create_dir_all(dir.path().join("a/b")).unwrap();
        std::fs::write(dir.path().join("a/b/x"), "").unwrap();
        symlink(dir.path().join("a/b"), farm.path().join("folder")).unwrap();
        symlink(dir.path().join("a/b/x"), farm.path().join("x")).unwrap();
        symlink(dir.path(), farm.path().join("root")).unwrap();
        symlink("x", farm.path().join("twice")).unwrap();
        symlink("circle", farm.path().join("circle")).unwrap();
        for path in ["a", "a/b", "a/b/x", "a/b/y"] {
            let mut changed = ChangedPaths::new(&[dir.path().join(path)], dir.path());
            for file in ["folder/x", "x", "root/a/b/x", "twice"] {
                assert_eq!(changed.concern(&farm.path().join(file)), path != "a/b/y", "{path} and {file}");
            }
            assert!(!changed.concern(&farm.path().join("circle")));
        }
        // The watcher may be the one that spells the folder by a link.
        let root = farm.path().join("root");
        for path in [root.join("a/b"), root.clone()] {
            assert!(ChangedPaths::new(&[path], &root).concern(&dir.path().join("a/b/x")));
        }
    }

    #[test]
    fn the_work_grows_with_the_folders_and_not_with_the_files_times_the_paths() {
        let dir = tempfile::tempdir().unwrap();
        let folders = 20;
        (0..folders).for_each(|n| std::fs::create_dir(dir.path().join(n.to_string())).unwrap());
        let files: Vec<PathBuf> = (0..10_000).map(|n| dir.path().join(format!("{}/{n}", n % folders))).collect();
        let mut changed = ChangedPaths::new(&files, dir.path());
        assert!(files.iter().all(|file| changed.concern(file)));
        let above = dir.path().ancestors().count();
        assert!(changed.resolver.count() <= folders + above, "{}", changed.resolver.count());
        assert!(changed.folders.len() <= folders + above, "{}", changed.folders.len());
    }
}
