//! Pages of which something was noticed lately: that they are not stored, or that their handler failed.
//!
//! A small table without locks; what is forgotten costs a wait or a render, and so does what is taken for another.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::clock::Nanos;

const SLOTS: usize = 4096;

/// Of each slot the upper bits name the page, the lowest 16 the second it was noted in.
#[derive(Debug)]
pub(super) struct RecentSet {
    /// How long it is remembered, in seconds.
    span: u16,
    slots: Box<[AtomicU64]>,
}

impl Clone for RecentSet {
    /// Another layer's pages are others.
    fn clone(&self) -> RecentSet {
        RecentSet::new(self.span)
    }
}

impl RecentSet {
    pub(super) fn new(span: u16) -> RecentSet {
        RecentSet { span, slots: (0..SLOTS).map(|_| AtomicU64::new(0)).collect() }
    }

    pub(super) fn note(&self, page: u128, now: Nanos) {
        self.slot(page).store(name(page) | u64::from(second(now)), Ordering::Relaxed);
    }

    pub(super) fn holds(&self, page: u128, now: Nanos) -> bool {
        let noted = self.slot(page).load(Ordering::Relaxed);
        noted & !0xffff == name(page) && second(now).wrapping_sub(noted as u16) < self.span
    }

    pub(super) fn forget(&self, page: u128) {
        let slot = self.slot(page);
        if slot.load(Ordering::Relaxed) & !0xffff == name(page) {
            slot.store(0, Ordering::Relaxed);
        }
    }

    fn slot(&self, page: u128) -> &AtomicU64 {
        &self.slots[page as usize % SLOTS]
    }
}

fn second(now: Nanos) -> u16 {
    (now / 1_000_000_000) as u16
}

/// Never that of an empty slot.
fn name(page: u128) -> u64 {
    ((page >> 64) as u64 | 1 << 63) & !0xffff
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Nanos = 1_000_000_000;

    #[test]
    fn a_page_is_remembered_for_its_span_and_others_are_not() {
        let lately = RecentSet::new(60);
        let start = 70_000 * SECOND;
        assert!(!lately.holds(0, start));
        lately.note(7 << 80 | 5, start);
        assert!(lately.holds(7 << 80 | 5, start + 59 * SECOND));
        assert!(!lately.holds(7 << 80 | 5, start + 60 * SECOND));
        assert!(!lately.holds(8 << 80 | 5, start));
        assert!(!lately.holds(7 << 80 | 6, start));
        lately.forget(8 << 80 | 5);
        assert!(lately.holds(7 << 80 | 5, start));
        lately.forget(7 << 80 | 5);
        assert!(!lately.holds(7 << 80 | 5, start));
    }
}
