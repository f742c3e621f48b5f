//! The service of a [`DebugLayer`](super::DebugLayer): which requests are debugged, and the request for the script.
//!
//! `response.rs` changes the response.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::header::{ACCEPT, ACCEPT_ENCODING, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, RANGE};
use http::request::Parts;
use http::{Method, Request, Response};
use http_body::Body;
use pin_project_lite::pin_project;
use tower_service::Service;

use super::body::DebugBody;
use super::options::DebugOptions;
use super::response::{DebuggedRequest, contains, debug_response};
use super::script;
use crate::cache::explain::Collecting;
use crate::http::body::LayerBody;

/// A service whose pages show how the cache answered; made by [`DebugLayer`](super::DebugLayer).
#[derive(Debug, Clone)]
pub struct DebugService<S> {
    inner: S,
    options: Arc<DebugOptions>,
}

impl<S> DebugService<S> {
    pub(super) fn new(inner: S, options: Arc<DebugOptions>) -> DebugService<S> {
        DebugService { inner, options }
    }
}

type DebugResult<R, E> = Result<Response<DebugBody<R>>, E>;
type DebugResponseFuture<R, E> = Pin<Box<dyn Future<Output = DebugResult<R, E>> + Send>>;

pin_project! {
    /// The response to a request.
    #[must_use = "it does nothing unless it is polled"]
    pub struct DebugFuture<F, R: Body, E> {
        #[pin]
        state: DebugFutureState<F, R, E>,
    }
}

pin_project! {
    #[project = DebugFutureStateProjected]
    enum DebugFutureState<F, R: Body, E> {
        Off { #[pin] call: F },
        On { response: DebugResponseFuture<R, E> },
        Script { script: Option<Response<DebugBody<R>>> },
    }
}

impl<F, R, E> Future for DebugFuture<F, R, E>
where
    F: Future<Output = Result<Response<R>, E>>,
    R: Body<Data = Bytes>,
{
    type Output = DebugResult<R, E>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<DebugResult<R, E>> {
        match self.project().state.project() {
            DebugFutureStateProjected::Off { call } => {
                let response = ready!(call.poll(context))?;
                Poll::Ready(Ok(response.map(|body| DebugBody::new(LayerBody::through(body)))))
            }
            DebugFutureStateProjected::On { response } => response.as_mut().poll(context),
            DebugFutureStateProjected::Script { script } => {
                script.take().map_or(Poll::Pending, |script| Poll::Ready(Ok(script)))
            }
        }
    }
}

impl<F, R: Body, E> fmt::Debug for DebugFuture<F, R, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DebugFuture").finish_non_exhaustive()
    }
}

impl<S, B, R> Service<Request<B>> for DebugService<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
    R: Body<Data = Bytes> + Send + 'static,
    R::Error: Send,
{
    type Response = Response<DebugBody<R>>;
    type Error = S::Error;
    type Future = DebugFuture<S::Future, R, S::Error>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        if !self.options.enabled {
            return DebugFuture { state: DebugFutureState::Off { call: self.inner.call(request) } };
        }
        let (mut parts, body) = request.into_parts();
        if !self.options.only_if.as_ref().is_none_or(|holds| holds(&parts)) {
            let request = Request::from_parts(parts, body);
            return DebugFuture { state: DebugFutureState::Off { call: self.inner.call(request) } };
        }
        if let Some(script) = script::respond(&parts) {
            return DebugFuture { state: DebugFutureState::Script { script: Some(script) } };
        }
        let debugged = DebuggedRequest { is_head: parts.method == Method::HEAD, path: path(&parts) };
        ask_for_plain_page(&mut parts);
        let collecting = Collecting::begin(&self.options.cache, true);
        let call = collecting.scope().run(|| self.inner.call(Request::from_parts(parts, body)));
        let options = Arc::clone(&self.options);
        let response = Box::pin(async move {
            let response = collecting.scope().run_async(call).await?;
            Ok(debug_response(&options, &debugged, collecting, response).await)
        });
        DebugFuture { state: DebugFutureState::On { response } }
    }
}

#[cfg(feature = "axum")]
fn path(request: &Parts) -> String {
    let original = request.extensions.get::<axum::extract::OriginalUri>().map(|original| original.0.path());
    escape_attribute(original.unwrap_or_else(|| request.uri.path()))
}

#[cfg(not(feature = "axum"))]
fn path(request: &Parts) -> String {
    escape_attribute(request.uri.path())
}

fn escape_attribute(path: &str) -> String {
    path.replace('&', "&amp;").replace('"', "&quot;").replace('<', "&lt;")
}

/// Has the handler send the page uncompressed and in full: marks in a compressed page cannot be found, and a 304 has no
/// page to debug.
fn ask_for_plain_page(request: &mut Parts) {
    request.headers.remove(ACCEPT_ENCODING);
    let accepted = request.headers.get_all(ACCEPT).iter();
    let wants_page = accepted.into_iter().any(|value| contains(value.as_bytes(), b"text/html"));
    if wants_page && (request.method == Method::GET || request.method == Method::HEAD) {
        for name in [IF_NONE_MATCH, IF_MODIFIED_SINCE, RANGE, IF_RANGE] {
            request.headers.remove(name);
        }
    }
}
