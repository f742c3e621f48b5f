//! Writes to the store, on a thread of its own: no request waits for a write.
//!
//! The jobs wait in the bounded queue of `jobs.rs`. If the queue is full or the store does not reply, writes are
//! dropped and counted: a missing write costs a computation and no correctness.

use std::time::Duration;

use super::core::Core;
use super::jobs::Job;
use crate::invalidation::dependencies::FOREVER;
use crate::store::ValueWrite;
use crate::telemetry::stats::Counter;
use crate::util::clock::{Clock, Nanos};

/// The time limit for a round trip of writes.
const PATIENCE: Duration = Duration::from_millis(500);
/// How long a read-ahead list is stored.
const LIST_KEPT: Duration = Duration::from_secs(24 * 3600);

impl Core {
    /// The loop of the writing thread, until it is stopped.
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
            // A lease ends with the write of its value, or here.
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
        Job::List { name, .. } => Some(ValueWrite { key: *name, value, ttl: Some(LIST_KEPT), lease: None }),
        Job::Release { .. } => None,
    }
}
