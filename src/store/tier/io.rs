//! How a look-up calls the store: on its own thread, or on a thread that may block.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use super::core::Core;
use crate::store::host::Host;

/// Where the store is asked from: this thread, or one that may block.
pub(super) trait Io {
    /// `None` if it took longer than the budget.
    fn run<T: Send + 'static>(
        &self,
        host: &impl Host,
        core: &Arc<Core>,
        call: impl FnOnce(&Arc<Core>) -> Option<T> + Send + 'static,
    ) -> impl Future<Output = Option<T>>;

    fn pause(&self, host: &impl Host, span: Duration) -> impl Future<Output = ()>;
}

/// Blocks; its futures are ready at once.
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

/// Leaves the thread to others meanwhile.
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
        // The threads that may block may all be busy; dropped, the builder is not asked, or its answer is let go.
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
