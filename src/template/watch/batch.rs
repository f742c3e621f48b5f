//! Notifications of the operating system, collected into one batch by kind.
//!
//! When a batch is complete is decided by `inbox.rs`; the paths to report and the watches to update by `tree.rs`.

use std::collections::BTreeSet;
use std::path::PathBuf;

use notify::event::{Event, EventKind, ModifyKind};

/// A batch or a report with more paths is replaced by "everything".
pub(super) const MAX_PATHS: usize = 50_000;

#[derive(Default)]
pub(super) struct EventBatch {
    /// Paths whose content was written.
    pub(super) written: BTreeSet<PathBuf>,
    /// Paths that were created, removed or renamed, or whose change is of an unknown kind.
    pub(super) moved: BTreeSet<PathBuf>,
    /// Paths whose times or permissions changed.
    pub(super) metadata: BTreeSet<PathBuf>,
    /// Why notifications were lost, if they were.
    pub(super) lost: Option<String>,
    /// The generation of an operating system watcher that ended.
    pub(super) ended: Option<u64>,
}

impl EventBatch {
    pub(super) fn add(&mut self, event: notify::Result<Event>) {
        match event {
            Ok(event) if event.need_rescan() => {
                self.lose("the operating system dropped notifications: there were too many at once".to_owned());
            }
            Ok(event) if self.lost.is_none() => self.add_event(event),
            // After a loss, everything is reported anyway.
            Ok(_) => {}
            Err(error) => self.lose(format!("the operating system reports: {error}")),
        }
        if self.written.len() + self.moved.len() + self.metadata.len() > MAX_PATHS {
            self.lose(format!("more than {MAX_PATHS} paths changed at once"));
        }
    }

    fn lose(&mut self, reason: String) {
        *self = Self { lost: Some(reason), ended: self.ended, ..Self::default() };
    }

    fn add_event(&mut self, event: Event) {
        match event.kind {
            EventKind::Access(_) | EventKind::Modify(ModifyKind::Data(_)) => self.written.extend(event.paths),
            EventKind::Modify(ModifyKind::Metadata(_)) => self.metadata.extend(event.paths),
            // Windows sends this for a folder with every change in it, besides the event of the change itself.
            EventKind::Modify(ModifyKind::Any) if cfg!(windows) => {
                self.written.extend(event.paths.into_iter().filter(|path| !path.is_dir()));
            }
            _ => self.moved.extend(event.paths),
        }
    }
}
