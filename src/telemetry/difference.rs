//! Differences between hits and what computing them again gave.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use serde::Serialize;

use super::fragment_ref::About;
use crate::util::clock::Nanos;
use crate::util::sync::lock;

/// Differences kept.
const KEPT: usize = 64;

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

/// The last differences, and until when no hit is verified.
#[derive(Debug, Default)]
pub(crate) struct Differences {
    found: Mutex<VecDeque<Difference>>,
    paused_until: AtomicU64,
}

/// A hit, as a difference tells of it.
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
    /// Adds one in place of the oldest.
    pub(super) fn push(&self, difference: Difference) {
        let mut found = lock(&self.found);
        if found.len() == KEPT {
            found.pop_front();
        }
        found.push_back(difference);
    }

    /// The newest first.
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
}
