//! Counts the steps that compiling takes, so that a test of how they grow needs no clock.

/// Counts a step, in tests.
pub(crate) fn visit() {
    #[cfg(test)]
    VISITS.with(|visits| visits.set(visits.get() + 1));
}

#[cfg(test)]
thread_local! {
    static VISITS: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

/// How many steps `work` takes.
#[cfg(all(test, not(shuttle)))]
pub(crate) fn visits(work: impl FnOnce()) -> usize {
    let before = VISITS.get();
    work();
    VISITS.get() - before
}
