//! Shadow verification: a share of the hits is computed again and compared with the cached result.
//!
//! Owns the choice of hits and the comparison. The callers run the computation, see `get_or_set/verify.rs`; the
//! differences are in `telemetry/difference.rs`.

use std::time::Duration;

use crate::cache::computation::Computation;
use crate::cache::{Engine, FragmentCache};
use crate::invalidation::stack;
use crate::store::caller::Caller;
use crate::store::request::{IdentityParts, Request};
use crate::telemetry::{Difference, FragmentCounter, VerifiedHit};
use crate::util::clock::Nanos;

/// How long verification pauses after a computation failed, in nanoseconds (10 s). During an outage the cached entries
/// may be all that can be served.
const PAUSE: Nanos = 10_000_000_000;

/// A hit that is being computed again.
pub(crate) struct Verifying {
    work: Option<Computation>,
    hit: VerifiedHit,
}

impl FragmentCache {
    /// The last verified hits, at most 64, that differed from their new computation, the newest first. Empty unless
    /// [`Builder::shadow`](crate::Builder::shadow) makes the cache verify hits.
    pub fn differences(&self) -> Vec<Difference> {
        self.inner.telemetry.differences.read()
    }

    /// Starts the verification of a hit whose entry began at `began`, if the hit is chosen for it.
    #[inline]
    pub(crate) fn verify(
        &self,
        request: &Request<'_>,
        caller: &mut impl Caller,
        began: Nanos,
    ) -> Option<Box<Verifying>> {
        self.inner.is_sampled().then(|| self.verifying(request, caller, began))
    }

    /// Boxed, because each hit reserves space for this value.
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
    /// The computation; its frame is on the thread while the body runs.
    pub(crate) fn work(&mut self) -> Option<&mut Computation> {
        self.work.as_mut()
    }

    /// Compares the computed result with the cached one; returns whether they are equal.
    pub(crate) fn compare(mut self: Box<Self>, cached: &str, computed: &str) -> bool {
        let Some(work) = self.work.take() else { return true };
        let label = work.label();
        let (inner, record) = work.discard();
        label.count(FragmentCounter::Verified);
        let (cached, computed) = (inner.telemetry.plain(cached), inner.telemetry.plain(computed));
        if cached == computed {
            return true;
        }
        // The computed result is served. So the enclosing result depends on its dependencies too, in addition to those
        // of the hit.
        stack::gather(|enclosing| enclosing.merge_nested(&record));
        label.count(FragmentCounter::Differing);
        inner.telemetry.record_difference(self.hit.clone(), &cached, &computed, &inner.reporter);
        false
    }
}

impl Drop for Verifying {
    /// The computation failed. The caller of a closure gets the hit. A block whose body fails gives the error, as it
    /// would without a cache.
    fn drop(&mut self) {
        if let Some(work) = self.work.take() {
            work.discard().0.pause_verifying();
        }
    }
}

impl Engine {
    /// Whether this hit is chosen for verification.
    #[inline]
    pub(crate) fn is_sampled(&self) -> bool {
        self.settings.shadow > 0.0 && self.is_chosen()
    }

    #[cold]
    fn is_chosen(&self) -> bool {
        fastrand::f64() < self.settings.shadow && !self.telemetry.differences.are_paused(self.clock.now())
    }

    /// Pauses verification after a computation failed.
    pub(crate) fn pause_verifying(&self) {
        self.telemetry.differences.pause(self.clock.now().saturating_add(PAUSE));
    }
}
