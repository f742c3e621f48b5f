//! What becomes of a request: answered from the cache, or by the handler for the cache, or passed by.
//!
//! Owns the order of events. Which request is which page is `ask.rs`, what a response is worth `verdict.rs`, what a stored one
//! answers `show.rs`.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::request::Parts;
use http::{Method, Request, Response};
use http_body::Body;
use tokio::runtime::Handle as Runtime;
use tower_service::Service;

use super::ask::{self, Ask, Asked, Facts};
use super::body::LayerBody;
use super::cache_status::{Did, Forward, Skip, Why};
use super::invalidate::Target;
use super::make::{Missing, Told, within};
use super::policy::Policy;
use super::seldom::Seldom;
use super::show::{self, Shown, Unfit};
use crate::asker::Handler;
use crate::error::{Error, ErrorKind};
use crate::hole::Holes;
use crate::lookup::Lookup;
use crate::scope::Scope;
use crate::stats::Counter;
use crate::work::Work;

/// A service with a cache in front; made by [`CacheLayer`](super::CacheLayer).
#[derive(Debug)]
pub struct CacheService<S> {
    inner: S,
    shared: Arc<Shared>,
}

/// What all services of one layer share.
#[derive(Debug, Clone)]
pub(super) struct Shared {
    pub(super) policy: Policy,
    pub(super) seldom: Seldom,
}

impl<S> CacheService<S> {
    pub(super) fn new(inner: S, shared: Arc<Shared>) -> CacheService<S> {
        CacheService { inner, shared }
    }
}

impl<S: Clone> Clone for CacheService<S> {
    fn clone(&self) -> CacheService<S> {
        CacheService { inner: self.inner.clone(), shared: Arc::clone(&self.shared) }
    }
}

type Answer<R, E> = Result<Response<LayerBody<R>>, E>;

/// The answer to a request; ready at once where the cache has it.
pub struct CacheFuture<R: Body, E>(State<R, E>);

enum State<R: Body, E> {
    Ready(Option<Response<LayerBody<R>>>),
    Running(Pin<Box<dyn Future<Output = Answer<R, E>> + Send>>),
}

impl<R: Body, E> Unpin for CacheFuture<R, E> {}

impl<R: Body, E> Future for CacheFuture<R, E> {
    type Output = Answer<R, E>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Answer<R, E>> {
        match &mut self.0 {
            State::Ready(answer) => answer.take().map_or(Poll::Pending, |answer| Poll::Ready(Ok(answer))),
            State::Running(running) => running.as_mut().poll(context),
        }
    }
}

impl<R: Body, E> std::fmt::Debug for CacheFuture<R, E> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CacheFuture").finish_non_exhaustive()
    }
}

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
        let ask = policy.cache.inner.settings.enabled.then(|| Ask::read(policy, &parts, whole));
        if let Some(Ask::Page(asked)) = &ask
            && let Some(shown) = show::look(policy, asked, &parts.headers)
            && let Some(answer) = shown.at_once(policy, &parts)
        {
            return CacheFuture(State::Ready(Some(answer)));
        }
        // The service that was polled ready is the one to be called.
        let spare = self.inner.clone();
        let inner = std::mem::replace(&mut self.inner, spare);
        let visit = Visit { inner, shared: Arc::clone(&self.shared), parts, body };
        CacheFuture(State::Running(match ask {
            None => Box::pin(visit.undisturbed()),
            Some(Ask::Unsafe) => Box::pin(visit.changing()),
            Some(Ask::Pass(skip)) => Box::pin(visit.passing(Facts::default(), skip)),
            Some(Ask::Page(asked)) => Box::pin(visit.page(asked)),
        }))
    }
}

/// A request on its way.
struct Visit<S, B> {
    inner: S,
    shared: Arc<Shared>,
    parts: Parts,
    body: B,
}

impl<S, B, R> Visit<S, B>
where
    S: Service<Request<B>, Response = Response<R>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Send + 'static,
    B: Body + Send + 'static,
    R: Body<Data = Bytes> + Send + 'static,
    R::Error: Send,
{
    /// With caching switched off.
    async fn undisturbed(mut self) -> Answer<R, S::Error> {
        let response = self.inner.call(Request::from_parts(self.parts, self.body)).await?;
        Ok(response.map(LayerBody::through))
    }

    /// A request that may change something: if it succeeds, what is stored of its target is not valid any more, nor of
    /// the addresses it names (RFC 9111 §4.4).
    async fn changing(self) -> Answer<R, S::Error> {
        let shared = Arc::clone(&self.shared);
        let target = Target::of(&self.parts);
        let (scope, response) = self.ask_handler(None, None).await;
        let mut response = response?;
        drop(scope);
        if response.status().is_success() || response.status().is_redirection() {
            target.invalidate(&shared.policy.cache, response.headers());
        }
        Did::Skipped(Skip::Method).tell(shared.policy.status_name.as_deref(), response.headers_mut());
        Ok(response.map(LayerBody::through))
    }

    /// A request that the cache has no part in: its page is validated, and says what its fragments say.
    async fn passing(mut self, facts: Facts, skip: Skip) -> Answer<R, S::Error> {
        let seen = self.parts.clone();
        let shared = Arc::clone(&self.shared);
        let reads = self.parts.method == Method::GET || self.parts.method == Method::HEAD;
        if reads {
            self.parts.method = Method::GET;
        }
        let holes = self.holes();
        let (scope, response) = self.ask_handler(None, holes.clone()).await;
        let told = Told { response: response?, scope, holes };
        let did = Did::Skipped(skip);
        Ok(if reads { told.passed_on(&shared.policy, &facts, &seen, did).await } else { told.untouched(did, &shared) })
    }

    async fn page(self, asked: Asked) -> Answer<R, S::Error> {
        let shared = Arc::clone(&self.shared);
        let policy = &shared.policy;
        if asked.directives.only_if_cached {
            return Ok(show::refused(policy));
        }
        if !asked.facts.storable {
            return self.passing(asked.facts, Skip::Request).await;
        }
        let inner = &policy.cache.inner;
        let mut missing =
            Missing { question: asked.question.clone(), known: Vec::new(), forward: Forward::Miss, asked };
        loop {
            if shared.seldom.holds(missing.question.wanted().identity.hash) {
                missing.question.wait_for_nobody();
            }
            let found = match policy.cache.lookup_async(&missing.question.wanted(), &mut Handler(inner)).await {
                Lookup::Compute(work) => return self.make_or_show_stale(missing, work).await,
                Lookup::Hit(found) => found,
            };
            if missing.known.is_empty()
                && let Some(names) = show::direction(&found)
            {
                missing.question = missing.asked.varied(names, &self.parts.headers);
                missing.known = names.to_vec();
                missing.forward = Forward::VaryMiss;
                continue;
            }
            match Shown::of(policy, &missing.asked, found) {
                Ok(shown) => return Ok(shown.answer(policy, &self.parts).await),
                Err(Unfit::Credentials) => return self.passing(missing.asked.facts, Skip::Authorization).await,
                Err(Unfit::Age) => {
                    missing.forward = Forward::Request;
                    let work = policy.cache.replace(&missing.question.wanted(), &mut Handler(inner), true);
                    return self.make(missing, work).await;
                }
            }
        }
    }

    /// Asks the handler; in the background, if the expired page may be shown meanwhile.
    async fn make_or_show_stale(self, missing: Missing, work: Work) -> Answer<R, S::Error> {
        let shared = Arc::clone(&self.shared);
        let policy = &shared.policy;
        let inner = &policy.cache.inner;
        let expired = inner.graced(&missing.question.wanted(), |entry| entry.stale);
        let shown = expired.and_then(|entry| Shown::of(policy, &missing.asked, entry.found()).ok());
        let (Some(shown), Ok(runtime)) = (shown, Runtime::try_current()) else { return self.make(missing, work).await };
        inner.counters.count(Counter::stale_hits);
        let seen = self.parts.clone();
        let reports = Arc::clone(inner);
        runtime.spawn(async move {
            let made = self.make(missing, work).await;
            if made.map_or(true, |response| response.status().is_server_error()) {
                let message = "a page could not be made anew in the background; the expired one is shown for its grace";
                reports.report(&Error::new(ErrorKind::Callback, message));
            }
        });
        Ok(shown.answer(policy, &seen).await)
    }

    /// Asks the handler for a page, and stores it if it may be.
    async fn make(mut self, missing: Missing, mut work: Work) -> Answer<R, S::Error> {
        let shared = Arc::clone(&self.shared);
        let policy = &shared.policy;
        let seen = self.parts.clone();
        ask::reduce(policy, &mut self.parts);
        self.parts.method = Method::GET;
        let holes = self.holes();
        let (scope, response) = self.ask_handler(Some(&mut work), holes.clone()).await;
        if response.as_ref().map_or(true, |response| response.status().is_server_error())
            && let Some(shown) = show::instead_of_error(policy, &missing)
        {
            work.release();
            return Ok(shown.answer(policy, &seen).await);
        }
        let told = Told { response: response?, scope, holes };
        let facts = missing.asked.facts;
        if told.verdict(policy, &facts).lifetime.is_none() {
            shared.seldom.note(missing.question.wanted().identity.hash);
            work.release();
            let did = Did::Missed(Why { forward: missing.forward, stored: false });
            return Ok(told.passed_on(policy, &facts, &seen, did).await);
        }
        Ok(told.stored(policy, &missing, work, &seen).await)
    }

    fn holes(&self) -> Option<Arc<Holes>> {
        (!self.shared.policy.holes.is_empty()).then(|| Arc::new(Holes::new()))
    }

    /// Has the handler answer, inside the scope of this request: whatever it reads, it reads after the scope opened.
    async fn ask_handler(
        mut self,
        work: Option<&mut Work>,
        holes: Option<Arc<Holes>>,
    ) -> (Scope, Result<Response<R>, S::Error>) {
        let scope = self.shared.policy.cache.scope_with(holes);
        self.parts.extensions.insert(scope.clone());
        let answering = scope.clone().run_async(self.inner.call(Request::from_parts(self.parts, self.body)));
        let response = within(work, answering).await;
        (scope, response)
    }
}
