//! What becomes of a request: answered from the cache, or by the handler for the cache, or passed by.
//!
//! Owns the order of events. Which request is which page is `ask.rs`, what a response is worth `verdict.rs`, what a
//! stored one answers `show.rs`.

use std::future::ready;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::ACCEPT_ENCODING;
use http::request::Parts;
use http::{Method, Request, Response};
use http_body::Body;
use tokio::runtime::Handle as Runtime;
use tower_service::Service;

use super::body::LayerBody;
use super::cache_status::{BypassReason, CacheStatus, ForwardReason, Forwarded};
use super::future::{CacheFuture, LayerResult};
use super::invalidate::UnsafeRequest;
use super::pending::{PendingPage, direction};
use super::request::{self, CacheableRequest, RequestClass, RequestFacts};
use super::response::{HandlerResponse, within};
use super::serve::{self, MemoryLookup, PageResponse, Unusable};
use super::shadow::ShadowCheck;
use super::state::LayerState;
use super::timeout::in_time;
use crate::asker::Asker;
use crate::entry::Entry;
use crate::hole::Holes;
use crate::lookup::Lookup;
use crate::observe::{Bypass, MissReason};
use crate::page::Grace;
use crate::scope::Scope;
use crate::stats::Counter;
use crate::work::Work;

/// A service with a cache in front; made by [`CacheLayer`](super::CacheLayer).
#[derive(Debug)]
pub struct CacheService<S> {
    inner: S,
    shared: Arc<LayerState>,
}

impl<S> CacheService<S> {
    pub(super) fn new(inner: S, shared: Arc<LayerState>) -> CacheService<S> {
        CacheService { inner, shared }
    }
}

impl<S: Clone> Clone for CacheService<S> {
    fn clone(&self) -> CacheService<S> {
        CacheService { inner: self.inner.clone(), shared: Arc::clone(&self.shared) }
    }
}

/// How long a page may take to be made anew in the background.
const LONGEST_REFRESH: Duration = Duration::from_secs(60);

impl<S, B, R> Service<Request<B>> for CacheService<S>
where
    S: Service<Request<B>, Response = Response<R>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Send + 'static,
    B: Body + Send + 'static,
    R: Body<Data = Bytes> + Send + 'static,
    R::Error: Send,
{
    type Response = Response<LayerBody<R>>;
    type Error = S::Error;
    type Future = CacheFuture<R, S::Error>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let whole = request.body().is_end_stream();
        let (parts, body) = request.into_parts();
        let policy = &self.shared.policy;
        let ask = match policy.cache.inner.settings.enabled {
            true => RequestClass::read(policy, &parts, whole),
            false => RequestClass::Pass(BypassReason::Off),
        };
        let looked = match &ask {
            RequestClass::Page(asked) => serve::look(policy, asked, &parts.headers),
            _ => MemoryLookup::Nothing,
        };
        let verifies = matches!(looked, MemoryLookup::Fresh(_)) && policy.cache.inner.is_sampled();
        if let MemoryLookup::Fresh(shown) = &looked
            && !verifies
            && let Some(answer) = shown.at_once(policy, &parts)
        {
            return CacheFuture::ready(answer);
        }
        // The service that was polled ready is the one to be called.
        let spare = self.inner.clone();
        let inner = std::mem::replace(&mut self.inner, spare);
        let visit = Exchange { inner, shared: Arc::clone(&self.shared), parts, body };
        CacheFuture::running(match (ask, looked) {
            (RequestClass::Page(asked), MemoryLookup::Fresh(shown)) if verifies => {
                Box::pin(visit.verified(asked, shown))
            }
            (_, MemoryLookup::Fresh(shown)) => Box::pin(visit.shown(shown)),
            (RequestClass::Page(asked), MemoryLookup::Unusable(_)) if asked.directives.only_if_cached => {
                Box::pin(ready(Ok(serve::refused(policy))))
            }
            (_, MemoryLookup::Unusable(Unusable::Credentials)) => {
                Box::pin(visit.passing(None, BypassReason::Authorization))
            }
            (RequestClass::Unsafe, _) => Box::pin(visit.changing()),
            (RequestClass::Refuse, _) => Box::pin(ready(Ok(serve::refused(policy)))),
            (RequestClass::Pass(skip), _) => Box::pin(visit.passing(None, skip)),
            (RequestClass::Page(asked), MemoryLookup::Elsewhere(question, names)) => {
                let mut missing = PendingPage::new(asked);
                missing.turn(question, names);
                Box::pin(visit.page(missing))
            }
            (RequestClass::Page(asked), _) => Box::pin(visit.page(PendingPage::new(asked))),
        })
    }
}

/// A request on its way.
struct Exchange<S, B> {
    inner: S,
    shared: Arc<LayerState>,
    parts: Parts,
    body: B,
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
    async fn shown(self, shown: PageResponse) -> LayerResult<R, S::Error> {
        Ok(shown.answer(&self.shared.policy, &self.parts).await)
    }

    /// Shows a page, and has it made again in the background to see whether it still comes out the same.
    async fn verified(mut self, asked: CacheableRequest, shown: PageResponse) -> LayerResult<R, S::Error> {
        let shared = Arc::clone(&self.shared);
        let label = shared.policy.handler(&self.parts).label();
        let verifying = ShadowCheck::of(&asked, &shown, label);
        let seen = self.parts.clone();
        if let (Some(verifying), Ok(runtime)) = (verifying, Runtime::try_current()) {
            let policy = Arc::clone(&self.shared);
            runtime.spawn(async move {
                let policy = &policy.policy;
                request::make_whole(&mut self.parts);
                request::reduce(policy, &mut self.parts);
                let inner = &policy.cache.inner;
                let asked = in_time(self.ask_handler(None, None), inner.sleep_until(Instant::now() + LONGEST_REFRESH));
                match asked.await {
                    Some((scope, Ok(response))) => verifying.compare(policy, scope, response).await,
                    _ => inner.pause_verifying(),
                }
            });
        }
        Ok(shown.answer(&shared.policy, &seen).await)
    }

    /// A request that may change something.
    async fn changing(self) -> LayerResult<R, S::Error> {
        let shared = Arc::clone(&self.shared);
        let policy = &shared.policy;
        // Should this be dropped half-way, or end with an error instead of a response, nobody knows what it changed.
        let changing = policy.invalidates.then(|| UnsafeRequest::begin(policy, &self.parts)).flatten();
        let (seen, holes) = (self.parts.clone(), self.holes());
        let (scope, response) = self.ask_handler(None, holes.clone()).await;
        let response = response?;
        changing.into_iter().for_each(|changing| changing.end(response.status(), response.headers()));
        let told = HandlerResponse { response, scope, holes };
        Ok(told.answered(policy, &seen, CacheStatus::Skipped(BypassReason::Method)).await)
    }

    /// A request that the cache has no part in: its page is validated, and says what its fragments say. With facts it
    /// is one for which no page is made, though others may be.
    async fn passing(mut self, facts: Option<RequestFacts>, skip: BypassReason) -> LayerResult<R, S::Error> {
        let shared = Arc::clone(&self.shared);
        let policy = &shared.policy;
        policy.cache.inner.counters.count(Counter::bypasses);
        let label = policy.handler(&self.parts).label();
        let bypass = if skip == BypassReason::Off { Bypass::Off } else { Bypass::Request(skip.token()) };
        policy.cache.inner.tell_bypass(label, bypass, &[]);
        let (seen, holes) = (self.parts.clone(), self.holes());
        let reads = self.parts.method == Method::GET || self.parts.method == Method::HEAD;
        if reads {
            self.parts.method = Method::GET;
        }
        if facts.is_some() {
            request::reduce(policy, &mut self.parts);
        } else if holes.is_some() {
            self.parts.headers.remove(ACCEPT_ENCODING);
        }
        let facts = facts.unwrap_or_else(|| RequestFacts::passing(policy, &seen.headers));
        let (scope, response) = self.ask_handler(None, holes.clone()).await;
        let told = HandlerResponse { response: response?, scope, holes };
        let did = CacheStatus::Skipped(skip);
        Ok(if reads {
            told.passed_on(policy, &facts, &seen, did).await
        } else {
            told.answered(policy, &seen, did).await
        })
    }

    async fn page(self, mut missing: PendingPage) -> LayerResult<R, S::Error> {
        let shared = Arc::clone(&self.shared);
        let policy = &shared.policy;
        if !missing.asked.facts.storable && !missing.asked.directives.only_if_cached {
            let skip = if self.parts.method == Method::HEAD { BypassReason::Head } else { BypassReason::Request };
            return self.passing(Some(missing.asked.facts), skip).await;
        }
        if missing.asked.facts.authorization {
            if missing.asked.directives.only_if_cached {
                return Ok(serve::refused(policy));
            }
            // One with credentials leads nobody to a page that may be his own.
            policy.cache.inner.counters.count(Counter::bypasses);
            let label = policy.handler(&self.parts).label();
            let bypass = Bypass::Request(BypassReason::Authorization.token());
            policy.cache.inner.tell_bypass(label, bypass, missing.question.named());
            return self.make(missing, None).await;
        }
        let inner = &policy.cache.inner;
        loop {
            if shared.unstored.holds(missing.hash(), inner.clock.now()) {
                missing.question.wait_for_nobody();
            }
            let mut handler = policy.handler(&self.parts);
            let takes = |entry: &Entry| serve::answers(policy, &missing.asked, entry);
            let mut wanted = missing.question.wanted();
            if policy.honor_reload {
                wanted.takes = Some(&takes);
            }
            let found = match policy.cache.lookup_async(&wanted, &mut handler).await {
                Lookup::Compute(work) => return self.missed(missing, work).await,
                Lookup::Hit(found) => found,
            };
            if missing.known.is_empty()
                && let Some(names) = direction(&found.body)
            {
                let question = missing.asked.varied(names, &self.parts.headers);
                missing.turn(question, names.to_vec());
                continue;
            }
            match PageResponse::of(policy, &missing.asked, found) {
                Ok(shown) => return self.shown(shown).await,
                Err(Unusable::Credentials) => return self.passing(None, BypassReason::Authorization).await,
                Err(Unusable::Age) if missing.asked.directives.only_if_cached => return Ok(serve::refused(policy)),
                Err(Unusable::Age) => {
                    missing.forward = ForwardReason::Request;
                    let wanted = missing.question.wanted();
                    let work = policy.cache.replace(&wanted, &mut handler, true, MissReason::Refused);
                    return self.make(missing, Some(work)).await;
                }
            }
        }
    }

    /// Shows the expired page, if it may be: where its handler failed lately, or is asked in the background.
    async fn missed(self, mut missing: PendingPage, mut work: Work) -> LayerResult<R, S::Error> {
        let shared = Arc::clone(&self.shared);
        let policy = &shared.policy;
        if missing.asked.directives.only_if_cached {
            work.miss(missing.question.named());
            work.give_up();
            return Ok(serve::refused(policy));
        }
        let expired = serve::expired(policy, &missing, Grace::while_revalidating);
        if shared.failing.holds(missing.hash(), policy.cache.inner.clock.now())
            && let Some(entry) = serve::expired(policy, &missing, Grace::if_error).or_else(|| expired.clone())
            && let Some(shown) = PageResponse::stale(policy, &missing, &entry)
        {
            work.give_up();
            return self.shown(shown).await;
        }
        if work.is_of_refusal() {
            missing.forward = ForwardReason::Request;
        } else if serve::expired(policy, &missing, Grace::longest).is_some() {
            missing.forward = ForwardReason::Stale;
        }
        let (Some(entry), Ok(runtime)) = (expired, Runtime::try_current()) else {
            return self.make(missing, Some(work)).await;
        };
        let Some(shown) = PageResponse::stale(policy, &missing, &entry) else {
            return self.make(missing, Some(work)).await;
        };
        let seen = self.parts.clone();
        let (refreshing, hash) = (Arc::clone(&shared), missing.hash());
        missing.behind = true;
        // Until it succeeds, also should it panic.
        shared.failing.note(hash, policy.cache.inner.clock.now());
        runtime.spawn(async move {
            let made = self.make(missing, Some(work));
            let inner = &refreshing.policy.cache.inner;
            // One that never ends is dropped, so that another one may try.
            match in_time(made, inner.sleep_until(Instant::now() + LONGEST_REFRESH)).await {
                Some(Ok(answer)) if !answer.status().is_server_error() => refreshing.failing.forget(hash),
                _ => refreshing.note_failure(hash),
            }
        });
        Ok(shown.answer(policy, &seen).await)
    }

    /// Asks the handler for a page, and stores it if it may be.
    async fn make(mut self, missing: PendingPage, mut work: Option<Work>) -> LayerResult<R, S::Error> {
        let shared = Arc::clone(&self.shared);
        let policy = &shared.policy;
        let (seen, holes) = (self.parts.clone(), self.holes());
        if let Some(work) = work.as_mut().filter(|_| !missing.behind) {
            work.miss(missing.question.named());
        }
        request::make_whole(&mut self.parts);
        request::reduce(policy, &mut self.parts);
        let (scope, response) = self.ask_handler(work.as_mut(), holes.clone()).await;
        let failed = response.as_ref().map_or(true, |response| response.status().is_server_error());
        if failed
            && !missing.behind
            && let Some(entry) = serve::expired(policy, &missing, Grace::if_error)
            && let Some(shown) = PageResponse::stale(policy, &missing, &entry)
        {
            shared.note_failure(missing.hash());
            work.iter_mut().for_each(Work::take_back);
            work.into_iter().for_each(Work::fail);
            return Ok(shown.answer(policy, &seen).await);
        }
        let told = HandlerResponse { response: response?, scope, holes };
        let to_store = told.verdict(policy, &missing.asked.facts).lifetime.is_some();
        // Nor is a body waited for that could not be stored, without the lead or because it was too slow or large
        // lately.
        let streams = shared.streams.holds(missing.hash(), policy.cache.inner.clock.now());
        if to_store && !streams && work.as_ref().is_none_or(Work::leads) {
            return Ok(told.stored(&shared, &missing, work, &seen).await);
        }
        if failed {
            work.into_iter().for_each(Work::fail);
        } else if to_store {
            work.into_iter().for_each(Work::release);
        } else {
            shared.not_stored(&missing, work);
        }
        let did = CacheStatus::Missed(Forwarded { forward: missing.forward, stored: false });
        Ok(told.passed_on(policy, &missing.asked.facts, &seen, did).await)
    }

    fn holes(&self) -> Option<Arc<Holes>> {
        (!self.shared.policy.holes.is_empty()).then(|| Arc::new(Holes::new()))
    }

    /// Has the handler answer, inside the scope of this request: whatever it reads, it reads after the scope opened.
    async fn ask_handler(
        mut self,
        mut work: Option<&mut Work>,
        holes: Option<Arc<Holes>>,
    ) -> (Scope, Result<Response<R>, S::Error>) {
        let mut scope = self.shared.policy.cache.scope_with(holes);
        if let Some(work) = &mut work {
            scope.trace_in(work.span().downgrade());
        }
        self.parts.extensions.insert(scope.clone());
        let request = Request::from_parts(self.parts, self.body);
        // A service may do its work when it is called, and not only when its future is polled.
        let answering = scope.clone().run_async(async move { self.inner.call(request).await });
        let response = within(work, answering).await;
        (scope, response)
    }
}
