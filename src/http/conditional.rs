//! [`ConditionalLayer`]: entity tags and responses to conditional requests, without a cache.

use std::fmt;
use std::future::{Future, ready};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::SystemTime;

use bytes::Bytes;
use http::header::{ETAG, LAST_MODIFIED};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use http_body::Body;
use tower_layer::Layer;
use tower_service::Service;

use super::body::{CollectedBody, LayerBody, collect};
use super::date;
use super::etag::EntityTag;
use super::policy::RequestFn;
use super::preconditions::{self, PreconditionResult, evaluate};
use super::revalidate::{add_etag, apply_preconditions, evaluate_after_handler};

/// Adds an `ETag` to responses and answers conditional requests (RFC 9110 §13), for example with 304 if the client has
/// the current response.
///
/// The handler runs for every request, unless [`known`](ConditionalLayer::known) is set. A
/// [`CacheLayer`](super::CacheLayer) also answers conditional requests, and does so without the handler, so a route
/// needs only one of the two.
///
/// A response gets a tag if its status is 200, it may be stored, it is not empty, and its body is complete with a known
/// length. Streamed bodies are not buffered. Validators that the handler sets are kept, and preconditions are evaluated
/// against them for streamed bodies too. HEAD reaches the handler as GET, so that both have the same headers.
///
/// ```
/// use axum::{Router, routing::get};
/// use minijinja_cache::http::ConditionalLayer;
///
/// let app: Router = Router::new().route("/", get(|| async { "a page" })).layer(ConditionalLayer::new());
/// ```
#[derive(Clone)]
#[must_use]
pub struct ConditionalLayer {
    max_body_bytes: usize,
    strong_etags: bool,
    known: Option<RequestFn<Option<Validators>>>,
}

/// The validators of the current state of a resource (RFC 9110 §8.8).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Validators {
    /// The entity tag.
    pub etag: Option<EntityTag>,
    /// The time of the last modification. HTTP dates have whole seconds.
    pub last_modified: Option<SystemTime>,
}

impl ConditionalLayer {
    /// A layer that adds tags to bodies of up to 1 MiB.
    pub fn new() -> ConditionalLayer {
        ConditionalLayer { max_body_bytes: 1 << 20, strong_etags: false, known: None }
    }

    /// The largest body that gets a tag, in bytes; 1 MiB by default.
    pub fn max_body_bytes(mut self, bytes: usize) -> ConditionalLayer {
        self.max_body_bytes = bytes;
        self
    }

    /// Makes tags strong. Use it only if no service outside of this layer changes bodies: a compression layer keeps a
    /// strong tag, which then stands for two different bodies.
    pub fn strong_etags(mut self) -> ConditionalLayer {
        self.strong_etags = true;
        self
    }

    /// Gets the current validators from the application before the handler runs, for example from a version column.
    ///
    /// The layer then answers a GET with 304 without running the handler. It answers an unsafe request with 412 if its
    /// preconditions do not match the current state (`If-Match`, `If-Unmodified-Since`, `If-None-Match: *`). Without
    /// this setting only the handler can answer 412, because it has acted by the time its response has validators. The
    /// validators are added to responses with status 200 that have none.
    pub fn known(mut self, validators: impl Fn(&Parts) -> Option<Validators> + Send + Sync + 'static) -> Self {
        self.known = Some(Arc::new(validators));
        self
    }
}

impl Default for ConditionalLayer {
    fn default() -> ConditionalLayer {
        ConditionalLayer::new()
    }
}

impl fmt::Debug for ConditionalLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConditionalLayer")
            .field("max_body_bytes", &self.max_body_bytes)
            .field("strong_etags", &self.strong_etags)
            .finish_non_exhaustive()
    }
}

impl<S> Layer<S> for ConditionalLayer {
    type Service = ConditionalService<S>;

    fn layer(&self, inner: S) -> ConditionalService<S> {
        ConditionalService { inner, layer: self.clone() }
    }
}

/// A service that answers conditional requests; made by [`ConditionalLayer`].
#[derive(Debug, Clone)]
pub struct ConditionalService<S> {
    inner: S,
    layer: ConditionalLayer,
}

impl<S, B, R> Service<Request<B>> for ConditionalService<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
    R: Body<Data = Bytes> + Send + 'static,
    R::Error: Send,
{
    type Response = Response<LayerBody<R>>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (mut parts, body) = request.into_parts();
        let known = self.layer.known.as_ref().and_then(|known| known(&parts)).map(|known| known.headers());
        if let Some(known) = &known
            && let Some(response) = answer_from_known(&parts, known)
        {
            return Box::pin(ready(Ok(response)));
        }
        if parts.method != Method::GET && parts.method != Method::HEAD {
            let call = self.inner.call(Request::from_parts(parts, body));
            return Box::pin(async { Ok(call.await?.map(LayerBody::through)) });
        }
        let original = parts.clone();
        parts.method = Method::GET;
        let call = self.inner.call(Request::from_parts(parts, body));
        let (limit, weak) = (self.layer.max_body_bytes, !self.layer.strong_etags);
        Box::pin(async move {
            let (mut head, body) = call.await?.into_parts();
            if head.status == StatusCode::OK {
                add_missing(&mut head.headers, known.into_iter().flatten());
            }
            let needs_tag = head.status == StatusCode::OK && !head.headers.contains_key(ETAG);
            let body = match needs_tag && body.size_hint().exact().is_some() {
                true => collect(body, limit, ready(())).await,
                false => CollectedBody::Streaming(LayerBody::through(body)),
            };
            let body = match body {
                CollectedBody::Whole(bytes) => {
                    add_etag(head.status, &mut head.headers, &bytes, None, weak);
                    LayerBody::whole(bytes)
                }
                CollectedBody::Streaming(body) => body,
            };
            let result = evaluate_after_handler(&original, head.status, &head.headers);
            Ok(apply_preconditions(&original.method, result, head, body))
        })
    }
}

impl Validators {
    fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        if let Some(etag) = &self.etag {
            headers.insert(ETAG, etag.to_header_value());
        }
        if let Some(date) = self.last_modified.and_then(date::write) {
            headers.insert(LAST_MODIFIED, date);
        }
        headers
    }
}

/// Adds headers that are not there yet.
fn add_missing(headers: &mut HeaderMap, fields: impl Iterator<Item = (Option<HeaderName>, HeaderValue)>) {
    for (name, value) in fields {
        if let Some(name) = name {
            headers.entry(name).or_insert(value);
        }
    }
}

/// The response to a request whose preconditions are decided by the known validators.
fn answer_from_known<R: Body<Data = Bytes>>(request: &Parts, known: &HeaderMap) -> Option<Response<LayerBody<R>>> {
    let result = evaluate(&request.method, &request.headers, &preconditions::ResponseValidators::of(known));
    let status = match result {
        PreconditionResult::Proceed => return None,
        PreconditionResult::NotModified => StatusCode::NOT_MODIFIED,
        PreconditionResult::Failed => StatusCode::PRECONDITION_FAILED,
    };
    let mut response = Response::new(LayerBody::empty());
    *response.status_mut() = status;
    response.headers_mut().clone_from(known);
    Some(response)
}
