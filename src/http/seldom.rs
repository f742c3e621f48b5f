//! Which pages turned out not to be stored: whoever asks for one of them does not wait for somebody else's answer, which
//! he could not use.
//!
//! A small table without locks; what is forgotten costs a wait, what is taken for another costs a render.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

const SLOTS: usize = 4096;

/// How long it is remembered, in seconds.
const REMEMBERED: u16 = 60;

/// Half of each slot's upper bits name the page, its lowest 16 the second it was noted in.
#[derive(Debug)]
pub(super) struct Seldom {
    start: Instant,
    slots: Box<[AtomicU64]>,
}

impl Clone for Seldom {
    /// Another layer's pages are others.
    fn clone(&self) -> Seldom {
        Seldom::new()
    }
}

impl Seldom {
    pub(super) fn new() -> Seldom {
        Seldom { start: Instant::now(), slots: (0..SLOTS).map(|_| AtomicU64::new(0)).collect() }
    }

    pub(super) fn note(&self, page: u128) {
        self.slot(page).store(name(page) | u64::from(self.now()), Ordering::Relaxed);
    }

    pub(super) fn holds(&self, page: u128) -> bool {
        let noted = self.slot(page).load(Ordering::Relaxed);
        noted & !0xffff == name(page) && self.now().wrapping_sub(noted as u16) < REMEMBERED
    }

    fn slot(&self, page: u128) -> &AtomicU64 {
        &self.slots[page as usize % SLOTS]
    }

    fn now(&self) -> u16 {
        self.start.elapsed().as_secs() as u16
    }
}

/// Never that of an empty slot.
fn name(page: u128) -> u64 {
    ((page >> 64) as u64 | 1 << 63) & !0xffff
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_remembered_and_others_are_not() {
        let seldom = Seldom::new();
        assert!(!seldom.holds(0));
        seldom.note(7 << 80 | 5);
        assert!(seldom.holds(7 << 80 | 5));
        assert!(!seldom.holds(8 << 80 | 5));
        assert!(!seldom.holds(7 << 80 | 6));
    }
}
