//! Watches single files: one thread polls the files of all caches.
//!
//! With notifications, the folder of each file and all folders above it would have to be watched.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, SystemTime};

use super::error::WatchError;
use super::file_stamp::FileStamp;
use crate::util::sync::{lock, unpoisoned};

/// The interval for a few files.
const SHORTEST: Duration = Duration::from_millis(50);

/// With many files the interval is at least this time per file, about fifty times the duration of reading its metadata.
const PER_FILE: Duration = Duration::from_micros(100);

/// The longest interval, so that a change is reported within a quarter of a second, however many files there are.
const LONGEST: Duration = Duration::from_millis(200);

static FILES: FileWatcher = FileWatcher {
    state: Mutex::new(FileWatcherState { files: BTreeMap::new(), next: 0, running: false }),
    wake: Condvar::new(),
};

struct FileWatcher {
    state: Mutex<FileWatcherState>,
    /// Notified when the last file is removed.
    wake: Condvar,
}

struct FileWatcherState {
    files: BTreeMap<u64, Arc<SingleFile>>,
    next: u64,
    /// Whether the thread runs. It ends with the last file.
    running: bool,
}

struct SingleFile {
    path: PathBuf,
    on_change: Box<dyn Fn() + Send + Sync>,
    /// The state at the last check: `None` before the first one, `Some(None)` if the file was missing.
    last: Mutex<Option<Option<FileStamp>>>,
    dropped: AtomicBool,
}

/// Watches a file until this is dropped. Dropping does not wait: a running callback may end after it.
pub(crate) struct FileWatch {
    id: u64,
    file: Arc<SingleFile>,
}

/// Calls `on_change` from another thread whenever a file may have been changed, created, deleted or replaced. The
/// folder of the file need not exist.
pub(crate) fn watch_file(path: &Path, on_change: impl Fn() + Send + Sync + 'static) -> Result<FileWatch, WatchError> {
    let file = Arc::new(SingleFile {
        path: path.to_owned(),
        on_change: Box::new(on_change),
        last: Mutex::new(None),
        dropped: AtomicBool::new(false),
    });
    let mut state = FILES.lock();
    if !state.running {
        thread::Builder::new().name("file watch".to_owned()).spawn(run).map_err(WatchError::no_thread)?;
        state.running = true;
    }
    let id = state.next;
    state.next += 1;
    state.files.insert(id, Arc::clone(&file));
    Ok(FileWatch { id, file })
}

impl Drop for FileWatch {
    fn drop(&mut self) {
        self.file.dropped.store(true, Ordering::Release);
        let mut state = FILES.lock();
        state.files.remove(&self.id);
        if state.files.is_empty() {
            FILES.wake.notify_all();
        }
    }
}

fn run() {
    while let Some(files) = FILES.all() {
        files.iter().for_each(|file| file.check());
        FILES.pause(interval(files.len()));
    }
}

fn interval(files: usize) -> Duration {
    PER_FILE.saturating_mul(u32::try_from(files).unwrap_or(u32::MAX)).clamp(SHORTEST, LONGEST)
}

impl FileWatcher {
    /// All files. `None` if there are none, which ends the thread.
    fn all(&self) -> Option<Vec<Arc<SingleFile>>> {
        let mut state = self.lock();
        state.running = !state.files.is_empty();
        state.running.then(|| state.files.values().cloned().collect())
    }

    fn pause(&self, time: Duration) {
        let waited = self.wake.wait_timeout_while(self.lock(), time, |state| !state.files.is_empty());
        drop(unpoisoned(waited));
    }

    fn lock(&self) -> MutexGuard<'_, FileWatcherState> {
        lock(&self.state)
    }
}

impl SingleFile {
    fn check(&self) {
        let next = std::fs::metadata(&self.path).ok().map(|meta| FileStamp::new(&meta, SystemTime::now()));
        let mut last = lock(&self.last);
        let unchanged = match (&*last, &next) {
            (Some(Some(last)), Some(next)) => last.is_unchanged(next),
            (Some(None), None) => true,
            // The first check: the file may have changed since the caller read it.
            _ => false,
        };
        *last = Some(next);
        drop(last);
        if !unchanged && !self.dropped.load(Ordering::Acquire) {
            // The panic was printed. It concerns this file only, and the others are still watched.
            let _ = catch_unwind(AssertUnwindSafe(&self.on_change));
        }
    }
}
