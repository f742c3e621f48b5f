//! The handler's response: stored as a page, or passed on to the client.
//!
//! In both cases the body is read inside the scope of the request, so that the fragments of a streamed body count.
//! `evaluate.rs` evaluates the response, `store.rs` chooses the key, and `serve.rs` responds from the page.

use std::future::{Future, ready};
use std::pin::pin;
use std::sync::Arc;

use bytes::Bytes;
use http::request::Parts;
use http::{Response, StatusCode};
use http_body::Body;

use super::body::{CollectedBody, LayerBody, collect};
use super::cache_status::{CacheStatus, Forwarded};
use super::evaluate::EvaluatedResponse;
use super::fill_holes::{UnfilledHole, split_at_holes};
use super::headers::remove_hop_by_hop;
use super::pending::PendingPage;
use super::policy::Policy;
use super::request::RequestFacts;
use super::serve::{self, PageResponse};
use super::state::LayerState;
use super::storability::{Storability, has_announced_length, is_event_stream};
use super::store::{StoreResponse, unkeyed_vary};
use super::timeout::wait_timeout;
use crate::cache::computation::Computation;
use crate::cache::get_or_set::Inside;
use crate::cache::hole::Holes;
use crate::cache::scope::Scope;
use crate::http::page::Page;
use crate::util::clock::nanos;

/// A response from the handler, whose body is not read yet.
pub(super) struct HandlerResponse<R> {
    pub(super) response: Response<R>,
    pub(super) scope: Scope,
    pub(super) holes: Option<Arc<Holes>>,
}

/// Runs a future inside the computation, if there is one.
pub(super) async fn within<F: Future>(work: Option<&mut Computation>, future: F) -> F::Output {
    let future = pin!(future);
    match work {
        Some(work) => Inside { work, future }.await,
        None => future.await,
    }
}

impl<R: Body<Data = Bytes>> HandlerResponse<R> {
    /// Whether the response may be stored, as far as its head and the fragments rendered so far tell.
    pub(super) fn may_be_stored(&self, policy: &Policy, facts: &RequestFacts) -> bool {
        let (status, headers) = (self.response.status(), self.response.headers());
        Storability::evaluate(policy, facts, status, headers, &self.scope.record()).lifetime.is_some()
    }

    /// Passes the response to a method other than GET and HEAD on. Only its holes are filled.
    pub(super) async fn fill_and_pass_on(
        mut self,
        policy: &Policy,
        request: &Parts,
        status: CacheStatus,
    ) -> Response<LayerBody<R>> {
        status.append_to(self.response.headers_mut(), policy.status_name.as_deref());
        let HandlerResponse { response, scope, holes } = self;
        let (head, body) = response.into_parts();
        let Some(unfilled) = UnfilledHole::in_unread(holes.as_deref()) else {
            return Response::from_parts(head, LayerBody::through(body).inside(scope));
        };
        match scope.clone().run_async(collect(body, policy.max_body_bytes, wait_timeout(policy))).await {
            CollectedBody::Whole(bytes) => {
                let body = split_at_holes(bytes, holes.as_deref());
                serve::fill_unstored(policy, head, &body, request).await
            }
            CollectedBody::Streaming(body) => {
                unfilled.report(policy);
                Response::from_parts(head, body.inside(scope))
            }
        }
    }

    /// Passes the response to a GET or HEAD on without storing it. A body that is already there gets an entity tag; any
    /// other body is streamed, unless it may have holes.
    pub(super) async fn pass_on(
        self,
        policy: &Policy,
        facts: &RequestFacts,
        request: &Parts,
        status: CacheStatus,
    ) -> Response<LayerBody<R>> {
        let HandlerResponse { response, scope, holes } = self;
        let (head, body) = response.into_parts();
        // A streamed body may print holes while it is read.
        let collected = if holes.is_some() && !head.status.is_informational() && !is_event_stream(&head.headers) {
            scope.clone().run_async(collect(body, policy.max_body_bytes, wait_timeout(policy))).await
        } else if head.status == StatusCode::OK && body.size_hint().exact().is_some() {
            scope.clone().run_async(collect(body, policy.max_body_bytes, ready(()))).await
        } else {
            CollectedBody::Streaming(LayerBody::through(body))
        };
        let evaluated = EvaluatedResponse::new(policy, facts, head, &scope, request);
        match collected {
            CollectedBody::Whole(bytes) => {
                let evaluated = evaluated.unless_unfilled(UnfilledHole::in_unstored(&bytes, holes.as_deref()).as_ref());
                let (page, extensions) = evaluated.page(bytes, holes.as_deref());
                PageResponse::unstored(page, status).respond_with(extensions, policy, request).await
            }
            CollectedBody::Streaming(body) => {
                let evaluated = evaluated.unless_unfilled(UnfilledHole::in_unread(holes.as_deref()).as_ref());
                evaluated.streamed(body.inside(scope), request, status)
            }
        }
    }

    /// Stores the response if its body can be read whole and its fragments permit it, and responds.
    pub(super) async fn store_and_respond(
        self,
        state: &LayerState,
        pending: &PendingPage,
        mut work: Option<Computation>,
        request: &Parts,
    ) -> Response<LayerBody<R>> {
        let policy = &state.policy;
        let HandlerResponse { response, scope, holes } = self;
        let (head, body) = response.into_parts();
        let reading = scope.clone().run_async(collect(body, policy.max_body_bytes, wait_timeout(policy)));
        let collected = within(work.as_mut(), reading).await;
        let evaluated = EvaluatedResponse::new(policy, &pending.request.facts, head, &scope, request);
        let status = |stored| CacheStatus::Forwarded(Forwarded { reason: pending.reason, stored });
        let bytes = match collected {
            CollectedBody::Whole(bytes) => bytes,
            CollectedBody::Streaming(body) => {
                state.set_streamed(pending.key_hash());
                state.not_stored(pending, work);
                let evaluated = evaluated.unless_unfilled(UnfilledHole::in_unread(holes.as_deref()).as_ref());
                return evaluated.streamed(body.inside(scope), request, status(false));
            }
        };
        let names = unkeyed_vary(policy, &evaluated.head.headers);
        let unfilled = UnfilledHole::in_stored(&bytes, holes.as_deref());
        let complete = unfilled.is_none() && has_announced_length(&evaluated.head.headers, bytes.len());
        let evaluated = evaluated.unless_unfilled(unfilled.as_ref());
        let without_marks = evaluated.page_without_marks(&bytes, holes.as_deref());
        let (page, extensions) = evaluated.page(bytes, holes.as_deref());
        let EvaluatedResponse { mut record, storability, .. } = evaluated;
        let Some(lifetime) = storability.lifetime.filter(|_| complete) else {
            state.not_stored(pending, work);
            return PageResponse::unstored(page, status(false)).respond_with(extensions, policy, request).await;
        };
        record.expires = record.expires.min(record.begin.at.saturating_add(nanos(lifetime)));
        let (page, with_marks) = match without_marks {
            Some(without_marks) => (without_marks, Some(page)),
            None => (page, None),
        };
        let mut page = page.detached();
        remove_hop_by_hop(&mut page.headers);
        page.grace = page.grace.within(record.grace_ends.saturating_sub(record.expires));
        let page = Arc::new(Page::Response(page));
        let storing = StoreResponse { policy, pending, record, page: Arc::clone(&page), request };
        let stored = storing.store(names, work);
        if stored {
            state.clear_unstorable(pending.key_hash());
        }
        let response = match with_marks {
            Some(with_marks) => PageResponse::unstored(with_marks, status(stored)),
            None => PageResponse::generated(page, status(stored)),
        };
        response.respond_with(extensions, policy, request).await
    }
}
