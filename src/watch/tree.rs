//! The folders being watched, and how their paths are spelled for the caller.
//!
//! Every folder is kept, and watched, by its resolved path and once, whatever number of links lead to it; a path is
//! translated into all the names the caller may know it by. Where links lead is `links.rs`; when to look again is the
//! thread's business.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fs;
use std::mem;
use std::path::{Path, PathBuf};

use super::error::{Refusal, Refusals, WatchError};
use super::links::{Links, Place, below};
use super::native::{EACH_FOLDER, Native};
use super::resolve::Resolver;

/// More names than this for one path come from links that lead in circles.
const NAMES: usize = 1_000;

pub(super) struct Tree {
    /// As the caller spells it.
    root: PathBuf,
    home: Option<Place>,
    folders: BTreeMap<PathBuf, Folder>,
    links: Links,
    native: Native,
    refusals: Refusals,
    /// A link was removed or leads elsewhere: some folders may be of no use.
    litter: bool,
    /// A folder was forgotten or vanished: a link may lead to it and need it.
    gap: bool,
}

#[derive(Clone, Copy, Default)]
struct Folder {
    watched: bool,
    /// False for a folder that matters only for one file in it.
    walked: bool,
}

impl Tree {
    /// Nothing is watched before the first [`Tree::reset`].
    pub(super) fn new(root: PathBuf, native: Native) -> Self {
        Self {
            root,
            home: None,
            folders: BTreeMap::new(),
            links: Links::default(),
            native,
            refusals: Refusals::default(),
            litter: false,
            gap: false,
        }
    }

    pub(super) fn generation(&self) -> u64 {
        self.native.generation()
    }

    pub(super) fn refused(&self) -> usize {
        self.refusals.count
    }

    pub(super) fn refusal(&self) -> Option<WatchError> {
        WatchError::refused(&self.root, &self.refusals)
    }

    /// Whether this is a folder that could not be watched.
    pub(super) fn is_refused(&self, path: &Path) -> bool {
        self.folders.get(path).is_some_and(|known| !known.watched)
    }

    pub(super) fn links(&self) -> usize {
        self.links.len()
    }

    pub(super) fn can_retry(&self) -> bool {
        self.refusals.passing
    }

    /// Forgets all watches and begins anew; what happened meanwhile must be reported as [`super::Change::Everything`].
    pub(super) fn reset(&mut self) {
        for folder in mem::take(&mut self.folders).into_keys() {
            self.native.remove(&folder);
        }
        self.links.clear();
        self.refusals = Refusals::default();
        self.litter = false;
        self.gap = false;
        self.home = self.root_place();
        if let Some(home) = self.home.clone() {
            self.walk(home.path);
        }
        self.refusals.folders = self.folders.len();
    }

    /// Why the watches must be reset, if the root is another folder than before, or gone, or back.
    pub(super) fn root_changed(&self, moved: &BTreeSet<PathBuf>) -> Option<String> {
        let now = self.root_place();
        let root = self.root.display();
        match (&self.home, &now) {
            (Some(_), None) => Some(format!("`{root}` vanished")),
            (None, Some(_)) => Some(format!("`{root}` is back")),
            (Some(old), Some(new)) if old != new || moved.contains(&old.path) => Some(format!("`{root}` was replaced")),
            _ => None,
        }
    }

    fn root_place(&self) -> Option<Place> {
        Place::of(&self.root, &mut Resolver::default()).filter(Place::is_folder)
    }

    /// Follows the creation, removal or renaming of `path`.
    pub(super) fn refresh(&mut self, path: &Path) {
        self.forget(path);
        let known = path.parent().and_then(|parent| self.folders.get(parent));
        if !known.is_some_and(|parent| parent.walked) {
            return;
        }
        match fs::symlink_metadata(path) {
            Ok(meta) if meta.is_dir() => self.walk(path.to_owned()),
            Ok(meta) if meta.is_symlink() => {
                // `settle` finds out where it leads, and reports it.
                self.links.set(path.to_owned(), None);
            }
            // A file, or gone: its removal is told apart.
            _ => {}
        }
    }

    /// Resolves all links again, watches where they lead, and returns those that lead elsewhere than before.
    pub(super) fn settle(&mut self) -> BTreeSet<PathBuf> {
        let mut changed = BTreeSet::new();
        // First what is to be forgotten, for two links may lead to one folder.
        for (link, now) in self.links.moved(&mut Resolver::default()) {
            let was = self.links.set(link.clone(), now.clone());
            changed.insert(link);
            self.litter |= was.is_some();
            self.gap = true;
            // A folder replaced under its path: the watch is the old one's.
            if let (Some(was), Some(now)) = (was, now)
                && was.folder.path == now.folder.path
                && was.folder.identity != now.folder.identity
            {
                self.forget_folders(&now.folder.path);
            }
        }
        if mem::take(&mut self.gap) {
            let places = self.links.each().map(|(link, place)| (link.to_owned(), place.clone()));
            for (link, place) in places.collect::<Vec<_>>() {
                if self.enter(&place) {
                    changed.insert(link);
                }
            }
        }
        if mem::take(&mut self.litter) {
            self.tidy();
        }
        changed
    }

    /// Adds every name the caller may know the resolved `path` by; false if there are too many.
    pub(super) fn spell(&self, path: &Path, names: &mut BTreeSet<PathBuf>) -> bool {
        let mut own = BTreeSet::new();
        self.spell_through(path, &mut Vec::new(), &mut own);
        let few = own.len() < NAMES;
        // Not `append`, which builds all of the set anew.
        names.extend(own);
        few
    }

    /// `used` holds the links on the way here: a link into a folder above itself gives endless names otherwise.
    fn spell_through<'a>(&'a self, path: &Path, used: &mut Vec<&'a Path>, names: &mut BTreeSet<PathBuf>) {
        if let Some(name) = self.home.as_ref().and_then(|home| home.rename(&self.root, path)) {
            names.insert(name);
        }
        for (link, name) in self.links.names(path) {
            if names.len() >= NAMES {
                return;
            }
            if !used.contains(&link) {
                used.push(link);
                self.spell_through(&name, used, names);
                used.pop();
            }
        }
    }

    /// Watches a folder and those below it, following links. Each watch exists before its folder is listed, so what is
    /// created meanwhile is found here or told later.
    fn walk(&mut self, folder: PathBuf) {
        let mut todo = vec![folder];
        let mut resolver = Resolver::default();
        while let Some(folder) = todo.pop() {
            // A link may lead to all of a disk; stopping does not wait for that.
            if self.native.stopping() {
                return;
            }
            if self.folders.get(&folder).is_some_and(|known| known.walked) {
                continue;
            }
            self.observe(&folder, true);
            // A folder that vanished or cannot be read is told of by the watch above it.
            let Ok(entries) = fs::read_dir(&folder) else { continue };
            for entry in entries.flatten() {
                let Ok(kind) = entry.file_type() else { continue };
                if kind.is_dir() {
                    todo.push(entry.path());
                } else if kind.is_symlink() {
                    let place = Place::behind(&entry.path(), &mut resolver);
                    match &place {
                        Some(place) if place.is_folder() => todo.push(place.path.clone()),
                        Some(place) => self.observe(&place.folder.path, false),
                        None => {}
                    }
                    self.links.set(entry.path(), place);
                }
            }
        }
    }

    /// Makes sure that the place is watched; true if it was not.
    fn enter(&mut self, place: &Place) -> bool {
        let known = self.folders.get(&place.folder.path).copied();
        if !place.is_folder() {
            self.observe(&place.folder.path, false);
            return known.is_none();
        }
        self.walk(place.path.clone());
        !known.is_some_and(|known| known.walked)
    }

    fn observe(&mut self, folder: &Path, walked: bool) {
        if let Some(known) = self.folders.get_mut(folder) {
            known.walked |= walked;
            return;
        }
        let above = || folder.ancestors().skip(1).any(|above| self.folders.get(above).is_some_and(|f| f.watched));
        let added = if !EACH_FOLDER && above() { Ok(()) } else { self.native.add(folder) };
        // Its removal is told of by the watch above it, or found when links are resolved again.
        if matches!(added, Err(Refusal::Gone)) {
            self.gap = true;
            return;
        }
        self.folders.insert(folder.to_owned(), Folder { watched: added.is_ok(), walked });
        if let Err(refusal) = added {
            self.refusals.count += 1;
            self.refusals.folders = self.folders.len();
            self.refusals.passing |= !matches!(refusal, Refusal::NoPermission);
            self.refusals.first.get_or_insert_with(|| (folder.to_owned(), refusal));
        }
    }

    fn forget(&mut self, path: &Path) {
        self.forget_folders(path);
        self.litter |= self.links.forget(path);
    }

    fn forget_folders(&mut self, path: &Path) {
        for folder in below(&self.folders, path) {
            self.folders.remove(&folder);
            self.native.remove(&folder);
            self.gap = true;
        }
    }

    /// Stops watching folders that no link leads to any more.
    fn tidy(&mut self) {
        // Elsewhere one watch serves many folders, and one too many does no harm.
        if !EACH_FOLDER {
            return;
        }
        let places = || self.links.each().map(|(_, place)| place).chain(&self.home);
        let whole: HashSet<&Path> = places().map(|to| to.path.as_path()).collect();
        let single: HashSet<&Path> = places().map(|to| to.folder.path.as_path()).collect();
        let useful = |folder: &Path| single.contains(folder) || folder.ancestors().any(|above| whole.contains(above));
        let litter: Vec<PathBuf> = self.folders.keys().filter(|folder| !useful(folder)).cloned().collect();
        for folder in litter {
            self.forget(&folder);
        }
    }
}
