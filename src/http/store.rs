//! Storing a page: under its primary key, or under a variant key with a vary index at the primary key.
//!
//! The vary index lists the request headers that select the response (RFC 9111 §4.1). Which responses are stored is
//! decided in `storability.rs`.

use std::sync::Arc;

use http::header::COOKIE;
use http::request::Parts;
use http::{HeaderMap, HeaderName};

use super::pending::PendingPage;
use super::policy::Policy;
use super::vary::{Vary, sorted};
use crate::cache::computation::Computation;
use crate::http::page::Page;
use crate::invalidation::dependencies::Dependencies;
use crate::store::entry::Body as EntryBody;
use crate::store::payload::Payload;
use crate::store::request::RequestBuilder;
use crate::util::clock::Nanos;

/// The header names in a response's `Vary` that are not part of the primary key.
pub(super) fn unkeyed_vary(policy: &Policy, headers: &HeaderMap) -> Vec<HeaderName> {
    match Vary::read(headers) {
        Vary::Names(names) => names.into_iter().filter(|name| *name != COOKIE && !policy.vary.contains(name)).collect(),
        Vary::Star => Vec::new(),
    }
}

/// A response that is about to be stored.
pub(super) struct StoreResponse<'a> {
    pub(super) policy: &'a Policy,
    pub(super) pending: &'a PendingPage,
    pub(super) record: Dependencies,
    pub(super) page: Arc<Page>,
    pub(super) request: &'a Parts,
}

impl StoreResponse<'_> {
    /// Stores the page under the key that these `Vary` names lead to. Returns whether it was stored.
    pub(super) fn store(self, names: Vec<HeaderName>, mut work: Option<Computation>) -> bool {
        let PendingPage { request, key, vary, .. } = self.pending;
        if names.is_empty() {
            // This replaces a vary index.
            return self.finish(self.work_at_primary_key(work));
        }
        if names.iter().all(|name| vary.contains(name)) {
            let work = work.unwrap_or_else(|| self.take_over(key, None));
            return self.finish(work);
        }
        let all = sorted([names, vary.clone()].concat());
        let variant = self.take_over(&request.variant_key(&all, &self.request.headers), work.as_mut());
        let stored = self.finish(variant);
        self.store_vary_index(self.work_at_primary_key(work), all);
        stored
    }

    /// The computation at the primary key. If `work` is one at a variant key, another one takes its place.
    fn work_at_primary_key(&self, work: Option<Computation>) -> Computation {
        match work {
            Some(work) if self.pending.vary.is_empty() => work,
            mut work => {
                let primary = self.take_over(&self.pending.request.primary_key, work.as_mut());
                work.into_iter().for_each(Computation::release);
                primary
            }
        }
    }

    /// A computation at another key. It takes over the start time and the miss accounting of `from`.
    fn take_over(&self, key: &RequestBuilder, from: Option<&mut Computation>) -> Computation {
        let cache = &self.policy.cache;
        let mut handler = self.policy.handler(self.request);
        let mut work = cache.take_over(&key.request(), &mut handler, true, None);
        if let Some(from) = from {
            work.take_over_from(from);
        }
        work
    }

    fn finish(&self, mut work: Computation) -> bool {
        if let Some(response) = self.page.response() {
            work.set_grace(response.grace.while_revalidating, response.grace.longest());
        }
        work.note(|gathered| gathered.merge_nested(&self.record));
        work.finish(EntryBody::Page(Arc::clone(&self.page) as Arc<dyn Payload>))
    }

    /// Stores the vary index. It outlives the page by an hour, because pages of other variants may be stored later.
    fn store_vary_index(&self, work: Computation, names: Vec<HeaderName>) {
        const HOUR: Nanos = 3600 * 1_000_000_000;
        let cache = &self.policy.cache;
        let grace = self.page.response().map_or(0, |response| response.grace.longest());
        let until = self.record.expires.saturating_add(grace).saturating_add(HOUR);
        let primary = self.pending.request.primary_key.request();
        let tags = cache.namespace.tags.iter().copied().chain([cache.key_tag(primary.key)]);
        work.finish_with_direction(EntryBody::Page(Arc::new(Page::VaryIndex(names))), tags, until);
    }
}
