//! Notifications as one change: which paths to report, and after which of them folders must be watched anew.
//!
//! When a batch is complete is `inbox.rs`, what becomes of the watches is `tree.rs`.

use std::collections::BTreeSet;
use std::path::PathBuf;

use notify::event::{Event, EventKind, ModifyKind};

use super::Change;
use super::tree::Tree;

/// More paths than this at once are everything.
const PATHS: usize = 50_000;

#[derive(Default)]
pub(super) struct Batch {
    /// Written to.
    pub(super) touched: BTreeSet<PathBuf>,
    /// Created, removed, renamed, or nobody knows.
    pub(super) moved: BTreeSet<PathBuf>,
    /// Why notifications are missing.
    pub(super) lost: Option<String>,
    /// The generation of a watch that has ended, wanted or not.
    pub(super) closed: Option<u64>,
    /// Times or permissions changed.
    pub(super) metadata: BTreeSet<PathBuf>,
}

impl Batch {
    pub(super) fn add(&mut self, event: notify::Result<Event>) {
        match event {
            Ok(event) if event.need_rescan() => {
                self.lose("the operating system dropped notifications: there were too many at once".to_owned());
            }
            Ok(event) if self.lost.is_none() => self.event(event),
            // Everything is reported anyway.
            Ok(_) => {}
            Err(error) => self.lose(format!("the operating system reports: {error}")),
        }
        if self.touched.len() + self.moved.len() + self.metadata.len() > PATHS {
            self.lose(format!("more than {PATHS} paths changed at once"));
        }
    }

    fn lose(&mut self, reason: String) {
        *self = Self { lost: Some(reason), closed: self.closed, ..Self::default() };
    }

    fn event(&mut self, event: Event) {
        match event.kind {
            EventKind::Access(_) | EventKind::Modify(ModifyKind::Data(_)) => self.touched.extend(event.paths),
            EventKind::Modify(ModifyKind::Metadata(_)) => self.metadata.extend(event.paths),
            // Windows says this of a folder for every change in it, and tells of the change itself besides.
            EventKind::Modify(ModifyKind::Any) if cfg!(windows) => {
                self.touched.extend(event.paths.into_iter().filter(|path| !path.is_dir()));
            }
            _ => self.moved.extend(event.paths),
        }
    }

    /// The paths as the caller spells them; `None` if they concern nobody.
    pub(super) fn into_change(self, tree: &Tree) -> Option<Change> {
        let mut spelled = BTreeSet::new();
        for path in self.touched.iter().chain(&self.moved).chain(&self.metadata) {
            if !tree.spell(path, &mut spelled) || spelled.len() > PATHS {
                let reason =
                    format!("links give too many names to list to `{}` and what changed with it", path.display());
                return Some(Change::Everything { reason });
            }
        }
        // Sorted by component, so a folder stands right before what is below it.
        let mut paths: Vec<PathBuf> = Vec::with_capacity(spelled.len());
        for path in spelled {
            if !paths.last().is_some_and(|folder| path.starts_with(folder)) {
                paths.push(path);
            }
        }
        (!paths.is_empty()).then_some(Change::Paths(paths))
    }
}
