//! A response that was judged, with what its fragments say: as a page to be stored and shown, or as an answer that is
//! not to be had whole.

use std::time::SystemTime;

use bytes::Bytes;
use http::header::{AGE, CONTENT_LENGTH, DATE};
use http::request::Parts;
use http::{Extensions, HeaderMap, HeaderValue, Response, StatusCode, response};
use http_body::Body;

use super::body::LayerBody;
use super::cache_control::CacheControl;
use super::cache_status::{self, CacheStatus};
use super::date;
use super::fill_holes::{UnfilledHole, pieces};
use super::headers::make_personal;
use super::invalidate::path_tags;
use super::policy::Policy;
use super::request::RequestFacts;
use super::revalidate;
use super::storability::Storability;
use crate::clock::nanos;
use crate::hole::Holes;
use crate::page::{BodySegment, StoredResponse};
use crate::record::Record;
use crate::scope::Scope;

/// A response whose body was read as far as it was to be, and what becomes of it.
pub(super) struct EvaluatedResponse<'a> {
    policy: &'a Policy,
    pub(super) head: response::Parts,
    pub(super) record: Record,
    pub(super) verdict: Storability,
}

impl EvaluatedResponse<'_> {
    pub(super) fn of<'a>(
        policy: &'a Policy,
        facts: &RequestFacts,
        head: response::Parts,
        scope: &Scope,
        seen: &Parts,
    ) -> EvaluatedResponse<'a> {
        let mut record = scope.record().clone();
        depend(policy, &mut record, seen);
        let verdict = verdict(policy, facts, head.status, &head.headers, &record);
        if !CacheControl::is_readable(&head.headers) {
            Storability::report_unreadable(policy);
        }
        EvaluatedResponse { policy, head, record, verdict }
    }

    /// The same where a hole of it is not filled.
    pub(super) fn unless_filled(mut self, unfilled: Option<&UnfilledHole>) -> Self {
        self.verdict = self.verdict.unless_filled(unfilled, self.policy);
        self
    }

    /// The whole response as it is stored and shown, and what of its head is this answer's alone.
    pub(super) fn page(&self, bytes: Bytes, holes: Option<&Holes>) -> (StoredResponse, Extensions) {
        let EvaluatedResponse { policy, head, record, verdict } = self;
        let mut headers = head.headers.clone();
        verdict.tell(policy, record, &mut headers);
        let body = pieces(bytes, holes);
        if let [BodySegment::Text(bytes)] = body.as_slice() {
            if !bytes.is_empty() {
                // Whoever sends it would look for it, and add it where it is missing.
                headers.entry(CONTENT_LENGTH).or_insert_with(|| bytes.len().into());
            }
            revalidate::tag(head.status, &mut headers, bytes, Some(record), !policy.strong_etags);
        } else {
            make_personal(&mut headers);
        }
        if !headers.contains_key(DATE)
            && let Some(date) = date::write(SystemTime::now())
        {
            headers.insert(DATE, date);
        }
        headers.insert(AGE, HeaderValue::from_static("0"));
        cache_status::reserve(policy.status_name.as_deref(), &mut headers);
        let Storability { age, stale, authorized, .. } = *verdict;
        let stored = StoredResponse { status: head.status, headers, body, age: nanos(age), stale, authorized };
        (stored, head.extensions.clone())
    }

    /// The page without marks of fragments, if it has any: it is they who debug this request that are to see them.
    pub(super) fn unmarked(&self, bytes: &[u8], holes: Option<&Holes>) -> Option<StoredResponse> {
        let bytes = Bytes::from(self.policy.cache.inner.unmarked_page(bytes)?);
        let length = bytes.len();
        let (mut page, _) = self.page(bytes, holes);
        if let Some(known) = page.headers.get_mut(CONTENT_LENGTH) {
            *known = length.into();
        }
        Some(page)
    }

    /// An answer whose body is not to be had whole.
    pub(super) fn apart<R: Body<Data = Bytes>>(
        self,
        body: LayerBody<R>,
        seen: &Parts,
        did: CacheStatus,
    ) -> Response<LayerBody<R>> {
        let EvaluatedResponse { policy, mut head, record, verdict } = self;
        verdict.tell(policy, &record, &mut head.headers);
        did.tell(policy.status_name.as_deref(), &mut head.headers);
        let conditions = revalidate::judge_late(seen, head.status, &head.headers);
        revalidate::conclude(&seen.method, conditions, head, body)
    }
}

/// What becomes of a response, with what its fragments said so far.
pub(super) fn verdict(
    policy: &Policy,
    facts: &RequestFacts,
    status: StatusCode,
    headers: &HeaderMap,
    record: &Record,
) -> Storability {
    let latest = policy.cache.inner.clock.latest();
    Storability::of(policy, facts, status, headers).tightened(record, latest, headers)
}

/// What a page depends on beside its fragments: what the policy says, and its path.
fn depend(policy: &Policy, record: &mut Record, seen: &Parts) {
    let cache = &policy.cache;
    policy.tags_of(seen).into_iter().for_each(|tag| record.tag(cache.tag(tag)));
    path_tags(policy, seen).for_each(|tag| record.tag(tag));
}
