//! Validators and conditional requests for any response, without a cache.

use std::fmt;
use std::future::{Future, ready};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::SystemTime;

use bytes::Bytes;
use http::header::{ETAG, LAST_MODIFIED};
use http::request::Parts;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body::Body;
use tower_layer::Layer;
use tower_service::Service;

use super::body::{CollectedBody, LayerBody, collect};
use super::date;
use super::etag::EntityTag;
use super::policy::RequestFn;
use super::preconditions::{self, PreconditionResult, evaluate};
use super::revalidate::{conclude, judge_late, tag};

/// Gives responses an `ETag` and answers conditional requests (RFC 9110 §13): 304 where the client has what the handler
/// would send. The handler runs all the same; a [`CacheLayer`](super::CacheLayer) answers without it, and validates as
/// this one does, so one of the two is enough.
///
/// Only a response with status 200 that may be stored and is not empty gets a tag, and only if its body is there whole
/// with a known length: streams pass through unbuffered. A handler's own validators are kept, and conditions are held
/// against them for streams too. HEAD is asked of the handler as GET, so that both say the same.
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

/// What identifies the current state of a resource, known before its handler runs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Validators {
    /// Its entity tag.
    pub etag: Option<EntityTag>,
    /// When it was last modified; HTTP knows whole seconds.
    pub last_modified: Option<SystemTime>,
}

impl ConditionalLayer {
    /// A layer that tags bodies of up to 1 MiB.
    pub fn new() -> ConditionalLayer {
        ConditionalLayer { max_body_bytes: 1 << 20, strong_etags: false, known: None }
    }

    /// The largest body that gets a tag, in bytes; 1 MiB by default.
    pub fn max_body_bytes(mut self, bytes: usize) -> ConditionalLayer {
        self.max_body_bytes = bytes;
        self
    }

    /// Has tags say that they stand for these very bytes. Only where nothing outside of this layer changes bodies: what
    /// compresses leaves a strong tag as it is, and it would stand for two different bodies.
    pub fn strong_etags(mut self) -> ConditionalLayer {
        self.strong_etags = true;
        self
    }

    /// Asks the application for the current state before the handler runs: a version column, say. A GET is then
    /// answered 304, and a request that would change something 412 if the client does not know that state (`If-Match`,
    /// `If-Unmodified-Since`, `If-None-Match: *`), without running the handler. Without this a 412 is the handler's own
    /// to say: it has run by then. The state goes into the response where the handler does not say it.
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
            && let Some(answer) = answered(&parts, known)
        {
            return Box::pin(ready(Ok(answer)));
        }
        if parts.method != Method::GET && parts.method != Method::HEAD {
            let answering = self.inner.call(Request::from_parts(parts, body));
            return Box::pin(async { Ok(answering.await?.map(LayerBody::through)) });
        }
        let seen = parts.clone();
        parts.method = Method::GET;
        let answering = self.inner.call(Request::from_parts(parts, body));
        let (limit, weak) = (self.layer.max_body_bytes, !self.layer.strong_etags);
        Box::pin(async move {
            let (mut head, body) = answering.await?.into_parts();
            if head.status == StatusCode::OK {
                known.into_iter().flatten().for_each(|(name, value)| {
                    if let Some(name) = name {
                        head.headers.entry(name).or_insert(value);
                    }
                });
            }
            let tagged = head.status == StatusCode::OK && !head.headers.contains_key(ETAG);
            let body = match tagged && body.size_hint().exact().is_some() {
                true => collect(body, limit, ready(())).await,
                false => CollectedBody::Streaming(LayerBody::through(body)),
            };
            let body = match body {
                CollectedBody::Whole(bytes) => {
                    tag(head.status, &mut head.headers, &bytes, None, weak);
                    LayerBody::whole(bytes)
                }
                CollectedBody::Streaming(body) => body,
            };
            let verdict = judge_late(&seen, head.status, &head.headers);
            Ok(conclude(&seen.method, verdict, head, body))
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

/// The answer to a request whose conditions the known state of its target decides.
fn answered<R: Body<Data = Bytes>>(request: &Parts, known: &HeaderMap) -> Option<Response<LayerBody<R>>> {
    let verdict = evaluate(&request.method, &request.headers, &preconditions::ResponseValidators::of(known));
    let status = match verdict {
        PreconditionResult::Proceed => return None,
        PreconditionResult::NotModified => StatusCode::NOT_MODIFIED,
        PreconditionResult::Failed => StatusCode::PRECONDITION_FAILED,
    };
    let mut response = Response::new(LayerBody::empty());
    *response.status_mut() = status;
    response.headers_mut().clone_from(known);
    Some(response)
}
