//! The state that all services of one layer share: the policy, and keys with recent failures.

use super::pending::PendingPage;
use super::policy::Policy;
use crate::cache::computation::Computation;
use crate::error::{Error, ErrorKind};
use crate::telemetry::{LastOutcome, Rejection};
use crate::util::recent_set::RecentSet;

#[derive(Debug, Clone)]
pub(super) struct LayerState {
    pub(super) policy: Policy,
    /// Keys whose last response could not be stored.
    unstorable: RecentSet,
    /// Keys whose last body was too slow or too large to be read whole.
    streamed: RecentSet,
    /// Keys whose handler failed while a stale page could be served.
    failing: RecentSet,
}

impl LayerState {
    pub(super) fn new(policy: Policy) -> LayerState {
        let (unstorable, streamed, failing) = (RecentSet::new(60), RecentSet::new(60), RecentSet::new(2));
        LayerState { policy, unstorable, streamed, failing }
    }

    /// Whether a request for this key must not wait for a running one, because it could not use the response.
    pub(super) fn is_unstorable(&self, key: u128) -> bool {
        self.unstorable.contains(key, self.policy.cache.inner.clock.now())
    }

    /// Whether the body of a response for this key goes to the client without being read whole.
    pub(super) fn is_streamed(&self, key: u128) -> bool {
        self.streamed.contains(key, self.policy.cache.inner.clock.now())
    }

    /// Whether a stale page for this key is served without calling the handler.
    pub(super) fn is_failing(&self, key: u128) -> bool {
        self.failing.contains(key, self.policy.cache.inner.clock.now())
    }

    pub(super) fn set_streamed(&self, key: u128) {
        self.streamed.insert(key, self.policy.cache.inner.clock.now());
    }

    pub(super) fn set_failing(&self, key: u128) {
        self.failing.insert(key, self.policy.cache.inner.clock.now());
    }

    pub(super) fn clear_failing(&self, key: u128) {
        self.failing.remove(key);
    }

    pub(super) fn clear_unstorable(&self, key: u128) {
        self.unstorable.remove(key);
    }

    /// Notes and reports that a handler failed and a stale page is served.
    pub(super) fn handler_failed(&self, key: u128) {
        self.set_failing(key);
        let message = "the handler of a page failed; the expired page is served during its grace";
        self.policy.cache.inner.report(&Error::new(ErrorKind::Callback, message));
    }

    /// Ends the computation of a page that may not be stored. The leader also drops the stored copy of the page,
    /// because the page is now private or gone.
    pub(super) fn not_stored(&self, pending: &PendingPage, work: Option<Computation>) {
        let inner = &self.policy.cache.inner;
        if let Some(work) = work {
            if work.leads() {
                let key = pending.key_hash();
                self.unstorable.insert(key, inner.clock.now());
                inner.memory.remove(key);
                inner.telemetry.past.note(key, LastOutcome::Rejected(Rejection::Uncacheable));
            }
            work.release();
        }
    }
}
