//! Counts entries that leave memory, records why they left, and publishes evictions to subscribers. `memory.rs` calls
//! it.

use std::sync::Arc;
use std::time::Duration;

use crate::store::entry::Entry;
use crate::store::memory::Removal;
use crate::store::request::IdentityParts;
use crate::telemetry::trace;
use crate::telemetry::{
    About, FragmentCounter, Happened, Interest, LastOutcome, RemovalHistory, Subscribers, Telemetry, key_hash,
};
use crate::util::clock::Nanos;

/// Records entries that leave memory. Inserts wait for the listener, so it must not block.
#[derive(Debug)]
pub(crate) struct EvictionListener {
    name: Arc<str>,
    past: Arc<RemovalHistory>,
    subscribers: Arc<Subscribers>,
}

impl EvictionListener {
    pub(crate) fn of(telemetry: &Telemetry) -> EvictionListener {
        EvictionListener {
            name: Arc::clone(&telemetry.name),
            past: Arc::clone(&telemetry.past),
            subscribers: Arc::clone(&telemetry.subscribers),
        }
    }

    pub(crate) fn note(&self, hash: u128, entry: &Entry, departure: Removal, now: Nanos) {
        let label = &entry.label;
        label.left(entry.weight());
        match departure {
            Removal::Replaced => {}
            Removal::Expired => self.past.note(hash, LastOutcome::Expired),
            // The caller that removes a single entry records the reason afterwards.
            Removal::Removed => self.past.note(hash, LastOutcome::Cleared),
            Removal::NoRoom => {
                self.past.note(hash, LastOutcome::Evicted);
                let age = now.saturating_sub(entry.record.begin.at);
                let used = entry.is_used();
                label.count(FragmentCounter::Evicted);
                label.add(FragmentCounter::AgeAtEviction, age);
                if !used {
                    label.count(FragmentCounter::EvictedUnused);
                }
                if self.subscribers.any() || trace::of_hits() {
                    let key = IdentityParts::of(&entry.identity).map_or(&[][..], |parts| parts.named);
                    let about = About::new(label, key_hash(key));
                    let age = Duration::from_nanos(age);
                    trace::evicted(&self.name, &about, age, entry.weight(), used);
                    let evicted = Happened::Evicted { about, age, bytes: entry.weight(), used };
                    self.subscribers.publish(Interest::Changes, evicted);
                }
            }
        }
    }
}
