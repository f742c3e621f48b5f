//! The configuration of a layer: keys, lifetimes, tags, and the headers of its responses.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::header::{AUTHORIZATION, COOKIE};
use http::request::Parts;
use http::{HeaderName, StatusCode};

use super::hole_request::FillHole;
use super::tag_header::TagHeader;
use crate::cache::FragmentCache;
use crate::cache::get_or_set::{CallSite, HandlerCaller};
use crate::http::page::Grace;
use crate::telemetry::FragmentKind;
use crate::util::clock::nanos;

/// The part of a query that belongs to a page's key. Other parameters are removed from a request before the handler
/// generates a page for the cache, so that no client can put text into a page that others get.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Query {
    /// The query as it is written. Another order is another page.
    #[default]
    All,
    /// The query with its parameters sorted by name. Repeated parameters keep their order.
    Sorted,
    /// These parameters only.
    Only(Vec<String>),
    /// All parameters but these, for example `utm_source`.
    Ignore(Vec<String>),
}

impl Query {
    /// Only these parameters belong to the key.
    pub fn only<T: Into<String>>(names: impl IntoIterator<Item = T>) -> Query {
        Query::Only(names.into_iter().map(Into::into).collect())
    }

    /// All parameters but these belong to the key.
    pub fn ignore<T: Into<String>>(names: impl IntoIterator<Item = T>) -> Query {
        Query::Ignore(names.into_iter().map(Into::into).collect())
    }
}

/// A function of the application that takes a request.
pub(super) type RequestFn<T> = Arc<dyn Fn(&Parts) -> T + Send + Sync>;

#[derive(Clone)]
pub(super) struct Policy {
    pub(super) cache: FragmentCache,
    pub(super) ttl: Option<Duration>,
    pub(super) browser_ttl: Option<Duration>,
    pub(super) stale_while_revalidate: Duration,
    pub(super) stale_if_error: Duration,
    pub(super) statuses: Vec<(StatusCode, Duration)>,
    pub(super) tags: Vec<Arc<str>>,
    pub(super) tags_by: Vec<RequestFn<Vec<String>>>,
    pub(super) vary: Vec<HeaderName>,
    /// Name and value are both part of the key.
    pub(super) vary_by: Vec<(String, RequestFn<String>)>,
    pub(super) path: Option<RequestFn<String>>,
    pub(super) version: Option<String>,
    pub(super) invalidates: bool,
    pub(super) bypass_if: Vec<RequestFn<bool>>,
    pub(super) query: Query,
    pub(super) cookies: CookieRules,
    pub(super) max_body_bytes: usize,
    pub(super) honor_reload: bool,
    pub(super) strong_etags: bool,
    pub(super) tag_header: Option<TagHeader>,
    /// The name of this cache in `Cache-Status`.
    pub(super) status_name: Option<Arc<str>>,
    /// The label of the pages in statistics.
    pub(super) label: Option<Arc<str>>,
    pub(super) holes: HashMap<String, FillHole, ahash::RandomState>,
}

/// Which cookies belong to the key.
#[derive(Debug, Clone, Default)]
pub(super) struct CookieRules {
    pub(super) keyed: Vec<String>,
    /// Keyed cookies that name the visitor.
    pub(super) sessions: Vec<String>,
    pub(super) ignored: Vec<String>,
    pub(super) others_ignored: bool,
}

impl Policy {
    pub(super) fn new(cache: &FragmentCache) -> Policy {
        Policy {
            cache: cache.clone(),
            ttl: None,
            browser_ttl: None,
            stale_while_revalidate: Duration::ZERO,
            stale_if_error: Duration::ZERO,
            statuses: Vec::new(),
            tags: Vec::new(),
            tags_by: Vec::new(),
            vary: Vec::new(),
            vary_by: Vec::new(),
            path: None,
            version: None,
            invalidates: true,
            bypass_if: Vec::new(),
            query: Query::All,
            cookies: CookieRules::default(),
            max_body_bytes: 1 << 20,
            honor_reload: false,
            strong_etags: false,
            tag_header: None,
            status_name: Some("minijinja-cache".into()),
            label: None,
            holes: HashMap::default(),
        }
    }

    /// The caller for look-ups of a request's page. Pages are counted by route, because URIs are many and may contain
    /// private data.
    pub(super) fn handler<'a>(&'a self, request: &'a Parts) -> HandlerCaller<'a> {
        let name = self.label.as_deref().or_else(|| route(request)).unwrap_or("(pages)");
        HandlerCaller { cache: &self.cache.inner, kind: FragmentKind::Page, called: CallSite::Name(name) }
    }

    /// The tags of a page beside those of its fragments.
    pub(super) fn tags_of(&self, request: &Parts) -> Vec<Arc<str>> {
        let by_request = self.tags_by.iter().flat_map(|tags| tags(request)).map(Arc::from);
        self.tags.iter().cloned().chain(by_request).collect()
    }

    /// The names that this layer adds to `Vary`.
    pub(super) fn varies(&self) -> impl Iterator<Item = &HeaderName> {
        let CookieRules { keyed, sessions, others_ignored, .. } = &self.cookies;
        let cookies = !others_ignored || !keyed.is_empty() || !sessions.is_empty();
        // `Authorization` always selects the response: a stored page may not be served to a request with credentials.
        self.vary.iter().chain([&AUTHORIZATION]).chain(cookies.then_some(&COOKIE))
    }

    /// The grace of a page that takes the layer's TTL.
    pub(super) fn grace(&self) -> Grace {
        Grace { while_revalidating: nanos(self.stale_while_revalidate), if_error: nanos(self.stale_if_error) }
    }

    /// The layer's TTL for a response with this status that names no lifetime.
    pub(super) fn lifetime(&self, status: StatusCode) -> Option<Duration> {
        let by_status = self.statuses.iter().find(|(of, _)| *of == status).map(|(_, ttl)| *ttl);
        by_status.or(self.ttl.filter(|_| status == StatusCode::OK))
    }
}

impl CookieRules {
    pub(super) fn is_keyed(&self, name: &str) -> bool {
        self.keyed.iter().any(|keyed| keyed == name) || self.is_session(name)
    }

    /// Whether any cookie is keyed or ignored.
    pub(super) fn are_declared(&self) -> bool {
        self.others_ignored || !(self.keyed.is_empty() && self.sessions.is_empty() && self.ignored.is_empty())
    }

    pub(super) fn is_session(&self, name: &str) -> bool {
        self.sessions.iter().any(|session| session == name)
    }

    pub(super) fn is_ignored(&self, name: &str) -> bool {
        self.others_ignored || self.ignored.iter().any(|ignored| ignored == name)
    }
}

impl fmt::Debug for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Policy")
            .field("ttl", &self.ttl)
            .field("browser_ttl", &self.browser_ttl)
            .field("stale_while_revalidate", &self.stale_while_revalidate)
            .field("stale_if_error", &self.stale_if_error)
            .field("statuses", &self.statuses)
            .field("tags", &self.tags)
            .field("vary", &self.vary)
            .field("query", &self.query)
            .field("cookies", &self.cookies)
            .field("max_body_bytes", &self.max_body_bytes)
            .finish_non_exhaustive()
    }
}

/// The pattern of the matched route, for example `/film/{id}`, if the router has set it.
#[cfg(feature = "axum")]
fn route(request: &Parts) -> Option<&str> {
    request.extensions.get::<axum::extract::MatchedPath>().map(axum::extract::MatchedPath::as_str)
}

#[cfg(not(feature = "axum"))]
fn route(_: &Parts) -> Option<&str> {
    None
}
