//! The watched folders, and the translation of their paths into the caller's names.
//!
//! Each folder is watched once, by its resolved path, however many links lead to it. A changed path is translated into
//! all names that the caller may use for it. The targets of links are `links.rs`; the thread in `watch.rs` decides when
//! to check them.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fs;
use std::mem;
use std::path::{Path, PathBuf};

use super::batch::{EventBatch, MAX_PATHS};
use super::change::Change;
use super::error::{Refusals, WatchError, WatchRefusal};
use super::links::{Links, ResolvedPath, below};
use super::native::{EACH_FOLDER, NativeWatcher};
use super::resolve::Resolver;

/// The most names of one path. More of them come from links in circles.
const MAX_NAMES: usize = 1_000;

pub(super) struct WatchTree {
    /// As the caller spelled it.
    root: PathBuf,
    resolved_root: Option<ResolvedPath>,
    folders: BTreeMap<PathBuf, WatchedFolder>,
    links: Links,
    native: NativeWatcher,
    refusals: Refusals,
    /// A link was removed or has another target, so some folders may be unused.
    has_unused: bool,
    /// A folder was removed or vanished, and may be the target of a link that is still there.
    has_gap: bool,
}

#[derive(Clone, Copy, Default)]
struct WatchedFolder {
    watched: bool,
    /// Whether all files in it are reported. False for a folder that is watched for single files, the targets of links.
    complete: bool,
}

impl WatchTree {
    /// Nothing is watched before the first [`WatchTree::reset`].
    pub(super) fn new(root: PathBuf, native: NativeWatcher) -> Self {
        Self {
            root,
            resolved_root: None,
            folders: BTreeMap::new(),
            links: Links::default(),
            native,
            refusals: Refusals::default(),
            has_unused: false,
            has_gap: false,
        }
    }

    pub(super) fn generation(&self) -> u64 {
        self.native.generation()
    }

    pub(super) fn refused(&self) -> usize {
        self.refusals.count()
    }

    pub(super) fn refusal(&self) -> Option<WatchError> {
        WatchError::refused(&self.root, &self.refusals)
    }

    /// Whether the folder could not be watched.
    pub(super) fn is_refused(&self, path: &Path) -> bool {
        self.folders.get(path).is_some_and(|known| !known.watched)
    }

    pub(super) fn links(&self) -> usize {
        self.links.len()
    }

    pub(super) fn can_retry(&self) -> bool {
        self.refusals.is_temporary()
    }

    /// Removes all watches and adds them again. Changes in the meantime must be reported as [`Change::Everything`].
    pub(super) fn reset(&mut self) {
        for folder in mem::take(&mut self.folders).into_keys() {
            self.native.remove(&folder);
        }
        self.links.clear();
        self.refusals = Refusals::default();
        self.has_unused = false;
        self.has_gap = false;
        self.resolved_root = self.resolve_root();
        if let Some(resolved_root) = self.resolved_root.clone() {
            self.watch_below(resolved_root.path);
        }
        self.refusals.set_folders(self.folders.len());
    }

    /// The reason to reset the watches, if the root is another folder than before, vanished, or is back.
    pub(super) fn root_changed(&self, moved: &BTreeSet<PathBuf>) -> Option<String> {
        let now = self.resolve_root();
        let root = self.root.display();
        match (&self.resolved_root, &now) {
            (Some(_), None) => Some(format!("`{root}` vanished")),
            (None, Some(_)) => Some(format!("`{root}` is back")),
            (Some(old), Some(new)) if old != new || moved.contains(&old.path) => Some(format!("`{root}` was replaced")),
            _ => None,
        }
    }

    fn resolve_root(&self) -> Option<ResolvedPath> {
        ResolvedPath::of(&self.root, &mut Resolver::default()).filter(ResolvedPath::is_folder)
    }

    /// Updates the watches after `path` was created, removed or renamed.
    pub(super) fn update(&mut self, path: &Path) {
        self.remove(path);
        let known = path.parent().and_then(|parent| self.folders.get(parent));
        if !known.is_some_and(|parent| parent.complete) {
            return;
        }
        match fs::symlink_metadata(path) {
            Ok(meta) if meta.is_dir() => self.watch_below(path.to_owned()),
            Ok(meta) if meta.is_symlink() => {
                // `update_links` resolves and reports it.
                self.links.set(path.to_owned(), None);
            }
            // A file needs no watch. A removed path has an event of its own.
            _ => {}
        }
    }

    /// Resolves all links again, watches their targets, and returns the links whose target changed.
    pub(super) fn update_links(&mut self) -> BTreeSet<PathBuf> {
        let mut changed = BTreeSet::new();
        // Watches are removed before others are added, because two links may have one target.
        for (link, now) in self.links.changed(&mut Resolver::default()) {
            let was = self.links.set(link.clone(), now.clone());
            changed.insert(link);
            self.has_unused |= was.is_some();
            self.has_gap = true;
            // The folder at the path was replaced, and the watch is on the old one.
            if let (Some(was), Some(now)) = (was, now)
                && was.folder.path == now.folder.path
                && was.folder.id != now.folder.id
            {
                self.remove_folders(&now.folder.path);
            }
        }
        if mem::take(&mut self.has_gap) {
            let targets = self.links.with_target().map(|(link, target)| (link.to_owned(), target.clone()));
            for (link, target) in targets.collect::<Vec<_>>() {
                if self.watch_target(&target) {
                    changed.insert(link);
                }
            }
        }
        if mem::take(&mut self.has_unused) {
            self.remove_unused();
        }
        changed
    }

    /// The change to report for a batch, with the paths as the caller spells them. `None` if there are no such paths.
    pub(super) fn change(&self, batch: &EventBatch) -> Option<Change> {
        let mut names = BTreeSet::new();
        for path in batch.written.iter().chain(&batch.moved).chain(&batch.metadata) {
            if !self.add_names(path, &mut names) || names.len() > MAX_PATHS {
                let reason =
                    format!("links give too many names to list to `{}` and what changed with it", path.display());
                return Some(Change::Everything { reason });
            }
        }
        // Paths are sorted by component, so a folder comes directly before the paths below it.
        let mut paths: Vec<PathBuf> = Vec::with_capacity(names.len());
        for path in names {
            if !paths.last().is_some_and(|folder| path.starts_with(folder)) {
                paths.push(path);
            }
        }
        (!paths.is_empty()).then_some(Change::Paths(paths))
    }

    /// Adds all names that the caller may use for the resolved `path`. Returns false if there are too many.
    fn add_names(&self, path: &Path, names: &mut BTreeSet<PathBuf>) -> bool {
        let mut own = BTreeSet::new();
        self.add_names_through(path, &mut Vec::new(), &mut own);
        let few = own.len() < MAX_NAMES;
        // Not `append`, which rebuilds the whole set.
        names.extend(own);
        few
    }

    /// `used` holds the links on the way: a link into a folder above itself would give endless names otherwise.
    fn add_names_through<'a>(&'a self, path: &Path, used: &mut Vec<&'a Path>, names: &mut BTreeSet<PathBuf>) {
        if let Some(name) = self.resolved_root.as_ref().and_then(|root| root.name_through(&self.root, path)) {
            names.insert(name);
        }
        for (link, name) in self.links.names_of(path) {
            if names.len() >= MAX_NAMES {
                return;
            }
            if !used.contains(&link) {
                used.push(link);
                self.add_names_through(&name, used, names);
                used.pop();
            }
        }
    }

    /// Watches a folder and all folders below it, and follows links. Each watch exists before its folder is listed, so
    /// a file that is created in the meantime is found by the listing or causes an event.
    fn watch_below(&mut self, folder: PathBuf) {
        let mut todo = vec![folder];
        let mut resolver = Resolver::default();
        while let Some(folder) = todo.pop() {
            // A link may lead to a whole disk, and stopping must not wait for that.
            if self.native.stopping() {
                return;
            }
            if self.folders.get(&folder).is_some_and(|known| known.complete) {
                continue;
            }
            self.watch_folder(&folder, true);
            // The watch above it reports a folder that vanished or cannot be read.
            let Ok(entries) = fs::read_dir(&folder) else { continue };
            for entry in entries.flatten() {
                let Ok(kind) = entry.file_type() else { continue };
                if kind.is_dir() {
                    todo.push(entry.path());
                } else if kind.is_symlink() {
                    todo.extend(self.add_link(entry.path(), &mut resolver));
                }
            }
        }
    }

    /// Adds a link. Returns its target if that is a folder, which is to be watched.
    fn add_link(&mut self, link: PathBuf, resolver: &mut Resolver) -> Option<PathBuf> {
        let target = ResolvedPath::of_link(&link, resolver);
        let folder = target.as_ref().filter(|target| target.is_folder()).map(|target| target.path.clone());
        if let (Some(target), None) = (&target, &folder) {
            self.watch_folder(&target.folder.path, false);
        }
        self.links.set(link, target);
        folder
    }

    /// Watches the target of a link. Returns true if it was not watched.
    fn watch_target(&mut self, target: &ResolvedPath) -> bool {
        let known = self.folders.get(&target.folder.path).copied();
        if !target.is_folder() {
            self.watch_folder(&target.folder.path, false);
            return known.is_none();
        }
        self.watch_below(target.path.clone());
        !known.is_some_and(|known| known.complete)
    }

    /// Watches a single folder.
    fn watch_folder(&mut self, folder: &Path, complete: bool) {
        if let Some(known) = self.folders.get_mut(folder) {
            known.complete |= complete;
            return;
        }
        let above = || folder.ancestors().skip(1).any(|above| self.folders.get(above).is_some_and(|f| f.watched));
        let added = if !EACH_FOLDER && above() { Ok(()) } else { self.native.add(folder) };
        // Its removal is reported by the watch above it, or found when links are resolved again.
        if matches!(added, Err(WatchRefusal::Gone)) {
            self.has_gap = true;
            return;
        }
        self.folders.insert(folder.to_owned(), WatchedFolder { watched: added.is_ok(), complete });
        if let Err(refusal) = added {
            self.refusals.add(folder, refusal);
            self.refusals.set_folders(self.folders.len());
        }
    }

    /// Removes the watches and links at and below a path.
    fn remove(&mut self, path: &Path) {
        self.remove_folders(path);
        self.has_unused |= self.links.remove_below(path);
    }

    fn remove_folders(&mut self, path: &Path) {
        for folder in below(&self.folders, path) {
            self.folders.remove(&folder);
            self.native.remove(&folder);
            self.has_gap = true;
        }
    }

    /// Removes the watches of folders that are neither below the root nor below the target of a link.
    fn remove_unused(&mut self) {
        // On other systems one watch covers many folders, and an unused one does no harm.
        if !EACH_FOLDER {
            return;
        }
        let targets = || self.links.with_target().map(|(_, target)| target).chain(&self.resolved_root);
        let whole: HashSet<&Path> = targets().map(|to| to.path.as_path()).collect();
        let single: HashSet<&Path> = targets().map(|to| to.folder.path.as_path()).collect();
        let useful = |folder: &Path| single.contains(folder) || folder.ancestors().any(|above| whole.contains(above));
        let unused: Vec<PathBuf> = self.folders.keys().filter(|folder| !useful(folder)).cloned().collect();
        for folder in unused {
            self.remove(&folder);
        }
    }
}
