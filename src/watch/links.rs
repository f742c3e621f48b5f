//! The symbolic links below a watched folder: where each one leads, and which of them lead to a path.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::ops::Bound;
use std::path::{Path, PathBuf};

use super::resolve::{HOPS, RealFolder, Resolver, identity};

/// Where a link, or the root, leads to: a folder or a regular file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) path: PathBuf,
    /// What to watch for it: the folder itself, or the one a file is in.
    pub(super) folder: RealFolder,
}

#[derive(Default)]
pub(super) struct Links {
    /// Where they lead; `None` leads nowhere, or to something that is never a template.
    places: BTreeMap<PathBuf, Option<Place>>,
    /// The same by the path where they lead.
    leading: BTreeMap<PathBuf, BTreeSet<PathBuf>>,
}

impl Links {
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    /// Those that lead somewhere.
    pub(super) fn each(&self) -> impl Iterator<Item = (&Path, &Place)> {
        self.places.iter().filter_map(|(link, place)| Some((link.as_path(), place.as_ref()?)))
    }

    /// Notes where a link leads, and returns where it led.
    pub(super) fn set(&mut self, link: PathBuf, place: Option<Place>) -> Option<Place> {
        let old = self.remove(&link);
        if let Some(place) = &place {
            self.leading.entry(place.path.clone()).or_default().insert(link.clone());
        }
        self.places.insert(link, place);
        old
    }

    /// Forgets the links at and below a path; whether any of them led somewhere.
    pub(super) fn forget(&mut self, path: &Path) -> bool {
        let mut led = false;
        for link in below(&self.places, path) {
            led |= self.remove(&link).is_some();
        }
        led
    }

    fn remove(&mut self, link: &Path) -> Option<Place> {
        let place = self.places.remove(link).flatten()?;
        if let Some(links) = self.leading.get_mut(&place.path) {
            links.remove(link);
            if links.is_empty() {
                self.leading.remove(&place.path);
            }
        }
        Some(place)
    }

    /// The links that lead elsewhere than was noted, with where they lead.
    pub(super) fn moved(&self, resolver: &mut Resolver) -> Vec<(PathBuf, Option<Place>)> {
        let resolved = self.places.iter().map(|(link, was)| (link, was, Place::behind(link, resolver)));
        resolved.filter(|(_, was, now)| *was != now).map(|(link, _, now)| (link.clone(), now)).collect()
    }

    /// The links that lead to the path, to a folder above it, or to something below it, each with the name that it gives
    /// to the path: its own where it leads below.
    pub(super) fn names(&self, path: &Path) -> Vec<(&Path, PathBuf)> {
        let mut names = Vec::new();
        for above in path.ancestors() {
            let links = self.leading.get(above).into_iter().flatten();
            names.extend(links.map(|link| (link.as_path(), renamed(path, above, link))));
        }
        let inside = (Bound::Excluded(path), Bound::Unbounded);
        let inside = self.leading.range::<Path, _>(inside).take_while(|(place, _)| place.starts_with(path));
        names.extend(inside.flat_map(|(_, links)| links).map(|link| (link.as_path(), link.clone())));
        names
    }
}

impl Place {
    pub(super) fn of(path: &Path, resolver: &mut Resolver) -> Option<Self> {
        Self::through(resolver.name(path), resolver, 0)
    }

    /// Where a link leads.
    pub(super) fn behind(link: &Path, resolver: &mut Resolver) -> Option<Self> {
        Self::beyond(link, resolver, 0)
    }

    fn through(path: PathBuf, resolver: &mut Resolver, hops: usize) -> Option<Self> {
        let meta = fs::symlink_metadata(&path).ok()?;
        if meta.is_symlink() {
            return Self::beyond(&path, resolver, hops);
        }
        if meta.is_dir() {
            return Some(Self { folder: RealFolder { path: path.clone(), identity: identity(&meta) }, path });
        }
        if !meta.is_file() {
            return None;
        }
        let folder = resolver.folder(path.parent()?)?.clone();
        Some(Self { path, folder })
    }

    fn beyond(link: &Path, resolver: &mut Resolver, hops: usize) -> Option<Self> {
        if hops == HOPS {
            return None;
        }
        let to = link.parent()?.join(fs::read_link(link).ok()?);
        Self::through(resolver.name(&to), resolver, hops + 1)
    }

    pub(super) fn is_folder(&self) -> bool {
        self.folder.path == self.path
    }

    /// What `path` is called by way of `link`, which leads here; `link` itself if this place is below `path`.
    pub(super) fn rename(&self, link: &Path, path: &Path) -> Option<PathBuf> {
        if path.starts_with(&self.path) {
            return Some(renamed(path, &self.path, link));
        }
        self.path.starts_with(path).then(|| link.to_owned())
    }
}

/// The path with `to` in the place of `from`, which it starts with.
fn renamed(path: &Path, from: &Path, to: &Path) -> PathBuf {
    match path.strip_prefix(from) {
        // Joining nothing would add a separator.
        Ok(rest) if !rest.as_os_str().is_empty() => to.join(rest),
        _ => to.to_owned(),
    }
}

/// The paths at and below `path`: they stand next to each other, for paths are sorted by component.
pub(super) fn below<T>(map: &BTreeMap<PathBuf, T>, path: &Path) -> Vec<PathBuf> {
    let from = (Bound::Included(path), Bound::Unbounded);
    map.range::<Path, _>(from).map(|(at, _)| at).take_while(|at| at.starts_with(path)).cloned().collect()
}

#[cfg(all(test, unix, not(shuttle)))]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn links_into_one_folder_cost_one_resolution() {
        let dir = tempfile::tempdir().unwrap();
        let root = fs::canonicalize(dir.path()).unwrap();
        fs::create_dir_all(root.join("v1/deep")).unwrap();
        symlink("v1", root.join("current")).unwrap();
        let mut links = Links::default();
        for n in 0..1_000 {
            fs::write(root.join(format!("v1/deep/{n}")), "").unwrap();
            let link = root.join(n.to_string());
            symlink(format!("current/deep/{n}"), &link).unwrap();
            links.set(link, None);
        }
        let mut resolver = Resolver::default();
        let moved = links.moved(&mut resolver);
        assert_eq!((moved.len(), resolver.count()), (1_000, 2), "the folder by its link and by itself");
        moved.into_iter().for_each(|(link, place)| drop(links.set(link, place)));
        assert_eq!(links.moved(&mut Resolver::default()), []);
        let names = links.names(&root.join("v1/deep/7"));
        assert_eq!(names, [(root.join("7").as_path(), root.join("7"))]);
        assert_eq!(links.names(&root.join("v1")).len(), 1_000);
    }

    #[test]
    fn a_link_leads_to_a_folder_or_a_regular_file_or_nowhere() {
        let dir = tempfile::tempdir().unwrap();
        let root = fs::canonicalize(dir.path()).unwrap();
        fs::create_dir(root.join("folder")).unwrap();
        fs::write(root.join("file"), "").unwrap();
        assert!(std::process::Command::new("mkfifo").arg(root.join("pipe")).status().unwrap().success());
        symlink("circle", root.join("circle")).unwrap();
        let leads = |to: &str| {
            let link = root.join("link");
            symlink(to, &link).unwrap();
            let place = Place::behind(&link, &mut Resolver::default());
            fs::remove_file(&link).unwrap();
            place.map(|place| (place.path, place.folder.path))
        };
        assert_eq!(leads("file"), Some((root.join("file"), root.clone())));
        assert_eq!(leads("folder/../file"), Some((root.join("file"), root.clone())));
        assert_eq!(leads("folder"), Some((root.join("folder"), root.join("folder"))));
        assert_eq!(leads("folder/."), leads("folder"));
        assert_eq!(leads("folder/.."), Some((root.clone(), root.clone())));
        for nowhere in ["gone", "pipe", "circle", "/dev/zero", "file/below"] {
            assert_eq!(leads(nowhere), None, "{nowhere}");
        }
    }
}
