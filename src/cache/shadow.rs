//! Shadow verification: a share of hits is computed again, and held against what the cache had.

use std::time::Duration;

use crate::cache::computation::Work;
use crate::cache::{FragmentCache, Inner};
use crate::invalidation::stack;
use crate::store::caller::Asker;
use crate::store::request::{IdentityParts, Wanted};
use crate::telemetry::{Difference, Rare, VerifiedHit};
use crate::util::clock::Nanos;

/// How long nothing is verified after a computation failed: what is cached may be all there is.
const PAUSE: Nanos = 10_000_000_000;

/// A hit that is being computed again.
pub(crate) struct Verifying {
    work: Option<Work>,
    hit: VerifiedHit,
}

impl FragmentCache {
    /// The last hits, at most 64, that were not what computing them again gave; the newest first. Empty unless
    /// [`Builder::shadow`](crate::Builder::shadow) has some verified.
    pub fn differences(&self) -> Vec<Difference> {
        self.inner.observers.differences.read()
    }

    /// Begins to compute a hit again that began at `began`, if it is one of those to be verified.
    #[inline]
    pub(crate) fn verify(&self, wanted: &Wanted<'_>, asker: &mut impl Asker, began: Nanos) -> Option<Box<Verifying>> {
        self.inner.is_sampled().then(|| self.verifying(wanted, asker, began))
    }

    /// Boxed: every hit makes room for it.
    #[cold]
    fn verifying(&self, wanted: &Wanted<'_>, asker: &mut impl Asker, began: Nanos) -> Box<Verifying> {
        let inner = &self.inner;
        let work = self.apart(wanted, asker);
        let site = IdentityParts::of(wanted.identity.bytes).and_then(|parts| parts.site);
        let place = site.and_then(|site| inner.observers.labels.place(site));
        let age = Duration::from_nanos(inner.clock.now().saturating_sub(began));
        Box::new(Verifying { hit: VerifiedHit { about: work.about(), place, age }, work: Some(work) })
    }
}

impl Verifying {
    /// The work, which stands on a thread while it is computed.
    pub(crate) fn work(&mut self) -> Option<&mut Work> {
        self.work.as_mut()
    }

    /// Holds what was computed against what the cache had; whether it is the same.
    pub(crate) fn compare(mut self: Box<Self>, cached: &str, computed: &str) -> bool {
        let Some(work) = self.work.take() else { return true };
        let label = work.label();
        let (inner, record) = work.discard();
        label.count(Rare::Verified);
        let (cached, computed) = (inner.observers.plain(cached), inner.observers.plain(computed));
        if cached == computed {
            return true;
        }
        // It is what is shown: what encloses it depends on what that depends on, beside what the hit did.
        stack::gather(|enclosing| enclosing.enclose(&record));
        label.count(Rare::Differing);
        inner.observers.tell_difference(self.hit.clone(), &cached, &computed, &inner.reporter);
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

impl Inner {
    /// Whether a hit is one of those to be verified.
    #[inline]
    pub(crate) fn is_sampled(&self) -> bool {
        self.settings.shadow > 0.0 && self.is_chosen()
    }

    #[cold]
    fn is_chosen(&self) -> bool {
        fastrand::f64() < self.settings.shadow && !self.observers.differences.are_paused(self.clock.now())
    }

    /// Something that was to be verified could not be computed.
    pub(crate) fn pause_verifying(&self) {
        self.observers.differences.pause(self.clock.now().saturating_add(PAUSE));
    }
}
