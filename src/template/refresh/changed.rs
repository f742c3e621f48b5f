//! Finds the files that a set of changed paths affects, whatever names the loader and the watcher use for them.
//!
//! The cost grows with the number of paths plus the number of files: each folder is resolved and classified once, and
//! each file is one look-up. `watch` resolves links; `refresh.rs` invalidates the templates.

use std::collections::{HashMap, HashSet};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::template::watch::{MAX_LINKS, Resolver};

pub(super) struct ChangedPaths {
    resolver: Resolver,
    /// The changed paths. Each one includes everything below it.
    changed: HashSet<String, ahash::RandomState>,
    /// The folders that directly contain a changed path.
    parents: HashSet<String, ahash::RandomState>,
    /// The watched folder by its name and, if that is a link, by its target.
    root: [String; 2],
    /// The classified folders, by their text.
    folders: HashMap<OsString, KnownFolder, ahash::RandomState>,
}

struct KnownFolder {
    real: PathBuf,
    /// Everything in the folder may have changed.
    changed: bool,
    /// Some files directly in the folder may have changed.
    partly_changed: bool,
    /// The folder is the watched one or below it.
    watched: bool,
}

impl ChangedPaths {
    pub(super) fn new(paths: &[PathBuf], root: &Path) -> Self {
        let mut resolver = Resolver::default();
        let real: Vec<PathBuf> = paths.iter().map(|path| resolver.resolve_parent(path)).collect();
        let parents = real.iter().filter_map(|path| path.parent()).map(key).collect();
        let mut changed: HashSet<_, _> = real.iter().map(|path| key(path)).collect();
        let root_keys = [key(&resolver.resolve_parent(root)), key(&resolver.resolve_folder(root))];
        if paths.iter().any(|path| path == root) {
            changed.extend(root_keys.clone());
        }
        Self { resolver, changed, parents, root: root_keys, folders: HashMap::default() }
    }

    /// Whether the file is a changed path or below one. The watcher reports every name that a file has below the
    /// watched folder, so links in it are not followed. A file outside of it may be a link into it.
    pub(super) fn affects(&mut self, file: &Path) -> bool {
        let mut link: PathBuf;
        let mut file = file;
        for _ in 0..MAX_LINKS {
            let (Some(parent), Some(name)) = (file.parent(), file.file_name()) else { return false };
            self.classify(parent);
            let Some(folder) = self.folders.get(parent.as_os_str()) else { return false };
            if folder.changed || (folder.partly_changed && self.changed.contains(&key(&folder.real.join(name)))) {
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

    /// Classifies a folder, once. Returns whether everything in it may have changed, and whether it is watched.
    fn classify(&mut self, folder: &Path) -> (bool, bool) {
        if let Some(known) = self.folders.get(folder.as_os_str()) {
            return (known.changed, known.watched);
        }
        let name = key(&self.resolver.resolve_parent(folder));
        let (mut changed, mut watched) = (self.changed.contains(&name), self.root.contains(&name));
        let real = self.resolver.resolve_folder(folder);
        // The folders above a link and those above its target may differ.
        let elsewhere = Some(real.as_path()).filter(|real| *real != folder);
        for above in [folder.parent(), elsewhere].into_iter().flatten() {
            let above = self.classify(above);
            changed |= above.0;
            watched |= above.1;
        }
        let partly_changed = self.parents.contains(&key(&real));
        self.folders.insert(folder.as_os_str().to_owned(), KnownFolder { real, changed, partly_changed, watched });
        (changed, watched)
    }
}

/// A text that is equal for names that a file system may not distinguish. A wrong match costs one needless read of the
/// file.
fn key(path: &Path) -> String {
    path.to_string_lossy().to_lowercase()
}

#[cfg(all(test, not(shuttle)))]
mod tests {
    use super::*;

    fn affected<'a>(changed: &[&str], root: &Path, files: &[&'a str]) -> Vec<&'a str> {
        let paths: Vec<PathBuf> = changed.iter().map(|path| root.join(path)).collect();
        let mut changed = ChangedPaths::new(&paths, root);
        files.iter().copied().filter(|file| changed.affects(&root.join(file))).collect()
    }

    #[test]
    fn a_changed_path_affects_its_file_and_the_files_below_it() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("a/b")).unwrap();
        let files = ["x", "a/x", "a/b/x", "a/bc/x", "ab/x", "gone/deep/x"];
        assert_eq!(affected(&["a/b"], dir.path(), &files), ["a/b/x"]);
        assert_eq!(affected(&["a/x", "gone"], dir.path(), &files), ["a/x", "gone/deep/x"]);
        assert_eq!(affected(&[""], dir.path(), &files), files);
    }

    #[test]
    fn names_that_differ_in_case_are_the_same() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(
            affected(&["Cards/Film.HTML"], dir.path(), &["cards/film.html", "cards/films.html"]),
            ["cards/film.html"]
        );
    }

    #[cfg(unix)]
    #[test]
    fn files_are_found_through_links() {
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
                assert_eq!(changed.affects(&farm.path().join(file)), path != "a/b/y", "{path} and {file}");
            }
            assert!(!changed.affects(&farm.path().join("circle")));
        }
        // The watched folder itself may be a link.
        let root = farm.path().join("root");
        for path in [root.join("a/b"), root.clone()] {
            assert!(ChangedPaths::new(&[path], &root).affects(&dir.path().join("a/b/x")));
        }
    }

    #[test]
    fn the_cost_grows_with_the_folders_and_not_with_files_times_paths() {
        let dir = tempfile::tempdir().unwrap();
        let folders = 20;
        (0..folders).for_each(|n| std::fs::create_dir(dir.path().join(n.to_string())).unwrap());
        let files: Vec<PathBuf> = (0..10_000).map(|n| dir.path().join(format!("{}/{n}", n % folders))).collect();
        let mut changed = ChangedPaths::new(&files, dir.path());
        assert!(files.iter().all(|file| changed.affects(file)));
        let above = dir.path().ancestors().count();
        assert!(changed.resolver.count() <= folders + above, "{}", changed.resolver.count());
        assert!(changed.folders.len() <= folders + above, "{}", changed.folders.len());
    }
}
