//! Where notifications wait for the thread, as one batch: however many arrive, what waits does not grow beyond the
//! paths.
//!
//! A queue would: the system notifies quicker than changes can be dealt with. What a batch means is `batch.rs`.

use std::mem;
use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use super::batch::Batch;
use crate::sync::{lock, unpoisoned};

#[derive(Default)]
pub(super) struct Inbox {
    state: Mutex<State>,
    /// A batch has begun, or it is time to stop.
    wake: Condvar,
}

#[derive(Default)]
struct State {
    batch: Batch,
    /// When the batch began.
    since: Option<Instant>,
    stopping: bool,
}

impl Inbox {
    pub(super) fn put(&self, add: impl FnOnce(&mut Batch)) {
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

    /// Waits for a batch until `end`, then lets it grow for `gather` counted from its beginning; empty if none came,
    /// `None` as soon as it is time to stop.
    pub(super) fn take(&self, end: Instant, gather: Duration) -> Option<Batch> {
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
        state: MutexGuard<'a, State>,
        end: Instant,
        more: impl Fn(&State) -> bool,
    ) -> MutexGuard<'a, State> {
        let left = end.saturating_duration_since(Instant::now());
        let waited = self.wake.wait_timeout_while(state, left, |state| !state.stopping && more(state));
        unpoisoned(waited).0
    }

    /// A panic while adding leaves a batch that lacks one path at most, and is no reason to stop watching.
    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}
