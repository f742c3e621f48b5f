//! How a look-up calls the store: on its own thread, or on a thread that may block. What it reads is in `fetch.rs`.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use super::core::Core;
use crate::store::host::Host;

/// The thread on which a store call runs: this one, or one that may block.
pub(super) trait Io {
    /// `None` if the call took longer than the budget.
    fn run<T: Send + 'static>(
        &self,
        host: &impl Host,
        core: &Arc<Core>,
        call: impl FnOnce(&Arc<Core>) -> Option<T> + Send + 'static,
    ) -> impl Future<Output = Option<T>>;

    fn pause(&self, host: &impl Host, span: Duration) -> impl Future<Output = ()>;
}

/// Blocks the calling thread; its futures are ready at once.
pub(super) struct BlockingIo;

impl Io for BlockingIo {
    async fn run<T: Send + 'static>(
        &self,
        _: &impl Host,
        core: &Arc<Core>,
        call: impl FnOnce(&Arc<Core>) -> Option<T> + Send + 'static,
    ) -> Option<T> {
        call(core)
    }

    async fn pause(&self, _: &impl Host, span: Duration) {
        std::thread::sleep(span);
    }
}

/// Runs the call on a thread that may block. The caller's thread is free in the meantime.
pub(super) struct OffloadedIo;

impl Io for OffloadedIo {
    async fn run<T: Send + 'static>(
        &self,
        host: &impl Host,
        core: &Arc<Core>,
        call: impl FnOnce(&Arc<Core>) -> Option<T> + Send + 'static,
    ) -> Option<T> {
        let asked = Arc::clone(core);
        let mut answer = pin!(blocking::unblock(move || call(&asked)));
        // All threads that may block may be busy. If the future is dropped, the call does not start, or its result is
        // dropped.
        let mut late = pin!(host.sleep(core.budget));
        poll_fn(|context| match answer.as_mut().poll(context) {
            Poll::Ready(answer) => Poll::Ready(answer),
            Poll::Pending => late.as_mut().poll(context).map(|()| None),
        })
        .await
    }

    async fn pause(&self, host: &impl Host, span: Duration) {
        host.sleep(span).await;
    }
}
