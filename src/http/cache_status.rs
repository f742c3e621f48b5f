//! `Cache-Status` (RFC 9211): what this cache did with a request.

use std::fmt::Write as _;

use bytes::Bytes;
use http::header::Entry;
use http::{HeaderMap, HeaderName, HeaderValue};

const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");

/// Why the cache had no part in a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BypassReason {
    /// It neither reads a page nor changes one.
    Method,
    /// It asks for what a GET would say; nothing is stored for it.
    Head,
    /// It has a body, which is no part of any identity.
    Body,
    /// It has cookies that are neither keyed nor declared irrelevant.
    Cookie,
    /// It has credentials, and what is stored may not answer it.
    Authorization,
    /// The client wants the answer not to be stored, or a part of it only.
    Request,
    /// It says two things of the address that it asks for.
    Ambiguous,
    /// The application said so.
    Policy,
    /// Caching is switched off.
    Off,
}

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CacheStatus {
    /// Answered from the cache; the seconds it stays fresh, negative once it is stale.
    Hit(i64),
    /// The handler was asked.
    Missed(Forwarded),
    Skipped(BypassReason),
    /// Nothing was stored, and the handler was not to be asked (`only-if-cached`).
    Refused,
}

/// What there was of use in the cache when the handler was asked, and what became of its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Forwarded {
    pub(super) forward: ForwardReason,
    pub(super) stored: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ForwardReason {
    Miss,
    /// It had expired.
    Stale,
    /// Nothing for these values of the headers that the page varies by.
    VaryMiss,
    /// The client asked for it.
    Request,
}

/// Makes room for what this cache will say, in the headers of a page that is stored.
pub(super) fn reserve(name: Option<&str>, headers: &mut HeaderMap) {
    if name.is_some() && !headers.contains_key(CACHE_STATUS) {
        headers.insert(CACHE_STATUS, HeaderValue::from_static(""));
    }
}

impl CacheStatus {
    /// Adds this cache's word behind those of caches nearer to the origin.
    pub(super) fn tell(self, name: Option<&str>, headers: &mut HeaderMap) {
        let Some(name) = name else { return };
        let Some(line) = self.line(name) else { return };
        match headers.entry(CACHE_STATUS) {
            Entry::Occupied(mut known) if known.get().is_empty() => drop(known.insert(line)),
            Entry::Occupied(mut known) => known.append(line),
            Entry::Vacant(place) => drop(place.insert(line)),
        }
    }

    fn line(self, name: &str) -> Option<HeaderValue> {
        if let CacheStatus::Hit(ttl) = self {
            // Said on every hit, so without the machinery of formatting.
            let line = [name, "; hit; ttl=", itoa::Buffer::new().format(ttl)].concat();
            return HeaderValue::from_maybe_shared(Bytes::from(line)).ok();
        }
        let mut line = String::with_capacity(name.len() + 40);
        line.push_str(name);
        let written = match self {
            CacheStatus::Hit(_) => Ok(()),
            CacheStatus::Missed(Forwarded { forward, stored }) => {
                let stored = if stored { "; stored" } else { "" };
                write!(line, "; fwd={}{stored}", forward.token())
            }
            CacheStatus::Skipped(BypassReason::Method) => write!(line, "; fwd=method"),
            CacheStatus::Skipped(skip) => write!(line, "; fwd=bypass; detail={}", skip.token()),
            CacheStatus::Refused => write!(line, "; detail=only-if-cached"),
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
