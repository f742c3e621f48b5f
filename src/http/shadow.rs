//! Shadow verification of pages: a stored page is made again after it was shown, and the two are compared.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Response, StatusCode};
use http_body::Body;

use super::body::{CollectedBody, collect};
use super::policy::Policy;
use super::request::CacheableRequest;
use super::serve::PageResponse;
use super::timeout::wait_timeout;
use crate::clock::Nanos;
use crate::observe::{About, Hit, Label, Rare, key_hash};
use crate::page::{BodySegment, Page};
use crate::scope::Scope;

/// What a visitor was shown, to be held against what the handler says now.
pub(super) struct ShadowCheck {
    page: Arc<Page>,
    about: About,
    label: Arc<Label>,
    began: Nanos,
}

impl ShadowCheck {
    /// A page without holes; one with holes is nobody's as a whole.
    pub(super) fn of(asked: &CacheableRequest, shown: &PageResponse, label: Arc<Label>) -> Option<ShadowCheck> {
        let page = shown.page();
        let whole = page.stored().is_some_and(|stored| matches!(stored.body.as_slice(), [] | [BodySegment::Text(_)]));
        let about = About::new(&label, key_hash(asked.question.named()));
        whole.then(|| ShadowCheck { page: Arc::clone(page), about, label, began: shown.began() })
    }

    /// Holds what the handler said against it. What fails, or is not to be had whole, says nothing of the page.
    pub(super) async fn compare<R>(self, policy: &Policy, scope: Scope, response: Response<R>)
    where
        R: Body<Data = Bytes>,
    {
        let inner = &policy.cache.inner;
        let (head, body) = response.into_parts();
        if head.status.is_server_error() {
            return inner.pause_verifying();
        }
        let reading = collect(body, policy.max_body_bytes, wait_timeout(policy));
        let CollectedBody::Whole(computed) = scope.run_async(reading).await else {
            return;
        };
        let Some(stored) = self.page.stored() else { return };
        self.label.count(Rare::Verified);
        let cached = match stored.body.as_slice() {
            [BodySegment::Text(bytes)] => bytes.clone(),
            _ => Bytes::new(),
        };
        if (stored.status, &cached) != (head.status, &computed) {
            self.label.count(Rare::Differing);
            let text = |status: StatusCode, body: &[u8]| match stored.status == head.status {
                true => String::from_utf8_lossy(body).into_owned(),
                false => format!("{status} {}", String::from_utf8_lossy(body)),
            };
            let age = Duration::from_nanos(inner.clock.now().saturating_sub(self.began));
            let found = Hit { about: self.about, place: None, age };
            inner.tell_difference(found, &text(stored.status, &cached), &text(head.status, &computed));
        }
    }
}
