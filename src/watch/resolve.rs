//! Paths without symbolic links, with each folder resolved once.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs::{self, Metadata};
use std::path::{Path, PathBuf};

/// More links in a row than this lead in a circle.
pub(crate) const HOPS: usize = 40;

/// What folders were resolved to. For one look only: folders are replaced.
#[derive(Default)]
pub(crate) struct Resolver {
    /// By their text, which is hashed several times quicker than a path's components.
    folders: HashMap<OsString, Option<RealFolder>, ahash::RandomState>,
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
        let text = folder.as_os_str();
        if !self.folders.contains_key(text) {
            self.folders.insert(text.to_owned(), RealFolder::of(folder));
        }
        self.folders.get(text)?.as_ref()
    }

    /// The path with its folder resolved, but not its last name: it may be a link, or gone. A folder that does not exist
    /// is resolved as far as it does.
    pub(crate) fn name(&mut self, path: &Path) -> PathBuf {
        match (path.parent(), path.file_name()) {
            (Some(folder), Some(name)) => self.resolve(folder).join(name),
            // It ends in `..`, or is the root.
            _ => self.folder(path).map_or_else(|| path.to_owned(), |real| real.path.clone()),
        }
    }

    /// A folder without links, as far as it exists.
    pub(crate) fn resolve(&mut self, folder: &Path) -> PathBuf {
        match self.folder(folder) {
            Some(real) => real.path.clone(),
            None => self.name(folder),
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
