//! Holes: the places of a page that are filled for each request, while the rest of the page is cached.
//!
//! Owns the mark that a template prints for a hole, the search for marks in a rendered page, and the check of texts
//! that are to be stored. Leaves filling holes to `http/`. A mark is 128 random bits and is valid until its request
//! ends, so no text that a visitor wrote is ever taken for a mark.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, RwLock};

use serde::{Deserialize, Serialize};

use crate::invalidation::stack::{self, Role};
use crate::util::sync::{lock, read_lock, write_lock};

/// The name of a hole, and the arguments that the template gave.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct HoleCall {
    pub(crate) name: String,
    pub(crate) arguments: Vec<String>,
}

impl HoleCall {
    /// Approximate size in memory, in bytes.
    #[cfg_attr(not(feature = "http"), expect(dead_code, reason = "only the HTTP layers ask"))]
    pub(crate) fn weight(&self) -> usize {
        let arguments: usize = self.arguments.iter().map(|argument| argument.len() + size_of::<String>()).sum();
        self.name.len() + arguments
    }
}

/// The holes of all running requests, by mark. Global, because the text of a request may be stored on any thread.
static OPEN: RwLock<BTreeMap<u128, String>> = RwLock::new(BTreeMap::new());

/// The holes in the page of one request.
#[derive(Debug, Default)]
pub(crate) struct Holes {
    /// A hash with a random key, so that a client that saw some marks cannot compute another one.
    random: RandomState,
    calls: Mutex<BTreeMap<u128, HoleCall>>,
}

/// Why a hole is not allowed here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoHole {
    /// The hole would be stored with a fragment.
    InFragment,
    /// The hole would be stored with the page of a layer that is inside the layer which fills it.
    InPage,
    /// There is no layer that would fill the hole.
    NoPage,
}

/// The holes of the page that is being rendered.
pub(crate) fn holes() -> Result<Arc<Holes>, NoHole> {
    let found = stack::find(|frame| match frame.role() {
        Role::Scope => frame.attachment().map(Ok),
        Role::Page { .. } => Some(Err(NoHole::InPage)),
        Role::Fragment { .. } | Role::Aside => Some(Err(NoHole::InFragment)),
    });
    found.unwrap_or(Err(NoHole::NoPage))
}

const START: &[u8] = b"<!--hole ";
const END: &[u8] = b"-->";

/// Decimal digits of a mark. Digits are not changed by most functions that escape, quote or capitalise a text.
const DIGITS: usize = 39;

impl Holes {
    #[cfg_attr(not(feature = "http"), expect(dead_code, reason = "only the HTTP layers ask"))]
    pub(crate) fn new() -> Holes {
        Holes::default()
    }

    /// Adds a hole. Returns the text that the template prints for it.
    pub(crate) fn add(&self, call: HoleCall) -> String {
        let mut calls = self.calls();
        let half = |half: u8| u128::from(self.random.hash_one((half, calls.len())));
        let mark = half(0) << 64 | half(1);
        write_lock(&OPEN).insert(mark, call.name.clone());
        calls.insert(mark, call);
        format!("<!--hole {mark:0DIGITS$}-->")
    }

    /// Whether the page has holes.
    #[cfg_attr(not(feature = "http"), expect(dead_code, reason = "only the HTTP layers ask"))]
    pub(crate) fn any(&self) -> bool {
        !self.calls().is_empty()
    }

    /// The holes in a rendered page, in the order of the page: the byte range of each mark, and the call.
    #[cfg_attr(not(feature = "http"), expect(dead_code, reason = "only the HTTP layers ask"))]
    pub(crate) fn find(&self, page: &[u8]) -> Vec<(Range<usize>, HoleCall)> {
        let calls = self.calls();
        let whole = |(at, mark)| {
            let range = at - page[..at].ends_with(START).then_some(START.len())?..at + DIGITS + END.len();
            let call = calls.get(&mark).filter(|_| page[at + DIGITS..].starts_with(END))?;
            Some((range, call.clone()))
        };
        numbers(page).filter_map(whole).collect()
    }

    /// The name of a hole of this page whose mark is in a text.
    #[cfg_attr(not(feature = "http"), expect(dead_code, reason = "only the HTTP layers ask"))]
    pub(crate) fn left_in(&self, text: &[u8]) -> Option<String> {
        let calls = self.calls();
        numbers(text).find_map(|(_, mark)| calls.get(&mark).map(|call| call.name.clone()))
    }

    fn calls(&self) -> MutexGuard<'_, BTreeMap<u128, HoleCall>> {
        lock(&self.calls)
    }
}

impl Drop for Holes {
    fn drop(&mut self) {
        let mut open = write_lock(&OPEN);
        self.calls().keys().for_each(|mark| drop(open.remove(mark)));
    }
}

/// The name of a hole whose mark is in a text; the hole may be of any running request.
pub(crate) fn left_in(text: &[u8]) -> Option<String> {
    let open = || read_lock(&OPEN);
    if open().is_empty() {
        return None;
    }
    numbers(text).find_map(|(_, mark)| open().get(&mark).cloned())
}

/// Every position in a text at which the digits of a mark may be, and their number.
fn numbers(text: &[u8]) -> impl Iterator<Item = (usize, u128)> {
    let mut next = 0;
    let runs = text.split(|byte| !byte.is_ascii_digit()).map(move |run| {
        let at = next;
        next += run.len() + 1;
        (at, run)
    });
    runs.flat_map(|(at, run)| {
        let digits = run.windows(DIGITS).enumerate();
        digits.filter_map(move |(by, digits)| Some((at + by, std::str::from_utf8(digits).ok()?.parse().ok()?)))
    })
}

#[cfg(all(test, not(shuttle)))]
mod tests {
    use super::*;

    fn call(name: &str) -> HoleCall {
        HoleCall { name: name.into(), arguments: Vec::new() }
    }

    #[test]
    fn marks_are_found_where_they_stand() {
        let holes = Holes::new();
        let (a, b) = (holes.add(call("a")), holes.add(call("b")));
        let page = format!("<p>{b}</p>{a}{b}7");
        let found = holes.find(page.as_bytes());
        let names: Vec<&str> = found.iter().map(|(_, call)| call.name.as_str()).collect();
        assert_eq!(names, ["b", "a", "b"]);
        assert!(found.iter().all(|(range, call)| page[range.clone()] == *if call.name == "a" { &a } else { &b }));
    }

    #[test]
    fn what_looks_like_a_mark_of_another_request_is_text() {
        let (holes, others) = (Holes::new(), Holes::new());
        holes.add(call("a"));
        let page = others.add(call("a"));
        assert!(holes.find(page.as_bytes()).is_empty() && holes.left_in(page.as_bytes()).is_none());
    }

    #[test]
    fn a_mark_that_is_cut_off_or_was_changed_is_left_in_the_text() {
        let holes = Holes::new();
        let mark = holes.add(call("a"));
        let changed = [&mark[..mark.len() - 1], &mark[1..], &mark.to_uppercase(), &mark.replace(' ', "%20")];
        for text in changed {
            assert!(holes.find(text.as_bytes()).is_empty(), "{text}");
            assert_eq!(holes.left_in(text.as_bytes()).as_deref(), Some("a"), "{text}");
            assert_eq!(left_in(text.as_bytes()).as_deref(), Some("a"), "{text}");
        }
    }

    #[test]
    fn a_mark_is_a_mark_until_its_request_ends() {
        let holes = Holes::new();
        let mark = holes.add(call("a"));
        let forged = format!("{mark:.40}{}", "340282366920938463463374607431768211456".repeat(3));
        assert_eq!((left_in(mark.as_bytes()).as_deref(), left_in(forged.as_bytes())), (Some("a"), None));
        drop(holes);
        assert_eq!(left_in(mark.as_bytes()), None);
    }
}
