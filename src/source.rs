//! Files that are no templates, and what becomes invalid when they change.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use xxhash_rust::xxh3::Xxh3;

use crate::cache::{FragmentCache, Inner, Namespace};
use crate::error::{Error, ErrorKind};
use crate::observe::By;
use crate::watch::{Watcher, watch_file};

/// A file being watched, and what is made from it; see [`FragmentCache::watch_file`]. Dropping it stops watching.
#[derive(Debug)]
#[must_use = "the file is watched until this is dropped; bind it to a variable, `_` does not keep it"]
pub struct WatchedFile {
    source: Arc<Source>,
    _watcher: Watcher,
}

#[derive(Debug)]
struct Source {
    cache: Weak<Inner>,
    namespace: Arc<Namespace>,
    path: PathBuf,
    state: Mutex<State>,
}

#[derive(Debug)]
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
    /// invalidates nothing. The file need not exist yet. Looking costs some microseconds, twenty times a second.
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
        let content = Content::of(&path);
        let state = Mutex::new(State { first: content, content, tags: Vec::new() });
        let (cache, namespace) = (Arc::downgrade(&self.inner), Arc::clone(&self.namespace));
        let source = Arc::new(Source { cache, namespace, path: path.clone(), state });
        let looked = Arc::clone(&source);
        let watcher =
            watch_file(&path, move || looked.look()).map_err(|error| refuse(error.to_string()).with_source(error))?;
        Ok(WatchedFile { source, _watcher: watcher })
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
        let content = Content::of(&self.path);
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
        if content == Content::Unreadable {
            let message = format!("the watched file {} cannot be read", self.path.display());
            cache.inner.report(&Error::new(ErrorKind::Templates, message));
        }
    }

    fn cache(&self) -> Option<FragmentCache> {
        Some(FragmentCache { inner: self.cache.upgrade()?, namespace: Arc::clone(&self.namespace) })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Content {
    fn of(path: &Path) -> Content {
        match digest(path) {
            Ok(digest) => Content::Digest(digest),
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                Content::Missing
            }
            Err(_) => Content::Unreadable,
        }
    }
}

fn digest(path: &Path) -> io::Result<u128> {
    // Opening a pipe would wait for somebody to write.
    if !std::fs::metadata(path)?.is_file() {
        return Err(io::Error::from(io::ErrorKind::Unsupported));
    }
    let mut file = File::open(path)?;
    let (mut hasher, mut buffer) = (Xxh3::new(), vec![0; 64 << 10]);
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(hasher.digest128()),
            Ok(count) => hasher.update(&buffer[..count]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
