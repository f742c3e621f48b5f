//! Tells when files below a folder may have changed: the public names, the thread that calls back, and how it stops.
//!
//! Which folders are watched and how their paths are spelled is `tree.rs` and `links.rs`, the operating system's
//! notifications are `native.rs`, gathering them is `inbox.rs` and `batch.rs`, looking at all files of a folder by the
//! clock is `poll.rs`, looking at single files is `files.rs`. What a change means for templates and caches is for the
//! caller.

mod batch;
mod error;
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
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle, ThreadId};
use std::time::{Duration, Instant};

use self::batch::Batch;
pub(crate) use self::error::WatchError;
#[cfg(all(test, not(shuttle)))]
use self::error::WatchErrorKind;
pub(crate) use self::files::{FileWatch, watch_file};
use self::inbox::Inbox;
use self::native::Native;
pub(crate) use self::resolve::{HOPS, Resolver};
use self::tree::Tree;
use crate::sync::lock;

/// How long changes are gathered, counted from the first of them, so that a constant stream delays nobody.
const GATHER: Duration = Duration::from_millis(20);

/// How often the root and the links are resolved again: a folder above them may have been replaced, and about that no
/// notification comes.
const CHECK: Duration = Duration::from_millis(100);

/// With many links it is this much less often for each, about ten times what resolving one takes. The time that the last
/// look took is no measure: on a busy machine most of it is waiting for a processor.
const CHECK_LINK: Duration = Duration::from_micros(20);

const RETRY_FIRST: Duration = Duration::from_millis(100);
const RETRY_LAST: Duration = Duration::from_secs(5);

/// What happened below a watched folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// These paths, files or folders (a folder means everything below it), may have changed.
    ///
    /// Absolute, below the root as the caller spelled it, and under every name that symbolic links give them; sorted,
    /// without a path below another one.
    Paths(Vec<PathBuf>),
    /// Something was missed: treat everything below the root as changed.
    Everything {
        /// What was missed, in words.
        reason: String,
    },
}

/// How to learn of changes.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WatchMode {
    /// The operating system tells (inotify, FSEvents, `ReadDirectoryChangesW`): within some 20 ms, and at next to no
    /// cost.
    ///
    /// Linux limits how many folders a user can watch (`fs.inotify.max_user_watches`), and says nothing about changes
    /// that another machine makes on a network file system.
    Native,
    /// Looks at the size and times of every file each interval (at least 10 ms).
    ///
    /// Works on every file system, and where the operating system refuses to watch. A look costs a few microseconds for
    /// each file.
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
    /// Waits for a callback under way, so no callback runs after this returns; called from inside the callback it
    /// returns at once and that callback is the last. Do not hold what the callback waits for.
    pub fn stop(&self) {
        self.inbox.stop();
        // Before the lock: another thread may hold it while it waits for this one.
        if thread::current().id() == self.thread {
            return;
        }
        let mut join = lock(&self.join);
        if let Some(handle) = join.take() {
            // A panic of the thread has been printed; there is nothing left to stop.
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

/// Calls `on_change` from a thread of its own whenever files below `root` may have changed, beginning with changes made
/// after this returns.
///
/// Folders created later and folders that symbolic links lead to are watched too. If `root` vanishes it is watched
/// again once it is back. A panic in `on_change` is caught and followed by [`Change::Everything`].
///
/// # Errors
///
/// If `root` is missing or is not a folder, or the operating system refuses to watch it or a folder below it.
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
    let callback = Callback { on_change, inbox: Arc::clone(&inbox) };
    let work: Box<dyn FnOnce() + Send> = match mode {
        WatchMode::Native => {
            let native = Native::new(Arc::clone(&inbox));
            let mut tree = Tree::new(root, native);
            tree.reset();
            if let Some(error) = tree.refusal() {
                return Err(error);
            }
            Box::new(move || follow(tree, &callback))
        }
        WatchMode::Poll(interval) => {
            let first = poll::look(&root, &inbox).map_err(|source| WatchError::unreadable(&root, source))?;
            Box::new(move || poll::follow(&root, first, interval, &callback))
        }
    };
    let join = thread::Builder::new().name("template watch".to_owned()).spawn(work).map_err(WatchError::no_thread)?;
    Ok(Watcher { inbox, thread: join.thread().id(), join: Mutex::new(Some(join)) })
}

/// What the caller gave, and whether it may still be called.
struct Callback<F> {
    on_change: F,
    inbox: Arc<Inbox>,
}

impl<F: Fn(Change)> Callback<F> {
    /// A panic leaves open how much of the change was dealt with, so everything counts as changed; a second panic ends
    /// that, or one bad change would occupy the thread for ever.
    fn call(&self, change: Change) {
        let again = Change::Everything { reason: "handling the change before panicked".to_owned() };
        for change in [change, again] {
            if self.inbox.stopping() || catch_unwind(AssertUnwindSafe(|| (self.on_change)(change))).is_ok() {
                return;
            }
        }
    }
}

/// When to resolve again and when to try refused folders again.
struct Schedule {
    check: Instant,
    retry: Instant,
    delay: Duration,
}

fn follow<F: Fn(Change)>(mut tree: Tree, callback: &Callback<F>) {
    let now = Instant::now();
    let mut schedule = Schedule { check: now + pace(tree.links()), retry: now, delay: RETRY_FIRST };
    while let Some(batch) = callback.inbox.take(schedule.check, GATHER) {
        // Reported twice: watching anew has to wait until the flood of notifications is over, and lets changes slip by.
        if let Some(reason) = batch.lost.clone() {
            callback.call(Change::Everything { reason });
        }
        if let Some(change) = turn(&mut tree, batch, &mut schedule) {
            callback.call(change);
        }
    }
}

/// Brings the watches up to date first and reports second: whatever was written before a watch existed is on disk when
/// the report arrives, whatever is written later has a watch to tell of it.
fn turn(tree: &mut Tree, mut batch: Batch, schedule: &mut Schedule) -> Option<Change> {
    let start = Instant::now();
    let permitted = batch.metadata.iter().any(|path| tree.is_refused(path));
    let retry = permitted || (tree.can_retry() && start >= schedule.retry);
    // The end of a watch that has been replaced since is no loss.
    if batch.closed == Some(tree.generation()) {
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
        tree.refresh(path);
    }
    if !batch.moved.is_empty() || start >= schedule.check {
        batch.touched.extend(tree.settle());
        schedule.check = Instant::now() + pace(tree.links());
    }
    if tree.refused() > before {
        schedule.delay = RETRY_FIRST;
        schedule.postpone(tree);
        return tree.refusal().map(|error| Change::Everything { reason: error.to_string() });
    }
    batch.into_change(tree)
}

/// How long until so many links are resolved again.
fn pace(links: usize) -> Duration {
    CHECK.max(CHECK_LINK.saturating_mul(u32::try_from(links).unwrap_or(u32::MAX)))
}

impl Schedule {
    /// While folders cannot be watched, each retry reports everything: what is missed stays stale for `RETRY_LAST` at
    /// most.
    fn postpone(&mut self, tree: &Tree) {
        let now = Instant::now();
        self.check = now + pace(tree.links());
        self.delay = if tree.can_retry() { (self.delay * 2).min(RETRY_LAST) } else { RETRY_FIRST };
        self.retry = now + self.delay;
    }
}
