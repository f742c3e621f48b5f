//! The service of a [`CacheLayer`](super::CacheLayer): which step answers a request.
//!
//! A fresh page without holes is served from memory at once. All other requests become an exchange, which
//! `exchange.rs` owns.

use std::future::ready;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use tower_service::Service;

use super::body::LayerBody;
use super::cache_status::BypassReason;
use super::exchange::Exchange;
use super::future::CacheFuture;
use super::pending::PendingPage;
use super::request::RequestClass;
use super::serve::{self, MemoryLookup, Unusable};
use super::state::LayerState;

/// A service with a cache in front; made by [`CacheLayer`](super::CacheLayer).
#[derive(Debug)]
pub struct CacheService<S> {
    inner: S,
    state: Arc<LayerState>,
}

impl<S> CacheService<S> {
    pub(super) fn new(inner: S, state: Arc<LayerState>) -> CacheService<S> {
        CacheService { inner, state }
    }
}

impl<S: Clone> Clone for CacheService<S> {
    fn clone(&self) -> CacheService<S> {
        CacheService { inner: self.inner.clone(), state: Arc::clone(&self.state) }
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
        let has_body = !request.body().is_end_stream();
        let (parts, body) = request.into_parts();
        let policy = &self.state.policy;
        let class = match policy.cache.inner.settings.enabled {
            true => RequestClass::of(policy, &parts, has_body),
            false => RequestClass::Bypass(BypassReason::Off),
        };
        let found = match &class {
            RequestClass::Cacheable(request) => serve::look_up(policy, request, &parts.headers),
            _ => MemoryLookup::Missing,
        };
        let verifies = matches!(found, MemoryLookup::Fresh(_)) && policy.cache.inner.is_sampled();
        if let MemoryLookup::Fresh(page) = &found
            && !verifies
            && let Some(response) = page.respond_now(policy, &parts)
        {
            return CacheFuture::ready(response);
        }
        // The called service must be the one that was polled ready.
        let clone = self.inner.clone();
        let service = std::mem::replace(&mut self.inner, clone);
        let exchange = Exchange { service, state: Arc::clone(&self.state), parts, body };
        CacheFuture::running(match (class, found) {
            (RequestClass::Cacheable(request), MemoryLookup::Fresh(page)) if verifies => {
                Box::pin(exchange.serve_and_verify(request, page))
            }
            (_, MemoryLookup::Fresh(page)) => Box::pin(exchange.serve(page)),
            (RequestClass::Cacheable(request), MemoryLookup::Rejected(_)) if request.directives.only_if_cached => {
                Box::pin(ready(Ok(serve::gateway_timeout(policy))))
            }
            (_, MemoryLookup::Rejected(Unusable::Credentials)) => {
                Box::pin(exchange.bypass(None, BypassReason::Authorization))
            }
            (RequestClass::Unsafe, _) => Box::pin(exchange.call_unsafe()),
            (RequestClass::Unsatisfiable, _) => Box::pin(ready(Ok(serve::gateway_timeout(policy)))),
            (RequestClass::Bypass(reason), _) => Box::pin(exchange.bypass(None, reason)),
            (RequestClass::Cacheable(request), MemoryLookup::VariantMissing(key, names)) => {
                let mut pending = PendingPage::new(request);
                pending.select_variant(key, names);
                Box::pin(exchange.look_up(pending))
            }
            (RequestClass::Cacheable(request), _) => Box::pin(exchange.look_up(PendingPage::new(request))),
        })
    }
}
