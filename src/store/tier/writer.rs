//! Writing to the store, from a thread of its own: nobody who waits for a page waits for this.
//!
//! What is to be written waits in a queue of bounded length. When it is full, or the store does not answer, writes are
//! dropped and counted: they can only help.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

use super::{Core, read_ahead};
use crate::invalidation::dependencies::FOREVER;
use crate::store::entry::Entry;
use crate::store::{Lease, StoreKey, ValueWrite};
use crate::telemetry::stats::Counter;
use crate::util::clock::{Clock, Nanos};
use crate::util::sync::{lock, unpoisoned};

const LONGEST_QUEUE: usize = 4096;
/// What waits may weigh so much, in bytes: memory may have let go of it already.
const HEAVIEST_QUEUE: usize = 32 << 20;
/// Writes in one round trip, and how long that may take.
const BATCH: usize = 64;
const PATIENCE: Duration = Duration::from_millis(500);

/// Something to do at the store.
pub(super) enum Job {
    Store {
        name: StoreKey,
        entry: Arc<Entry>,
        lease: Option<Lease>,
    },
    /// A lease whose holder stored nothing.
    Release {
        name: StoreKey,
        lease: Lease,
    },
    /// What a page asks for.
    List {
        name: StoreKey,
        bytes: Vec<u8>,
    },
}

impl Job {
    fn weight(&self) -> usize {
        match self {
            Job::Store { entry, .. } => entry.weight() as usize,
            Job::List { bytes, .. } => bytes.len(),
            Job::Release { .. } => 0,
        }
    }
}

#[derive(Default)]
pub(super) struct Writer {
    queue: Mutex<Queue>,
    changed: Condvar,
}

#[derive(Default)]
struct Queue {
    jobs: VecDeque<Job>,
    weight: usize,
    /// Jobs taken and not done.
    under_way: usize,
    dropped: u64,
    stopped: bool,
}

impl Writer {
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

    /// Blocks until all that was pushed is done, or given up.
    pub(super) fn flush(&self, patience: Duration) -> bool {
        let busy = |queue: &mut Queue| !queue.stopped && (!queue.jobs.is_empty() || queue.under_way > 0);
        let waited = self.changed.wait_timeout_while(self.queue(), patience, busy);
        !unpoisoned(waited).1.timed_out()
    }

    pub(super) fn stop(&self) {
        self.queue().stopped = true;
        self.changed.notify_all();
    }

    fn take(&self) -> Option<(Vec<Job>, u64)> {
        let idle = |queue: &mut Queue| !queue.stopped && queue.jobs.is_empty();
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

    fn done(&self) {
        self.queue().under_way = 0;
        self.changed.notify_all();
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        lock(&self.queue)
    }
}

impl Core {
    /// What the writing thread does until it is stopped.
    pub(super) fn write_jobs(&self, clock: &Clock) {
        while let Some((jobs, dropped)) = self.writer.take() {
            self.events.add(Counter::shared_drops, dropped);
            self.write_batch(&jobs, clock.latest());
            self.writer.done();
        }
    }

    fn write_batch(&self, jobs: &[Job], now: Nanos) {
        let sealed: Vec<(&Job, Option<Vec<u8>>)> = jobs.iter().map(|job| (job, self.sealed(job))).collect();
        let planned: Vec<Option<ValueWrite<'_>>> =
            sealed.iter().map(|(job, bytes)| write(job, bytes.as_deref(), now)).collect();
        let writes: Vec<ValueWrite<'_>> = planned.iter().copied().flatten().collect();
        if !writes.is_empty() {
            let count = writes.len() as u64;
            let written = self.aside(|remote, start| remote.write(&writes, start + PATIENCE));
            self.events.add(if written.is_some() { Counter::shared_stores } else { Counter::shared_drops }, count);
        }
        for (job, planned) in jobs.iter().zip(&planned) {
            // A lease ends with the write, or here.
            if let (None, Job::Release { name, lease } | Job::Store { name, lease: Some(lease), .. }) = (planned, job) {
                self.aside(|remote, start| remote.release(*name, *lease, start + PATIENCE));
            }
        }
    }

    fn sealed(&self, job: &Job) -> Option<Vec<u8>> {
        match job {
            Job::Store { entry, .. } => {
                let sealed = self.seal(entry);
                if sealed.is_none() {
                    self.events.count(Counter::shared_drops);
                }
                sealed
            }
            Job::List { bytes, .. } => Some(bytes.clone()),
            Job::Release { .. } => None,
        }
    }
}

fn write<'a>(job: &Job, value: Option<&'a [u8]>, now: Nanos) -> Option<ValueWrite<'a>> {
    let value = value?;
    match job {
        Job::Store { name, entry, lease } => {
            let ttl = match entry.record.expires {
                FOREVER => None,
                expires => Some(Duration::from_nanos(expires.saturating_add(entry.kept).checked_sub(now)?)),
            };
            Some(ValueWrite { key: *name, value, ttl, lease: *lease })
        }
        Job::List { name, .. } => Some(ValueWrite { key: *name, value, ttl: Some(read_ahead::KEPT), lease: None }),
        Job::Release { .. } => None,
    }
}
