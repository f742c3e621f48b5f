//! Gathers notifications into one change: which paths to report, and after which of them folders must be watched anew.
//!
//! What becomes of the watches is `tree.rs`; when a batch is complete is the thread's business.

use std::collections::BTreeSet;
use std::path::PathBuf;

use notify::event::{Event, EventKind, ModifyKind};

use super::Change;
use super::native::Message;
use super::tree::Tree;

#[derive(Default)]
pub(super) struct Batch {
    /// Something else than its name or existence changed.
    pub(super) touched: BTreeSet<PathBuf>,
    /// Created, removed, renamed, or nobody knows.
    pub(super) moved: BTreeSet<PathBuf>,
    /// Why notifications are missing.
    pub(super) lost: Option<String>,
    metadata: BTreeSet<PathBuf>,
}

impl Batch {
    pub(super) fn add(&mut self, message: Message, generation: u64) {
        match message {
            Message::Event(event) if event.need_rescan() => {
                self.lost = Some("the operating system dropped notifications: there were too many at once".to_owned());
            }
            Message::Event(event) => self.event(event),
            Message::Error(error) => self.lost = Some(format!("the operating system reports: {error}")),
            // The end of a watch that has been replaced since is no loss.
            Message::Closed(of) if of == generation => self.lost = Some("watching broke off".to_owned()),
            Message::Closed(_) | Message::Stop => {}
        }
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
        if event.attrs.flag().is_some() {
            self.lost.get_or_insert_with(|| "notifications are incomplete".to_owned());
        }
    }

    /// The paths as the caller spells them; `None` if they concern nobody.
    pub(super) fn into_change(self, tree: &Tree) -> Option<Change> {
        let mut spelled = BTreeSet::new();
        for path in self.touched.iter().chain(&self.moved).chain(&self.metadata) {
            if !tree.spell(path, &mut spelled) {
                let reason = format!("links give `{}` too many names to list", path.display());
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
