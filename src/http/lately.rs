//! Pages of which something was noticed lately: that they are not stored, or that their handler failed.
//!
//! A small table without locks; what is forgotten costs a wait or a render, and so does what is taken for another.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

const SLOTS: usize = 4096;

/// Of each slot the upper bits name the page, the lowest 16 the second it was noted in.
#[derive(Debug)]
pub(super) struct Lately {
    start: Instant,
    /// How long it is remembered, in seconds.
    span: u16,
    slots: Box<[AtomicU64]>,
}

impl Clone for Lately {
    /// Another layer's pages are others.
    fn clone(&self) -> Lately {
        Lately::new(self.span)
    }
}

impl Lately {
    pub(super) fn new(span: u16) -> Lately {
        Lately { start: Instant::now(), span, slots: (0..SLOTS).map(|_| AtomicU64::new(0)).collect() }
    }

    pub(super) fn note(&self, page: u128) {
        self.slot(page).store(name(page) | u64::from(self.now()), Ordering::Relaxed);
    }

    pub(super) fn holds(&self, page: u128) -> bool {
        let noted = self.slot(page).load(Ordering::Relaxed);
        noted & !0xffff == name(page) && self.now().wrapping_sub(noted as u16) < self.span
    }

    pub(super) fn forget(&self, page: u128) {
        if self.holds(page) {
            self.slot(page).store(0, Ordering::Relaxed);
        }
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
        let lately = Lately::new(60);
        assert!(!lately.holds(0));
        lately.note(7 << 80 | 5);
        assert!(lately.holds(7 << 80 | 5));
        assert!(!lately.holds(8 << 80 | 5));
        assert!(!lately.holds(7 << 80 | 6));
        lately.forget(7 << 80 | 5);
        assert!(!lately.holds(7 << 80 | 5));
    }
}
