//! Counts the steps that compiling takes, so that a test of how they grow needs no clock.

/// Counts a step, in tests.
pub(super) fn count_step() {
    #[cfg(test)]
    VISITS.with(|count_steps| count_steps.set(count_steps.get() + 1));
}

#[cfg(test)]
thread_local! {
    static VISITS: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

/// How many steps `work` takes.
#[cfg(all(test, not(shuttle)))]
pub(super) fn count_steps(work: impl FnOnce()) -> usize {
    let before = VISITS.get();
    work();
    VISITS.get() - before
}
