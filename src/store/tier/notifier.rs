//! Wakes the thread that synchronises with the store, and stops the tier's threads.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex};
use std::time::Duration;

use crate::util::sync::{lock, unpoisoned};

/// Wakes the synchronising thread.
#[derive(Default)]
pub(super) struct Notifier {
    rung: Mutex<bool>,
    changed: Condvar,
    stopped: AtomicBool,
}

impl Notifier {
    pub(super) fn ring(&self) {
        *lock(&self.rung) = true;
        self.changed.notify_all();
    }

    pub(super) fn stop(&self) {
        self.stopped.store(true, Ordering::Release);
        self.ring();
    }

    pub(super) fn stopped(&self) -> bool {
        self.stopped.load(Ordering::Acquire)
    }

    /// Blocks until it is rung, or until `span` is over.
    pub(super) fn wait(&self, span: Duration) {
        let rung = lock(&self.rung);
        let waited = self.changed.wait_timeout_while(rung, span, |rung| !*rung);
        *unpoisoned(waited).0 = false;
    }
}
