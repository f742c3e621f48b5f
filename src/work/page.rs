//! Ends of work that only pages have.

use std::sync::Arc;

use super::Work;
use crate::clock::Nanos;
use crate::context;
use crate::entry::{Body, Entry};
use crate::flight::Lead;
use crate::floors::TagHash;
use crate::record::{Record, Tag};

impl Work {
    /// Whether others may be waiting for it, and the result can be stored.
    pub(crate) fn leads(&self) -> bool {
        self.lead.is_some()
    }

    /// Counts the time it took from when another work began, which it is a part of.
    pub(crate) fn began_with(&mut self, other: &Work) {
        self.started = other.started;
    }

    /// Finishes with something that depends on the key alone, whatever the work was about, and says only where the
    /// result is. It is kept as long as that, and a while longer.
    pub(crate) fn finish_with_direction(mut self, body: Body, tags: impl IntoIterator<Item = TagHash>, until: Nanos) {
        self.finished = true;
        let gathered = self.take_record();
        context::gather(|enclosing| enclosing.enclose(&gathered));
        let mut bare = Record::new(self.inner.id, gathered.begin);
        tags.into_iter().for_each(|hash| bare.tag(Tag { hash, name: None }));
        bare.expires = until;
        let entry = self.entry(body, bare);
        self.publish(&entry);
    }

    /// Ends the work without a result that anybody else could use, and lets those who wait compute for themselves.
    pub(crate) fn release(mut self) {
        if let Some(lead) = self.end_unstored() {
            lead.release();
        }
    }

    /// Ends the work undone: the next one who waits may try.
    pub(crate) fn give_up(mut self) {
        drop(self.end_unstored());
    }

    /// The same because it failed.
    pub(crate) fn fail(self) {
        self.failed();
        self.give_up();
    }

    fn end_unstored(&mut self) -> Option<Lead<Arc<Entry>>> {
        self.finished = true;
        let record = self.take_record();
        context::gather(|enclosing| enclosing.enclose(&record));
        self.lead.take()
    }
}
