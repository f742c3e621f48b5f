//! Shadow verification: a share of hits is computed again, and held against what the cache had.

use std::cell::Cell;
use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use serde::Serialize;

use super::event::{About, Happened};
use super::label::Rare;
use super::subscription::Interest;
use crate::asker::Asker;
use crate::cache::{FragmentCache, Inner};
use crate::clock::Nanos;
use crate::context;
use crate::error::{Error, ErrorKind};
use crate::lookup::Wanted;
use crate::question::Parts;
use crate::sync::lock;
use crate::work::Work;

/// Differences kept.
const KEPT: usize = 64;

/// How long nothing is verified after a computation failed: what is cached may be all there is.
const PAUSE: Nanos = 10_000_000_000;

/// Characters shown of either text, from where they differ.
const SHOWN: usize = 60;

/// Characters shown of what both have in common, right before that.
const BEFORE: usize = 20;

/// A hit that is not what computing it again gives; see [`Builder::shadow`](crate::Builder::shadow).
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// When it was found.
    pub at: SystemTime,
    /// Of what.
    pub about: About,
    /// Where its block stands: template and line.
    pub place: Option<String>,
    /// How old the cached result was.
    pub age: Duration,
    /// At which byte the texts differ first.
    pub offset: usize,
    /// What the cache had from there on, and some of what comes before. It may be somebody's own.
    pub cached: String,
    /// What was computed for this caller in its place.
    pub computed: String,
}

/// What was found, and when nothing is to be verified.
#[derive(Debug, Default)]
pub(crate) struct Shadow {
    found: Mutex<VecDeque<Difference>>,
    paused_until: AtomicU64,
}

/// A hit that is being computed again.
pub(crate) struct Verifying {
    work: Option<Work>,
    hit: Hit,
}

/// A hit, as a difference tells of it.
#[derive(Debug, Clone)]
pub(crate) struct Hit {
    pub(crate) about: About,
    pub(crate) place: Option<String>,
    pub(crate) age: Duration,
}

impl FragmentCache {
    /// The last hits, at most 64, that were not what computing them again gave; the newest first. Empty unless
    /// [`Builder::shadow`](crate::Builder::shadow) has some verified.
    pub fn differences(&self) -> Vec<Difference> {
        let found = lock(&self.inner.observers.shadow.found);
        found.iter().rev().cloned().collect()
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
        let site = Parts::of(wanted.identity.bytes).and_then(|parts| parts.site);
        let place = site.and_then(|site| inner.observers.labels.place(site));
        let age = Duration::from_nanos(inner.clock.now().saturating_sub(began));
        Box::new(Verifying { hit: Hit { about: work.about(), place, age }, work: Some(work) })
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
        let (cached, computed) = (inner.plain(cached), inner.plain(computed));
        if cached == computed {
            return true;
        }
        // It is what is shown: what encloses it depends on what that depends on, beside what the hit did.
        context::gather(|enclosing| enclosing.enclose(&record));
        label.count(Rare::Differing);
        inner.tell_difference(self.hit.clone(), &cached, &computed);
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
        let paused_until = self.observers.shadow.paused_until.load(Ordering::Relaxed);
        random() < self.settings.shadow && self.clock.now() >= paused_until
    }

    /// Something that was to be verified could not be computed.
    pub(crate) fn pause_verifying(&self) {
        self.observers.shadow.paused_until.store(self.clock.now().saturating_add(PAUSE), Ordering::Relaxed);
    }

    /// Tells of a hit that differs from what was computed.
    pub(crate) fn tell_difference(&self, Hit { about, place, age }: Hit, cached: &str, computed: &str) {
        let offset = first_difference(cached, computed);
        let (cached, computed) = (excerpt(cached, offset), excerpt(computed, offset));
        let difference = Difference { at: SystemTime::now(), about, place, age, offset, cached, computed };
        let Difference { about, place, .. } = &difference;
        let place = place.as_ref().map_or(String::new(), |place| format!(" at {place}"));
        // Without the texts, which may be somebody's own.
        let message = format!(
            "{} {}{place}, key {}: a hit differs from what was computed again, from byte {offset} on; is something \
             missing in its key or vary?",
            about.kind, about.label, about.key
        );
        self.report(&Error::new(ErrorKind::Difference, message));
        if self.observers.subscribers.any() {
            self.observers.subscribers.tell(Interest::Changes, Happened::Differed(difference.clone()));
        }
        let mut found = lock(&self.observers.shadow.found);
        if found.len() == KEPT {
            found.pop_front();
        }
        found.push_back(difference);
    }
}

/// A number from 0 up to 1, from a generator of this thread: nothing is secret about which hits are chosen.
fn random() -> f64 {
    thread_local! {
        static STATE: Cell<u64> = const { Cell::new(0) };
    }
    STATE.with(|state| {
        let seed = match state.get() {
            0 => ahash::RandomState::new().hash_one(std::thread::current().id()) | 1,
            seed => seed,
        };
        // Marsaglia's xorshift (2003).
        let mut next = seed ^ (seed << 13);
        next ^= next >> 7;
        next ^= next << 17;
        state.set(next);
        (next >> 11) as f64 / (1_u64 << 53) as f64
    })
}

/// The byte at which two texts differ first, at the beginning of a character in both.
fn first_difference(one: &str, other: &str) -> usize {
    let mut at = one.bytes().zip(other.bytes()).take_while(|(one, other)| one == other).count();
    while !one.is_char_boundary(at) || !other.is_char_boundary(at) {
        at -= 1;
    }
    at
}

/// What a text says around a place, at the beginning of a character.
fn excerpt(text: &str, at: usize) -> String {
    let start = text[..at].char_indices().rev().take(BEFORE).last().map_or(at, |(start, _)| start);
    let mut shown: String = text[start..at].chars().chain(text[at..].chars().take(SHOWN)).collect();
    if text[at..].chars().nth(SHOWN).is_some() {
        shown.push('…');
    }
    shown
}

#[cfg(all(test, not(shuttle)))]
mod tests {
    use super::*;

    #[test]
    fn texts_differ_at_the_beginning_of_a_character() {
        assert_eq!(first_difference("same", "samba"), 3);
        assert_eq!(first_difference("same", "same and more"), 4);
        // Ä and Ö share their first byte.
        assert_eq!(first_difference("xÄ", "xÖ"), 1);
        assert_eq!(first_difference("", "a"), 0);
    }

    #[test]
    fn an_excerpt_shows_what_differs_and_a_little_before() {
        let text = format!("{}ÄB{}", "x".repeat(30), "y".repeat(100));
        let shown = excerpt(&text, 30);
        assert_eq!(shown, format!("{}ÄB{}…", "x".repeat(20), "y".repeat(58)));
        assert_eq!(excerpt("abc", 3), "abc");
    }

    #[test]
    fn chosen_hits_are_about_the_share() {
        let chosen = (0..10_000).filter(|_| random() < 0.1).count();
        assert!((700..1300).contains(&chosen), "{chosen}");
        assert!((0..10_000).all(|_| (0.0..1.0).contains(&random())));
    }
}
