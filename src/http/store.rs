//! Where a page is kept: under its address, or under what its address varies by, and there where to look.

use std::sync::Arc;

use http::header::COOKIE;
use http::request::Parts;
use http::{HeaderMap, HeaderName};

use super::pending::PendingPage;
use super::policy::Policy;
use super::vary::{Vary, sorted};
use crate::clock::Nanos;
use crate::entry::Body as Content;
use crate::page::Page;
use crate::question::Question;
use crate::record::Record;
use crate::work::Work;

/// The headers that a response varies by, beyond those its identity holds anyway.
pub(super) fn varies(policy: &Policy, headers: &HeaderMap) -> Vec<HeaderName> {
    match Vary::read(headers) {
        Vary::Names(names) => names.into_iter().filter(|name| *name != COOKIE && !policy.vary.contains(name)).collect(),
        Vary::Star => Vec::new(),
    }
}

/// A page on its way into the cache.
pub(super) struct StoreResponse<'a> {
    pub(super) policy: &'a Policy,
    pub(super) missing: &'a PendingPage,
    pub(super) record: Record,
    pub(super) page: Arc<Page>,
    pub(super) seen: &'a Parts,
}

impl StoreResponse<'_> {
    /// Puts the page where it is found: under its address, or under what its address varies by, and there where to
    /// look. Returns whether it was stored.
    pub(super) fn keep(self, names: Vec<HeaderName>, work: Option<Work>) -> bool {
        let PendingPage { asked, question, known, .. } = self.missing;
        if names.is_empty() {
            // It is the same for all: whatever was known of its address.
            return self.finish(self.at_the_address(work));
        }
        if names.iter().all(|name| known.contains(name)) {
            let work = work.unwrap_or_else(|| self.take_over(question, None));
            return self.finish(work);
        }
        let all = sorted([names, known.clone()].concat());
        let mut work = work;
        let there = self.take_over(&asked.varied(&all, &self.seen.headers), work.as_mut());
        let stored = self.finish(there);
        self.direct(self.at_the_address(work), all);
        stored
    }

    /// The work at the address itself: this one, or in place of one for what the address was known to vary by.
    fn at_the_address(&self, work: Option<Work>) -> Work {
        match work {
            Some(work) if self.missing.known.is_empty() => work,
            mut work => {
                let there = self.take_over(&self.missing.asked.question, work.as_mut());
                work.into_iter().for_each(Work::release);
                there
            }
        }
    }

    fn take_over(&self, question: &Question, from: Option<&mut Work>) -> Work {
        let cache = &self.policy.cache;
        let mut handler = self.policy.handler(self.seen);
        let mut work = cache.take_over(&question.wanted(), &mut handler, true, None);
        if let Some(from) = from {
            work.stand_in_for(from);
        }
        work
    }

    fn finish(&self, mut work: Work) -> bool {
        if let Some(stored) = self.page.stored() {
            work.set_grace(stored.stale.while_revalidating, stored.stale.longest());
        }
        work.note(|gathered| gathered.enclose(&self.record));
        work.finish(Content::Page(Arc::clone(&self.page)))
    }

    /// Says at the address what it varies by. That is known for a while longer than the page, which may be the first of
    /// many.
    fn direct(&self, work: Work, names: Vec<HeaderName>) {
        const LONGER: Nanos = 3600 * 1_000_000_000;
        let cache = &self.policy.cache;
        let grace = self.page.stored().map_or(0, |stored| stored.stale.longest());
        let until = self.record.expires.saturating_add(grace).saturating_add(LONGER);
        let address = self.missing.asked.question.wanted();
        let key = cache.namespace.tags.iter().copied().chain([cache.key_tag(address.key)]);
        work.finish_with_direction(Content::Page(Arc::new(Page::Varies(names))), key, until);
    }
}
