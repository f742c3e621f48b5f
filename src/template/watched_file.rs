//! Watched files that are not templates, and the tags that a change of them invalidates.

use std::fmt;
use std::fs::Metadata;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, Weak};

use xxhash_rust::xxh3::Xxh3;

use crate::cache::{Engine, FragmentCache};
use crate::error::{Error, ErrorKind};
use crate::invalidation::namespace::Namespace;
use crate::telemetry::By;
use crate::template::watch::{FileWatch, watch_file};
use crate::util::file::open;
use crate::util::sync::lock;

/// A watched file and the tags that it invalidates; see [`FragmentCache::watch_file`]. Dropping it stops watching, and
/// does not wait for a running invalidation.
#[must_use = "the file is watched until this is dropped; bind it to a variable, `_` does not keep it"]
pub struct WatchedFile {
    invalidation: Arc<FileInvalidation>,
    _watch: FileWatch,
}

impl fmt::Debug for WatchedFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WatchedFile").field("path", &self.invalidation.path).finish_non_exhaustive()
    }
}

struct FileInvalidation {
    cache: Weak<Engine>,
    namespace: Arc<Namespace>,
    path: PathBuf,
    state: Mutex<FileInvalidationState>,
}

struct FileInvalidationState {
    /// The content when watching began.
    first: FileContent,
    content: FileContent,
    tags: Vec<Arc<str>>,
}

/// The content of a file when it was checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum FileContent {
    Missing,
    Unreadable,
    Digest(u128),
}

impl FragmentCache {
    /// Watches a file that is not a template, for example data that pages show. Saving, creating, deleting or replacing
    /// the file invalidates the tags added with [`invalidates`](WatchedFile::invalidates), within a quarter of a
    /// second. A file that is saved without a change invalidates nothing. The file need not exist yet. One thread
    /// checks all watched files five to twenty times a second; a check takes a few microseconds per file.
    ///
    /// For a file larger than 16 MiB the size and times are compared instead of the content. If a folder, a named pipe
    /// or a device is at the path, [`Builder::on_error`](crate::Builder::on_error) is called.
    ///
    /// ```
    /// use minijinja_cache::{FragmentCache, Options};
    ///
    /// # let folder = tempfile::tempdir()?;
    /// # let menu_json = folder.path().join("menu.json");
    /// # std::fs::write(&menu_json, "[]")?;
    /// let cache = FragmentCache::builder().build()?;
    /// let _watched = cache.watch_file(&menu_json)?.invalidates("menu");
    ///
    /// let menu = cache.get_or_set("menu", Options::forever().tag("menu"), || std::fs::read_to_string(&menu_json))?;
    /// assert_eq!(menu, "[]");
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// The path leads to a folder (see [`watch`](FragmentCache::watch)), or the operating system refuses a thread.
    pub fn watch_file(&self, path: impl AsRef<Path>) -> Result<WatchedFile, Error> {
        let path = path.as_ref();
        let refuse = |why: String| Error::new(ErrorKind::Templates, format!("cannot watch {}: {why}", path.display()));
        let path = std::path::absolute(path).map_err(|error| refuse(error.to_string()).with_source(error))?;
        if path.is_dir() {
            return Err(refuse("it is a folder".into()));
        }
        let content = FileContent::of(&path, |error| self.inner.report(&unreadable(&path, error)));
        let state = Mutex::new(FileInvalidationState { first: content, content, tags: Vec::new() });
        let (cache, namespace) = (Arc::downgrade(&self.inner), Arc::clone(&self.namespace));
        let invalidation = Arc::new(FileInvalidation { cache, namespace, path: path.clone(), state });
        let checked = Arc::clone(&invalidation);
        let watch =
            watch_file(&path, move || checked.check()).map_err(|error| refuse(error.to_string()).with_source(error))?;
        Ok(WatchedFile { invalidation, _watch: watch })
    }
}

impl WatchedFile {
    /// Adds a tag that a change of the file invalidates, in the namespace of the cache that watches it.
    pub fn invalidates(self, tag: impl Into<Arc<str>>) -> WatchedFile {
        let (tag, invalidation) = (tag.into(), &self.invalidation);
        let mut state = invalidation.state();
        state.tags.push(Arc::clone(&tag));
        let changed = state.content != state.first;
        drop(state);
        if changed && let Some(cache) = invalidation.cache() {
            // The change was detected before the tag was added.
            cache.invalidate_tag_by(&tag, By::Watch);
        }
        self
    }
}

impl FileInvalidation {
    /// Reads the file and invalidates the tags if its content changed.
    fn check(&self) {
        let Some(cache) = self.cache() else { return };
        let mut failed = None;
        let content = FileContent::of(&self.path, |error| failed = Some(error));
        let tags = {
            let mut state = self.state();
            if std::mem::replace(&mut state.content, content) == content {
                return;
            }
            state.tags.clone()
        };
        for tag in tags {
            cache.invalidate_tag_by(&tag, By::Watch);
        }
        if let Some(error) = failed {
            cache.inner.report(&unreadable(&self.path, error));
        }
    }

    fn cache(&self) -> Option<FragmentCache> {
        Some(FragmentCache { inner: self.cache.upgrade()?, namespace: Arc::clone(&self.namespace) })
    }

    fn state(&self) -> MutexGuard<'_, FileInvalidationState> {
        lock(&self.state)
    }
}

impl FileContent {
    fn of(path: &Path, failed: impl FnOnce(io::Error)) -> FileContent {
        match digest(path) {
            Ok(digest) => FileContent::Digest(digest),
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                FileContent::Missing
            }
            Err(error) => {
                failed(error);
                FileContent::Unreadable
            }
        }
    }
}

/// Larger files are not read.
const MAX_BYTES: u64 = 16 << 20;

fn digest(path: &Path) -> io::Result<u128> {
    let (file, meta) = open(path)?;
    let (mut hasher, mut buffer) = (Xxh3::new(), vec![0; 64 << 10]);
    if meta.len() > MAX_BYTES {
        hash_metadata(&meta, &mut hasher);
        return Ok(hasher.digest128());
    }
    // The file may grow while it is read.
    let mut file = file.take(MAX_BYTES);
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(hasher.digest128()),
            Ok(count) => hasher.update(&buffer[..count]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Hashes the metadata that changes with the content.
fn hash_metadata(meta: &Metadata, hasher: &mut Xxh3) {
    hasher.update(&meta.len().to_le_bytes());
    hasher.update(format!("{:?}", meta.modified().ok()).as_bytes());
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt as _;
        hasher.update(&meta.ino().to_le_bytes());
        hasher.update(&meta.ctime().to_le_bytes());
        hasher.update(&meta.ctime_nsec().to_le_bytes());
    }
}

fn unreadable(path: &Path, error: io::Error) -> Error {
    let message = format!("the watched file {} cannot be read: {error}", path.display());
    Error::new(ErrorKind::Templates, message).with_source(error)
}
