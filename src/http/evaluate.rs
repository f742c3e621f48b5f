//! An evaluated response: the handler's response with its storability and dependencies.
//!
//! It becomes a page if its body was read whole, and otherwise a response whose body is streamed.

use std::time::SystemTime;

use bytes::Bytes;
use http::header::{AGE, CONTENT_LENGTH, DATE};
use http::request::Parts;
use http::{Extensions, HeaderValue, Response, response};
use http_body::Body;

use super::body::LayerBody;
use super::cache_control::CacheControl;
use super::cache_status::{self, CacheStatus};
use super::date;
use super::fill_holes::{UnfilledHole, split_at_holes};
use super::headers::make_private;
use super::invalidate::path_tags;
use super::policy::Policy;
use super::request::RequestFacts;
use super::revalidate;
use super::storability::{Storability, report_unreadable};
use crate::cache::hole::Holes;
use crate::cache::scope::Scope;
use crate::http::page::{BodySegment, StoredResponse};
use crate::invalidation::dependencies::Dependencies;
use crate::util::clock::nanos;

pub(super) struct EvaluatedResponse<'a> {
    policy: &'a Policy,
    pub(super) head: response::Parts,
    pub(super) record: Dependencies,
    pub(super) storability: Storability,
}

impl EvaluatedResponse<'_> {
    /// Evaluates a response after its body was read, so that the scope knows all fragments.
    pub(super) fn new<'a>(
        policy: &'a Policy,
        facts: &RequestFacts,
        head: response::Parts,
        scope: &Scope,
        request: &Parts,
    ) -> EvaluatedResponse<'a> {
        let mut record = scope.record().clone();
        add_page_tags(policy, &mut record, request);
        let storability = Storability::evaluate(policy, facts, head.status, &head.headers, &record);
        if !CacheControl::is_readable(&head.headers) {
            report_unreadable(policy);
        }
        EvaluatedResponse { policy, head, record, storability }
    }

    /// Reports a hole that is not filled, and forbids storing the response then.
    pub(super) fn unless_unfilled(mut self, unfilled: Option<&UnfilledHole>) -> Self {
        if let Some(unfilled) = unfilled {
            unfilled.report(self.policy);
        }
        self.storability = self.storability.unless_unfilled(unfilled);
        self
    }

    /// The page that is stored and served, and the extensions, which belong to this response only.
    pub(super) fn page(&self, bytes: Bytes, holes: Option<&Holes>) -> (StoredResponse, Extensions) {
        let EvaluatedResponse { policy, head, record, storability } = self;
        let mut headers = head.headers.clone();
        storability.write_to(&mut headers, policy, record);
        let body = split_at_holes(bytes, holes);
        if let [BodySegment::Text(bytes)] = body.as_slice() {
            if !bytes.is_empty() {
                // The HTTP server adds the header where it is missing, on every hit.
                headers.entry(CONTENT_LENGTH).or_insert_with(|| bytes.len().into());
            }
            revalidate::add_etag(head.status, &mut headers, bytes, Some(record), !policy.strong_etags);
        } else {
            make_private(&mut headers);
        }
        if !headers.contains_key(DATE)
            && let Some(date) = date::write(SystemTime::now())
        {
            headers.insert(DATE, date);
        }
        headers.insert(AGE, HeaderValue::from_static("0"));
        cache_status::reserve(policy.status_name.as_deref(), &mut headers);
        let Storability { age, grace, allows_authorization, .. } = *storability;
        let stored =
            StoredResponse { status: head.status, headers, body, age: nanos(age), grace, allows_authorization };
        (stored, head.extensions.clone())
    }

    /// The page without the marks of the debug layer, if it has any. Only the response to a debugged request keeps
    /// them.
    pub(super) fn page_without_marks(&self, bytes: &[u8], holes: Option<&Holes>) -> Option<StoredResponse> {
        let bytes = Bytes::from(self.policy.cache.inner.telemetry.unmarked_page(bytes)?);
        let length = bytes.len();
        let (mut page, _) = self.page(bytes, holes);
        if let Some(known) = page.headers.get_mut(CONTENT_LENGTH) {
            *known = length.into();
        }
        Some(page)
    }

    /// The response for a body that is not read whole.
    pub(super) fn streamed<R: Body<Data = Bytes>>(
        self,
        body: LayerBody<R>,
        request: &Parts,
        status: CacheStatus,
    ) -> Response<LayerBody<R>> {
        let EvaluatedResponse { policy, mut head, record, storability } = self;
        storability.write_to(&mut head.headers, policy, &record);
        status.append_to(&mut head.headers, policy.status_name.as_deref());
        let result = revalidate::evaluate_after_handler(request, head.status, &head.headers);
        revalidate::apply_preconditions(&request.method, result, head, body)
    }
}

/// Adds the tags of the layer and of the path, beside those of the fragments.
fn add_page_tags(policy: &Policy, record: &mut Dependencies, request: &Parts) {
    let cache = &policy.cache;
    policy.tags_of(request).into_iter().for_each(|tag| record.tag(cache.tag(tag)));
    path_tags(policy, request).for_each(|tag| record.tag(tag));
}
