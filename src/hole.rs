//! Holes: the places of a page that are filled in anew for each request, while the rest of it is cached.
//!
//! Owns what a template leaves where a hole is, and how that is found again in the rendered page. Who fills holes, and
//! when, is in `http/`. A mark holds 128 random bits and is good for one request, so no text that a visitor wrote is
//! ever taken for one.

use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};

/// Which hole, and what the template said about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Call {
    pub(crate) name: String,
    pub(crate) arguments: Vec<String>,
}

impl Call {
    /// Approximate bytes in memory.
    pub(crate) fn weight(&self) -> usize {
        let arguments: usize = self.arguments.iter().map(|argument| argument.len() + size_of::<String>()).sum();
        self.name.len() + arguments
    }
}

/// The holes that the page of one request has.
#[derive(Debug)]
pub(crate) struct Holes {
    /// How each mark begins.
    mark: String,
    calls: Mutex<Vec<Call>>,
}

const END: &str = "-->";

impl Holes {
    pub(crate) fn new() -> Holes {
        let random = ahash::RandomState::new();
        let mark = format!("<!--hole {:016x}{:016x} ", random.hash_one(0), random.hash_one(1));
        Holes { mark, calls: Mutex::default() }
    }

    /// What the template prints where the hole is.
    pub(crate) fn add(&self, call: Call) -> String {
        let mut calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        calls.push(call);
        format!("{}{}{END}", self.mark, calls.len() - 1)
    }

    /// Whether there are any.
    pub(crate) fn any(&self) -> bool {
        !self.calls.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    /// Where the holes are in a rendered page, in its order: the place of each mark, and the call.
    pub(crate) fn find(&self, page: &[u8]) -> Vec<(std::ops::Range<usize>, Call)> {
        let calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        let mut found = Vec::new();
        let mut from = 0;
        while let Some(at) = position(&page[from..], self.mark.as_bytes()) {
            let start = from + at;
            from = start + self.mark.len();
            let Some(length) = position(&page[from..], END.as_bytes()) else { break };
            let number = std::str::from_utf8(&page[from..from + length]).ok().and_then(|text| text.parse().ok());
            if let Some(call) = number.and_then(|number: usize| calls.get(number)) {
                from += length + END.len();
                found.push((start..from, call.clone()));
            }
        }
        found
    }
}

fn position(text: &[u8], wanted: &[u8]) -> Option<usize> {
    text.windows(wanted.len()).position(|window| window == wanted)
}

#[cfg(all(test, not(shuttle)))]
mod tests {
    use super::*;

    fn call(name: &str) -> Call {
        Call { name: name.into(), arguments: Vec::new() }
    }

    #[test]
    fn marks_are_found_where_they_stand() {
        let holes = Holes::new();
        let (a, b) = (holes.add(call("a")), holes.add(call("b")));
        let page = format!("<p>{b}</p>{a}{b}");
        let found = holes.find(page.as_bytes());
        let names: Vec<&str> = found.iter().map(|(_, call)| call.name.as_str()).collect();
        assert_eq!(names, ["b", "a", "b"]);
        assert!(found.iter().all(|(range, _)| page[range.clone()].starts_with("<!--hole ")));
        assert!(page[..found[0].0.start].ends_with("<p>"));
    }

    #[test]
    fn what_looks_like_a_mark_of_another_request_is_text() {
        let (holes, others) = (Holes::new(), Holes::new());
        holes.add(call("a"));
        let page = others.add(call("a"));
        assert!(holes.find(page.as_bytes()).is_empty());
    }

    #[test]
    fn a_mark_that_is_cut_off_or_names_no_call_is_text() {
        let holes = Holes::new();
        let mark = holes.add(call("a"));
        assert!(holes.find(&mark.as_bytes()[..mark.len() - 1]).is_empty());
        assert!(holes.find(mark.replace(" 0-->", " 1-->").as_bytes()).is_empty());
        assert!(holes.find(mark.replace(" 0-->", " x-->").as_bytes()).is_empty());
    }
}
