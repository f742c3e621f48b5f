//! A future that is polled inside its computation's frame.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::cache::computation::Computation;

/// Polls a future with the frame of its computation on the thread.
pub(crate) struct Inside<'a, F> {
    pub(crate) work: &'a mut Computation,
    pub(crate) future: Pin<&'a mut F>,
}

impl<F: Future> Future for Inside<'_, F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let this = &mut *self;
        this.work.suspend(false);
        this.work.enter();
        let left = LeaveOnDrop(this.work);
        let polled = this.future.as_mut().poll(context);
        drop(left);
        this.work.suspend(polled.is_pending());
        polled
    }
}

/// Takes the frame off the thread when the poll ends, also after a panic.
struct LeaveOnDrop<'a>(&'a mut Computation);

impl Drop for LeaveOnDrop<'_> {
    fn drop(&mut self) {
        self.0.leave();
    }
}
