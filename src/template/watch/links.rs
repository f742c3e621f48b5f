//! The symbolic links below a watched folder: the target of each link, and the links that lead to a path.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::ops::Bound;
use std::path::{Path, PathBuf};

use super::resolve::{MAX_LINKS, RealFolder, Resolver, file_id};

/// The target of a link or of the root, with all links resolved: a folder or a regular file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ResolvedPath {
    pub(super) path: PathBuf,
    /// The folder to watch for it: the folder itself, or the one that contains the file.
    pub(super) folder: RealFolder,
}

#[derive(Default)]
pub(super) struct Links {
    /// The target of each link; `None` if it is missing, or not a folder or regular file.
    targets: BTreeMap<PathBuf, Option<ResolvedPath>>,
    /// The links to each target.
    by_target: BTreeMap<PathBuf, BTreeSet<PathBuf>>,
}

impl Links {
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    pub(super) fn len(&self) -> usize {
        self.targets.len()
    }

    /// The links that have a target.
    pub(super) fn with_target(&self) -> impl Iterator<Item = (&Path, &ResolvedPath)> {
        self.targets.iter().filter_map(|(link, target)| Some((link.as_path(), target.as_ref()?)))
    }

    /// Sets the target of a link, and returns the previous one.
    pub(super) fn set(&mut self, link: PathBuf, target: Option<ResolvedPath>) -> Option<ResolvedPath> {
        let old = self.remove(&link);
        if let Some(target) = &target {
            self.by_target.entry(target.path.clone()).or_default().insert(link.clone());
        }
        self.targets.insert(link, target);
        old
    }

    /// Removes the links at and below a path. Returns whether one of them had a target.
    pub(super) fn remove_below(&mut self, path: &Path) -> bool {
        let mut had_target = false;
        for link in below(&self.targets, path) {
            had_target |= self.remove(&link).is_some();
        }
        had_target
    }

    fn remove(&mut self, link: &Path) -> Option<ResolvedPath> {
        let target = self.targets.remove(link).flatten()?;
        if let Some(links) = self.by_target.get_mut(&target.path) {
            links.remove(link);
            if links.is_empty() {
                self.by_target.remove(&target.path);
            }
        }
        Some(target)
    }

    /// The links whose target changed, with the target that they have now.
    pub(super) fn changed(&self, resolver: &mut Resolver) -> Vec<(PathBuf, Option<ResolvedPath>)> {
        let resolved = self.targets.iter().map(|(link, was)| (link, was, ResolvedPath::of_link(link, resolver)));
        resolved.filter(|(_, was, now)| *was != now).map(|(link, _, now)| (link.clone(), now)).collect()
    }

    /// The links to the path, to a folder above it, or to a path below it. Each comes with the name that it gives to
    /// the path; a link to a path below comes with its own name.
    pub(super) fn names_of(&self, path: &Path) -> Vec<(&Path, PathBuf)> {
        let mut names = Vec::new();
        for above in path.ancestors() {
            let links = self.by_target.get(above).into_iter().flatten();
            names.extend(links.map(|link| (link.as_path(), renamed(path, above, link))));
        }
        let inside = (Bound::Excluded(path), Bound::Unbounded);
        let inside = self.by_target.range::<Path, _>(inside).take_while(|(target, _)| target.starts_with(path));
        names.extend(inside.flat_map(|(_, links)| links).map(|link| (link.as_path(), link.clone())));
        names
    }
}

impl ResolvedPath {
    /// Follows a path, whose last component may be a link.
    pub(super) fn of(path: &Path, resolver: &mut Resolver) -> Option<Self> {
        Self::follow_path(resolver.resolve_parent(path), resolver, 0)
    }

    /// The target of a link.
    pub(super) fn of_link(link: &Path, resolver: &mut Resolver) -> Option<Self> {
        Self::follow_link(link, resolver, 0)
    }

    fn follow_path(path: PathBuf, resolver: &mut Resolver, links_followed: usize) -> Option<Self> {
        let meta = fs::symlink_metadata(&path).ok()?;
        if meta.is_symlink() {
            return Self::follow_link(&path, resolver, links_followed);
        }
        if meta.is_dir() {
            return Some(Self { folder: RealFolder { path: path.clone(), id: file_id(&meta) }, path });
        }
        if !meta.is_file() {
            return None;
        }
        let folder = resolver.folder(path.parent()?)?.clone();
        Some(Self { path, folder })
    }

    fn follow_link(link: &Path, resolver: &mut Resolver, links_followed: usize) -> Option<Self> {
        if links_followed == MAX_LINKS {
            return None;
        }
        let to = link.parent()?.join(fs::read_link(link).ok()?);
        Self::follow_path(resolver.resolve_parent(&to), resolver, links_followed + 1)
    }

    pub(super) fn is_folder(&self) -> bool {
        self.folder.path == self.path
    }

    /// The name of `path` through `link`, whose target this is; `link` itself if the target is below `path`.
    pub(super) fn name_through(&self, link: &Path, path: &Path) -> Option<PathBuf> {
        if path.starts_with(&self.path) {
            return Some(renamed(path, &self.path, link));
        }
        self.path.starts_with(path).then(|| link.to_owned())
    }
}

/// The path with its by_target `from` replaced by `to`.
fn renamed(path: &Path, from: &Path, to: &Path) -> PathBuf {
    match path.strip_prefix(from) {
        // Joining an empty path would add a separator.
        Ok(rest) if !rest.as_os_str().is_empty() => to.join(rest),
        _ => to.to_owned(),
    }
}

/// The paths at and below `path`. They are adjacent, because paths are sorted by component.
pub(super) fn below<T>(map: &BTreeMap<PathBuf, T>, path: &Path) -> Vec<PathBuf> {
    let from = (Bound::Included(path), Bound::Unbounded);
    map.range::<Path, _>(from).map(|(at, _)| at).take_while(|at| at.starts_with(path)).cloned().collect()
}

#[cfg(all(test, unix, not(shuttle)))]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn the_folder_of_many_links_is_resolved_once() {
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
        let moved = links.changed(&mut resolver);
        assert_eq!((moved.len(), resolver.count()), (1_000, 2), "the folder through its link and directly");
        moved.into_iter().for_each(|(link, target)| drop(links.set(link, target)));
        assert_eq!(links.changed(&mut Resolver::default()), []);
        let names = links.names_of(&root.join("v1/deep/7"));
        assert_eq!(names, [(root.join("7").as_path(), root.join("7"))]);
        assert_eq!(links.names_of(&root.join("v1")).len(), 1_000);
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
            let target = ResolvedPath::of_link(&link, &mut Resolver::default());
            fs::remove_file(&link).unwrap();
            target.map(|target| (target.path, target.folder.path))
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
