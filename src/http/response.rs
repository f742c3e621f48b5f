//! What is made of a handler's response: a stored page, or an answer that is passed on.
//!
//! Either way its body is read within the scope of the request, as far as it is to be read, and the response then says
//! what its fragments say.

use std::future::{Future, ready};
use std::pin::pin;
use std::sync::Arc;

use bytes::Bytes;
use http::request::Parts;
use http::{Response, StatusCode};
use http_body::Body;

use super::body::{CollectedBody, LayerBody, collect};
use super::cache_status::{CacheStatus, Forwarded};
use super::evaluate::{EvaluatedResponse, verdict};
use super::fill_holes::{UnfilledHole, pieces};
use super::headers::remove_hop_by_hop;
use super::pending::PendingPage;
use super::policy::Policy;
use super::request::RequestFacts;
use super::serve::{self, PageResponse};
use super::state::LayerState;
use super::storability::{Storability, is_event_stream, is_whole};
use super::store::{StoreResponse, varies};
use super::timeout::wait_timeout;
use crate::clock::nanos;
use crate::handler::Inside;
use crate::hole::Holes;
use crate::page::Page;
use crate::scope::Scope;
use crate::work::Work;

/// What the handler said.
pub(super) struct HandlerResponse<R> {
    pub(super) response: Response<R>,
    pub(super) scope: Scope,
    pub(super) holes: Option<Arc<Holes>>,
}

/// Runs something inside the work, if there is any.
pub(super) async fn within<F: Future>(work: Option<&mut Work>, future: F) -> F::Output {
    let future = pin!(future);
    match work {
        Some(work) => Inside { work, future }.await,
        None => future.await,
    }
}

impl<R: Body<Data = Bytes>> HandlerResponse<R> {
    /// What becomes of it as far as its head tells.
    pub(super) fn verdict(&self, policy: &Policy, facts: &RequestFacts) -> Storability {
        verdict(policy, facts, self.response.status(), self.response.headers(), &self.scope.record())
    }

    /// The answer to a request that is none of a reader's: only its holes are filled.
    pub(super) async fn answered(mut self, policy: &Policy, seen: &Parts, did: CacheStatus) -> Response<LayerBody<R>> {
        did.tell(policy.status_name.as_deref(), self.response.headers_mut());
        let HandlerResponse { response, scope, holes } = self;
        let (head, body) = response.into_parts();
        let Some(unread) = UnfilledHole::in_unread(holes.as_deref()) else {
            return Response::from_parts(head, LayerBody::through(body).inside(scope));
        };
        match scope.clone().run_async(collect(body, policy.max_body_bytes, wait_timeout(policy))).await {
            CollectedBody::Whole(bytes) => {
                let body = pieces(bytes, holes.as_deref());
                serve::fill(policy, head, &body, seen).await
            }
            CollectedBody::Streaming(body) => {
                unread.report(policy);
                Response::from_parts(head, body.inside(scope))
            }
        }
    }

    /// Not stored. A body that is there whole already is validated; others go on as they come.
    pub(super) async fn passed_on(
        self,
        policy: &Policy,
        facts: &RequestFacts,
        seen: &Parts,
        did: CacheStatus,
    ) -> Response<LayerBody<R>> {
        let HandlerResponse { response, scope, holes } = self;
        let (head, body) = response.into_parts();
        // A body that is rendered as it is read may come to have holes.
        let collected = if holes.is_some() && !head.status.is_informational() && !is_event_stream(&head.headers) {
            scope.clone().run_async(collect(body, policy.max_body_bytes, wait_timeout(policy))).await
        } else if head.status == StatusCode::OK && body.size_hint().exact().is_some() {
            scope.clone().run_async(collect(body, policy.max_body_bytes, ready(()))).await
        } else {
            CollectedBody::Streaming(LayerBody::through(body))
        };
        let judged = EvaluatedResponse::of(policy, facts, head, &scope, seen);
        match collected {
            CollectedBody::Whole(bytes) => {
                let judged = judged.unless_filled(UnfilledHole::in_passed(&bytes, holes.as_deref()).as_ref());
                let (stored, rest) = judged.page(bytes, holes.as_deref());
                PageResponse::made(stored, did).answer_with(rest, policy, seen).await
            }
            CollectedBody::Streaming(body) => {
                let judged = judged.unless_filled(UnfilledHole::in_unread(holes.as_deref()).as_ref());
                judged.apart(body.inside(scope), seen, did)
            }
        }
    }

    /// Stored, if its body comes whole and its fragments allow it.
    pub(super) async fn stored(
        self,
        shared: &LayerState,
        missing: &PendingPage,
        mut work: Option<Work>,
        seen: &Parts,
    ) -> Response<LayerBody<R>> {
        let policy = &shared.policy;
        let HandlerResponse { response, scope, holes } = self;
        let (head, body) = response.into_parts();
        let reading = scope.clone().run_async(collect(body, policy.max_body_bytes, wait_timeout(policy)));
        let collected = within(work.as_mut(), reading).await;
        let judged = EvaluatedResponse::of(policy, &missing.asked.facts, head, &scope, seen);
        let did = |stored| CacheStatus::Missed(Forwarded { forward: missing.forward, stored });
        let bytes = match collected {
            CollectedBody::Whole(bytes) => bytes,
            CollectedBody::Streaming(body) => {
                shared.streams.note(missing.hash(), policy.cache.inner.clock.now());
                shared.not_stored(missing, work);
                let judged = judged.unless_filled(UnfilledHole::in_unread(holes.as_deref()).as_ref());
                return judged.apart(body.inside(scope), seen, did(false));
            }
        };
        let names = varies(policy, &judged.head.headers);
        let unfilled = UnfilledHole::in_stored(&bytes, holes.as_deref());
        let whole = unfilled.is_none() && is_whole(&judged.head.headers, bytes.len());
        let judged = judged.unless_filled(unfilled.as_ref());
        let unmarked = judged.unmarked(&bytes, holes.as_deref());
        let (page, rest) = judged.page(bytes, holes.as_deref());
        let EvaluatedResponse { mut record, verdict, .. } = judged;
        let Some(lifetime) = verdict.lifetime.filter(|_| whole) else {
            shared.not_stored(missing, work);
            return PageResponse::made(page, did(false)).answer_with(rest, policy, seen).await;
        };
        record.expires = record.expires.min(record.begin.at.saturating_add(nanos(lifetime)));
        // What marks fragments for those who debug this request is in their answer only.
        let (page, marked) = match unmarked {
            Some(unmarked) => (unmarked, Some(page)),
            None => (page, None),
        };
        let mut page = page.detached();
        remove_hop_by_hop(&mut page.headers);
        page.stale = page.stale.within(record.grace_ends.saturating_sub(record.expires));
        let page = Arc::new(Page::Response(page));
        let stored = StoreResponse { policy, missing, record, page: Arc::clone(&page), seen }.keep(names, work);
        if stored {
            shared.unstored.forget(missing.hash());
        }
        let shown = match marked {
            Some(marked) => PageResponse::made(marked, did(stored)),
            None => PageResponse::stored(page, did(stored)),
        };
        shown.answer_with(rest, policy, seen).await
    }
}
