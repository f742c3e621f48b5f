//! Paths without symbolic links, with each folder resolved once.

use std::collections::HashMap;
use std::fs::{self, Metadata};
use std::path::{Path, PathBuf};

/// What folders were resolved to. For one look only: folders are replaced.
#[derive(Default)]
pub(crate) struct Resolver {
    folders: HashMap<PathBuf, Option<RealFolder>, ahash::RandomState>,
}

/// A folder that exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RealFolder {
    pub(super) path: PathBuf,
    /// Tells a folder from its successor under the same path.
    pub(super) identity: Option<(u64, u64)>,
}

impl Resolver {
    pub(super) fn folder(&mut self, folder: &Path) -> Option<&RealFolder> {
        if !self.folders.contains_key(folder) {
            self.folders.insert(folder.to_owned(), RealFolder::of(folder));
        }
        self.folders.get(folder)?.as_ref()
    }

    /// The path with its folder resolved, but not its last name: it may be a link, or gone. A folder that does not exist
    /// is resolved as far as it does.
    pub(crate) fn name(&mut self, path: &Path) -> PathBuf {
        match (path.parent(), path.file_name()) {
            (Some(folder), Some(name)) => match self.folder(folder) {
                Some(real) => real.path.join(name),
                None => self.name(folder).join(name),
            },
            // It ends in `..`, or is the root.
            _ => self.folder(path).map_or_else(|| path.to_owned(), |real| real.path.clone()),
        }
    }

    /// How many folders were resolved.
    #[cfg(all(test, not(shuttle)))]
    pub(crate) fn count(&self) -> usize {
        self.folders.len()
    }
}

impl RealFolder {
    fn of(folder: &Path) -> Option<Self> {
        let path = fs::canonicalize(folder).ok()?;
        let meta = fs::metadata(&path).ok().filter(Metadata::is_dir)?;
        Some(Self { path, identity: identity(&meta) })
    }
}

/// Device and number of a file, where the system has them.
pub(super) fn identity(meta: &Metadata) -> Option<(u64, u64)> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt as _;
        Some((meta.dev(), meta.ino()))
    }
    #[cfg(not(unix))]
    {
        let _ = meta;
        None
    }
}
