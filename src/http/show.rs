//! Answering from a page: conditions, HEAD, `Age`, and the holes of this visitor.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{AGE, CACHE_CONTROL, CONTENT_LENGTH, ETAG, EXPIRES, LAST_MODIFIED};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use http_body::Body;

use super::ask::Asked;
use super::body::LayerBody;
use super::cache_control::CacheControl;
use super::cache_status::Did;
use super::conditions::Verdict;
use super::hole;
use super::make::Missing;
use super::policy::Policy;
use super::validate::{conclude, judge, judge_late, tag_of};
use crate::entry::{Body as Content, Found};
use crate::page::{Page, Piece, Stored};
use crate::stats::Counter;

const SECOND: u64 = 1_000_000_000;

/// A page to be shown.
pub(super) struct Shown {
    page: Arc<Page>,
    did: Did,
    /// In seconds.
    age: Option<u64>,
    conditions: Conditions,
}

/// Whether the request has conditions, and whether they could spare the handler.
#[derive(Debug, Clone, Copy)]
enum Conditions {
    None,
    BeforeHandler,
    AfterHandler,
}

/// Why a page does not answer a request.
pub(super) enum Unfit {
    /// The request has credentials, and the page is for those that have none.
    Credentials,
    /// The client wants it newer.
    Age,
}

/// The names of the headers that an address varies by, if that is what was found.
pub(super) fn direction(found: &Found) -> Option<&[HeaderName]> {
    match &found.body {
        Content::Page(page) => match &**page {
            Page::Varies(names) => Some(names),
            Page::Response(_) => None,
        },
        _ => None,
    }
}

/// Looks in memory, without waiting for anything.
pub(super) fn look(policy: &Policy, asked: &Asked, headers: &HeaderMap) -> Option<Shown> {
    let inner = &policy.cache.inner;
    let mut found = inner.hit(&asked.question.wanted())?;
    if let Some(names) = direction(&found) {
        found = inner.hit(&asked.varied(names, headers).wanted())?;
    }
    Shown::of(policy, asked, found).ok()
}

/// The expired page that may be shown because the handler failed.
pub(super) fn instead_of_error(policy: &Policy, missing: &Missing) -> Option<Shown> {
    let inner = &policy.cache.inner;
    let expired = inner.graced(&missing.question.wanted(), |entry| match &entry.body {
        Content::Page(page) => page.stored().map_or(0, |stored| stored.stale.if_error),
        _ => 0,
    })?;
    let shown = Shown::of(policy, &missing.asked, expired.found()).ok()?;
    inner.counters.count(Counter::stale_hits);
    Some(shown)
}

/// The answer where only a stored one would do, and there is none (RFC 9111 §5.2.1.7).
pub(super) fn refused<R: Body<Data = Bytes>>(policy: &Policy) -> Response<LayerBody<R>> {
    let mut response = Response::new(LayerBody::empty());
    *response.status_mut() = StatusCode::GATEWAY_TIMEOUT;
    response.headers_mut().insert(CACHE_CONTROL, CacheControl::no_store().into());
    Did::Refused.tell(policy.status_name.as_deref(), response.headers_mut());
    response
}

/// Says of a page with holes what is true of it once they are filled.
pub(super) fn make_personal(headers: &mut HeaderMap) {
    for name in [ETAG, LAST_MODIFIED, EXPIRES, CONTENT_LENGTH] {
        headers.remove(name);
    }
    for name in ["cache-groups", "cache-tag", "surrogate-key"] {
        headers.remove(name);
    }
    headers.insert(CACHE_CONTROL, CacheControl::private().with_no_cache().into());
}

impl Shown {
    /// What was found, if it answers this request.
    pub(super) fn of(policy: &Policy, asked: &Asked, found: Found) -> Result<Shown, Unfit> {
        let Content::Page(page) = found.body else { return Err(Unfit::Age) };
        let Some(stored) = page.stored() else { return Err(Unfit::Age) };
        if asked.facts.authorization && !stored.authorized {
            return Err(Unfit::Credentials);
        }
        let now = policy.cache.inner.clock.now();
        let age = (now.saturating_sub(found.began) + stored.age) / SECOND;
        let left = i64::try_from(found.expires.abs_diff(now) / SECOND).unwrap_or(i64::MAX);
        let left = if found.expires < now { -left } else { left };
        if policy.honor_reload && !asked.directives.accepts(age, left) {
            return Err(Unfit::Age);
        }
        let conditions = if asked.facts.conditional { Conditions::BeforeHandler } else { Conditions::None };
        Ok(Shown { page, did: Did::Hit(left), age: Some(age), conditions })
    }

    /// A page just made and stored.
    pub(super) fn stored(page: Arc<Page>, did: Did) -> Shown {
        let age = page.stored().map(|stored| stored.age / SECOND).filter(|age| *age > 0);
        Shown { page, did, age, conditions: Conditions::AfterHandler }
    }

    /// A page just made, and not stored.
    pub(super) fn made(page: Stored, did: Did) -> Shown {
        Shown::stored(Arc::new(Page::Response(page)), did)
    }

    /// The answer, unless there are holes to be filled.
    pub(super) fn at_once<R: Body<Data = Bytes>>(
        &self,
        policy: &Policy,
        request: &Parts,
    ) -> Option<Response<LayerBody<R>>> {
        let stored = self.page.stored()?;
        match stored.body.as_slice() {
            [Piece::Text(bytes)] => {
                let body = LayerBody::whole(bytes.clone());
                Some(self.respond(policy, stored, stored.headers.clone(), body, request))
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
        let pieces = hole::assemble(policy, &stored.body, request).await;
        let mut headers = stored.headers.clone();
        if stored.status == StatusCode::OK {
            headers.insert(ETAG, tag_of(&pieces, &headers, None, true).to_header_value());
        }
        self.respond(policy, stored, headers, LayerBody::pieces(pieces), request)
    }

    fn respond<R: Body<Data = Bytes>>(
        &self,
        policy: &Policy,
        stored: &Stored,
        mut headers: HeaderMap,
        body: LayerBody<R>,
        request: &Parts,
    ) -> Response<LayerBody<R>> {
        // Both are in a stored page already, so that neither makes the map grow.
        match self.age {
            Some(age) => drop(headers.insert(AGE, HeaderValue::from(age))),
            None => drop(headers.remove(AGE)),
        }
        self.did.tell(policy.status_name.as_deref(), &mut headers);
        let verdict = match self.conditions {
            Conditions::None => Verdict::Proceed,
            Conditions::BeforeHandler => judge(request, stored.status, &headers),
            Conditions::AfterHandler => judge_late(request, stored.status, &headers),
        };
        conclude(&request.method, verdict, stored.status, headers, body)
    }
}
