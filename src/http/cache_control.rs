//! `Cache-Control` of a response (RFC 9111 §5.2.2): its directives, and the builder for handlers.
//!
//! `parse.rs` owns the syntax, `format.rs` reads and writes headers, `merge.rs` combines two values, and `request.rs`
//! reads `Cache-Control` of a request. Which responses are stored and served is decided in `storability.rs` and
//! `serve.rs`.

mod format;
mod merge;
mod parse;
mod request;

use std::time::Duration;

use self::parse::LONGEST;
pub(in crate::http) use self::request::RequestDirectives;

/// The `Cache-Control` of a response (RFC 9111 §5.2.2, RFC 5861, RFC 8246).
///
/// Times are whole seconds: fractions are cut off, and the longest time is 2³¹ seconds (68 years).
///
/// ```
/// use std::time::Duration;
/// use minijinja_cache::http::CacheControl;
///
/// let page = CacheControl::public().max_age(Duration::from_secs(60)).must_revalidate();
/// assert_eq!(page.to_string(), "public, max-age=60, must-revalidate");
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CacheControl {
    audience: Option<Audience>,
    no_store: bool,
    no_cache: bool,
    must_revalidate: bool,
    proxy_revalidate: bool,
    must_understand: bool,
    no_transform: bool,
    immutable: bool,
    max_age: Option<u32>,
    s_maxage: Option<u32>,
    stale_while_revalidate: Option<u32>,
    stale_if_error: Option<u32>,
    extensions: Vec<ExtensionDirective>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Audience {
    Public,
    Private,
}

/// An unknown directive (RFC 9111 §5.2.3), which is kept for other caches.
#[derive(Debug, Clone, PartialEq, Eq)]
struct ExtensionDirective {
    name: String,
    text: String,
}

impl CacheControl {
    /// No directives.
    pub fn new() -> CacheControl {
        CacheControl::default()
    }

    /// `public`: any cache may store the response, even if the request has `Authorization` (§5.2.2.9).
    pub fn public() -> CacheControl {
        CacheControl::new().with_public()
    }

    /// `private`: only the cache of one user, as in a browser, may store the response (§5.2.2.7).
    pub fn private() -> CacheControl {
        CacheControl::new().with_private()
    }

    /// `no-cache`: a cache may store the response, and must revalidate it before each use (§5.2.2.4).
    pub fn no_cache() -> CacheControl {
        CacheControl::new().with_no_cache()
    }

    /// `no-store`: no cache may store the response (§5.2.2.5).
    pub fn no_store() -> CacheControl {
        CacheControl::new().with_no_store()
    }

    /// Adds `public`, which replaces `private`.
    #[must_use]
    pub fn with_public(mut self) -> CacheControl {
        self.audience = Some(Audience::Public);
        self
    }

    /// Adds `private`, which replaces `public`.
    #[must_use]
    pub fn with_private(mut self) -> CacheControl {
        self.audience = Some(Audience::Private);
        self
    }

    /// Adds `no-cache`.
    #[must_use]
    pub fn with_no_cache(mut self) -> CacheControl {
        self.no_cache = true;
        self
    }

    /// Adds `no-store`. Lifetimes, `public` and `immutable` are not written with it, except with
    /// [`must_understand`](CacheControl::must_understand).
    #[must_use]
    pub fn with_no_store(mut self) -> CacheControl {
        self.no_store = true;
        self
    }

    /// `max-age`: how long the response is fresh in any cache (§5.2.2.1).
    #[must_use]
    pub fn max_age(mut self, lifetime: Duration) -> CacheControl {
        self.max_age = Some(whole_seconds(lifetime));
        self
    }

    /// `s-maxage`: how long the response is fresh in shared caches, which ignore `max-age` then (§5.2.2.10).
    #[must_use]
    pub fn s_maxage(mut self, lifetime: Duration) -> CacheControl {
        self.s_maxage = Some(whole_seconds(lifetime));
        self
    }

    /// `stale-while-revalidate`: how long after its lifetime a cache may serve the response while it revalidates it
    /// (RFC 5861 §3). Browsers do this too, even after a `max-age` of 0. Shared caches do not if there is an `s-maxage`
    /// (§5.2.2.10).
    #[must_use]
    pub fn stale_while_revalidate(mut self, window: Duration) -> CacheControl {
        self.stale_while_revalidate = Some(whole_seconds(window));
        self
    }

    /// `stale-if-error`: how long after its lifetime a cache may serve the response when the origin fails (RFC 5861
    /// §4).
    #[must_use]
    pub fn stale_if_error(mut self, window: Duration) -> CacheControl {
        self.stale_if_error = Some(whole_seconds(window));
        self
    }

    /// `must-revalidate`: no cache may serve the response stale (§5.2.2.2).
    #[must_use]
    pub fn must_revalidate(mut self) -> CacheControl {
        self.must_revalidate = true;
        self
    }

    /// `proxy-revalidate`: no shared cache may serve the response stale (§5.2.2.8).
    #[must_use]
    pub fn proxy_revalidate(mut self) -> CacheControl {
        self.proxy_revalidate = true;
        self
    }

    /// `must-understand`: only caches that know the status code may store the response. They ignore `no-store` then
    /// (§5.2.2.3).
    #[must_use]
    pub fn must_understand(mut self) -> CacheControl {
        self.must_understand = true;
        self
    }

    /// `no-transform`: no intermediary may change the content (§5.2.2.6).
    #[must_use]
    pub fn no_transform(mut self) -> CacheControl {
        self.no_transform = true;
        self
    }

    /// `immutable`: the response does not change while it is fresh, so a reload need not revalidate it (RFC 8246).
    #[must_use]
    pub fn immutable(mut self) -> CacheControl {
        self.immutable = true;
        self
    }
}

/// Reading directives.
impl CacheControl {
    /// Whether `public` is there.
    pub fn is_public(&self) -> bool {
        self.audience == Some(Audience::Public)
    }

    /// Whether `private` is there, for the whole response or for some headers.
    pub fn is_private(&self) -> bool {
        self.audience == Some(Audience::Private)
    }

    /// Whether `no-store` is there.
    pub fn is_no_store(&self) -> bool {
        self.no_store
    }

    /// Whether `no-cache` is there, for the whole response or for some headers.
    pub fn is_no_cache(&self) -> bool {
        self.no_cache
    }

    /// Whether `must-revalidate` is there.
    pub fn is_must_revalidate(&self) -> bool {
        self.must_revalidate
    }

    /// Whether `proxy-revalidate` is there.
    pub fn is_proxy_revalidate(&self) -> bool {
        self.proxy_revalidate
    }

    /// Whether `must-understand` is there.
    pub fn is_must_understand(&self) -> bool {
        self.must_understand
    }

    /// Whether `no-transform` is there.
    pub fn is_no_transform(&self) -> bool {
        self.no_transform
    }

    /// Whether `immutable` is there.
    pub fn is_immutable(&self) -> bool {
        self.immutable
    }

    /// The `max-age`, in whole seconds.
    pub fn lifetime(&self) -> Option<Duration> {
        self.max_age.map(duration)
    }

    /// The `s-maxage`, in whole seconds.
    pub fn shared_lifetime(&self) -> Option<Duration> {
        self.s_maxage.map(duration)
    }

    /// The lifetime in a shared cache: `s-maxage`, or else `max-age` (RFC 9111 §4.2.1).
    pub fn effective_lifetime(&self) -> Option<Duration> {
        self.effective_seconds().map(duration)
    }

    /// The `stale-while-revalidate`, in whole seconds.
    pub fn revalidate_window(&self) -> Option<Duration> {
        self.stale_while_revalidate.map(duration)
    }

    /// The `stale-if-error`, in whole seconds.
    pub fn error_window(&self) -> Option<Duration> {
        self.stale_if_error.map(duration)
    }

    /// Whether a shared cache must not serve the response stale: `must-revalidate`, `proxy-revalidate` or `no-cache`
    /// (RFC 9111 §4.2.4). `s-maxage` alone does not count, because it is commonly sent with `stale-while-revalidate`.
    pub fn forbids_stale(&self) -> bool {
        self.must_revalidate || self.proxy_revalidate || self.no_cache
    }

    /// Whether there are no directives.
    pub fn says_nothing(&self) -> bool {
        *self == CacheControl::default()
    }

    fn effective_seconds(&self) -> Option<u32> {
        self.s_maxage.or(self.max_age)
    }

    /// Adds a directive. The first one of each name is kept.
    fn add_extension(&mut self, extension: ExtensionDirective) {
        if !self.extensions.iter().any(|known| known.name == extension.name) {
            self.extensions.push(extension);
        }
    }
}

fn whole_seconds(time: Duration) -> u32 {
    u32::try_from(time.as_secs()).map_or(LONGEST, |seconds| seconds.min(LONGEST))
}

fn duration(seconds: u32) -> Duration {
    Duration::from_secs(seconds.into())
}

/// The shorter one of the times that are there.
fn shorter(one: Option<u32>, other: Option<u32>) -> Option<u32> {
    one.into_iter().chain(other).min()
}

#[cfg(test)]
mod tests;
