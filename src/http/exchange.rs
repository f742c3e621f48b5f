//! One exchange: a request that is not answered from memory at once, and the handler's response to it.
//!
//! Owns the order of steps: look-up with single flight, stale page, handler, background refresh. `response.rs` stores
//! the handler's response or passes it on.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::ACCEPT_ENCODING;
use http::request::Parts;
use http::{Method, Request, Response};
use http_body::Body;
use tokio::runtime::Handle as Runtime;
use tower_service::Service;

use super::cache_status::{BypassReason, CacheStatus, ForwardReason, Forwarded};
use super::future::LayerResult;
use super::invalidate::UnsafeRequest;
use super::pending::PendingPage;
use super::policy::Policy;
use super::request::{CacheableRequest, RequestFacts, ask_for_full_response, remove_unkeyed};
use super::response::{HandlerResponse, within};
use super::serve::{self, PageResponse, Unusable};
use super::shadow::ShadowCheck;
use super::state::LayerState;
use super::timeout::in_time;
use crate::cache::computation::Computation;
use crate::cache::hole::Holes;
use crate::cache::lookup::Lookup;
use crate::cache::scope::Scope;
use crate::http::page::Grace;
use crate::store::caller::Caller;
use crate::store::entry::Entry;
use crate::telemetry::stats::Counter;
use crate::telemetry::{Bypass, MissReason};

/// How long the handler may run in the background.
const REFRESH_TIMEOUT: Duration = Duration::from_secs(60);

/// A request, with the service and the state to answer it.
pub(super) struct Exchange<S, B> {
    pub(super) service: S,
    pub(super) state: Arc<LayerState>,
    pub(super) parts: Parts,
    pub(super) body: B,
}

impl<S, B, R> Exchange<S, B>
where
    S: Service<Request<B>, Response = Response<R>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Send + 'static,
    B: Body + Send + 'static,
    R: Body<Data = Bytes> + Send + 'static,
    R::Error: Send,
{
    pub(super) async fn serve(self, page: PageResponse) -> LayerResult<R, S::Error> {
        Ok(page.respond(&self.state.policy, &self.parts).await)
    }

    /// Serves a page, and compares it with a new response from the handler in the background.
    pub(super) async fn serve_and_verify(
        mut self,
        request: CacheableRequest,
        page: PageResponse,
    ) -> LayerResult<R, S::Error> {
        let state = Arc::clone(&self.state);
        let label = state.policy.handler(&self.parts).label();
        let check = ShadowCheck::new(&request, &page, label);
        let original = self.parts.clone();
        if let (Some(check), Ok(runtime)) = (check, Runtime::try_current()) {
            let state = Arc::clone(&self.state);
            runtime.spawn(async move {
                let policy = &state.policy;
                ask_for_full_response(&mut self.parts);
                remove_unkeyed(policy, &mut self.parts);
                let inner = &policy.cache.inner;
                let timer = inner.sleep_until(Instant::now() + REFRESH_TIMEOUT);
                match in_time(self.call_handler(None, None), timer).await {
                    Some((scope, Ok(response))) => check.compare(policy, scope, response).await,
                    _ => inner.pause_verifying(),
                }
            });
        }
        Ok(page.respond(&state.policy, &original).await)
    }

    /// Calls the handler for an unsafe method.
    pub(super) async fn call_unsafe(self) -> LayerResult<R, S::Error> {
        let state = Arc::clone(&self.state);
        let policy = &state.policy;
        // Dropped before its end, by cancellation or an error of the service, it invalidates its own page: the handler
        // may have changed something by then.
        let change = policy.invalidates.then(|| UnsafeRequest::begin(policy, &self.parts)).flatten();
        let (original, holes) = (self.parts.clone(), self.holes());
        let (scope, response) = self.call_handler(None, holes.clone()).await;
        let response = response?;
        change.into_iter().for_each(|change| change.end(response.status(), response.headers()));
        let response = HandlerResponse { response, scope, holes };
        Ok(response.fill_and_pass_on(policy, &original, CacheStatus::Bypassed(BypassReason::Method)).await)
    }

    /// Calls the handler for a request that bypasses the cache. `facts` are those of a cacheable request that no stored
    /// page answers; its handler does not see unkeyed cookies and parameters.
    pub(super) async fn bypass(
        mut self,
        facts: Option<RequestFacts>,
        reason: BypassReason,
    ) -> LayerResult<R, S::Error> {
        let state = Arc::clone(&self.state);
        let policy = &state.policy;
        self.count_bypass(reason, &[]);
        let (original, holes) = (self.parts.clone(), self.holes());
        let reads = self.parts.method == Method::GET || self.parts.method == Method::HEAD;
        if reads {
            self.parts.method = Method::GET;
        }
        if facts.is_some() {
            remove_unkeyed(policy, &mut self.parts);
        } else if holes.is_some() {
            self.parts.headers.remove(ACCEPT_ENCODING);
        }
        let facts = facts.unwrap_or_else(|| RequestFacts::bypassed(policy, &original.headers));
        let (scope, response) = self.call_handler(None, holes.clone()).await;
        let response = HandlerResponse { response: response?, scope, holes };
        let status = CacheStatus::Bypassed(reason);
        Ok(if reads {
            response.pass_on(policy, &facts, &original, status).await
        } else {
            response.fill_and_pass_on(policy, &original, status).await
        })
    }

    /// Answers a request whose page is not in memory, or must be looked up again with single flight.
    pub(super) async fn look_up(self, mut pending: PendingPage) -> LayerResult<R, S::Error> {
        let state = Arc::clone(&self.state);
        let policy = &state.policy;
        let only_if_cached = pending.request.directives.only_if_cached;
        if !pending.request.facts.storable && !only_if_cached {
            let reason = if self.parts.method == Method::HEAD { BypassReason::Head } else { BypassReason::Request };
            return self.bypass(Some(pending.request.facts), reason).await;
        }
        if pending.request.facts.has_credentials {
            if only_if_cached {
                return Ok(serve::gateway_timeout(policy));
            }
            // It does not lead a flight: its response may be private, and followers could not use it.
            self.count_bypass(BypassReason::Authorization, pending.key.named());
            return self.generate(pending, None).await;
        }
        loop {
            if state.is_unstorable(pending.key_hash()) {
                pending.key.wait_for_nobody();
            }
            let mut handler = policy.handler(&self.parts);
            let takes = |entry: &Entry| serve::is_usable(policy, &pending.request, entry);
            let mut wanted = pending.key.request();
            if policy.honor_reload {
                wanted.takes = Some(&takes);
            }
            let found = match policy.cache.lookup_async(&wanted, &mut handler).await {
                Lookup::Compute(work) => return self.serve_stale_or_generate(pending, work).await,
                Lookup::Hit(found) => found,
            };
            if pending.vary.is_empty()
                && let Some(names) = serve::vary_index(&found.body)
            {
                let key = pending.request.variant_key(names, &self.parts.headers);
                pending.select_variant(key, names.to_vec());
                continue;
            }
            match PageResponse::from_cache(policy, &pending.request, found) {
                Ok(page) => return self.serve(page).await,
                Err(Unusable::Credentials) => return self.bypass(None, BypassReason::Authorization).await,
                Err(Unusable::Age) if only_if_cached => return Ok(serve::gateway_timeout(policy)),
                Err(Unusable::Age) => {
                    pending.reason = ForwardReason::Request;
                    let wanted = pending.key.request();
                    let work = policy.cache.replace(&wanted, &mut handler, true, MissReason::Refused);
                    return self.generate(pending, Some(work)).await;
                }
            }
        }
    }

    /// Serves the stale page if its handler failed recently, or while a background refresh runs. Otherwise calls the
    /// handler.
    async fn serve_stale_or_generate(
        self,
        mut pending: PendingPage,
        mut work: Computation,
    ) -> LayerResult<R, S::Error> {
        let state = Arc::clone(&self.state);
        let policy = &state.policy;
        if pending.request.directives.only_if_cached {
            work.miss(pending.key.named());
            work.give_up();
            return Ok(serve::gateway_timeout(policy));
        }
        let refreshable = serve::stale_entry(policy, &pending, Grace::while_revalidating);
        if state.is_failing(pending.key_hash())
            && let Some(entry) = serve::stale_entry(policy, &pending, Grace::if_error).or_else(|| refreshable.clone())
            && let Some(page) = PageResponse::from_stale(policy, &pending, &entry)
        {
            work.give_up();
            return self.serve(page).await;
        }
        if work.is_of_refusal() {
            pending.reason = ForwardReason::Request;
        } else if serve::stale_entry(policy, &pending, Grace::longest).is_some() {
            pending.reason = ForwardReason::Stale;
        }
        let (Some(entry), Ok(runtime)) = (refreshable, Runtime::try_current()) else {
            return self.generate(pending, Some(work)).await;
        };
        let Some(page) = PageResponse::from_stale(policy, &pending, &entry) else {
            return self.generate(pending, Some(work)).await;
        };
        let original = self.parts.clone();
        self.refresh_in_background(&runtime, pending, work);
        Ok(page.respond(policy, &original).await)
    }

    fn refresh_in_background(self, runtime: &Runtime, mut pending: PendingPage, work: Computation) {
        let state = Arc::clone(&self.state);
        let key = pending.key_hash();
        pending.in_background = true;
        // Cleared only by a success, so that a panic of the handler counts as a failure.
        state.set_failing(key);
        runtime.spawn(async move {
            let generated = self.generate(pending, Some(work));
            // A handler that never ends is dropped, so that a later request may try again.
            let timer = state.policy.cache.inner.sleep_until(Instant::now() + REFRESH_TIMEOUT);
            match in_time(generated, timer).await {
                Some(Ok(response)) if !response.status().is_server_error() => state.clear_failing(key),
                _ => state.handler_failed(key),
            }
        });
    }

    /// Calls the handler, and stores its response if it is storable.
    async fn generate(mut self, pending: PendingPage, mut work: Option<Computation>) -> LayerResult<R, S::Error> {
        let state = Arc::clone(&self.state);
        let policy = &state.policy;
        let (original, holes) = (self.parts.clone(), self.holes());
        if let Some(work) = work.as_mut().filter(|_| !pending.in_background) {
            work.miss(pending.key.named());
        }
        ask_for_full_response(&mut self.parts);
        remove_unkeyed(policy, &mut self.parts);
        let (scope, response) = self.call_handler(work.as_mut(), holes.clone()).await;
        let failed = response.as_ref().map_or(true, |response| response.status().is_server_error());
        if failed
            && !pending.in_background
            && let Some(entry) = serve::stale_entry(policy, &pending, Grace::if_error)
            && let Some(page) = PageResponse::from_stale(policy, &pending, &entry)
        {
            state.handler_failed(pending.key_hash());
            work.iter_mut().for_each(Computation::retract_miss_of);
            work.into_iter().for_each(Computation::fail);
            return Ok(page.respond(policy, &original).await);
        }
        let response = HandlerResponse { response: response?, scope, holes };
        let storable = response.may_be_stored(policy, &pending.request.facts);
        // The body is not read whole if the page cannot be stored: without the lead of the flight, or if the body was
        // too slow or too large before.
        let streamed = state.is_streamed(pending.key_hash());
        if storable && !streamed && work.as_ref().is_none_or(Computation::leads) {
            return Ok(response.store_and_respond(&state, &pending, work, &original).await);
        }
        if failed {
            work.into_iter().for_each(Computation::fail);
        } else if storable {
            work.into_iter().for_each(Computation::release);
        } else {
            state.not_stored(&pending, work);
        }
        let status = CacheStatus::Forwarded(Forwarded { reason: pending.reason, stored: false });
        Ok(response.pass_on(policy, &pending.request.facts, &original, status).await)
    }

    fn holes(&self) -> Option<Arc<Holes>> {
        (!self.state.policy.holes.is_empty()).then(|| Arc::new(Holes::new()))
    }

    fn count_bypass(&self, reason: BypassReason, named: &[u8]) {
        let policy: &Policy = &self.state.policy;
        policy.cache.inner.counters.count(Counter::bypasses);
        let label = policy.handler(&self.parts).label();
        let bypass = if reason == BypassReason::Off { Bypass::Off } else { Bypass::Request(reason.token()) };
        policy.cache.inner.telemetry.record_bypass(label, bypass, named);
    }

    /// Calls the handler inside a new scope, so that the scope sees everything the handler reads.
    async fn call_handler(
        mut self,
        mut work: Option<&mut Computation>,
        holes: Option<Arc<Holes>>,
    ) -> (Scope, Result<Response<R>, S::Error>) {
        let mut scope = self.state.policy.cache.scope_with(holes);
        if let Some(work) = &mut work {
            scope.trace_in(work.span().downgrade());
        }
        self.parts.extensions.insert(scope.clone());
        let request = Request::from_parts(self.parts, self.body);
        // The call is inside the future, because a service may do its work in `call` already.
        let call = scope.clone().run_async(async move { self.service.call(request).await });
        let response = within(work, call).await;
        (scope, response)
    }
}
