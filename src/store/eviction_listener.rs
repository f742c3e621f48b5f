//! Entries that leave memory: what became of them, under which label, and who is told.

use std::sync::Arc;
use std::time::Duration;

use crate::store::entry::Entry;
use crate::store::memory::Departure;
use crate::store::request::IdentityParts;
use crate::telemetry::trace;
use crate::telemetry::{About, Fate, Happened, Interest, Observers, Past, Rare, Subscribers, key_hash};
use crate::util::clock::Nanos;

/// What is noted of entries that leave memory. Inserts wait for it, so it waits for nothing.
#[derive(Debug)]
pub(crate) struct Departures {
    name: Arc<str>,
    past: Arc<Past>,
    subscribers: Arc<Subscribers>,
}

impl Departures {
    pub(crate) fn of(observers: &Observers) -> Departures {
        Departures {
            name: Arc::clone(&observers.name),
            past: Arc::clone(&observers.past),
            subscribers: Arc::clone(&observers.subscribers),
        }
    }

    pub(crate) fn note(&self, hash: u128, entry: &Entry, departure: Departure, now: Nanos) {
        let label = &entry.label;
        label.left(entry.weight());
        match departure {
            Departure::Replaced => {}
            Departure::Expired => self.past.note(hash, Fate::Expired),
            // Whoever removes a single entry says why afterwards.
            Departure::Removed => self.past.note(hash, Fate::Cleared),
            Departure::NoRoom => {
                self.past.note(hash, Fate::Evicted);
                let age = now.saturating_sub(entry.record.begin.at);
                let used = entry.is_used();
                label.count(Rare::Evicted);
                label.add(Rare::AgeAtEviction, age);
                if !used {
                    label.count(Rare::EvictedUnused);
                }
                if self.subscribers.any() || trace::of_hits() {
                    let key = IdentityParts::of(&entry.identity).map_or(&[][..], |parts| parts.named);
                    let about = About::new(label, key_hash(key));
                    let age = Duration::from_nanos(age);
                    trace::evicted(&self.name, &about, age, entry.weight(), used);
                    let evicted = Happened::Evicted { about, age, bytes: entry.weight(), used };
                    self.subscribers.tell(Interest::Changes, evicted);
                }
            }
        }
    }
}
