//! Shadow verification: a share of hits is computed again, and held against what the cache had.

use std::time::Duration;

use crate::cache::computation::Computation;
use crate::cache::{Engine, FragmentCache};
use crate::invalidation::stack;
use crate::store::caller::Caller;
use crate::store::request::{IdentityParts, Request};
use crate::telemetry::{Difference, FragmentCounter, VerifiedHit};
use crate::util::clock::Nanos;

/// How long nothing is verified after a computation failed: what is cached may be all there is.
const PAUSE: Nanos = 10_000_000_000;

/// A hit that is being computed again.
pub(crate) struct Verifying {
    work: Option<Computation>,
    hit: VerifiedHit,
}

impl FragmentCache {
    /// The last hits, at most 64, that were not what computing them again gave; the newest first. Empty unless
    /// [`Builder::shadow`](crate::Builder::shadow) has some verified.
    pub fn differences(&self) -> Vec<Difference> {
        self.inner.telemetry.differences.read()
    }

    /// Begins to compute a hit again that began at `began`, if it is one of those to be verified.
    #[inline]
    pub(crate) fn verify(
        &self,
        request: &Request<'_>,
        caller: &mut impl Caller,
        began: Nanos,
    ) -> Option<Box<Verifying>> {
        self.inner.is_sampled().then(|| self.verifying(request, caller, began))
    }

    /// Boxed: every hit makes room for it.
    #[cold]
    fn verifying(&self, request: &Request<'_>, caller: &mut impl Caller, began: Nanos) -> Box<Verifying> {
        let inner = &self.inner;
        let work = self.apart(request, caller);
        let site = IdentityParts::of(request.identity.bytes).and_then(|parts| parts.site);
        let place = site.and_then(|site| inner.telemetry.labels.place(site));
        let age = Duration::from_nanos(inner.clock.now().saturating_sub(began));
        Box::new(Verifying { hit: VerifiedHit { about: work.about(), place, age }, work: Some(work) })
    }
}

impl Verifying {
    /// The work, which stands on a thread while it is computed.
    pub(crate) fn work(&mut self) -> Option<&mut Computation> {
        self.work.as_mut()
    }

    /// Holds what was computed against what the cache had; whether it is the same.
    pub(crate) fn compare(mut self: Box<Self>, cached: &str, computed: &str) -> bool {
        let Some(work) = self.work.take() else { return true };
        let label = work.label();
        let (inner, record) = work.discard();
        label.count(FragmentCounter::Verified);
        let (cached, computed) = (inner.telemetry.plain(cached), inner.telemetry.plain(computed));
        if cached == computed {
            return true;
        }
        // It is what is shown: what encloses it depends on what that depends on, beside what the hit did.
        stack::gather(|enclosing| enclosing.merge_nested(&record));
        label.count(FragmentCounter::Differing);
        inner.telemetry.record_difference(self.hit.clone(), &cached, &computed, &inner.reporter);
        false
    }
}

impl Drop for Verifying {
    /// It failed: whoever asked has the hit all the same, or the error of a body that would have failed without a
    /// cache.
    fn drop(&mut self) {
        if let Some(work) = self.work.take() {
            work.discard().0.pause_verifying();
        }
    }
}

impl Engine {
    /// Whether a hit is one of those to be verified.
    #[inline]
    pub(crate) fn is_sampled(&self) -> bool {
        self.settings.shadow > 0.0 && self.is_chosen()
    }

    #[cold]
    fn is_chosen(&self) -> bool {
        fastrand::f64() < self.settings.shadow && !self.telemetry.differences.are_paused(self.clock.now())
    }

    /// Something that was to be verified could not be computed.
    pub(crate) fn pause_verifying(&self) {
        self.telemetry.differences.pause(self.clock.now().saturating_add(PAUSE));
    }
}
