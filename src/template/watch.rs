//! Watches folders and files, and reports which of them may have changed. This file has the public types and the
//! thread.
//!
//! With notifications of the operating system: `native.rs` receives them, `inbox.rs` and `batch.rs` collect them,
//! `tree.rs` and `links.rs` choose the folders and translate paths. With polling: `poll.rs`. Single files: `files.rs`.
//! The caller decides what a change means for templates and caches.

mod batch;
mod change;
mod error;
mod file_stamp;
mod files;
mod inbox;
mod links;
mod native;
mod poll;
mod resolve;
#[cfg(all(test, not(shuttle)))]
mod tests;
mod tree;

use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle, ThreadId};
use std::time::{Duration, Instant};

use self::batch::EventBatch;
use self::change::Callback;
pub(crate) use self::change::Change;
pub(crate) use self::error::WatchError;
#[cfg(all(test, not(shuttle)))]
use self::error::WatchErrorKind;
pub(crate) use self::files::{FileWatch, watch_file};
use self::inbox::Inbox;
use self::native::NativeWatcher;
pub(crate) use self::resolve::{MAX_LINKS, Resolver};
use self::tree::WatchTree;
use crate::util::sync::lock;

/// The time for which changes are collected. It counts from the first change, so that a constant stream of changes does
/// not delay the report.
const GATHER: Duration = Duration::from_millis(20);

/// The interval at which the root and the links are resolved again. There is no notification if a folder above them is
/// replaced.
const CHECK: Duration = Duration::from_millis(100);

/// With many links the interval is at least this time per link, about ten times the duration of resolving one. The
/// measured duration is not used, because on a busy machine most of it is waiting for a processor.
const CHECK_PER_LINK: Duration = Duration::from_micros(20);

const RETRY_FIRST: Duration = Duration::from_millis(100);
const RETRY_LAST: Duration = Duration::from_secs(5);

/// How changes are detected.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WatchMode {
    /// Notifications of the operating system (inotify, FSEvents, `ReadDirectoryChangesW`): a change is seen within
    /// about 20 ms, at almost no cost.
    ///
    /// Linux limits the number of folders that a user can watch (`fs.inotify.max_user_watches`), and does not report
    /// changes that another machine makes on a network file system.
    Native,
    /// Compares the size and times of every file at this interval (at least 10 ms).
    ///
    /// Works on every file system, also if the operating system refuses to watch. Each interval costs a few
    /// microseconds per file.
    Poll(Duration),
}

/// Watches a folder until it is dropped.
#[must_use = "the folder is watched until this is dropped; bind it to a variable, `_` does not keep it"]
pub struct Watcher {
    inbox: Arc<Inbox>,
    thread: ThreadId,
    join: Mutex<Option<JoinHandle<()>>>,
}

impl Watcher {
    /// Stops watching; stopping again does nothing.
    ///
    /// Waits for a running callback, so that no callback runs after this returns. Called from the callback itself, it
    /// returns at once, and that callback is the last one. Do not hold a lock that the callback waits for.
    pub fn stop(&self) {
        self.inbox.stop();
        // Checked before the lock, because another thread may hold it while it waits for this one.
        if thread::current().id() == self.thread {
            return;
        }
        let mut join = lock(&self.join);
        if let Some(handle) = join.take() {
            // A panic of the thread was printed, and the thread has ended.
            let _ = handle.join();
        }
    }
}

impl fmt::Debug for Watcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watcher").field("stopping", &self.inbox.stopping()).finish_non_exhaustive()
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Calls `on_change` from a new thread whenever files below `root` may have changed, for all changes after this
/// returns.
///
/// Folders that are created later and targets of symbolic links are watched too. If `root` vanishes, it is watched
/// again when it is back. A panic in `on_change` is caught and followed by [`Change::Everything`].
///
/// # Errors
///
/// If `root` is missing or not a folder, or if the operating system refuses to watch it or a folder below it.
pub(crate) fn watch(
    root: &Path,
    mode: WatchMode,
    on_change: impl Fn(Change) + Send + 'static,
) -> Result<Watcher, WatchError> {
    let root = std::path::absolute(root).map_err(|source| WatchError::unreadable(root, source))?;
    let meta = std::fs::metadata(&root).map_err(|source| WatchError::unreadable(&root, source))?;
    if !meta.is_dir() {
        return Err(WatchError::not_a_folder(&root));
    }
    let inbox = Arc::new(Inbox::default());
    let callback = Callback::new(on_change, Arc::clone(&inbox));
    let work: Box<dyn FnOnce() + Send> = match mode {
        WatchMode::Native => {
            let native = NativeWatcher::new(Arc::clone(&inbox));
            let mut tree = WatchTree::new(root, native);
            tree.reset();
            if let Some(error) = tree.refusal() {
                return Err(error);
            }
            Box::new(move || run_native(tree, &callback))
        }
        WatchMode::Poll(interval) => {
            let first = poll::take_snapshot(&root, &inbox).map_err(|source| WatchError::unreadable(&root, source))?;
            Box::new(move || poll::run(&root, first, interval, &callback))
        }
    };
    let join = thread::Builder::new().name("template watch".to_owned()).spawn(work).map_err(WatchError::no_thread)?;
    Ok(Watcher { inbox, thread: join.thread().id(), join: Mutex::new(Some(join)) })
}

/// The times of the next check of links and of the next attempt to watch refused folders.
struct Schedule {
    check: Instant,
    retry: Instant,
    delay: Duration,
}

/// Handles notifications until the watcher is stopped.
fn run_native<F: Fn(Change)>(mut tree: WatchTree, callback: &Callback<F>) {
    let now = Instant::now();
    let mut schedule = Schedule { check: now + check_interval(tree.links()), retry: now, delay: RETRY_FIRST };
    while let Some(batch) = callback.inbox().take(schedule.check, GATHER) {
        // Reported here and again after the reset: the reset starts when the flood of notifications is over, and misses
        // the changes until then.
        if let Some(reason) = batch.lost.clone() {
            callback.call(Change::Everything { reason });
        }
        if let Some(change) = handle_batch(&mut tree, batch, &mut schedule) {
            callback.call(change);
        }
    }
}

/// Updates the watches, then returns the change to report. With this order, a file written before its watch existed is
/// on disk when the report arrives, and a file written later causes an event.
fn handle_batch(tree: &mut WatchTree, mut batch: EventBatch, schedule: &mut Schedule) -> Option<Change> {
    let start = Instant::now();
    let now_permitted = batch.metadata.iter().any(|path| tree.is_refused(path));
    let retry = now_permitted || (tree.can_retry() && start >= schedule.retry);
    // The end of a watcher that was replaced already loses no notifications.
    if batch.ended == Some(tree.generation()) {
        batch.lost = Some("watching broke off".to_owned());
    }
    if let Some(reason) = batch.lost.take() {
        tree.reset();
        schedule.postpone(tree);
        return Some(Change::Everything { reason });
    }
    if let Some(reason) = tree.root_changed(&batch.moved) {
        tree.reset();
        schedule.postpone(tree);
        return Some(Change::Everything { reason });
    }
    if retry {
        tree.reset();
        let failed = tree.refusal().map(|error| error.to_string());
        schedule.postpone(tree);
        let reason = failed.unwrap_or_else(|| "folders that could not be watched are watched again".to_owned());
        return Some(Change::Everything { reason });
    }
    let before = tree.refused();
    for path in &batch.moved {
        tree.update(path);
    }
    if !batch.moved.is_empty() || start >= schedule.check {
        batch.written.extend(tree.update_links());
        schedule.check = Instant::now() + check_interval(tree.links());
    }
    if tree.refused() > before {
        schedule.delay = RETRY_FIRST;
        schedule.postpone(tree);
        return tree.refusal().map(|error| Change::Everything { reason: error.to_string() });
    }
    tree.change(&batch)
}

/// The interval at which this number of links is resolved.
fn check_interval(links: usize) -> Duration {
    CHECK.max(CHECK_PER_LINK.saturating_mul(u32::try_from(links).unwrap_or(u32::MAX)))
}

impl Schedule {
    /// Schedules the next check and the next retry. Each retry reports everything, so a missed change is reported after
    /// at most `RETRY_LAST`.
    fn postpone(&mut self, tree: &WatchTree) {
        let now = Instant::now();
        self.check = now + check_interval(tree.links());
        self.delay = if tree.can_retry() { (self.delay * 2).min(RETRY_LAST) } else { RETRY_FIRST };
        self.retry = now + self.delay;
    }
}
