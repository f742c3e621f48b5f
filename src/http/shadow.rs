//! Shadow verification of pages: the handler generates a page again after it was served from the cache, and the two are
//! compared.

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
use crate::cache::scope::Scope;
use crate::http::page::{BodySegment, Page};
use crate::telemetry::{About, FragmentCounter, FragmentCounters, VerifiedHit, key_hash};
use crate::util::clock::Nanos;

/// A page that was served from the cache and is to be compared with a new response.
pub(super) struct ShadowCheck {
    page: Arc<Page>,
    about: About,
    label: Arc<FragmentCounters>,
    began: Nanos,
}

impl ShadowCheck {
    /// `None` for a page with holes, because every visitor gets another one.
    pub(super) fn new(
        request: &CacheableRequest,
        served: &PageResponse,
        label: Arc<FragmentCounters>,
    ) -> Option<ShadowCheck> {
        let page = served.page();
        let without_holes =
            page.response().is_some_and(|response| matches!(response.body.as_slice(), [] | [BodySegment::Text(_)]));
        let about = About::new(&label, key_hash(request.primary_key.named()));
        without_holes.then(|| ShadowCheck { page: Arc::clone(page), about, label, began: served.began() })
    }

    /// Compares the page with the handler's response, and reports a difference. A response that is an error or cannot
    /// be read whole is not compared.
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
        let Some(stored) = self.page.response() else { return };
        self.label.count(FragmentCounter::Verified);
        let cached = match stored.body.as_slice() {
            [BodySegment::Text(bytes)] => bytes.clone(),
            _ => Bytes::new(),
        };
        if (stored.status, &cached) != (head.status, &computed) {
            self.label.count(FragmentCounter::Differing);
            let text = |status: StatusCode, body: &[u8]| match stored.status == head.status {
                true => String::from_utf8_lossy(body).into_owned(),
                false => format!("{status} {}", String::from_utf8_lossy(body)),
            };
            let age = Duration::from_nanos(inner.clock.now().saturating_sub(self.began));
            let found = VerifiedHit { about: self.about, place: None, age };
            let (cached, computed) = (text(stored.status, &cached), text(head.status, &computed));
            inner.telemetry.record_difference(found, &cached, &computed, &inner.reporter);
        }
    }
}
