//! A change below a watched folder, and the caller's function that receives it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;

use super::inbox::Inbox;

/// A change below a watched folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// These files and folders may have changed. A folder stands for everything below it.
    ///
    /// The paths are absolute, below the root as the caller spelled it, under every name that symbolic links give them,
    /// sorted, and without a path below another one.
    Paths(Vec<PathBuf>),
    /// Notifications were lost: everything below the root may have changed.
    Everything {
        /// Why notifications were lost.
        reason: String,
    },
}

/// The function that receives changes, until the watcher is stopped.
pub(super) struct Callback<F> {
    on_change: F,
    inbox: Arc<Inbox>,
}

impl<F: Fn(Change)> Callback<F> {
    pub(super) fn new(on_change: F, inbox: Arc<Inbox>) -> Self {
        Self { on_change, inbox }
    }

    pub(super) fn inbox(&self) -> &Inbox {
        &self.inbox
    }

    /// If the function panics, it may have handled a part of the change, so it is called again with everything. A
    /// second panic is ignored, because repeating further could occupy the thread forever.
    pub(super) fn call(&self, change: Change) {
        let again = Change::Everything { reason: "handling the change before panicked".to_owned() };
        for change in [change, again] {
            if self.inbox.stopping() || catch_unwind(AssertUnwindSafe(|| (self.on_change)(change))).is_ok() {
                return;
            }
        }
    }
}
