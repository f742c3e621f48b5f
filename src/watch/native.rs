//! The operating system's notifications, through `notify`: adding and removing one folder, and passing events on.
//!
//! Which folders is `tree.rs`; what events mean is `batch.rs`.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::mpsc::Sender;

use notify::event::{AccessKind, AccessMode, Event, EventKind};
use notify::{Config, EventHandler, RecommendedWatcher, RecursiveMode, Watcher as _};

use super::error::Refusal;

/// Whether each folder gets a watch of its own. `notify` would add watches for new folders itself, but then nobody knows
/// when a watch exists, new links are not followed, and a folder with two names is reported under one of them.
pub(super) const EACH_FOLDER: bool = cfg!(any(target_os = "linux", target_os = "android"));

pub(super) enum Message {
    Event(Event),
    Error(notify::Error),
    /// The watch with this generation has ended, wanted or not.
    Closed(u64),
    Stop,
}

pub(super) struct Native {
    os: Option<RecommendedWatcher>,
    tx: Sender<Message>,
    generation: u64,
}

impl Native {
    pub(super) fn new(tx: Sender<Message>) -> Self {
        Self { os: None, tx, generation: 0 }
    }

    pub(super) fn generation(&self) -> u64 {
        self.generation
    }

    pub(super) fn add(&mut self, folder: &Path) -> Result<(), Refusal> {
        let os = match &mut self.os {
            Some(os) => os,
            none => {
                self.generation += 1;
                let forward = Forward { tx: self.tx.clone(), generation: self.generation };
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
    tx: Sender<Message>,
    generation: u64,
}

impl EventHandler for Forward {
    fn handle_event(&mut self, event: notify::Result<Event>) {
        let message = match event {
            Ok(event) if !event.need_rescan() && is_reading(event.kind) => return,
            Ok(event) => Message::Event(event),
            Err(error) => Message::Error(error),
        };
        // An error means that nobody listens any more.
        let _ = self.tx.send(message);
    }
}

/// Reading a template must not look like a change. Closing after writing counts as one: memory-mapped writes tell nothing else.
fn is_reading(kind: EventKind) -> bool {
    matches!(kind, EventKind::Access(access) if access != AccessKind::Close(AccessMode::Write))
}

impl Drop for Forward {
    fn drop(&mut self) {
        // An error means that nobody listens any more.
        let _ = self.tx.send(Message::Closed(self.generation));
    }
}
