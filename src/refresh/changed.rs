//! Which files a set of changed paths concerns, whatever names the loader and the watcher use for them.
//!
//! The work grows with the number of paths plus that of files: each folder is resolved and judged once, each file is one
//! look-up.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use crate::watch::Resolver;

/// More links in a row than this lead in a circle.
const HOPS: usize = 40;

pub(super) struct ChangedPaths {
    resolver: Resolver,
    changed: PathSet,
    /// The watched folder.
    root: PathSet,
}

/// Paths, each of which stands for everything below it.
struct PathSet {
    keys: HashSet<String, ahash::RandomState>,
    /// The folders that were asked for: whether they are in the set.
    folders: HashMap<PathBuf, bool, ahash::RandomState>,
}

impl ChangedPaths {
    pub(super) fn new(paths: &[PathBuf], root: &Path) -> Self {
        let mut resolver = Resolver::default();
        let changed = PathSet::new(paths, &mut resolver);
        let root = PathSet::new(&[root.to_owned()], &mut resolver);
        Self { resolver, changed, root }
    }

    /// Whether the file is one of the paths, or below one. The watcher gives every name that a file has below the
    /// watched folder, so links in it need not be followed; a file elsewhere may be a link into it.
    pub(super) fn concern(&mut self, file: &Path) -> bool {
        let mut file = file.to_owned();
        for _ in 0..HOPS {
            let real = self.resolver.name(&file);
            if self.changed.covers(&file, &real, &mut self.resolver) {
                return true;
            }
            if self.root.is_above(&file, &real, &mut self.resolver) {
                return false;
            }
            let (Some(folder), Ok(to)) = (file.parent(), std::fs::read_link(&file)) else { return false };
            file = folder.join(to);
        }
        false
    }
}

impl PathSet {
    fn new(paths: &[PathBuf], resolver: &mut Resolver) -> Self {
        let keys = paths.iter().map(|path| key(&resolver.name(path))).collect();
        Self { keys, folders: HashMap::default() }
    }

    /// `real` is the path as the resolver names it.
    fn covers(&mut self, path: &Path, real: &Path, resolver: &mut Resolver) -> bool {
        self.keys.contains(&key(real)) || self.is_above(path, real, resolver)
    }

    /// Above a link there may be other folders than above the place where it leads.
    fn is_above(&mut self, path: &Path, real: &Path, resolver: &mut Resolver) -> bool {
        let mut covers = |path: &Path| path.parent().is_some_and(|folder| self.covers_folder(folder, resolver));
        covers(path) || (real != path && covers(real))
    }

    fn covers_folder(&mut self, folder: &Path, resolver: &mut Resolver) -> bool {
        if let Some(known) = self.folders.get(folder) {
            return *known;
        }
        let real = resolver.name(folder);
        let covered = self.covers(folder, &real, resolver);
        self.folders.insert(folder.to_owned(), covered);
        covered
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
        assert_eq!(concerned(&["Cards/Film.HTML"], dir.path(), &["cards/film.html", "cards/films.html"]), [
            "cards/film.html"
        ]);
    }

    #[test]
    fn the_work_grows_with_the_folders_and_not_with_the_files_times_the_paths() {
        let dir = tempfile::tempdir().unwrap();
        let folders = 20;
        (0..folders).for_each(|n| std::fs::create_dir(dir.path().join(n.to_string())).unwrap());
        let files: Vec<PathBuf> = (0..10_000).map(|n| dir.path().join(format!("{}/{n}", n % folders))).collect();
        let mut changed = ChangedPaths::new(&files, dir.path());
        assert!(files.iter().all(|file| changed.concern(file)));
        // The folders, and the one the root is in.
        assert_eq!(changed.resolver.count(), folders + 1);
        assert!(changed.changed.folders.len() <= folders + 10);
    }
}
