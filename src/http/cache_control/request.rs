//! `Cache-Control` and `Pragma` of a request (RFC 9111 §5.2.1).
//!
//! Whether the layer obeys the directives is decided by `CacheLayer::honor_reload`.

use std::time::Duration;

use http::HeaderMap;
use http::header::{CACHE_CONTROL, PRAGMA};

use super::parse::{Directive, DirectiveArgument, directives};

/// The directives of a request. Times are whole seconds. An element that does not follow the grammar counts as
/// `no-cache` and `no-store`, because it may be meant as either.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::http) struct RequestDirectives {
    /// The response must not be stored (§5.2.1.5).
    pub(in crate::http) no_store: bool,
    /// A stored response must be revalidated first (§5.2.1.4). `Pragma: no-cache` means the same if there is no
    /// `Cache-Control` (§5.4).
    pub(in crate::http) no_cache: bool,
    /// The client accepts stored responses only (§5.2.1.7).
    pub(in crate::http) only_if_cached: bool,
    /// The oldest accepted age (§5.2.1.1). The shortest of several; 0 if it cannot be read.
    pub(in crate::http) max_age: Option<Duration>,
    /// The response must stay fresh for at least this time (§5.2.1.3). The longest of several; [`Duration::MAX`] if it
    /// cannot be read.
    pub(in crate::http) min_fresh: Option<Duration>,
    /// The longest accepted staleness (§5.2.1.2); [`Duration::MAX`] without an argument. The shortest of several; 0 if
    /// it cannot be read.
    pub(in crate::http) max_stale: Option<Duration>,
}

impl RequestDirectives {
    /// Reads all lines. Unknown directives are ignored.
    pub(in crate::http) fn read(headers: &HeaderMap) -> RequestDirectives {
        let mut request = RequestDirectives::default();
        for directive in directives(headers, CACHE_CONTROL) {
            request.add(&directive);
        }
        if !headers.contains_key(CACHE_CONTROL) {
            request.no_cache = directives(headers, PRAGMA).any(|part| part.name.eq_ignore_ascii_case(b"no-cache"));
        }
        request
    }

    /// Whether the client accepts a stored response. `age` and `ttl` are seconds; a negative `ttl` means that it is
    /// stale.
    pub(in crate::http) fn accepts(&self, age: u64, ttl: i64) -> bool {
        let fresh_enough =
            self.min_fresh.is_none_or(|wanted| i64::try_from(wanted.as_secs()).is_ok_and(|wanted| ttl >= wanted));
        !self.no_cache && fresh_enough && self.max_age.is_none_or(|most| age <= most.as_secs())
    }

    fn add(&mut self, directive: &Directive<'_>) {
        let time = directive.seconds().map(|seconds| Duration::from_secs(seconds.into()));
        let strict = Some(time.unwrap_or_default());
        if !directive.is_readable() {
            self.no_store = true;
            self.no_cache = true;
        }
        match directive.name.to_ascii_lowercase().as_slice() {
            b"no-store" => self.no_store = true,
            b"no-cache" => self.no_cache = true,
            b"only-if-cached" => self.only_if_cached = true,
            b"max-age" => self.max_age = shorter(self.max_age, strict),
            b"min-fresh" => self.min_fresh = self.min_fresh.max(Some(time.unwrap_or(Duration::MAX))),
            b"max-stale" if directive.argument == DirectiveArgument::Absent => {
                self.max_stale = shorter(self.max_stale, Some(Duration::MAX));
            }
            b"max-stale" => self.max_stale = shorter(self.max_stale, strict),
            _ => {}
        }
    }
}

fn shorter(one: Option<Duration>, other: Option<Duration>) -> Option<Duration> {
    one.into_iter().chain(other).min()
}
