//! [`CacheLayer`]: the settings of the HTTP cache.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use http::request::Parts;
use http::{HeaderName, StatusCode};
use tower_layer::Layer;

use super::hole_request::{HoleRequest, boxed_fill};
use super::policy::{Policy, Query};
use super::service::CacheService;
use super::state::LayerState;
use super::tag_header::TagHeader;
use crate::cache::FragmentCache;
use crate::error::{Error, ErrorKind};

/// A shared HTTP cache (RFC 9111) for the responses of the services inside of it.
///
/// The `Cache-Control` of a handler comes first. If it names no lifetime, the layer's [`ttl`](CacheLayer::ttl) applies.
/// Without either, a page is `private, no-cache` and is not stored, even if all its fragments are cached. The fragments
/// of a page can only make that stricter: the page lives no longer than the fragment with the shortest lifetime, and a
/// page with an uncacheable fragment is `private, no-store`.
///
/// By default a request with cookies bypasses the stored pages, and its response is not stored. Cookies can be made
/// part of the key ([`session_cookie`](CacheLayer::session_cookie), [`key_cookies`](CacheLayer::key_cookies)) or be
/// declared [irrelevant](CacheLayer::ignore_cookies). The same holds for `Authorization`, unless the handler says
/// `public`, `s-maxage` or `must-revalidate` (RFC 9111 §3.5): then its response is stored for everybody.
/// [`vary(AUTHORIZATION)`](CacheLayer::vary) makes credentials part of the key. `Vary` names both headers where they
/// select the response, so that downstream caches (browsers, proxies, CDNs) do the same.
///
/// A `Cache-Control` of a handler that cannot be parsed (`no store`, `max-age =0`) counts as `no-store`, and is
/// reported.
///
/// ```
/// use std::time::Duration;
/// use axum::{Router, routing::get};
/// use minijinja_cache::FragmentCache;
/// use minijinja_cache::http::CacheLayer;
///
/// let cache = FragmentCache::builder().build()?;
/// let front = CacheLayer::new(&cache).ttl(Duration::from_secs(60)).tag("films");
/// let app: Router = Router::new()
///     .route("/", get(|| async { "films" }).layer(front))
///     .route("/about", get(|| async { "about" }).layer(CacheLayer::new(&cache)));
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
///
/// Put the layer outside of services that read cookies. Put it inside of services that must handle every response: a
/// stored page is served with all its headers, for example with a nonce for scripts. A compression layer inside of it
/// makes it store one page for each encoding. Outside of it, the compression layer compresses every response, and pages
/// may have holes. With nested routers of axum the crate's `axum` feature must be on, because only then does the layer
/// know the whole path.
///
/// The key of a page holds the method, scheme, host, path and query, `Forwarded`, `X-Forwarded-Host`, `-Proto` and
/// `-Prefix`, the headers that the response names in `Vary`, and the values of the settings below. A handler that
/// prints another header of the request must name it in `Vary`.
///
/// Several applications in one cache need a [namespace](FragmentCache::namespace) each.
#[derive(Debug, Clone)]
#[must_use]
pub struct CacheLayer {
    /// Shared with the services of the layer. axum makes a service for each request.
    state: Arc<LayerState>,
}

impl CacheLayer {
    /// A layer that stores pages in this cache, or in this namespace of it.
    pub fn new(cache: &FragmentCache) -> CacheLayer {
        CacheLayer { state: Arc::new(LayerState::new(Policy::new(cache))) }
    }

    /// The lifetime of pages whose handler names none, in this cache and in downstream caches (`public, max-age`). It
    /// starts when the request arrives. It applies to pages with status 200; for others see
    /// [`status`](CacheLayer::status).
    pub fn ttl(mut self, ttl: Duration) -> CacheLayer {
        self.policy().ttl = Some(ttl);
        self
    }

    /// The lifetime of such a page in browsers, if it differs from that in caches that can be purged: browsers get it
    /// as `max-age`, and shared caches get the [`ttl`](CacheLayer::ttl) as `s-maxage`. With [`Duration::ZERO`] browsers
    /// revalidate the page each time, and get a 304. Without this setting, a page for one visitor says
    /// `private, no-cache`.
    ///
    /// With this setting, windows for stale pages are not sent to clients. A browser would apply them after its own
    /// lifetime, and could show a page from before an edit.
    pub fn browser_ttl(mut self, ttl: Duration) -> CacheLayer {
        self.policy().browser_ttl = Some(ttl);
        self
    }

    /// How long after its [`ttl`](CacheLayer::ttl) a page may be served while the handler generates a new one, in the
    /// background if there is a tokio runtime (RFC 5861); zero by default. An invalidated page is never served.
    pub fn stale_while_revalidate(mut self, window: Duration) -> CacheLayer {
        self.policy().stale_while_revalidate = window;
        self
    }

    /// How long after its [`ttl`](CacheLayer::ttl) a page may be served if the handler fails, with an error or with a
    /// status of 500 or more (RFC 5861); zero by default.
    pub fn stale_if_error(mut self, window: Duration) -> CacheLayer {
        self.policy().stale_if_error = window;
        self
    }

    /// The lifetime of responses with another status than 200: `status(StatusCode::NOT_FOUND, …)`. Without it, such a
    /// response is stored only if its handler names a lifetime.
    pub fn status(mut self, status: StatusCode, ttl: Duration) -> CacheLayer {
        self.policy().statuses.retain(|(known, _)| *known != status);
        self.policy().statuses.push((status, ttl));
        self
    }

    /// The label of the pages in statistics and reports. The default is the route: `/film/{id}` in an axum router, and
    /// `(pages)` without a router that sets it.
    pub fn label(mut self, label: impl Into<Arc<str>>) -> CacheLayer {
        self.policy().label = Some(label.into());
        self
    }

    /// Adds a tag to every page, beside the tags of its fragments. Once the tag is invalidated, this layer does not
    /// serve older pages either that another layer or deployment stored without it.
    pub fn tag(mut self, tag: impl Into<Arc<str>>) -> CacheLayer {
        self.policy().tags.push(tag.into());
        self
    }

    /// Adds tags that depend on the request, on hits too. A handler adds tags with [`Scope::tag`](crate::Scope::tag).
    pub fn tags_by<T, I>(mut self, tags: impl Fn(&Parts) -> I + Send + Sync + 'static) -> CacheLayer
    where
        T: Into<String>,
        I: IntoIterator<Item = T>,
    {
        self.policy().tags_by.push(Arc::new(move |request| tags(request).into_iter().map(Into::into).collect()));
        self
    }

    /// Makes a request header part of the key, and adds it to `Vary`. With `AUTHORIZATION`, each visitor with
    /// credentials has their own pages.
    pub fn vary(mut self, header: HeaderName) -> CacheLayer {
        self.policy().vary.push(header);
        self.policy().vary.sort_unstable_by(|a, b| a.as_str().cmp(b.as_str()));
        self.policy().vary.dedup();
        self
    }

    /// Makes a value of the application part of the key: a role, a tenant, an experiment. `Vary` cannot express it, so
    /// the pages are private for downstream caches. The name is part of the key as well, so that two such values are
    /// not mistaken for each other.
    pub fn vary_by<T: Into<String>>(
        mut self,
        name: impl Into<String>,
        value: impl Fn(&Parts) -> T + Send + Sync + 'static,
    ) -> CacheLayer {
        self.policy().vary_by.push((name.into(), Arc::new(move |request| value(request).into())));
        self
    }

    /// The path of a request for the key, in place of that of its URI. Use it if a service outside of the layer removes
    /// a prefix, so that two URIs look the same. (With the crate's `axum` feature the layer knows the prefixes of
    /// nested routers.)
    pub fn path_by<T: Into<String>>(mut self, path: impl Fn(&Parts) -> T + Send + Sync + 'static) -> CacheLayer {
        self.policy().path = Some(Arc::new(move |request| path(request).into()));
        self
    }

    /// A version of the handlers, as part of the key. With a shared tier, a deployment with another version does not
    /// use the pages of the one before. (A changed template is noticed without it.)
    pub fn version(mut self, version: impl Into<String>) -> CacheLayer {
        self.policy().version = Some(version.into());
        self
    }

    /// Whether a successful request with an unsafe method invalidates the pages of its path, and those of the paths in
    /// `Location` and `Content-Location` of the response (RFC 9111 §4.4); yes by default.
    pub fn invalidate_on_change(mut self, yes: bool) -> CacheLayer {
        self.policy().invalidates = yes;
        self
    }

    /// Lets requests bypass the cache. Downstream caches do not know the condition: if it depends on a header, add the
    /// header with [`vary`](CacheLayer::vary) as well.
    pub fn bypass_if(mut self, bypass: impl Fn(&Parts) -> bool + Send + Sync + 'static) -> CacheLayer {
        self.policy().bypass_if.push(Arc::new(bypass));
        self
    }

    /// The part of the query that belongs to the key; by default the whole query as it is written.
    pub fn query(mut self, query: Query) -> CacheLayer {
        self.policy().query = query;
        self
    }

    /// Makes cookies part of the key: a language, a currency. Pages for requests with such a cookie are private for
    /// downstream caches.
    ///
    /// An invalid cookie name (empty, with `=` or `;`, or with white space around it) is reported and ignored, here and
    /// in the other settings of cookies.
    pub fn key_cookies<T: Into<String>>(mut self, names: impl IntoIterator<Item = T>) -> CacheLayer {
        let names = self.cookie_names("key_cookies", names);
        self.policy().cookies.keyed.extend(names);
        self
    }

    /// Makes the session cookie part of the key. Each visitor with this cookie has their own pages, which are private
    /// for downstream caches. Responses that say `private` are stored for the visitor, too. So the pages of a session
    /// can be stored, and `If-None-Match` is answered without the handler. The handler that ends a session must
    /// invalidate its pages: give them a tag with [`Scope::tag`](crate::Scope::tag).
    pub fn session_cookie(mut self, name: impl Into<String>) -> CacheLayer {
        let names = self.cookie_names("session_cookie", [name]);
        self.policy().cookies.sessions.extend(names);
        self
    }

    /// Declares that pages do not depend on these cookies, for example those of analytics and consent. The handler does
    /// not see them when it generates a page for the cache. Services that read cookies for the handler, such as a
    /// session layer, belong inside of this layer, because it cannot remove extensions that an outer service has added.
    pub fn ignore_cookies<T: Into<String>>(mut self, names: impl IntoIterator<Item = T>) -> CacheLayer {
        let names = self.cookie_names("ignore_cookies", names);
        self.policy().cookies.ignored.extend(names);
        self
    }

    /// Ignores all cookies that are not keyed. Use it for style sheets, and for pages whose personal parts are
    /// [holes](CacheLayer::hole).
    pub fn ignore_other_cookies(mut self) -> CacheLayer {
        self.policy().cookies.others_ignored = true;
        self
    }

    /// The largest body that is stored or gets an entity tag, in bytes; 1 MiB by default. A larger body is streamed to
    /// the client. The layer waits for a body that it stores at most for the cache's wait timeout. A slower body is
    /// streamed and not stored.
    pub fn max_body_bytes(mut self, bytes: usize) -> CacheLayer {
        self.policy().max_body_bytes = bytes;
        self
    }

    /// Whether the layer obeys `no-cache`, `max-age` and `min-fresh` of requests; no by default, because any client
    /// could then force the handler to run.
    pub fn honor_reload(mut self, yes: bool) -> CacheLayer {
        self.policy().honor_reload = yes;
        self
    }

    /// Makes entity tags strong. Use it only if no service outside of this layer changes bodies: a compression layer
    /// keeps a strong tag, which then stands for two different bodies.
    pub fn strong_etags(mut self) -> CacheLayer {
        self.policy().strong_etags = true;
        self
    }

    /// Sends the tags of a page to downstream caches; off by default. Purge them in
    /// [`Builder::on_invalidate`](crate::Builder::on_invalidate).
    pub fn tag_header(mut self, header: TagHeader) -> CacheLayer {
        self.policy().tag_header = Some(header);
        self
    }

    /// The name of this cache in `Cache-Status` (RFC 9211); `minijinja-cache` by default. `None` sends no such header.
    /// The header contains neither keys nor tags. A name that is not printable ASCII is reported and ignored.
    pub fn cache_status(mut self, name: Option<&str>) -> CacheLayer {
        if let Some(name) = name
            && !name.bytes().all(|byte| matches!(byte, b' '..=b'~'))
        {
            let problem = "is not a valid name: use printable ASCII characters; the previous name is kept";
            self.report_invalid(&format!("cache_status: {name:?} {problem}"));
            return self;
        }
        let token = |name: &str| name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte));
        // A name that is not a token must be a string (RFC 8941 §3.3.3).
        let quoted = |name: &str| format!("\"{}\"", name.replace('\\', "\\\\").replace('"', "\\\""));
        let start = |name: &str| name.starts_with(|first: char| first.is_ascii_alphabetic());
        let name = name.map(|name| if start(name) && token(name) { name.to_owned() } else { quoted(name) });
        self.policy().status_name = name.map(Into::into);
        self
    }

    /// Fills the holes that templates leave with `{{ cache_hole("name", …) }}`. The rest of the page is stored, and the
    /// hole is filled for every request. The text is markup. Such a page is private for downstream caches, and its
    /// entity tag is computed from the filled page. A hole that fails stays empty and is reported. The page must not be
    /// larger than [`max_body_bytes`](CacheLayer::max_body_bytes), nor compressed inside of the layer. Otherwise its
    /// holes cannot be filled, which is reported.
    ///
    /// The output of `cache_hole` is valid for one request. Inside of a cached fragment or value it is a template
    /// error, and a text with it that a handler wants to store is reported and not stored.
    ///
    /// ```
    /// # use minijinja_cache::FragmentCache;
    /// use minijinja_cache::http::{CacheLayer, HoleRequest};
    ///
    /// # let cache = FragmentCache::builder().build()?;
    /// // No cookies reach the handler; only the hole sees them.
    /// let layer = CacheLayer::new(&cache).ignore_other_cookies().hole("visitor", |hole: HoleRequest| async move {
    ///     let signed_in = hole.headers().contains_key("cookie");
    ///     Ok::<_, std::convert::Infallible>(if signed_in { "<a>Sign out</a>" } else { "<a>Sign in</a>" })
    /// });
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    pub fn hole<F, Fut, T, E>(mut self, name: impl Into<String>, fill: F) -> CacheLayer
    where
        F: Fn(HoleRequest) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<T, E>> + Send + 'static,
        T: Into<String>,
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        self.policy().holes.insert(name.into(), boxed_fill(fill));
        self
    }
}

impl CacheLayer {
    fn policy(&mut self) -> &mut Policy {
        &mut Arc::make_mut(&mut self.state).policy
    }

    /// The valid cookie names. Invalid ones are reported.
    fn cookie_names<T: Into<String>>(&self, setting: &str, names: impl IntoIterator<Item = T>) -> Vec<String> {
        let mut names: Vec<String> = names.into_iter().map(Into::into).collect();
        names.retain(|name| {
            let breaks = |character: char| matches!(character, '=' | ';') || character.is_control();
            let possible = !name.is_empty() && name.trim() == name && !name.contains(breaks);
            if !possible {
                self.report_invalid(&format!(
                    "{setting}: no cookie is called {name:?}; give the name alone, as it is set"
                ));
            }
            possible
        });
        names
    }

    /// Reports an invalid setting.
    fn report_invalid(&self, message: &str) {
        self.state.policy.cache.inner.report(&Error::new(ErrorKind::Config, message));
    }
}

impl<S> Layer<S> for CacheLayer {
    type Service = CacheService<S>;

    fn layer(&self, inner: S) -> CacheService<S> {
        CacheService::new(inner, Arc::clone(&self.state))
    }
}
