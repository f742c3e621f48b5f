//! A stored response.
//!
//! Owns the representation; `page/wire.rs` is the bytes it is in a shared store. What a response means to HTTP (what
//! may be stored, how old it is) is in `http/`; without that feature `page/disabled.rs` stands in: a page that cannot
//! be made.

#[cfg(feature = "shared")]
mod wire;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde::{Deserialize, Serialize};

use crate::clock::Nanos;
use crate::hole::Call;
use crate::weight::allocated;

/// What is stored under the identity of a page.
#[derive(Debug)]
pub(crate) enum Page {
    /// Which request headers the responses of this address vary by, in lower case and sorted: the response itself is
    /// under an identity that holds their values.
    Varies(Vec<HeaderName>),
    Response(StoredResponse),
}

/// A whole response.
#[derive(Debug)]
pub(crate) struct StoredResponse {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<BodySegment>,
    /// How old it was when it was stored, beyond what its entry knows: it came from somewhere else.
    pub(crate) age: Nanos,
    /// How long after its expiry it may be served while the handler is asked, and when the handler fails.
    pub(crate) stale: Grace,
    /// Whether it may answer a request with `Authorization` (RFC 9111 §3.5).
    pub(crate) authorized: bool,
}

/// How long a response may be served after its expiry (RFC 5861).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Grace {
    pub(crate) while_revalidating: Nanos,
    pub(crate) if_error: Nanos,
}

impl StoredResponse {
    /// The same in memory of its own: a few bytes may be a part of a large buffer, which they would keep.
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

    /// None longer than this.
    pub(crate) fn within(self, most: Nanos) -> Grace {
        Grace { while_revalidating: self.while_revalidating.min(most), if_error: self.if_error.min(most) }
    }

    pub(crate) fn longest(&self) -> Nanos {
        self.while_revalidating.max(self.if_error)
    }
}

/// A part of a body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum BodySegment {
    Text(Bytes),
    /// Filled in for each request.
    Hole(Call),
}

impl Page {
    /// Whether it only says where the response is.
    pub(crate) fn is_direction(&self) -> bool {
        self.stored().is_none()
    }

    pub(crate) fn stored(&self) -> Option<&StoredResponse> {
        match self {
            Page::Varies(_) => None,
            Page::Response(stored) => Some(stored),
        }
    }

    /// How long after its expiry it may be of use.
    #[cfg(feature = "shared")]
    pub(crate) fn longest_grace(&self) -> Nanos {
        self.stored().map_or(0, |stored| stored.stale.longest())
    }

    /// Bytes of the response: its body, and the names and values of its header fields.
    pub(crate) fn len(&self) -> usize {
        let Some(stored) = self.stored() else { return 0 };
        let fields: usize = stored.headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
        fields + stored.body.iter().map(BodySegment::len).sum::<usize>()
    }

    /// Bytes it takes beside the struct itself.
    pub(crate) fn weight(&self) -> usize {
        match self {
            Page::Varies(names) => {
                let own: usize = names.iter().map(|name| allocated(name.as_str().len())).sum();
                own + allocated(names.capacity() * size_of::<HeaderName>())
            }
            Page::Response(stored) => {
                let values: usize = stored.headers.values().map(|value| allocated(value.len()) + COUNTERS).sum();
                let body: usize = stored.body.iter().map(BodySegment::weight).sum();
                let pieces = allocated(stored.body.capacity() * size_of::<BodySegment>());
                allocated(stored.headers.capacity() * FIELD) + values + body + pieces
            }
        }
    }
}

/// What a header map keeps per field it has room for.
const FIELD: usize = 112;

/// What bytes keep beside themselves once a response was made of them.
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
