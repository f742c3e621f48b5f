//! Stored pages: a response, or the vary index of an address.
//!
//! Owns the representation and its weight. `page/wire.rs` has the encoding for a shared store. Which responses are
//! stored and how they are served is in `http/`.

#[cfg(feature = "shared")]
mod wire;

use std::any::Any;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde::{Deserialize, Serialize};

use crate::cache::hole::HoleCall;
use crate::store::entry::Body;
use crate::store::payload::Payload;
use crate::util::clock::Nanos;
use crate::util::weight::{allocated, shared};

/// The content of an entry that the HTTP layer stores.
#[derive(Debug)]
pub(crate) enum Page {
    /// The request headers that select the response (RFC 9111 §4.1), in lower case and sorted. The response itself is
    /// stored under a variant key, which holds their values.
    VaryIndex(Vec<HeaderName>),
    Response(StoredResponse),
}

#[derive(Debug)]
pub(crate) struct StoredResponse {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<BodySegment>,
    /// The age of the response when the handler returned it, from `Age` or `Date`.
    pub(crate) age: Nanos,
    pub(crate) grace: Grace,
    /// Whether the response may answer a request with `Authorization` (RFC 9111 §3.5).
    pub(crate) allows_authorization: bool,
}

/// How long an expired response may be served (RFC 5861): while it is refreshed, and when the handler fails.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Grace {
    pub(crate) while_revalidating: Nanos,
    pub(crate) if_error: Nanos,
}

impl StoredResponse {
    /// Copies header values and body into buffers of their own. Otherwise a few bytes could keep a large buffer alive.
    pub(crate) fn detached(mut self) -> StoredResponse {
        for value in self.headers.values_mut() {
            if let Ok(own) = HeaderValue::from_bytes(value.as_bytes()) {
                let sensitive = value.is_sensitive();
                *value = own;
                value.set_sensitive(sensitive);
            }
        }
        for piece in &mut self.body {
            if let BodySegment::Text(bytes) = piece {
                *bytes = Bytes::copy_from_slice(bytes);
            }
        }
        self
    }
}

impl Grace {
    pub(crate) fn while_revalidating(&self) -> Nanos {
        self.while_revalidating
    }

    pub(crate) fn if_error(&self) -> Nanos {
        self.if_error
    }

    /// Limits both times.
    pub(crate) fn within(self, most: Nanos) -> Grace {
        Grace { while_revalidating: self.while_revalidating.min(most), if_error: self.if_error.min(most) }
    }

    pub(crate) fn longest(&self) -> Nanos {
        self.while_revalidating.max(self.if_error)
    }
}

/// A part of a body. A body with holes is cut at each hole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum BodySegment {
    Text(Bytes),
    /// Filled for each request.
    Hole(HoleCall),
}

impl Page {
    pub(crate) fn vary_index(&self) -> Option<&[HeaderName]> {
        match self {
            Page::VaryIndex(names) => Some(names),
            Page::Response(_) => None,
        }
    }

    pub(crate) fn response(&self) -> Option<&StoredResponse> {
        match self {
            Page::VaryIndex(_) => None,
            Page::Response(response) => Some(response),
        }
    }
}

impl Payload for Page {
    fn longest_grace(&self) -> Nanos {
        self.response().map_or(0, |response| response.grace.longest())
    }

    /// Bytes of the body and of the names and values of the headers.
    fn len(&self) -> usize {
        let Some(response) = self.response() else { return 0 };
        let fields: usize = response.headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
        fields + response.body.iter().map(BodySegment::len).sum::<usize>()
    }

    fn weight(&self) -> usize {
        let heap = match self {
            Page::VaryIndex(names) => {
                let own: usize = names.iter().map(|name| allocated(name.as_str().len())).sum();
                own + allocated(names.capacity() * size_of::<HeaderName>())
            }
            Page::Response(response) => {
                let values: usize = response.headers.values().map(|value| allocated(value.len()) + COUNTERS).sum();
                let body: usize = response.body.iter().map(BodySegment::weight).sum();
                let segments = allocated(response.body.capacity() * size_of::<BodySegment>());
                allocated(response.headers.capacity() * FIELD) + values + body + segments
            }
        };
        shared(size_of::<Page>()) + heap
    }

    fn is_index(&self) -> bool {
        self.response().is_none()
    }

    #[cfg(feature = "shared")]
    fn encode(&self) -> Option<Vec<u8>> {
        self.to_bytes()
    }

    #[cfg(not(feature = "shared"))]
    fn encode(&self) -> Option<Vec<u8>> {
        None
    }
}

impl Body {
    /// The page, if it is one.
    pub(crate) fn page(&self) -> Option<&Page> {
        let Body::Page(page) = self else { return None };
        (&**page as &dyn Any).downcast_ref()
    }

    /// The same, to keep.
    pub(crate) fn into_page(self) -> Option<Arc<Page>> {
        let Body::Page(page) = self else { return None };
        (page as Arc<dyn Any + Send + Sync>).downcast().ok()
    }
}

/// Bytes that a header map allocates for each field of its capacity.
const FIELD: usize = 112;

/// Bytes of the reference count that `Bytes` allocates once it is cloned.
const COUNTERS: usize = 32;

impl BodySegment {
    fn len(&self) -> usize {
        match self {
            BodySegment::Text(bytes) => bytes.len(),
            BodySegment::Hole(call) => call.weight(),
        }
    }

    fn weight(&self) -> usize {
        match self {
            BodySegment::Text(bytes) => allocated(bytes.len()) + COUNTERS,
            BodySegment::Hole(call) => call.weight(),
        }
    }
}
