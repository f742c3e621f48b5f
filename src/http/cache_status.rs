//! `Cache-Status` (RFC 9211): what this cache did with a request.

use std::fmt::Write as _;

use http::{HeaderMap, HeaderName, HeaderValue};

const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");

/// Why the cache had no part in a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Skip {
    /// It neither reads a page nor changes one.
    Method,
    /// It has a body, which is no part of any identity.
    Body,
    /// It asks for another protocol.
    Upgrade,
    /// It has cookies that are neither keyed nor declared irrelevant.
    Cookie,
    /// It has credentials, and what is stored may not answer it.
    Authorization,
    /// The client wants the answer not to be stored, or a part of it only.
    Request,
    /// The application said so.
    Policy,
}

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Did {
    /// Answered from the cache; the seconds it stays fresh, negative once it is stale.
    Hit(i64),
    /// The handler was asked.
    Missed(Why),
    Skipped(Skip),
    /// Nothing was stored, and the handler was not to be asked (`only-if-cached`).
    Refused,
}

/// What there was of use in the cache when the handler was asked, and what became of its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Why {
    pub(super) forward: Forward,
    pub(super) stored: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Forward {
    Miss,
    /// Nothing for these values of the headers that the page varies by.
    VaryMiss,
    /// The client asked for it.
    Request,
}

impl Did {
    /// Adds this cache's word behind those of caches nearer to the origin.
    pub(super) fn tell(self, name: Option<&str>, headers: &mut HeaderMap) {
        let Some(name) = name else { return };
        let mut line = String::with_capacity(48);
        line.push_str(name);
        let written = match self {
            Did::Hit(ttl) => write!(line, "; hit; ttl={ttl}"),
            Did::Missed(Why { forward, stored }) => {
                let stored = if stored { "; stored" } else { "" };
                write!(line, "; fwd={}{stored}", forward.token())
            }
            Did::Skipped(Skip::Method) => write!(line, "; fwd=method"),
            Did::Skipped(skip) => write!(line, "; fwd=bypass; detail={}", skip.token()),
            Did::Refused => write!(line, "; fwd=miss; detail=only-if-cached"),
        };
        if let (Ok(()), Ok(line)) = (written, HeaderValue::try_from(line)) {
            headers.append(CACHE_STATUS, line);
        }
    }
}

impl Forward {
    fn token(self) -> &'static str {
        match self {
            Forward::Miss => "miss",
            Forward::VaryMiss => "vary-miss",
            Forward::Request => "request",
        }
    }
}

impl Skip {
    fn token(self) -> &'static str {
        match self {
            Skip::Method => "method",
            Skip::Body => "body",
            Skip::Upgrade => "upgrade",
            Skip::Cookie => "cookie",
            Skip::Authorization => "authorization",
            Skip::Request => "request",
            Skip::Policy => "policy",
        }
    }
}
