//! A page that is not in the cache, with the key that it will be stored under.

use http::HeaderName;

use super::cache_status::ForwardReason;
use super::request::CacheableRequest;
use crate::store::request::RequestBuilder;

/// A page that the handler generates for a cacheable request.
pub(super) struct PendingPage {
    pub(super) request: CacheableRequest,
    /// The key of the look-up: the primary key, or a variant key.
    pub(super) key: RequestBuilder,
    /// The header names in the variant key; empty for the primary key.
    pub(super) vary: Vec<HeaderName>,
    pub(super) reason: ForwardReason,
    /// The page is refreshed in the background, and the client already has a stale response.
    pub(super) in_background: bool,
}

impl PendingPage {
    pub(super) fn new(request: CacheableRequest) -> PendingPage {
        let key = request.primary_key.clone();
        PendingPage { request, key, vary: Vec::new(), reason: ForwardReason::Miss, in_background: false }
    }

    /// Moves the look-up from the primary key to a variant key.
    pub(super) fn select_variant(&mut self, key: RequestBuilder, names: Vec<HeaderName>) {
        self.key = key;
        self.vary = names;
        self.reason = ForwardReason::VaryMiss;
    }

    pub(super) fn key_hash(&self) -> u128 {
        self.key.request().identity.hash
    }
}
