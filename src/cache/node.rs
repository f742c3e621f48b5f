//! The cache as a node of the shared tier.

use std::pin::Pin;
use std::time::{Duration, Instant};

use crate::cache::Inner;
use crate::invalidation::floors::{EVERYTHING, Stamp, TagHash};
use crate::store::entry::Entry;
use crate::store::host::{FloorSink, Host};
use crate::store::request::Wanted;
use crate::telemetry::{By, Target};
use crate::util::clock::Nanos;

impl Inner {
    /// How many of these another node invalidated. What this one told the store comes back as an echo.
    fn of_others(&self, tags: &[TagHash]) -> usize {
        self.shared.as_ref().map_or(0, |shared| tags.iter().filter(|tag| !shared.is_telling(**tag)).count())
    }
}

/// What another node's invalidation does here.
impl FloorSink for Inner {
    fn raise(&self, tags: &[TagHash]) {
        self.floors.raise_all(tags);
        for template in self.templates.tagged(tags) {
            template.invalidate(&self.floors);
        }
        let others = self.of_others(tags);
        if others > 0 {
            self.observers.tell_invalidation(|| Target::Hashes(others), By::Node);
        }
    }

    /// What was missed may have been about templates too.
    fn raise_everything(&self) {
        self.drop_everything();
        for template in self.templates.all() {
            template.invalidate(&self.floors);
        }
        if self.of_others(&[EVERYTHING]) > 0 {
            self.observers.tell_invalidation(|| Target::Everything, By::Node);
        }
    }
}

impl Host for Inner {
    fn stamp(&self) -> Stamp {
        self.floors.stamp()
    }

    fn holds(&self, hash: u128) -> bool {
        Inner::holds(self, hash)
    }

    fn usable(&self, entry: &Entry, wanted: &Wanted<'_>, arrived: Nanos) -> bool {
        Inner::usable(self, entry, wanted, arrived)
    }

    fn sleep(&self, span: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(self.sleep_until(Instant::now() + span))
    }
}
