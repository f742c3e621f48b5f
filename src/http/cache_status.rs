//! `Cache-Status` (RFC 9211): how this cache handled a request.

use std::fmt::Write as _;

use bytes::Bytes;
use http::header::Entry;
use http::{HeaderMap, HeaderName, HeaderValue};

const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");

/// Why a request bypasses the cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BypassReason {
    /// The method is neither GET nor HEAD.
    Method,
    /// HEAD, and no page is stored that answers it.
    Head,
    /// The request has a body, which is not part of the key.
    Body,
    /// The request has cookies that are neither keyed nor ignored.
    Cookie,
    /// The request has credentials, and stored pages may not answer it.
    Authorization,
    /// The client forbids storing the response, or requests a part of it only.
    Request,
    /// The request has two different hosts or forwarding headers.
    Ambiguous,
    /// The application bypasses the request.
    Policy,
    /// Caching is switched off.
    Off,
}

/// The value of `Cache-Status` for a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CacheStatus {
    /// Served from the cache. `ttl`: the seconds until the page expires, negative if it is stale.
    Hit {
        ttl: i64,
    },
    Forwarded(Forwarded),
    Bypassed(BypassReason),
    /// No stored page answers the request, and `only-if-cached` forbids calling the handler.
    OnlyIfCached,
}

/// A request that was forwarded to the handler.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Forwarded {
    pub(super) reason: ForwardReason,
    pub(super) stored: bool,
}

/// The `fwd` parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ForwardReason {
    Miss,
    Stale,
    /// Pages are stored for this address, but for other values of the headers in `Vary`.
    VaryMiss,
    /// The client does not accept the stored page.
    Request,
}

/// Adds an empty `Cache-Status` to a page that is stored, so that setting it on a hit does not make the map grow.
pub(super) fn reserve(name: Option<&str>, headers: &mut HeaderMap) {
    if name.is_some() && !headers.contains_key(CACHE_STATUS) {
        headers.insert(CACHE_STATUS, HeaderValue::from_static(""));
    }
}

impl CacheStatus {
    /// Adds the status behind those of caches nearer to the origin. `name` is that of this cache.
    pub(super) fn append_to(self, headers: &mut HeaderMap, name: Option<&str>) {
        let Some(name) = name else { return };
        let Some(line) = self.line(name) else { return };
        match headers.entry(CACHE_STATUS) {
            Entry::Occupied(mut known) if known.get().is_empty() => drop(known.insert(line)),
            Entry::Occupied(mut known) => known.append(line),
            Entry::Vacant(place) => drop(place.insert(line)),
        }
    }

    fn line(self, name: &str) -> Option<HeaderValue> {
        if let CacheStatus::Hit { ttl } = self {
            // Every hit has this line, and concatenation is cheaper than `write!`.
            let line = [name, "; hit; ttl=", itoa::Buffer::new().format(ttl)].concat();
            return HeaderValue::from_maybe_shared(Bytes::from(line)).ok();
        }
        let mut line = String::with_capacity(name.len() + 40);
        line.push_str(name);
        let written = match self {
            CacheStatus::Hit { .. } => Ok(()),
            CacheStatus::Forwarded(Forwarded { reason, stored }) => {
                let stored = if stored { "; stored" } else { "" };
                write!(line, "; fwd={}{stored}", reason.token())
            }
            CacheStatus::Bypassed(BypassReason::Method) => write!(line, "; fwd=method"),
            CacheStatus::Bypassed(reason) => write!(line, "; fwd=bypass; detail={}", reason.token()),
            CacheStatus::OnlyIfCached => write!(line, "; detail=only-if-cached"),
        };
        written.ok().and_then(|()| HeaderValue::try_from(line).ok())
    }
}

impl ForwardReason {
    fn token(self) -> &'static str {
        match self {
            ForwardReason::Miss => "miss",
            ForwardReason::Stale => "stale",
            ForwardReason::VaryMiss => "vary-miss",
            ForwardReason::Request => "request",
        }
    }
}

impl BypassReason {
    pub(super) fn token(self) -> &'static str {
        match self {
            BypassReason::Method => "method",
            BypassReason::Head => "head",
            BypassReason::Body => "body",
            BypassReason::Cookie => "cookie",
            BypassReason::Authorization => "authorization",
            BypassReason::Request => "request",
            BypassReason::Ambiguous => "ambiguous",
            BypassReason::Policy => "policy",
            BypassReason::Off => "off",
        }
    }
}
