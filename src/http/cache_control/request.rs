//! What a client asks of caches (RFC 9111 §5.2.1).
//!
//! Owns reading it. Leaves to the layer whether a client is listened to.

use std::time::Duration;

use http::HeaderMap;
use http::header::{CACHE_CONTROL, PRAGMA};

use super::parse::{Directive, DirectiveArgument, directives};

/// The `Cache-Control` of a request. Times are whole seconds. An element that is no directive by the grammar counts as
/// `no-cache` and `no-store`: it may stand for either.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct RequestDirectives {
    /// The answer is not to be kept (§5.2.1.5).
    pub(crate) no_store: bool,
    /// A stored answer is not to be used without asking the origin (§5.2.1.4). `Pragma: no-cache` says so too where
    /// there is no `Cache-Control` (§5.4).
    pub(crate) no_cache: bool,
    /// Only a stored answer will do (§5.2.1.7).
    pub(crate) only_if_cached: bool,
    /// The answer may be at most so old (§5.2.1.1). The shortest of several; 0 if it cannot be read.
    pub(crate) max_age: Option<Duration>,
    /// The answer must stay fresh for at least so long (§5.2.1.3). The longest of several; [`Duration::MAX`] if it
    /// cannot be read.
    pub(crate) min_fresh: Option<Duration>,
    /// The answer may be stale for at most so long (§5.2.1.2); [`Duration::MAX`] if any staleness will do. The
    /// shortest of several; 0 if it cannot be read.
    pub(crate) max_stale: Option<Duration>,
}

impl RequestDirectives {
    /// Reads all lines; what is no directive of a request is passed over.
    pub(crate) fn read(headers: &HeaderMap) -> RequestDirectives {
        let mut said = RequestDirectives::default();
        for directive in directives(headers, CACHE_CONTROL) {
            said.hear(&directive);
        }
        if !headers.contains_key(CACHE_CONTROL) {
            said.no_cache = directives(headers, PRAGMA).any(|part| part.name.eq_ignore_ascii_case(b"no-cache"));
        }
        said
    }

    /// Whether a stored answer will do that is so many seconds old and stays fresh for so many, or is stale since.
    pub(crate) fn accepts(&self, age: u64, left: i64) -> bool {
        let fresh_enough =
            self.min_fresh.is_none_or(|wanted| i64::try_from(wanted.as_secs()).is_ok_and(|it| left >= it));
        !self.no_cache && fresh_enough && self.max_age.is_none_or(|most| age <= most.as_secs())
    }

    fn hear(&mut self, directive: &Directive<'_>) {
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
