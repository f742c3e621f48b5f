//! Files that are no templates, and what becomes invalid when they change.

use std::fmt;
use std::fs::Metadata;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, Weak};

use xxhash_rust::xxh3::Xxh3;

use crate::cache::{FragmentCache, Inner, Namespace};
use crate::error::{Error, ErrorKind};
use crate::file::open;
use crate::observe::By;
use crate::sync::lock;
use crate::watch::{FileWatch, watch_file};

/// A file being watched, and what is made from it; see [`FragmentCache::watch_file`]. Dropping it stops watching, and does
/// not wait for an invalidation under way.
#[must_use = "the file is watched until this is dropped; bind it to a variable, `_` does not keep it"]
pub struct WatchedFile {
    source: Arc<Source>,
    _watch: FileWatch,
}

impl fmt::Debug for WatchedFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WatchedFile").field("path", &self.source.path).finish_non_exhaustive()
    }
}

struct Source {
    cache: Weak<Inner>,
    namespace: Arc<Namespace>,
    path: PathBuf,
    state: Mutex<State>,
}

struct State {
    /// What it held when watching began.
    first: Content,
    content: Content,
    tags: Vec<Arc<str>>,
}

/// What a file held when it was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Content {
    Missing,
    Unreadable,
    Digest(u128),
}

impl FragmentCache {
    /// Watches a file that pages are made from and that is no template: saving, creating, deleting or replacing it
    /// invalidates the tags it is told. A change shows within a quarter of a second; a file that is saved as it was
    /// invalidates nothing. The file need not exist yet. One thread looks at all watched files five to twenty times a
    /// second; a look costs a few microseconds for each.
    ///
    /// Of a file larger than 16 MiB the size and times are compared instead of the content. Where there is no regular
    /// file but a folder, a named pipe or a device, [`Builder::on_error`](crate::Builder::on_error) is told.
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
        let content = Content::of(&path, |error| self.inner.report(&unreadable(&path, error)));
        let state = Mutex::new(State { first: content, content, tags: Vec::new() });
        let (cache, namespace) = (Arc::downgrade(&self.inner), Arc::clone(&self.namespace));
        let source = Arc::new(Source { cache, namespace, path: path.clone(), state });
        let looked = Arc::clone(&source);
        let watch =
            watch_file(&path, move || looked.look()).map_err(|error| refuse(error.to_string()).with_source(error))?;
        Ok(WatchedFile { source, _watch: watch })
    }
}

impl WatchedFile {
    /// Has a change of the file invalidate a tag of the namespace it was watched in, too.
    pub fn invalidates(self, tag: impl Into<Arc<str>>) -> WatchedFile {
        let (tag, source) = (tag.into(), &self.source);
        let mut state = source.state();
        state.tags.push(Arc::clone(&tag));
        let changed = state.content != state.first;
        drop(state);
        if changed && let Some(cache) = source.cache() {
            // Watching told of that before there was a tag to invalidate.
            cache.invalidate_tag_by(&tag, By::Watch);
        }
        self
    }
}

impl Source {
    /// Holds what the file says against what it said, and invalidates if that differs.
    fn look(&self) {
        let Some(cache) = self.cache() else { return };
        let mut failed = None;
        let content = Content::of(&self.path, |error| failed = Some(error));
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

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

impl Content {
    fn of(path: &Path, failed: impl FnOnce(io::Error)) -> Content {
        match digest(path) {
            Ok(digest) => Content::Digest(digest),
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                Content::Missing
            }
            Err(error) => {
                failed(error);
                Content::Unreadable
            }
        }
    }
}

/// Files larger than this are not read.
const LARGEST: u64 = 16 << 20;

fn digest(path: &Path) -> io::Result<u128> {
    let (file, meta) = open(path)?;
    let (mut hasher, mut buffer) = (Xxh3::new(), vec![0; 64 << 10]);
    if meta.len() > LARGEST {
        mark_of(&meta, &mut hasher);
        return Ok(hasher.digest128());
    }
    // It may grow while it is read.
    let mut file = file.take(LARGEST);
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(hasher.digest128()),
            Ok(count) => hasher.update(&buffer[..count]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// What tells two states of a file apart without reading it.
fn mark_of(meta: &Metadata, hasher: &mut Xxh3) {
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
