//! The future that [`CacheService`](super::CacheService) returns.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use http::Response;
use http_body::Body;

use super::body::LayerBody;

pub(super) type LayerResult<R, E> = Result<Response<LayerBody<R>>, E>;

/// The response to a request. It is ready at once on a hit.
#[must_use = "it does nothing unless it is polled"]
pub struct CacheFuture<R: Body, E>(CacheFutureState<R, E>);

enum CacheFutureState<R: Body, E> {
    Ready(Option<Response<LayerBody<R>>>),
    Running(Pin<Box<dyn Future<Output = LayerResult<R, E>> + Send>>),
}

impl<R: Body, E> CacheFuture<R, E> {
    pub(super) fn ready(response: Response<LayerBody<R>>) -> CacheFuture<R, E> {
        CacheFuture(CacheFutureState::Ready(Some(response)))
    }

    pub(super) fn running(future: Pin<Box<dyn Future<Output = LayerResult<R, E>> + Send>>) -> CacheFuture<R, E> {
        CacheFuture(CacheFutureState::Running(future))
    }
}

impl<R: Body, E> Unpin for CacheFuture<R, E> {}

impl<R: Body, E> Future for CacheFuture<R, E> {
    type Output = LayerResult<R, E>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<LayerResult<R, E>> {
        match &mut self.0 {
            CacheFutureState::Ready(response) => {
                response.take().map_or(Poll::Pending, |response| Poll::Ready(Ok(response)))
            }
            CacheFutureState::Running(future) => future.as_mut().poll(context),
        }
    }
}

impl<R: Body, E> fmt::Debug for CacheFuture<R, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CacheFuture").finish_non_exhaustive()
    }
}
