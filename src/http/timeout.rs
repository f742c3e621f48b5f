//! Waiting for a future no longer than a timer.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;

use super::policy::Policy;

/// Runs a future until the timer is ready. `None` if the timer came first.
pub(super) async fn in_time<F: Future>(future: F, timer: impl Future<Output = ()>) -> Option<F::Output> {
    let (mut future, mut timer) = (pin!(future), pin!(timer));
    poll_fn(|context| match future.as_mut().poll(context) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending => timer.as_mut().poll(context).map(|()| None),
    })
    .await
}

/// A timer that is ready when the cache's wait timeout has passed.
pub(super) fn wait_timeout(policy: &Policy) -> impl Future<Output = ()> + '_ {
    let inner = &policy.cache.inner;
    inner.sleep_until(inner.end_of_patience())
}
