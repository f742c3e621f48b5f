//! Notifications of the operating system, through `notify`: watches single folders and forwards their events.
//!
//! The folders to watch are chosen by `tree.rs`; events are classified by `batch.rs`.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

use notify::event::{AccessKind, AccessMode, Event, EventKind};
use notify::{Config, EventHandler, RecommendedWatcher, RecursiveMode, Watcher as _};

use super::error::WatchRefusal;
use super::inbox::Inbox;

/// Whether each folder is watched separately. `notify` could add watches for new folders itself. Then the time at which
/// a watch starts would be unknown, new links would not be followed, and a folder with two names would be reported
/// under one of them.
pub(super) const EACH_FOLDER: bool = cfg!(any(target_os = "linux", target_os = "android"));

pub(super) struct NativeWatcher {
    os: Option<RecommendedWatcher>,
    inbox: Arc<Inbox>,
    generation: u64,
}

impl NativeWatcher {
    pub(super) fn new(inbox: Arc<Inbox>) -> Self {
        Self { os: None, inbox, generation: 0 }
    }

    /// The number of operating system watchers so far.
    pub(super) fn generation(&self) -> u64 {
        self.generation
    }

    pub(super) fn stopping(&self) -> bool {
        self.inbox.stopping()
    }

    pub(super) fn add(&mut self, folder: &Path) -> Result<(), WatchRefusal> {
        let os = match &mut self.os {
            Some(os) => os,
            none => {
                self.generation += 1;
                let forward = EventForwarder { inbox: Arc::clone(&self.inbox), generation: self.generation };
                // Folders are added by their resolved path, and the targets of links separately.
                let config = Config::default().with_follow_symlinks(false);
                none.insert(RecommendedWatcher::new(forward, config)?)
            }
        };
        let mode = if EACH_FOLDER { RecursiveMode::NonRecursive } else { RecursiveMode::Recursive };
        // `notify` panics if its thread has ended. The next call starts another one.
        let Ok(added) = catch_unwind(AssertUnwindSafe(|| os.watch(folder, mode))) else {
            self.os = None;
            return Err(WatchRefusal::Other("watching broke off".to_owned()));
        };
        Ok(added?)
    }

    /// Errors are ignored: they mean that the watch ended already, with its folder or with the thread.
    pub(super) fn remove(&mut self, folder: &Path) {
        if let Some(os) = &mut self.os
            && catch_unwind(AssertUnwindSafe(|| os.unwatch(folder))).is_err()
        {
            self.os = None;
        }
    }
}

struct EventForwarder {
    inbox: Arc<Inbox>,
    generation: u64,
}

impl EventHandler for EventForwarder {
    fn handle_event(&mut self, event: notify::Result<Event>) {
        if event.as_ref().is_ok_and(|event| !event.need_rescan() && is_reading(event.kind)) {
            return;
        }
        self.inbox.put(|batch| batch.add(event));
    }
}

/// Reading a template is not a change. Closing after writing is one, because memory-mapped writes cause no other event.
fn is_reading(kind: EventKind) -> bool {
    matches!(kind, EventKind::Access(access) if access != AccessKind::Close(AccessMode::Write))
}

impl Drop for EventForwarder {
    fn drop(&mut self) {
        let ended = self.generation;
        // The end of an earlier watcher must not hide that of the current one.
        self.inbox.put(|batch| batch.ended = batch.ended.max(Some(ended)));
    }
}
