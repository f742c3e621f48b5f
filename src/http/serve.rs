//! Answering from a page: conditions, HEAD, `Age`, and the holes of this visitor.

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
use super::headers::make_personal;
use super::pending::{PendingPage, direction};
use super::policy::Policy;
use super::preconditions::PreconditionResult;
use super::request::CacheableRequest;
use super::revalidate::{conclude, judge, judge_late, tag_of};
use crate::clock::Nanos;
use crate::entry::{Body as Content, Entry, Found};
use crate::page::{BodySegment, Grace, Page, StoredResponse};
use crate::question::Question;

const SECOND: u64 = 1_000_000_000;

/// A page to be shown.
pub(super) struct PageResponse {
    page: Arc<Page>,
    /// When its work began.
    began: Nanos,
    did: CacheStatus,
    /// In seconds.
    age: Option<u64>,
    conditions: PreconditionTiming,
}

/// Whether the request has conditions, and whether they could spare the handler.
#[derive(Debug, Clone, Copy)]
enum PreconditionTiming {
    None,
    BeforeHandler,
    AfterHandler,
}

/// Why a page does not answer a request.
pub(super) enum Unusable {
    /// The request has credentials, and the page is for those that have none.
    Credentials,
    /// The client wants it newer.
    Age,
}

/// What memory has for a request.
pub(super) enum MemoryLookup {
    Fresh(PageResponse),
    Unusable(Unusable),
    /// Where to look: its address varies by these headers.
    Directed(Vec<HeaderName>),
    /// Nothing that the client would take, but its address varies by these headers, so that this is what to ask for.
    Elsewhere(Question, Vec<HeaderName>),
    Nothing,
}

/// Looks in memory, without waiting for anything.
pub(super) fn look(policy: &Policy, asked: &CacheableRequest, headers: &HeaderMap) -> MemoryLookup {
    match look_for(policy, asked, &asked.question) {
        MemoryLookup::Directed(names) => {
            let varied = asked.varied(&names, headers);
            match look_for(policy, asked, &varied) {
                MemoryLookup::Nothing | MemoryLookup::Unusable(Unusable::Age) => MemoryLookup::Elsewhere(varied, names),
                looked => looked,
            }
        }
        looked => looked,
    }
}

fn look_for(policy: &Policy, asked: &CacheableRequest, question: &Question) -> MemoryLookup {
    let inner = &policy.cache.inner;
    let wanted = question.wanted();
    let looked = inner.seek(&wanted, |entry, latest| {
        if let Some(names) = direction(&entry.body) {
            return MemoryLookup::Directed(names.to_vec());
        }
        match PageResponse::of(policy, asked, entry.found()) {
            Ok(shown) => {
                inner.note_hit(&wanted, entry, latest);
                MemoryLookup::Fresh(shown)
            }
            Err(unfit) => MemoryLookup::Unusable(unfit),
        }
    });
    looked.unwrap_or(MemoryLookup::Nothing)
}

/// Whether an entry answers a request, or says where to look.
pub(super) fn answers(policy: &Policy, asked: &CacheableRequest, entry: &Entry) -> bool {
    direction(&entry.body).is_some() || PageResponse::of(policy, asked, entry.found()).is_ok()
}

/// The page that may be shown although it expired, for one of its graces.
pub(super) fn expired(policy: &Policy, missing: &PendingPage, grace: fn(&Grace) -> Nanos) -> Option<Arc<Entry>> {
    let of = |entry: &Entry| match &entry.body {
        Content::Page(page) => page.stored().map_or(0, |stored| grace(&stored.stale)),
        _ => 0,
    };
    let entry = policy.cache.inner.graced(&missing.question.wanted(), of)?;
    let fits = of(&entry) > 0 && PageResponse::of(policy, &missing.asked, entry.found()).is_ok();
    fits.then_some(entry)
}

/// The answer where only a stored one would do, and there is none (RFC 9111 §5.2.1.7).
pub(super) fn refused<R: Body<Data = Bytes>>(policy: &Policy) -> Response<LayerBody<R>> {
    let mut response = Response::new(LayerBody::empty());
    *response.status_mut() = StatusCode::GATEWAY_TIMEOUT;
    response.headers_mut().insert(CACHE_CONTROL, CacheControl::no_store().into());
    CacheStatus::Refused.tell(policy.status_name.as_deref(), response.headers_mut());
    response
}

/// Answers with a page whose holes are filled for this request.
pub(super) async fn fill<R: Body<Data = Bytes>>(
    policy: &Policy,
    mut head: response::Parts,
    body: &[BodySegment],
    request: &Parts,
) -> Response<LayerBody<R>> {
    make_personal(&mut head.headers);
    let pieces = fill_holes::assemble(policy, body, request).await;
    Response::from_parts(head, LayerBody::pieces(pieces))
}

impl PageResponse {
    /// What was found, if it answers this request.
    pub(super) fn of(policy: &Policy, asked: &CacheableRequest, found: Found) -> Result<PageResponse, Unusable> {
        let Content::Page(page) = found.body else { return Err(Unusable::Age) };
        let Some(stored) = page.stored() else { return Err(Unusable::Age) };
        if asked.facts.authorization && !stored.authorized {
            return Err(Unusable::Credentials);
        }
        let now = policy.cache.inner.clock.now();
        let age = now.saturating_sub(found.began).saturating_add(stored.age) / SECOND;
        let left = i64::try_from(found.expires.abs_diff(now) / SECOND).unwrap_or(i64::MAX);
        let left = if found.expires < now { -left } else { left };
        if policy.honor_reload && !asked.directives.accepts(age, left) {
            return Err(Unusable::Age);
        }
        let conditions =
            if asked.facts.conditional { PreconditionTiming::BeforeHandler } else { PreconditionTiming::None };
        Ok(PageResponse { page, began: found.began, did: CacheStatus::Hit(left), age: Some(age), conditions })
    }

    pub(super) fn page(&self) -> &Arc<Page> {
        &self.page
    }

    pub(super) fn began(&self) -> Nanos {
        self.began
    }

    /// An expired page, of which what encloses this request is told as of any other.
    pub(super) fn stale(policy: &Policy, missing: &PendingPage, entry: &Entry) -> Option<PageResponse> {
        let inner = &policy.cache.inner;
        inner.count_stale(&missing.question.wanted(), entry);
        PageResponse::of(policy, &missing.asked, entry.found()).ok()
    }

    /// A page just made and stored.
    pub(super) fn stored(page: Arc<Page>, did: CacheStatus) -> PageResponse {
        let age = page.stored().map(|stored| stored.age / SECOND).filter(|age| *age > 0);
        PageResponse { page, began: 0, did, age, conditions: PreconditionTiming::AfterHandler }
    }

    /// A page just made, and not stored.
    pub(super) fn made(page: StoredResponse, did: CacheStatus) -> PageResponse {
        PageResponse::stored(Arc::new(Page::Response(page)), did)
    }

    /// The answer to whom the page was made for.
    pub(super) async fn answer_with<R: Body<Data = Bytes>>(
        self,
        extensions: Extensions,
        policy: &Policy,
        request: &Parts,
    ) -> Response<LayerBody<R>> {
        let mut answer = self.answer(policy, request).await;
        *answer.extensions_mut() = extensions;
        answer
    }

    /// The answer, unless there are holes to be filled.
    pub(super) fn at_once<R: Body<Data = Bytes>>(
        &self,
        policy: &Policy,
        request: &Parts,
    ) -> Option<Response<LayerBody<R>>> {
        let stored = self.page.stored()?;
        match stored.body.as_slice() {
            [BodySegment::Text(bytes)] => {
                let body = LayerBody::whole(bytes.clone());
                Some(self.respond(policy, self.head(stored, stored.headers.clone()), body, request))
            }
            _ => None,
        }
    }

    pub(super) async fn answer<R: Body<Data = Bytes>>(
        self,
        policy: &Policy,
        request: &Parts,
    ) -> Response<LayerBody<R>> {
        if let Some(answer) = self.at_once(policy, request) {
            return answer;
        }
        let Some(stored) = self.page.stored() else { return Response::new(LayerBody::empty()) };
        let pieces = fill_holes::assemble(policy, &stored.body, request).await;
        let mut headers = stored.headers.clone();
        if stored.status == StatusCode::OK && !CacheControl::read(&headers).is_no_store() {
            headers.insert(ETAG, tag_of(&pieces, &headers, None, true).to_header_value());
        }
        self.respond(policy, self.head(stored, headers), LayerBody::pieces(pieces), request)
    }

    fn head(&self, stored: &StoredResponse, headers: HeaderMap) -> response::Parts {
        let (mut head, ()) = Response::new(()).into_parts();
        head.status = stored.status;
        head.headers = headers;
        head
    }

    fn respond<R: Body<Data = Bytes>>(
        &self,
        policy: &Policy,
        mut head: response::Parts,
        body: LayerBody<R>,
        request: &Parts,
    ) -> Response<LayerBody<R>> {
        // Both are in a stored page already, so that neither makes the map grow.
        match self.age {
            Some(age) => drop(head.headers.insert(AGE, HeaderValue::from(age))),
            None => drop(head.headers.remove(AGE)),
        }
        self.did.tell(policy.status_name.as_deref(), &mut head.headers);
        let verdict = match self.conditions {
            PreconditionTiming::None => PreconditionResult::Proceed,
            PreconditionTiming::BeforeHandler => judge(request, head.status, &head.headers),
            PreconditionTiming::AfterHandler => judge_late(request, head.status, &head.headers),
        };
        conclude(&request.method, verdict, head, body)
    }
}
