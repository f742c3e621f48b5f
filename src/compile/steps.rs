//! Counts the steps of the compiler in tests, so that tests of its complexity need no clock.

/// Counts one step. Does nothing outside of tests.
pub(super) fn count_step() {
    #[cfg(test)]
    VISITS.with(|count_steps| count_steps.set(count_steps.get() + 1));
}

#[cfg(test)]
thread_local! {
    static VISITS: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

/// The number of steps that `work` takes.
#[cfg(all(test, not(shuttle)))]
pub(super) fn steps_of(work: impl FnOnce()) -> usize {
    let before = VISITS.get();
    work();
    VISITS.get() - before
}
