//! What all services of one layer share: its policy, and what was noticed of pages lately.

use super::pending::PendingPage;
use super::policy::Policy;
use super::recent_set::RecentSet;
use crate::error::{Error, ErrorKind};
use crate::observe::{Fate, Rejection};
use crate::work::Work;

/// What all services of one layer share.
#[derive(Debug, Clone)]
pub(super) struct LayerState {
    pub(super) policy: Policy,
    /// Pages that were not stored: whoever asks for one waits for nobody, whose answer he could not use.
    pub(super) unstored: RecentSet,
    /// Pages whose body was too slow or too large to be had whole: it is not waited for again.
    pub(super) streams: RecentSet,
    /// Pages whose handler failed: expired ones are shown without asking it again at once.
    pub(super) failing: RecentSet,
}

impl LayerState {
    /// A page could not be made, and an expired one is shown in its place.
    pub(super) fn note_failure(&self, page: u128) {
        self.failing.note(page, self.policy.cache.inner.clock.now());
        let message = "the handler of a page failed; the expired page is shown for its grace";
        self.policy.cache.inner.report(&Error::new(ErrorKind::Callback, message));
    }

    /// A page turned out to be none to store: nobody waits for it for a while, and what there was of it is not what
    /// there is: it is gone, say, or private from now on.
    pub(super) fn not_stored(&self, missing: &PendingPage, work: Option<Work>) {
        let inner = &self.policy.cache.inner;
        if let Some(work) = work {
            if work.leads() {
                self.unstored.note(missing.hash(), inner.clock.now());
                inner.memory.remove(missing.hash());
                inner.observers.past.note(missing.hash(), Fate::Rejected(Rejection::Uncacheable));
            }
            work.release();
        }
    }

    pub(super) fn new(policy: Policy) -> LayerState {
        LayerState { policy, unstored: RecentSet::new(60), streams: RecentSet::new(60), failing: RecentSet::new(2) }
    }
}
