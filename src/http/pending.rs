//! A page that the handler is to make: the request, and the key that it was looked up by.

use http::HeaderName;

use super::cache_status::ForwardReason;
use super::request::CacheableRequest;
use crate::entry::Body as Content;
use crate::page::Page;
use crate::question::Question;

/// A page that the handler is to make for the cache.
pub(super) struct PendingPage {
    pub(super) asked: CacheableRequest,
    /// What it was looked up as.
    pub(super) question: Question,
    /// The headers that its address is known to vary by.
    pub(super) known: Vec<HeaderName>,
    pub(super) forward: ForwardReason,
    /// Whether the client has an answer already.
    pub(super) behind: bool,
}

impl PendingPage {
    pub(super) fn new(asked: CacheableRequest) -> PendingPage {
        PendingPage {
            question: asked.question.clone(),
            known: Vec::new(),
            forward: ForwardReason::Miss,
            behind: false,
            asked,
        }
    }

    /// Looks on where the response is that fits the request.
    pub(super) fn turn(&mut self, question: Question, names: Vec<HeaderName>) {
        self.question = question;
        self.known = names;
        self.forward = ForwardReason::VaryMiss;
    }

    /// Names what is looked up.
    pub(super) fn hash(&self) -> u128 {
        self.question.wanted().identity.hash
    }
}

/// The names of the headers that an address varies by, if that is what was found.
pub(super) fn direction(found: &Content) -> Option<&[HeaderName]> {
    match found {
        Content::Page(page) => match &**page {
            Page::Varies(names) => Some(names),
            Page::Response(_) => None,
        },
        _ => None,
    }
}
