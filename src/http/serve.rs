//! Responses from pages: look-up in memory, preconditions, HEAD, `Age`, and holes.
//!
//! Whether a stored page answers a request is decided here (RFC 9111 §4). How preconditions are evaluated is in
//! `revalidate.rs`, how holes are filled in `fill_holes.rs`.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{AGE, CACHE_CONTROL, ETAG};
use http::request::Parts;
use http::{Extensions, HeaderMap, HeaderName, HeaderValue, Response, StatusCode, response};
use http_body::Body;

use super::body::LayerBody;
use super::cache_control::CacheControl;
use super::cache_status::CacheStatus;
use super::fill_holes;
use super::headers::make_private;
use super::pending::PendingPage;
use super::policy::Policy;
use super::preconditions::PreconditionResult;
use super::request::CacheableRequest;
use super::revalidate::{apply_preconditions, compute_etag, evaluate_after_handler, evaluate_before_handler};
use crate::http::page::{BodySegment, Grace, Page, StoredResponse};
use crate::store::entry::{Body as EntryBody, Entry, Found};
use crate::store::request::RequestBuilder;
use crate::util::clock::Nanos;

const SECOND: u64 = 1_000_000_000;

/// A page, stored or just generated, with the state that its response needs.
pub(super) struct PageResponse {
    page: Arc<Page>,
    /// The time at which the computation of the page began.
    began: Nanos,
    status: CacheStatus,
    /// In seconds.
    age: Option<u64>,
    preconditions: PreconditionTiming,
}

/// When the preconditions of the request are evaluated.
#[derive(Debug, Clone, Copy)]
enum PreconditionTiming {
    Never,
    BeforeHandler,
    AfterHandler,
}

/// Why a stored page does not answer a request.
pub(super) enum Unusable {
    /// The request has credentials, and the page may only answer requests without (RFC 9111 §3.5).
    Credentials,
    /// The client does not accept the age of the page (RFC 9111 §5.2.1).
    Age,
}

/// The result of a look-up in memory.
pub(super) enum MemoryLookup {
    Fresh(PageResponse),
    Rejected(Unusable),
    /// The primary key has a vary index with these header names.
    VaryIndex(Vec<HeaderName>),
    /// The primary key has a vary index, but the variant is missing or too old. With its key and the header names.
    VariantMissing(RequestBuilder, Vec<HeaderName>),
    Missing,
}

/// The header names of a vary index; `None` for any other entry.
pub(super) fn vary_index(body: &EntryBody) -> Option<&[HeaderName]> {
    body.page()?.vary_index()
}

/// Looks a page up in memory, through the vary index if there is one.
pub(super) fn look_up(policy: &Policy, request: &CacheableRequest, headers: &HeaderMap) -> MemoryLookup {
    let found = look_up_key(policy, request, &request.primary_key);
    let MemoryLookup::VaryIndex(names) = found else { return found };
    let key = request.variant_key(&names, headers);
    match look_up_key(policy, request, &key) {
        MemoryLookup::Missing | MemoryLookup::Rejected(Unusable::Age) => MemoryLookup::VariantMissing(key, names),
        found => found,
    }
}

fn look_up_key(policy: &Policy, request: &CacheableRequest, key: &RequestBuilder) -> MemoryLookup {
    let inner = &policy.cache.inner;
    let wanted = key.request();
    let found = inner.seek(&wanted, |entry, latest| {
        if let Some(names) = vary_index(&entry.body) {
            return MemoryLookup::VaryIndex(names.to_vec());
        }
        match PageResponse::from_cache(policy, request, entry.found()) {
            Ok(page) => {
                inner.note_hit(&wanted, entry, latest);
                MemoryLookup::Fresh(page)
            }
            Err(unusable) => MemoryLookup::Rejected(unusable),
        }
    });
    found.unwrap_or(MemoryLookup::Missing)
}

/// Whether an entry is a vary index or a page that answers the request.
pub(super) fn is_usable(policy: &Policy, request: &CacheableRequest, entry: &Entry) -> bool {
    vary_index(&entry.body).is_some() || PageResponse::from_cache(policy, request, entry.found()).is_ok()
}

/// The expired page that may be served for this kind of grace.
pub(super) fn stale_entry(policy: &Policy, pending: &PendingPage, grace: fn(&Grace) -> Nanos) -> Option<Arc<Entry>> {
    let grace_of =
        |entry: &Entry| entry.body.page().and_then(Page::response).map_or(0, |response| grace(&response.grace));
    let entry = policy.cache.inner.graced(&pending.key.request(), grace_of)?;
    let usable = grace_of(&entry) > 0 && PageResponse::from_cache(policy, &pending.request, entry.found()).is_ok();
    usable.then_some(entry)
}

/// 504 for a request with `only-if-cached` that no stored page answers (RFC 9111 §5.2.1.7).
pub(super) fn gateway_timeout<R: Body<Data = Bytes>>(policy: &Policy) -> Response<LayerBody<R>> {
    let mut response = Response::new(LayerBody::empty());
    *response.status_mut() = StatusCode::GATEWAY_TIMEOUT;
    response.headers_mut().insert(CACHE_CONTROL, CacheControl::no_store().into());
    CacheStatus::OnlyIfCached.append_to(response.headers_mut(), policy.status_name.as_deref());
    response
}

/// A response that is not stored, with its holes filled for this request.
pub(super) async fn fill_unstored<R: Body<Data = Bytes>>(
    policy: &Policy,
    mut head: response::Parts,
    body: &[BodySegment],
    request: &Parts,
) -> Response<LayerBody<R>> {
    make_private(&mut head.headers);
    let pieces = fill_holes::assemble(policy, body, request).await;
    Response::from_parts(head, LayerBody::pieces(pieces))
}

impl PageResponse {
    /// The response from an entry, if it answers this request.
    pub(super) fn from_cache(
        policy: &Policy,
        request: &CacheableRequest,
        found: Found,
    ) -> Result<PageResponse, Unusable> {
        let Some(page) = found.body.into_page() else { return Err(Unusable::Age) };
        let Some(stored) = page.response() else { return Err(Unusable::Age) };
        if request.facts.has_credentials && !stored.allows_authorization {
            return Err(Unusable::Credentials);
        }
        let now = policy.cache.inner.clock.now();
        let age = now.saturating_sub(found.began).saturating_add(stored.age) / SECOND;
        let ttl = i64::try_from(found.expires.abs_diff(now) / SECOND).unwrap_or(i64::MAX);
        let ttl = if found.expires < now { -ttl } else { ttl };
        if policy.honor_reload && !request.directives.accepts(age, ttl) {
            return Err(Unusable::Age);
        }
        let preconditions =
            if request.facts.conditional { PreconditionTiming::BeforeHandler } else { PreconditionTiming::Never };
        Ok(PageResponse { page, began: found.began, status: CacheStatus::Hit { ttl }, age: Some(age), preconditions })
    }

    /// The response from an expired entry. An enclosing fragment gets the dependencies of the entry, as on any hit.
    pub(super) fn from_stale(policy: &Policy, pending: &PendingPage, entry: &Entry) -> Option<PageResponse> {
        let inner = &policy.cache.inner;
        inner.count_stale(&pending.key.request(), entry);
        PageResponse::from_cache(policy, &pending.request, entry.found()).ok()
    }

    /// The response from a page that the handler just generated.
    pub(super) fn generated(page: Arc<Page>, status: CacheStatus) -> PageResponse {
        let age = page.response().map(|response| response.age / SECOND).filter(|age| *age > 0);
        PageResponse { page, began: 0, status, age, preconditions: PreconditionTiming::AfterHandler }
    }

    /// The response from a page that was generated and not stored.
    pub(super) fn unstored(response: StoredResponse, status: CacheStatus) -> PageResponse {
        PageResponse::generated(Arc::new(Page::Response(response)), status)
    }

    pub(super) fn page(&self) -> &Arc<Page> {
        &self.page
    }

    pub(super) fn began(&self) -> Nanos {
        self.began
    }

    /// Responds with the extensions of the handler's response.
    pub(super) async fn respond_with<R: Body<Data = Bytes>>(
        self,
        extensions: Extensions,
        policy: &Policy,
        request: &Parts,
    ) -> Response<LayerBody<R>> {
        let mut response = self.respond(policy, request).await;
        *response.extensions_mut() = extensions;
        response
    }

    pub(super) async fn respond<R: Body<Data = Bytes>>(
        self,
        policy: &Policy,
        request: &Parts,
    ) -> Response<LayerBody<R>> {
        if let Some(response) = self.respond_now(policy, request) {
            return response;
        }
        let Some(stored) = self.page.response() else { return Response::new(LayerBody::empty()) };
        let pieces = fill_holes::assemble(policy, &stored.body, request).await;
        let mut headers = stored.headers.clone();
        if stored.status == StatusCode::OK && !CacheControl::read(&headers).is_no_store() {
            headers.insert(ETAG, compute_etag(&pieces, &headers, None, true).to_header_value());
        }
        self.finish(policy, head(stored, headers), LayerBody::pieces(pieces), request)
    }

    /// The response, unless holes must be filled.
    pub(super) fn respond_now<R: Body<Data = Bytes>>(
        &self,
        policy: &Policy,
        request: &Parts,
    ) -> Option<Response<LayerBody<R>>> {
        let stored = self.page.response()?;
        match stored.body.as_slice() {
            [BodySegment::Text(bytes)] => {
                let body = LayerBody::whole(bytes.clone());
                Some(self.finish(policy, head(stored, stored.headers.clone()), body, request))
            }
            _ => None,
        }
    }

    fn finish<R: Body<Data = Bytes>>(
        &self,
        policy: &Policy,
        mut head: response::Parts,
        body: LayerBody<R>,
        request: &Parts,
    ) -> Response<LayerBody<R>> {
        // A stored page already has `Age` and `Cache-Status`, so these two lines do not make the map grow.
        match self.age {
            Some(age) => drop(head.headers.insert(AGE, HeaderValue::from(age))),
            None => drop(head.headers.remove(AGE)),
        }
        self.status.append_to(&mut head.headers, policy.status_name.as_deref());
        let result = match self.preconditions {
            PreconditionTiming::Never => PreconditionResult::Proceed,
            PreconditionTiming::BeforeHandler => evaluate_before_handler(request, head.status, &head.headers),
            PreconditionTiming::AfterHandler => evaluate_after_handler(request, head.status, &head.headers),
        };
        apply_preconditions(&request.method, result, head, body)
    }
}

fn head(stored: &StoredResponse, headers: HeaderMap) -> response::Parts {
    let (mut head, ()) = Response::new(()).into_parts();
    head.status = stored.status;
    head.headers = headers;
    head
}
