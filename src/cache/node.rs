//! The engine as a node of the shared tier: the calls that the tier makes.

use std::pin::Pin;
use std::time::{Duration, Instant};

use crate::cache::Engine;
use crate::invalidation::floors::{EVERYTHING, Stamp, TagHash};
use crate::store::entry::Entry;
use crate::store::host::{FloorSink, Host};
use crate::store::request::Request;
use crate::telemetry::{By, Target};
use crate::util::clock::Nanos;

impl Engine {
    /// How many of these tags another node invalidated. An invalidation that this node published comes back as an echo,
    /// and is not counted.
    fn of_others(&self, tags: &[TagHash]) -> usize {
        self.shared.as_ref().map_or(0, |shared| tags.iter().filter(|tag| !shared.is_publishing(**tag)).count())
    }
}

/// Applies the invalidations of other nodes on this node.
impl FloorSink for Engine {
    fn raise(&self, tags: &[TagHash]) {
        self.floors.raise_all(tags);
        for template in self.templates.tagged(tags) {
            template.invalidate(&self.floors);
        }
        let others = self.of_others(tags);
        if others > 0 {
            self.telemetry.record_invalidation(|| Target::Hashes(others), By::Node);
        }
    }

    /// Invalidates all templates too: an invalidation that this node did not receive may have been of a template.
    fn raise_everything(&self) {
        self.drop_everything();
        for template in self.templates.all() {
            template.invalidate(&self.floors);
        }
        if self.of_others(&[EVERYTHING]) > 0 {
            self.telemetry.record_invalidation(|| Target::Everything, By::Node);
        }
    }
}

impl Host for Engine {
    fn stamp(&self) -> Stamp {
        self.floors.stamp()
    }

    fn holds(&self, hash: u128) -> bool {
        Engine::holds(self, hash)
    }

    fn usable(&self, entry: &Entry, request: &Request<'_>, arrived: Nanos) -> bool {
        Engine::usable(self, entry, request, arrived)
    }

    fn sleep(&self, span: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(self.sleep_until(Instant::now() + span))
    }
}
