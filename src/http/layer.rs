//! The layer: how it is configured.

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

/// Caches whole responses, and lets every page say to other caches what its fragments allow.
///
/// It acts as a state cache (RFC 9111) in front of the handlers it is laid around. What a handler says in
/// `Cache-Control` counts; a route that knows better than its handlers says it with [`ttl`](CacheLayer::ttl). Without
/// either a page is `private, no-cache` and is not stored, however cacheable its fragments are. Whatever is said,
/// fragments tighten it: to the shortest of their lifetimes, and to `private, no-store` where one may not be cached.
///
/// A response to a request with cookies is never stored, and such a request never gets a stored one, unless the cookies
/// are keyed ([`session_cookie`](CacheLayer::session_cookie), [`key_cookies`](CacheLayer::key_cookies)) or
/// [declared irrelevant](CacheLayer::ignore_cookies). With `Authorization` the same holds of a response in which its
/// handler says none of `public`, `s-maxage` and `must-revalidate`; one that says so is for everybody, whoever asked
/// first (RFC 9111 §3.5). [`vary(AUTHORIZATION)`](CacheLayer::vary) makes credentials a part of the key. `Vary` names
/// both headers where requests are told apart by them, so that caches in front do as this one.
///
/// A `Cache-Control` of a handler that cannot be read (`no store`, `max-age =0`) counts as `no-store`, and is reported.
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
/// Lay it outside of what reads cookies, and inside of what a response must pass each time: a stored page comes with
/// all its headers, a nonce for scripts among them. What compresses inside of it is stored, once for each encoding;
/// outside it compresses every answer (there it belongs where pages have holes). With axum's nested routers the crate's
/// `axum` feature must be on: it is how the layer knows the whole path. What tells pages apart is method, scheme, host,
/// path and query, `Forwarded`, `X-Forwarded-Host`, `-Proto` and `-Prefix`, what the response's `Vary` names, and what
/// is said here; a handler that prints another header of its request must name that in `Vary`.
///
/// Several applications in one cache need a [namespace](FragmentCache::namespace) each.
#[derive(Debug, Clone)]
#[must_use]
pub struct CacheLayer {
    /// Shared with the services it makes: axum has a layer make one for each request.
    state: Arc<LayerState>,
}

impl CacheLayer {
    /// A layer that keeps pages in this cache, or in this namespace of it.
    pub fn new(cache: &FragmentCache) -> CacheLayer {
        CacheLayer { state: Arc::new(LayerState::new(Policy::new(cache))) }
    }

    /// Declares how long a page lives that does not say so itself: here, and in every cache in front (`public,
    /// max-age`). It counts from when the request came. Pages with status 200 only; see [`status`](CacheLayer::status).
    pub fn ttl(mut self, ttl: Duration) -> CacheLayer {
        self.policy().ttl = Some(ttl);
        self
    }

    /// How long browsers keep such a page without asking, where that is not as long as caches that can be purged: they
    /// are told `max-age` of this, state caches `s-maxage` of the [`ttl`](CacheLayer::ttl). [`Duration::ZERO`]: they
    /// ask each time, and are answered 304. A page that is one visitor's says `private, no-cache` unless this is given.
    ///
    /// Windows for expired pages are this layer's alone then: a browser would use them after its own lifetime, and show
    /// a page from before an edit.
    pub fn browser_ttl(mut self, ttl: Duration) -> CacheLayer {
        self.policy().browser_ttl = Some(ttl);
        self
    }

    /// How long after its [`ttl`](CacheLayer::ttl) a page may be shown while the handler makes it anew, in the
    /// background where there is a tokio runtime (RFC 5861); zero by default. What was invalidated is never shown.
    pub fn stale_while_revalidate(mut self, window: Duration) -> CacheLayer {
        self.policy().stale_while_revalidate = window;
        self
    }

    /// How long after its [`ttl`](CacheLayer::ttl) a page may be shown when the handler fails: an error, or a status
    /// from 500 (RFC 5861); zero by default.
    pub fn stale_if_error(mut self, window: Duration) -> CacheLayer {
        self.policy().stale_if_error = window;
        self
    }

    /// Declares the lifetime of responses of another status than 200: `status(StatusCode::NOT_FOUND, …)`. Without, they
    /// are stored only if they name a lifetime themselves.
    pub fn status(mut self, status: StatusCode, ttl: Duration) -> CacheLayer {
        self.policy().statuses.retain(|(known, _)| *known != status);
        self.policy().statuses.push((status, ttl));
        self
    }

    /// What pages are counted under in statistics and reports, in place of their route: `/film/{id}` in an axum router,
    /// and `(pages)` where no router says.
    pub fn label(mut self, label: impl Into<Arc<str>>) -> CacheLayer {
        self.policy().label = Some(label.into());
        self
    }

    /// Gives every page a tag, beside those of its fragments. A page that was stored without it, by another layer or
    /// deployment, is not shown either once the tag was invalidated.
    pub fn tag(mut self, tag: impl Into<Arc<str>>) -> CacheLayer {
        self.policy().tags.push(tag.into());
        self
    }

    /// Gives a page tags by its request, on hits too. A handler says its own with [`Scope::tag`](crate::Scope::tag).
    pub fn tags_by<T, I>(mut self, tags: impl Fn(&Parts) -> I + Send + Sync + 'static) -> CacheLayer
    where
        T: Into<String>,
        I: IntoIterator<Item = T>,
    {
        self.policy().tags_by.push(Arc::new(move |request| tags(request).into_iter().map(Into::into).collect()));
        self
    }

    /// Tells pages apart by a header of the request, and says so in `Vary`. With `AUTHORIZATION`, the pages of each who
    /// is authorized are stored for him.
    pub fn vary(mut self, header: HeaderName) -> CacheLayer {
        self.policy().vary.push(header);
        self.policy().vary.sort_unstable_by(|a, b| a.as_str().cmp(b.as_str()));
        self.policy().vary.dedup();
        self
    }

    /// Tells pages apart by something only the application knows: a role, a tenant, an experiment. No `Vary` can say
    /// that, so caches in front are told that such pages are private. The name tells it from what other layers vary by.
    pub fn vary_by<T: Into<String>>(
        mut self,
        name: impl Into<String>,
        value: impl Fn(&Parts) -> T + Send + Sync + 'static,
    ) -> CacheLayer {
        self.policy().vary_by.push((name.into(), Arc::new(move |request| value(request).into())));
        self
    }

    /// Which path a request asks for, in place of that of its address: where something in front takes a prefix off it,
    /// so that two addresses look the same. (axum's nested routers are known where the crate's `axum` feature is on.)
    pub fn path_by<T: Into<String>>(mut self, path: impl Fn(&Parts) -> T + Send + Sync + 'static) -> CacheLayer {
        self.policy().path = Some(Arc::new(move |request| path(request).into()));
        self
    }

    /// The version of what handlers say, as part of the key: with a state tier, for a deployment whose pages those of
    /// the one before are not to be taken for. (Templates are told apart without it.)
    pub fn version(mut self, version: impl Into<String>) -> CacheLayer {
        self.policy().version = Some(version.into());
        self
    }

    /// Whether a request that changes something, and succeeds, invalidates the pages of its address and of those that
    /// the response names in `Location` and `Content-Location` (RFC 9111 §4.4); yes by default.
    pub fn invalidate_on_change(mut self, yes: bool) -> CacheLayer {
        self.policy().invalidates = yes;
        self
    }

    /// Passes requests by. Caches in front do not know of it: where it goes by a header, name that with
    /// [`vary`](CacheLayer::vary) too.
    pub fn bypass_if(mut self, bypass: impl Fn(&Parts) -> bool + Send + Sync + 'static) -> CacheLayer {
        self.policy().bypass_if.push(Arc::new(bypass));
        self
    }

    /// Which part of the query tells pages apart; all of it as written, by default.
    pub fn query(mut self, query: Query) -> CacheLayer {
        self.policy().query = query;
        self
    }

    /// Tells pages apart by these cookies: a language, a currency. Their pages are private to all caches in front.
    ///
    /// A name that no cookie can have (empty, with `=` or `;` in it, with white space around it) is refused wherever
    /// cookies are named: it is reported and left out.
    pub fn key_cookies<T: Into<String>>(mut self, names: impl IntoIterator<Item = T>) -> CacheLayer {
        let names = self.cookie_names("key_cookies", names);
        self.policy().cookies.keyed.extend(names);
        self
    }

    /// Names the cookie that says who asks. Each visitor who has one has pages of his own, which are private to all
    /// caches in front; responses that say `private` are stored for him too. So a session's pages can be stored, and
    /// `If-None-Match` is answered without asking the handler. What ends a session must invalidate its pages: give them
    /// a tag with [`Scope::tag`](crate::Scope::tag).
    pub fn session_cookie(mut self, name: impl Into<String>) -> CacheLayer {
        let names = self.cookie_names("session_cookie", [name]);
        self.policy().cookies.sessions.extend(names);
        self
    }

    /// Declares that pages do not depend on these cookies: analytics, consent. When a page is made for the cache, the
    /// handler does not see them. What reads cookies for it (a session layer) belongs inside of this one: what an outer
    /// one notes of a visitor with the request cannot be taken out.
    pub fn ignore_cookies<T: Into<String>>(mut self, names: impl IntoIterator<Item = T>) -> CacheLayer {
        let names = self.cookie_names("ignore_cookies", names);
        self.policy().cookies.ignored.extend(names);
        self
    }

    /// The same of all cookies that are not keyed: for style sheets, and for pages whose visitor's part are
    /// [holes](CacheLayer::hole).
    pub fn ignore_other_cookies(mut self) -> CacheLayer {
        self.policy().cookies.others_ignored = true;
        self
    }

    /// The largest body that is stored, or given an entity tag, in bytes; 1 MiB by default. A larger one goes to the
    /// client as it comes. One that is to be stored is waited for, at most for the cache's wait timeout; then it goes
    /// on to the client, and is not stored.
    pub fn max_body_bytes(mut self, bytes: usize) -> CacheLayer {
        self.policy().max_body_bytes = bytes;
        self
    }

    /// Whether a client's `no-cache`, `max-age` and `min-fresh` are obeyed; no by default, or anybody could have every
    /// page made anew.
    pub fn honor_reload(mut self, yes: bool) -> CacheLayer {
        self.policy().honor_reload = yes;
        self
    }

    /// Has entity tags say that they stand for these very bytes. Only where nothing outside of this layer changes
    /// bodies: what compresses leaves a strong tag as it is, and it would stand for two different bodies.
    pub fn strong_etags(mut self) -> CacheLayer {
        self.policy().strong_etags = true;
        self
    }

    /// Tells caches in front which tags a page has; not by default. What they are to let go of is told to
    /// [`Builder::on_invalidate`](crate::Builder::on_invalidate).
    pub fn tag_header(mut self, header: TagHeader) -> CacheLayer {
        self.policy().tag_header = Some(header);
        self
    }

    /// By which name this cache says in `Cache-Status` (RFC 9211) what it did; `minijinja-cache` by default, `None` to
    /// say nothing. Neither keys nor tags are in it. A name that is not of printable ASCII characters is refused: it is
    /// reported, and the name before it stays.
    pub fn cache_status(mut self, name: Option<&str>) -> CacheLayer {
        if let Some(name) = name
            && !name.bytes().all(|byte| matches!(byte, b' '..=b'~'))
        {
            let problem = "cannot stand in a header: use printable ASCII characters; the name before it stays";
            self.refuse(&format!("cache_status: {name:?} {problem}"));
            return self;
        }
        let token = |name: &str| name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte));
        // What is no token becomes a string (RFC 8941 §3.3.3).
        let quoted = |name: &str| format!("\"{}\"", name.replace('\\', "\\\\").replace('"', "\\\""));
        let start = |name: &str| name.starts_with(|first: char| first.is_ascii_alphabetic());
        let name = name.map(|name| if start(name) && token(name) { name.to_owned() } else { quoted(name) });
        self.policy().status_name = name.map(Into::into);
        self
    }

    /// Fills what templates leave open with `{{ cache_hole("name", …) }}`: the rest of the page is stored, this part is
    /// made for every request. The text is markup. Such a page is private to all caches in front, and its entity tag is
    /// of what the visitor gets. A hole that fails stays empty and is reported. The page must not be larger than
    /// [`max_body_bytes`](CacheLayer::max_body_bytes), nor compressed inside of the layer: its holes could not be
    /// filled, which is reported.
    ///
    /// The output of `cache_hole` is good for one request: printed in a cached fragment, as a value too, it is an error
    /// of the template, and a text that a handler would store with it is reported and not stored.
    ///
    /// ```
    /// # use minijinja_cache::FragmentCache;
    /// use minijinja_cache::http::{CacheLayer, HoleRequest};
    ///
    /// # let cache = FragmentCache::builder().build()?;
    /// // Nobody's cookies reach the handler; only the hole sees them.
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

    /// The names that a cookie can have; the others are refused.
    fn cookie_names<T: Into<String>>(&self, setting: &str, names: impl IntoIterator<Item = T>) -> Vec<String> {
        let mut names: Vec<String> = names.into_iter().map(Into::into).collect();
        names.retain(|name| {
            let breaks = |character: char| matches!(character, '=' | ';') || character.is_control();
            let possible = !name.is_empty() && name.trim() == name && !name.contains(breaks);
            if !possible {
                self.refuse(&format!("{setting}: no cookie is called {name:?}; give the name alone, as it is set"));
            }
            possible
        });
        names
    }

    /// Reports a setting that makes no sense.
    fn refuse(&self, message: &str) {
        self.state.policy.cache.inner.report(&Error::new(ErrorKind::Config, message));
    }
}

impl<S> Layer<S> for CacheLayer {
    type Service = CacheService<S>;

    fn layer(&self, inner: S) -> CacheService<S> {
        CacheService::new(inner, Arc::clone(&self.state))
    }
}
