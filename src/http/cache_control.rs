//! `Cache-Control` of a response (RFC 9111 §5.2.2): built by handlers, read from headers, merged and written.
//!
//! Owns what a response can say. `cache_control/format.rs` reads and writes it, `cache_control/merge.rs` knows which of
//! two is the stricter, `cache_control/parse.rs` owns the syntax, and `cache_control/request.rs` what a client asks
//! for. Leaves to the layer what is stored and served.

mod format;
mod merge;
mod parse;
mod request;

use std::time::Duration;

use self::parse::LONGEST;
pub(crate) use self::request::RequestDirectives;

/// What a response says to caches (RFC 9111 §5.2.2, RFC 5861, RFC 8246).
///
/// HTTP knows whole seconds: fractions are cut off, and what is longer than 2³¹ seconds (68 years) counts as that.
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

/// A directive that means nothing here and goes on to others as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
struct ExtensionDirective {
    name: String,
    text: String,
}

impl CacheControl {
    /// Says nothing.
    pub fn new() -> CacheControl {
        CacheControl::default()
    }

    /// Any cache may keep it, even where it would not by default: the answer to a request with `Authorization`
    /// (§5.2.2.9).
    pub fn public() -> CacheControl {
        CacheControl::new().with_public()
    }

    /// Only the client's own cache may keep it (§5.2.2.7).
    pub fn private() -> CacheControl {
        CacheControl::new().with_private()
    }

    /// Caches may keep it, and ask before each use (§5.2.2.4).
    pub fn no_cache() -> CacheControl {
        CacheControl::new().with_no_cache()
    }

    /// No cache may keep it (§5.2.2.5).
    pub fn no_store() -> CacheControl {
        CacheControl::new().with_no_store()
    }

    /// Adds `public`, in place of `private`.
    #[must_use]
    pub fn with_public(mut self) -> CacheControl {
        self.audience = Some(Audience::Public);
        self
    }

    /// Adds `private`, in place of `public`.
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

    /// Adds `no-store`. Lifetimes, `public` and `immutable` are not written beside it, except with
    /// [`must_understand`](CacheControl::must_understand).
    #[must_use]
    pub fn with_no_store(mut self) -> CacheControl {
        self.no_store = true;
        self
    }

    /// How long it is fresh, in any cache (§5.2.2.1).
    #[must_use]
    pub fn max_age(mut self, lifetime: Duration) -> CacheControl {
        self.max_age = Some(whole_seconds(lifetime));
        self
    }

    /// How long it is fresh in caches that serve several clients; they go by it instead of `max-age` (§5.2.2.10).
    #[must_use]
    pub fn s_maxage(mut self, lifetime: Duration) -> CacheControl {
        self.s_maxage = Some(whole_seconds(lifetime));
        self
    }

    /// How long after its lifetime it may still be served while a cache fetches it anew (RFC 5861 §3). Browsers do so
    /// too, also after a `max-age` of 0; caches that serve several clients do not beside an `s-maxage` (§5.2.2.10).
    #[must_use]
    pub fn stale_while_revalidate(mut self, window: Duration) -> CacheControl {
        self.stale_while_revalidate = Some(whole_seconds(window));
        self
    }

    /// How long after its lifetime it may still be served when fetching it fails (RFC 5861 §4).
    #[must_use]
    pub fn stale_if_error(mut self, window: Duration) -> CacheControl {
        self.stale_if_error = Some(whole_seconds(window));
        self
    }

    /// No cache may serve it stale (§5.2.2.2).
    #[must_use]
    pub fn must_revalidate(mut self) -> CacheControl {
        self.must_revalidate = true;
        self
    }

    /// No cache that serves several clients may serve it stale (§5.2.2.8).
    #[must_use]
    pub fn proxy_revalidate(mut self) -> CacheControl {
        self.proxy_revalidate = true;
        self
    }

    /// Only caches that know the status code may keep it; these pass over a `no-store` beside it (§5.2.2.3).
    #[must_use]
    pub fn must_understand(mut self) -> CacheControl {
        self.must_understand = true;
        self
    }

    /// No intermediary may change the content (§5.2.2.6).
    #[must_use]
    pub fn no_transform(mut self) -> CacheControl {
        self.no_transform = true;
        self
    }

    /// It does not change while it is fresh, so that a reload need not ask (RFC 8246).
    #[must_use]
    pub fn immutable(mut self) -> CacheControl {
        self.immutable = true;
        self
    }
}

/// What it says.
impl CacheControl {
    /// Whether it says `public`.
    pub fn is_public(&self) -> bool {
        self.audience == Some(Audience::Public)
    }

    /// Whether it says `private`, for the whole response or for some of its fields.
    pub fn is_private(&self) -> bool {
        self.audience == Some(Audience::Private)
    }

    /// Whether it says `no-store`.
    pub fn is_no_store(&self) -> bool {
        self.no_store
    }

    /// Whether it says `no-cache`, for the whole response or for some of its fields.
    pub fn is_no_cache(&self) -> bool {
        self.no_cache
    }

    /// Whether it says `must-revalidate`.
    pub fn is_must_revalidate(&self) -> bool {
        self.must_revalidate
    }

    /// Whether it says `proxy-revalidate`.
    pub fn is_proxy_revalidate(&self) -> bool {
        self.proxy_revalidate
    }

    /// Whether it says `must-understand`.
    pub fn is_must_understand(&self) -> bool {
        self.must_understand
    }

    /// Whether it says `no-transform`.
    pub fn is_no_transform(&self) -> bool {
        self.no_transform
    }

    /// Whether it says `immutable`.
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

    /// What a cache that serves several clients goes by: `s-maxage`, or else `max-age` (RFC 9111 §4.2.1).
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

    /// Whether a cache that serves several clients is told never to serve it stale: `must-revalidate`,
    /// `proxy-revalidate` or `no-cache` (RFC 9111 §4.2.4). `s-maxage` alone does not count, because it is commonly
    /// sent together with a window for stale answers.
    pub fn forbids_stale(&self) -> bool {
        self.must_revalidate || self.proxy_revalidate || self.no_cache
    }

    /// Whether there is nothing to write: no header, an empty one, or one without any directive.
    pub fn says_nothing(&self) -> bool {
        *self == CacheControl::default()
    }

    fn effective_seconds(&self) -> Option<u32> {
        self.s_maxage.or(self.max_age)
    }

    /// Of several with one name the first counts.
    fn keep(&mut self, extension: ExtensionDirective) {
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

/// The shorter of what is said.
fn shorter(one: Option<u32>, other: Option<u32>) -> Option<u32> {
    one.into_iter().chain(other).min()
}

#[cfg(test)]
mod tests;
