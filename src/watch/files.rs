//! Single files: one thread looks at all of them by the clock, whichever cache they belong to.
//!
//! Notifications would have to be of each file's folder, with everything else in it, and of those above that.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, SystemTime};

use super::error::WatchError;
use super::poll::Stamp;
use crate::sync::{lock, unpoisoned};

/// How often a few files are looked at.
const SHORTEST: Duration = Duration::from_millis(50);

/// With many files it is this much less often for each, some fifty times what looking at one takes.
const EACH: Duration = Duration::from_micros(100);

/// However many there are, a change is to show within a quarter of a second.
const LONGEST: Duration = Duration::from_millis(200);

static FILES: FileWatcher = FileWatcher {
    state: Mutex::new(FileWatcherState { files: BTreeMap::new(), next: 0, running: false }),
    wake: Condvar::new(),
};

struct FileWatcher {
    state: Mutex<FileWatcherState>,
    /// No file is left.
    wake: Condvar,
}

struct FileWatcherState {
    files: BTreeMap<u64, Arc<SingleFile>>,
    next: u64,
    /// Whether there is a thread. It ends with the last file.
    running: bool,
}

struct SingleFile {
    path: PathBuf,
    on_change: Box<dyn Fn() + Send + Sync>,
    /// What the last look found; `None` before the first.
    last: Mutex<Option<Option<Stamp>>>,
    dropped: AtomicBool,
}

/// A file being watched until this is dropped. Dropping it waits for nothing: a call under way may end after it.
pub(crate) struct FileWatch {
    id: u64,
    file: Arc<SingleFile>,
}

/// Calls `on_change` from another thread whenever a file may have changed, been created, deleted or replaced. Its folder
/// need not exist.
pub(crate) fn watch_file(path: &Path, on_change: impl Fn() + Send + Sync + 'static) -> Result<FileWatch, WatchError> {
    let file = Arc::new(SingleFile {
        path: path.to_owned(),
        on_change: Box::new(on_change),
        last: Mutex::new(None),
        dropped: AtomicBool::new(false),
    });
    let mut state = FILES.lock();
    if !state.running {
        thread::Builder::new().name("file watch".to_owned()).spawn(follow).map_err(WatchError::no_thread)?;
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

fn follow() {
    while let Some(files) = FILES.all() {
        files.iter().for_each(|file| file.look());
        FILES.pause(pace(files.len()));
    }
}

fn pace(files: usize) -> Duration {
    EACH.saturating_mul(u32::try_from(files).unwrap_or(u32::MAX)).clamp(SHORTEST, LONGEST)
}

impl FileWatcher {
    /// `None` if there are none: the thread ends.
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
    fn look(&self) {
        let next = std::fs::metadata(&self.path).ok().map(|meta| Stamp::of(&meta, SystemTime::now()));
        let mut last = lock(&self.last);
        let still = match (&*last, &next) {
            (Some(Some(last)), Some(next)) => last.is_still(next),
            (Some(None), None) => true,
            // The first look: the file may have changed since the caller read it.
            _ => false,
        };
        *last = Some(next);
        drop(last);
        if !still && !self.dropped.load(Ordering::Acquire) {
            // A panic has been printed. It concerns this file, and the others are still watched.
            let _ = catch_unwind(AssertUnwindSafe(&self.on_change));
        }
    }
}
