//! The operating system's notifications, through `notify`: adding and removing one folder, and passing events on.
//!
//! Which folders is `tree.rs`; what events mean is `batch.rs`.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

use notify::event::{AccessKind, AccessMode, Event, EventKind};
use notify::{Config, EventHandler, RecommendedWatcher, RecursiveMode, Watcher as _};

use super::error::Refusal;
use super::inbox::Inbox;

/// Whether each folder gets a watch of its own. `notify` would add watches for new folders itself, but then nobody
/// knows when a watch exists, new links are not followed, and a folder with two names is reported under one of them.
pub(super) const EACH_FOLDER: bool = cfg!(any(target_os = "linux", target_os = "android"));

pub(super) struct Native {
    os: Option<RecommendedWatcher>,
    inbox: Arc<Inbox>,
    generation: u64,
}

impl Native {
    pub(super) fn new(inbox: Arc<Inbox>) -> Self {
        Self { os: None, inbox, generation: 0 }
    }

    /// Counts the watches in use one after another.
    pub(super) fn generation(&self) -> u64 {
        self.generation
    }

    pub(super) fn stopping(&self) -> bool {
        self.inbox.stopping()
    }

    pub(super) fn add(&mut self, folder: &Path) -> Result<(), Refusal> {
        let os = match &mut self.os {
            Some(os) => os,
            none => {
                self.generation += 1;
                let forward = Forward { inbox: Arc::clone(&self.inbox), generation: self.generation };
                // Folders are added by their resolved path, links by what they lead to.
                let config = Config::default().with_follow_symlinks(false);
                none.insert(RecommendedWatcher::new(forward, config)?)
            }
        };
        let mode = if EACH_FOLDER { RecursiveMode::NonRecursive } else { RecursiveMode::Recursive };
        // `notify` panics when its thread has ended; the next call starts another one.
        let Ok(added) = catch_unwind(AssertUnwindSafe(|| os.watch(folder, mode))) else {
            self.os = None;
            return Err(Refusal::Other("watching broke off".to_owned()));
        };
        Ok(added?)
    }

    /// An error means that the watch ended before: with its folder, or with the thread.
    pub(super) fn remove(&mut self, folder: &Path) {
        if let Some(os) = &mut self.os
            && catch_unwind(AssertUnwindSafe(|| os.unwatch(folder))).is_err()
        {
            self.os = None;
        }
    }
}

struct Forward {
    inbox: Arc<Inbox>,
    generation: u64,
}

impl EventHandler for Forward {
    fn handle_event(&mut self, event: notify::Result<Event>) {
        if event.as_ref().is_ok_and(|event| !event.need_rescan() && is_reading(event.kind)) {
            return;
        }
        self.inbox.put(|batch| batch.add(event));
    }
}

/// Reading a template must not look like a change. Closing after writing counts as one: memory-mapped writes tell
/// nothing else.
fn is_reading(kind: EventKind) -> bool {
    matches!(kind, EventKind::Access(access) if access != AccessKind::Close(AccessMode::Write))
}

impl Drop for Forward {
    fn drop(&mut self) {
        let ended = self.generation;
        // The end of an earlier watch must not hide that of the one in use.
        self.inbox.put(|batch| batch.closed = batch.closed.max(Some(ended)));
    }
}
