//! The jobs that wait to be written to the store, in a queue of bounded length and weight. When the queue is full, jobs
//! are dropped and counted. `writer.rs` takes them.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

use crate::store::entry::Entry;
use crate::store::{Lease, StoreKey};
use crate::util::sync::{lock, unpoisoned};

/// Writes in one round trip.
const BATCH: usize = 64;

const LONGEST_QUEUE: usize = 4096;
/// The largest weight of waiting entries, in bytes: memory may have evicted them already.
const HEAVIEST_QUEUE: usize = 32 << 20;

/// A call to the store that does not run on the request path.
pub(super) enum Job {
    Store {
        name: StoreKey,
        entry: Arc<Entry>,
        lease: Option<Lease>,
    },
    /// Ends a lease whose holder stored nothing.
    Release {
        name: StoreKey,
        lease: Lease,
    },
    /// Stores the read-ahead list of a page.
    List {
        name: StoreKey,
        bytes: Vec<u8>,
    },
}

impl Job {
    pub(super) fn weight(&self) -> usize {
        match self {
            Job::Store { entry, .. } => entry.weight() as usize,
            Job::List { bytes, .. } => bytes.len(),
            Job::Release { .. } => 0,
        }
    }
}

#[derive(Default)]
pub(super) struct JobQueue {
    queue: Mutex<WaitingJobs>,
    changed: Condvar,
}

#[derive(Default)]
struct WaitingJobs {
    jobs: VecDeque<Job>,
    weight: usize,
    /// Jobs that the writing thread has taken and not finished.
    under_way: usize,
    dropped: u64,
    stopped: bool,
}

impl JobQueue {
    pub(super) fn push(&self, job: Job) {
        let mut queue = self.queue();
        let weight = queue.weight + job.weight();
        if queue.jobs.len() < LONGEST_QUEUE && (weight <= HEAVIEST_QUEUE || queue.jobs.is_empty()) {
            queue.weight = weight;
            queue.jobs.push_back(job);
            drop(queue);
            self.changed.notify_all();
        } else {
            queue.dropped += 1;
        }
    }

    /// Blocks until all pushed jobs are done or given up, or until `patience` is over. Returns false in the last case.
    pub(super) fn flush(&self, patience: Duration) -> bool {
        let busy = |queue: &mut WaitingJobs| !queue.stopped && (!queue.jobs.is_empty() || queue.under_way > 0);
        let waited = self.changed.wait_timeout_while(self.queue(), patience, busy);
        !unpoisoned(waited).1.timed_out()
    }

    pub(super) fn stop(&self) {
        self.queue().stopped = true;
        self.changed.notify_all();
    }

    pub(super) fn take(&self) -> Option<(Vec<Job>, u64)> {
        let idle = |queue: &mut WaitingJobs| !queue.stopped && queue.jobs.is_empty();
        let mut queue = unpoisoned(self.changed.wait_while(self.queue(), idle));
        if queue.stopped {
            return None;
        }
        let count = queue.jobs.len().min(BATCH);
        queue.under_way = count;
        let dropped = std::mem::take(&mut queue.dropped);
        let jobs: Vec<Job> = queue.jobs.drain(..count).collect();
        queue.weight -= jobs.iter().map(Job::weight).sum::<usize>();
        Some((jobs, dropped))
    }

    pub(super) fn done(&self) {
        self.queue().under_way = 0;
        self.changed.notify_all();
    }

    fn queue(&self) -> MutexGuard<'_, WaitingJobs> {
        lock(&self.queue)
    }
}
