//! Resolves symbolic links in paths; each folder is resolved once.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs::{self, Metadata};
use std::path::{Path, PathBuf};

/// A longer chain of links is taken for a circle.
pub(crate) const MAX_LINKS: usize = 40;

/// The resolved folders. Valid for one pass only, because folders can be replaced.
#[derive(Default)]
pub(crate) struct Resolver {
    /// By text, which is hashed several times faster than the components of a path.
    folders: HashMap<OsString, Option<RealFolder>, ahash::RandomState>,
}

/// An existing folder, with all links resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RealFolder {
    pub(super) path: PathBuf,
    /// Distinguishes a folder from a later one at the same path.
    pub(super) id: Option<(u64, u64)>,
}

impl Resolver {
    pub(super) fn folder(&mut self, folder: &Path) -> Option<&RealFolder> {
        let text = folder.as_os_str();
        if !self.folders.contains_key(text) {
            self.folders.insert(text.to_owned(), RealFolder::of(folder));
        }
        self.folders.get(text)?.as_ref()
    }

    /// The path with its folder resolved. The last component is kept, because it may be a link or missing. A missing
    /// folder is resolved as far as it exists.
    pub(crate) fn resolve_parent(&mut self, path: &Path) -> PathBuf {
        match (path.parent(), path.file_name()) {
            (Some(folder), Some(name)) => self.resolve_folder(folder).join(name),
            // The path ends in `..`, or is the root.
            _ => self.folder(path).map_or_else(|| path.to_owned(), |real| real.path.clone()),
        }
    }

    /// The folder with its links resolved, as far as it exists.
    pub(crate) fn resolve_folder(&mut self, folder: &Path) -> PathBuf {
        match self.folder(folder) {
            Some(real) => real.path.clone(),
            None => self.resolve_parent(folder),
        }
    }

    /// The number of resolved folders.
    #[cfg(all(test, not(shuttle)))]
    pub(crate) fn count(&self) -> usize {
        self.folders.len()
    }
}

impl RealFolder {
    fn of(folder: &Path) -> Option<Self> {
        let path = fs::canonicalize(folder).ok()?;
        let meta = fs::metadata(&path).ok().filter(Metadata::is_dir)?;
        Some(Self { path, id: file_id(&meta) })
    }
}

/// Device and inode of a file, if the system has them.
pub(super) fn file_id(meta: &Metadata) -> Option<(u64, u64)> {
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
