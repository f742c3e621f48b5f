//! The batch of notifications that waits for the watcher's thread.
//!
//! Notifications can come faster than changes are handled. A queue would grow without limit; a batch grows only with
//! the number of paths. The content of a batch is `batch.rs`.

use std::mem;
use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use super::batch::EventBatch;
use crate::util::sync::{lock, unpoisoned};

#[derive(Default)]
pub(super) struct Inbox {
    state: Mutex<InboxState>,
    /// Notified when a batch begins and when the watcher is stopped.
    wake: Condvar,
}

#[derive(Default)]
struct InboxState {
    batch: EventBatch,
    /// The time of the first notification in the batch.
    since: Option<Instant>,
    stopping: bool,
}

impl Inbox {
    pub(super) fn put(&self, add: impl FnOnce(&mut EventBatch)) {
        let mut state = self.lock();
        add(&mut state.batch);
        if state.since.is_none() {
            state.since = Some(Instant::now());
            self.wake.notify_all();
        }
    }

    pub(super) fn stop(&self) {
        self.lock().stopping = true;
        self.wake.notify_all();
    }

    pub(super) fn stopping(&self) -> bool {
        self.lock().stopping
    }

    /// Waits until `end` for a batch to begin, and lets it grow for `gather` from its first notification. Returns an
    /// empty batch if none began, and `None` as soon as the watcher is stopped.
    pub(super) fn take(&self, end: Instant, gather: Duration) -> Option<EventBatch> {
        let state = self.wait(self.lock(), end, |state| state.since.is_none());
        let mut state = match state.since {
            Some(since) => self.wait(state, since + gather, |_| true),
            None => state,
        };
        state.since = None;
        (!state.stopping).then(|| mem::take(&mut state.batch))
    }

    fn wait<'a>(
        &self,
        state: MutexGuard<'a, InboxState>,
        end: Instant,
        more: impl Fn(&InboxState) -> bool,
    ) -> MutexGuard<'a, InboxState> {
        let left = end.saturating_duration_since(Instant::now());
        let waited = self.wake.wait_timeout_while(state, left, |state| !state.stopping && more(state));
        unpoisoned(waited).0
    }

    /// A panic while adding leaves a batch that lacks at most one path.
    fn lock(&self) -> MutexGuard<'_, InboxState> {
        lock(&self.state)
    }
}
