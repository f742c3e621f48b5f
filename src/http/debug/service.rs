//! What becomes of a request that is debugged, and of the answer to it.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::header::{
    ACCEPT, ACCEPT_ENCODING, ACCEPT_RANGES, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, ETAG,
    EXPIRES, HeaderName, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, LAST_MODIFIED, RANGE,
};
use http::request::Parts;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body::Body;
use pin_project_lite::pin_project;
use tower_service::Service;

use super::body::DebugBody;
use super::options::DebugOptions;
use super::{facts, script, timing};
use crate::debug::{AnnotatedFragments, Annotations, annotate};
use crate::http::body::{CollectedBody, LayerBody, collect};
use crate::http::cache_control::CacheControl;
use crate::http::headers::remove_targeted;
use crate::http::storability::is_event_stream;
use crate::http::tag_header::TagHeader;
use crate::observe::{Collecting, Explained, Explanation, MARKS};

/// A service whose pages say what the cache did for them; made by [`DebugLayer`](super::DebugLayer).
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
    /// The answer to a request.
    #[must_use = "it does nothing unless it is polled"]
    pub struct DebugFuture<F, R: Body, E> {
        #[pin]
        state: DebugFutureState<F, R, E>,
    }
}

pin_project! {
    #[project = DebugFutureStateProjected]
    enum DebugFutureState<F, R: Body, E> {
        Off { #[pin] answering: F },
        On { answering: DebugResponseFuture<R, E> },
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
            DebugFutureStateProjected::Off { answering } => {
                let response = ready!(answering.poll(context))?;
                Poll::Ready(Ok(response.map(|body| DebugBody::new(LayerBody::through(body)))))
            }
            DebugFutureStateProjected::On { answering } => answering.as_mut().poll(context),
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
            return DebugFuture { state: DebugFutureState::Off { answering: self.inner.call(request) } };
        }
        let (mut parts, body) = request.into_parts();
        if !self.options.only_if.as_ref().is_none_or(|holds| holds(&parts)) {
            let request = Request::from_parts(parts, body);
            return DebugFuture { state: DebugFutureState::Off { answering: self.inner.call(request) } };
        }
        if let Some(script) = script::answer(&parts) {
            return DebugFuture { state: DebugFutureState::Script { script: Some(script) } };
        }
        let asked = DebuggedRequest { head: parts.method == Method::HEAD, path: path(&parts) };
        ask_for_text(&mut parts);
        let collecting = Collecting::begin(&self.options.cache, true);
        let answering = collecting.scope().run(|| self.inner.call(Request::from_parts(parts, body)));
        let options = Arc::clone(&self.options);
        let answering = Box::pin(async move {
            let response = collecting.scope().run_async(answering).await?;
            Ok(debugged(&options, &asked, collecting, response).await)
        });
        DebugFuture { state: DebugFutureState::On { answering } }
    }
}

/// What is remembered of a request.
struct DebuggedRequest {
    head: bool,
    /// As its visitor sees it.
    path: String,
}

#[cfg(feature = "axum")]
fn path(request: &Parts) -> String {
    let original = request.extensions.get::<axum::extract::OriginalUri>().map(|original| original.0.path());
    escaped(original.unwrap_or_else(|| request.uri.path()))
}

#[cfg(not(feature = "axum"))]
fn path(request: &Parts) -> String {
    escaped(request.uri.path())
}

/// As an attribute says it.
fn escaped(path: &str) -> String {
    path.replace('&', "&amp;").replace('"', "&quot;").replace('<', "&lt;")
}

/// Nobody can look into what is compressed, and of a page that was not debugged there is nothing to confirm.
fn ask_for_text(request: &mut Parts) {
    request.headers.remove(ACCEPT_ENCODING);
    let accepted = request.headers.get_all(ACCEPT).iter();
    let wants_page = accepted.into_iter().any(|value| contains(value.as_bytes(), b"text/html"));
    if wants_page && (request.method == Method::GET || request.method == Method::HEAD) {
        for name in [IF_NONE_MATCH, IF_MODIFIED_SINCE, RANGE, IF_RANGE] {
            request.headers.remove(name);
        }
    }
}

fn contains(text: &[u8], word: &[u8]) -> bool {
    text.windows(word.len()).any(|part| part.eq_ignore_ascii_case(word))
}

/// What a body is, as far as marks are concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum BodyKind {
    Page,
    Text,
    /// It holds no text, or not as it is.
    Other,
}

fn kind(headers: &HeaderMap) -> BodyKind {
    let encoded =
        headers.get(CONTENT_ENCODING).is_some_and(|value| !value.as_bytes().eq_ignore_ascii_case(b"identity"));
    if encoded {
        return BodyKind::Other;
    }
    let Some(kind) = headers.get(CONTENT_TYPE) else { return BodyKind::Text };
    let essence = kind.as_bytes().split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
    if essence.eq_ignore_ascii_case(b"text/html") {
        return BodyKind::Page;
    }
    let texts: [&[u8]; 5] = [b"text/", b"json", b"xml", b"javascript", b"x-www-form-urlencoded"];
    if texts.iter().any(|text| contains(essence, text)) { BodyKind::Text } else { BodyKind::Other }
}

async fn debugged<R: Body<Data = Bytes>>(
    options: &DebugOptions,
    asked: &DebuggedRequest,
    collecting: Collecting,
    response: Response<R>,
) -> Response<DebugBody<R>> {
    let (mut head, body) = response.into_parts();
    let kind = kind(&head.headers);
    let empty = asked.head || [StatusCode::NO_CONTENT, StatusCode::NOT_MODIFIED].contains(&head.status);
    if empty || head.status.is_informational() || kind == BodyKind::Other {
        timing::tell(&collecting.end(), &mut head.headers);
        let body = LayerBody::through(body);
        return match asked.head && kind == BodyKind::Page {
            true => {
                // The page would have another length.
                change(&mut head.headers, None);
                Response::from_parts(head, DebugBody::filtered(body))
            }
            false => Response::from_parts(head, DebugBody::new(body)),
        };
    }
    let inner = &options.cache.inner;
    let waits = kind == BodyKind::Page || body.size_hint().exact().is_some();
    let collected = match waits && !is_event_stream(&head.headers) {
        true => {
            let reading = collect(body, options.max_body_bytes, inner.sleep_until(inner.end_of_patience()));
            collecting.scope().run_async(reading).await
        }
        false => CollectedBody::Streaming(LayerBody::through(body)),
    };
    let explanation = collecting.end();
    match collected {
        CollectedBody::Whole(bytes) => {
            let changed = match kind {
                // Told of what the handler says, before it is changed.
                BodyKind::Page => Some(page(options, asked, &head.headers, &explanation, &bytes)),
                _ => MARKS.strip(&bytes),
            };
            timing::tell(&explanation, &mut head.headers);
            let changed = changed.filter(|changed| *changed != bytes);
            if let Some(changed) = &changed {
                change(&mut head.headers, Some(changed.len()));
            }
            let bytes = changed.map_or(bytes, Bytes::from);
            Response::from_parts(head, DebugBody::new(LayerBody::whole(bytes)))
        }
        CollectedBody::Streaming(body) => {
            if kind == BodyKind::Page {
                change(&mut head.headers, None);
            }
            timing::tell(&explanation, &mut head.headers);
            // Without marks it may be shorter than was said.
            head.headers.remove(CONTENT_LENGTH);
            Response::from_parts(head, DebugBody::filtered(body))
        }
    }
}

fn page(
    options: &DebugOptions,
    asked: &DebuggedRequest,
    headers: &HeaderMap,
    explanation: &Explanation,
    bytes: &[u8],
) -> Vec<u8> {
    let fragments: BTreeMap<u64, &Explained> = explanation.fragments.iter().map(|it| (it.mark(), it)).collect();
    let describe = |id| Some(facts::describe(fragments.get(&id)?, options.show_keys).finish());
    let head = |placed: &AnnotatedFragments| {
        let script = options.overlay.then(|| script::tag(headers, &asked.path, placed.has_base));
        script.flatten().unwrap_or_default()
    };
    let end = |placed: &AnnotatedFragments| facts::summary(explanation, placed, headers, options.show_keys);
    annotate(bytes, &MARKS, &Annotations { describe: &describe, head: &head, end: &end })
}

/// Says of a response whose body is another one than was said: of which length, and that nobody is to keep it.
fn change(headers: &mut HeaderMap, length: Option<usize>) {
    const DIGESTS: [HeaderName; 4] = [
        HeaderName::from_static("content-digest"),
        HeaderName::from_static("content-md5"),
        HeaderName::from_static("digest"),
        HeaderName::from_static("repr-digest"),
    ];
    for name in [ACCEPT_RANGES, CONTENT_LENGTH, ETAG, EXPIRES, LAST_MODIFIED].iter().chain(&DIGESTS) {
        headers.remove(name);
    }
    if let Some(length) = length {
        headers.insert(CONTENT_LENGTH, length.into());
    }
    TagHeader::remove_all(headers);
    remove_targeted(headers);
    headers.insert(CACHE_CONTROL, CacheControl::no_store().into());
}
