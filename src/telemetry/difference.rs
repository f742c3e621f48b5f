//! Differences between hits and new computations of the same fragments (shadow verification).
//!
//! `cache/shadow.rs` chooses and computes the hits to verify; `recorder.rs` reports the differences.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use serde::Serialize;

use super::fragment_ref::About;
use crate::util::clock::Nanos;
use crate::util::sync::lock;

/// Differences stored.
const KEPT: usize = 64;

/// Characters shown of each text from the first difference on.
const SHOWN: usize = 60;

/// Characters shown before the first difference, which both texts share.
const BEFORE: usize = 20;

/// A hit that differs from a new computation of the fragment; see [`Builder::shadow`](crate::Builder::shadow).
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// When the difference was found.
    pub at: SystemTime,
    /// The fragment that was verified.
    pub about: About,
    /// The position of a block: `template:line`. `None` for other fragments, and if the position is not known.
    pub place: Option<String>,
    /// The age of the cached result.
    pub age: Duration,
    /// The byte offset of the first difference.
    pub offset: usize,
    /// The cached text around the offset: a little before it, and the text from there on. It may be private.
    pub cached: String,
    /// The computed text around the offset.
    pub computed: String,
}

/// The last differences, and the time until which verification is paused.
#[derive(Debug, Default)]
pub(crate) struct Differences {
    found: Mutex<VecDeque<Difference>>,
    paused_until: AtomicU64,
}

/// The parts of a verified hit that a difference reports.
#[derive(Debug, Clone)]
pub(crate) struct VerifiedHit {
    pub(crate) about: About,
    pub(crate) place: Option<String>,
    pub(crate) age: Duration,
}

impl Difference {
    pub(super) fn new(hit: VerifiedHit, cached: &str, computed: &str) -> Difference {
        let offset = first_difference(cached, computed);
        let (cached, computed) = (excerpt(cached, offset), excerpt(computed, offset));
        let VerifiedHit { about, place, age } = hit;
        Difference { at: SystemTime::now(), about, place, age, offset, cached, computed }
    }
}

impl Differences {
    /// Adds a difference. Drops the oldest one if [`KEPT`] are stored.
    pub(super) fn push(&self, difference: Difference) {
        let mut found = lock(&self.found);
        if found.len() == KEPT {
            found.pop_front();
        }
        found.push_back(difference);
    }

    /// The differences, newest first.
    pub(crate) fn read(&self) -> Vec<Difference> {
        let found = lock(&self.found);
        found.iter().rev().cloned().collect()
    }

    pub(crate) fn pause(&self, until: Nanos) {
        self.paused_until.store(until, Ordering::Relaxed);
    }

    pub(crate) fn are_paused(&self, now: Nanos) -> bool {
        now < self.paused_until.load(Ordering::Relaxed)
    }
}

/// The byte offset of the first difference of two texts, moved back to the start of a character in both.
fn first_difference(one: &str, other: &str) -> usize {
    let mut at = one.bytes().zip(other.bytes()).take_while(|(one, other)| one == other).count();
    while !one.is_char_boundary(at) || !other.is_char_boundary(at) {
        at -= 1;
    }
    at
}

/// The text around `at`, which is the start of a character.
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
}
