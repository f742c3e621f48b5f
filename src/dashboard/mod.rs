//! Pages that show how the cache is doing, and let operators invalidate: an edge that nothing else imports.
//!
//! Owns who may see what, and which address leads where. Each page is a file (`overview.rs`, `fragments.rs` …) that
//! turns what the cache knows into a template's context; `recorder.rs` keeps what charts and lists show, `live.rs`
//! sends it to open pages. `order.rs` is what is to be invalidated, `token.rs` and `origin.rs` say whether somebody
//! meant it.

mod access;
mod chart;
mod entries;
mod entry;
mod events;
mod figures;
mod format;
mod fragments;
mod hints;
mod invalidate;
mod live;
mod misses;
mod mounted;
mod order;
mod origin;
mod overview;
mod params;
mod preview;
mod recorder;
mod token;
mod view;

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use axum::routing::any;
use http::request::Parts;
use http::{Method, StatusCode};

use self::access::{Access, PageAddress};
use self::mounted::{Mounted, Shows};
use self::params::Params;
use self::recorder::Recorder;
use self::token::Signer;
use self::view::View;
use crate::cache::FragmentCache;

/// Pages that show how a cache is doing, to be mounted in an axum application: hit ratio, throughput and the time of
/// computations as they change, what each fragment saves, why there were misses, what was invalidated and evicted, and
/// what is in memory.
///
/// ```
/// use axum::Router;
/// use minijinja_cache::{Dashboard, FragmentCache};
///
/// let cache = FragmentCache::builder().build()?;
/// let dashboard = Dashboard::new(&cache)
///     .authorize(|request| request.headers.get("x-user").is_some_and(|user| user == "ada"));
/// let app: Router = Router::new().nest_service("/cache", dashboard.router());
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
///
/// **It shows to everybody who can reach it**, unless [`authorize`](Dashboard::authorize) says otherwise: labels,
/// tags, names of templates, and figures. Keys and contents may be private and are shown only when asked for, and
/// nothing can be invalidated unless that is allowed. Every answer says `no-store`, and forbids frames, foreign
/// scripts and everything else from other origins. The pages need no script; with one they are live.
///
/// Figures are this process's own, over all namespaces. Entries are those of the namespace of the handle it was made
/// with, and so is what can be invalidated; templates belong to all of them.
///
/// It costs one thread, which reads the counters once a second, and a [subscription](FragmentCache::subscribe).
#[must_use = "it does nothing until its router is mounted"]
pub struct Dashboard {
    cache: FragmentCache,
    title: String,
    shows: Shows,
    invalidates: bool,
    secret: Option<Vec<u8>>,
    access: Access,
}

impl Dashboard {
    /// A dashboard for a cache, or for one of its namespaces. It keeps the cache alive.
    pub fn new(cache: &FragmentCache) -> Dashboard {
        Dashboard {
            cache: cache.clone(),
            title: "Fragment cache".into(),
            shows: Shows::default(),
            invalidates: false,
            secret: None,
            access: Access::Everybody,
        }
    }

    /// What the pages call themselves: of several applications or processes, which one. `Fragment cache` unless given.
    pub fn title(mut self, title: impl Into<String>) -> Dashboard {
        self.title = title.into();
        self
    }

    /// Asks this of every request, for pages, styles and the event stream alike. Where it says no the answer is 404:
    /// nobody learns that there is a dashboard. `parts.uri` is without the path it is mounted at.
    ///
    /// A dashboard that listens on the loopback interface only is still within reach of web pages that the machine's
    /// own browser shows: have it look at `Host` too.
    pub fn authorize(mut self, allow: impl Fn(&Parts) -> bool + Send + Sync + 'static) -> Dashboard {
        self.access = Access::rule(allow);
        self
    }

    /// The same as a future, which may also say what is answered instead: a redirect to a sign-in page, say.
    ///
    /// ```
    /// use axum::response::{IntoResponse, Redirect};
    /// use minijinja_cache::{Dashboard, FragmentCache};
    /// # async fn is_operator(_: &axum::http::HeaderMap) -> bool { true }
    ///
    /// let cache = FragmentCache::builder().build()?;
    /// let dashboard = Dashboard::new(&cache).authorize_with(|request| async move {
    ///     match is_operator(&request.headers).await {
    ///         true => Ok(()),
    ///         false => Err(Redirect::to("/sign-in").into_response()),
    ///     }
    /// });
    /// # let _: axum::Router = dashboard.router();
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    pub fn authorize_with<F>(mut self, decide: impl Fn(Parts) -> F + Send + Sync + 'static) -> Dashboard
    where
        F: Future<Output = Result<(), Response>> + Send + 'static,
    {
        self.access = Access::decision(decide);
        self
    }

    /// Shows the keys of entries and misses, and the queries of pages. Off unless asked for: they may hold e-mail addresses
    /// and tokens.
    pub fn show_keys(mut self, yes: bool) -> Dashboard {
        self.shows.keys = yes;
        self
    }

    /// Shows what entries hold, as text. Off unless asked for: it may be one visitor's own.
    pub fn show_contents(mut self, yes: bool) -> Dashboard {
        self.shows.contents = yes;
        self
    }

    /// Lets who may see it invalidate: a key, a tag, the pages of a path, a template, a namespace, everything. Each
    /// takes two steps, and the second one a token that is good for this one order and ten minutes. What comes from
    /// another site is refused: the browser says so in `Sec-Fetch-Site`, or else in `Origin`, which must then name the
    /// `Host`; a proxy in front that is not on HTTPS has to pass `Host` on.
    pub fn allow_invalidation(mut self) -> Dashboard {
        self.invalidates = true;
        self
    }

    /// Makes the tokens of [`allow_invalidation`](Dashboard::allow_invalidation) with this secret (32 random bytes,
    /// say). For several processes behind one address, where one process may be asked for what another one's page
    /// showed. Each has a random one unless given.
    pub fn sign_with(mut self, secret: impl AsRef<[u8]>) -> Dashboard {
        self.secret = Some(secret.as_ref().to_vec());
        self
    }

    /// The router, to be mounted with `nest_service`, or with `nest`, which does not answer at the path with a slash at
    /// its end.
    pub fn router<S: Clone + Send + Sync + 'static>(self) -> Router<S> {
        let mounted = self.mount();
        let handler = any(move |request: Request| {
            let mounted = Arc::clone(&mounted);
            async move { answer(mounted, request).await }
        });
        Router::new().route("/", handler.clone()).route("/{*path}", handler)
    }

    fn mount(self) -> Arc<Mounted> {
        let signer = match self.invalidates {
            true => Signer::new(self.secret.as_deref(), &self.cache),
            false => None,
        };
        Arc::new(Mounted {
            recorder: Recorder::start(&self.cache),
            view: View::new(),
            signer,
            cache: self.cache,
            title: self.title,
            shows: self.shows,
            access: self.access,
            streams: Arc::default(),
        })
    }
}

impl fmt::Debug for Dashboard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dashboard")
            .field("title", &self.title)
            .field("shows", &self.shows)
            .field("invalidates", &self.invalidates)
            .field("access", &self.access)
            .finish_non_exhaustive()
    }
}

async fn answer(mounted: Arc<Mounted>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    if let Err(mut refusal) = mounted.access.check(&parts).await {
        access::protect(refusal.headers_mut());
        return refusal;
    }
    let head = parts.method == Method::HEAD;
    let mut response = route(&mounted, &parts, body).await;
    access::protect(response.headers_mut());
    if head {
        *response.body_mut() = Body::empty();
    }
    response
}

async fn route(mounted: &Arc<Mounted>, parts: &Parts, body: Body) -> Response {
    let path = match PageAddress::of(parts) {
        PageAddress::Page(path) => path,
        PageAddress::Redirect(address) => return access::redirect(&address),
    };
    let reads = parts.method == Method::GET || parts.method == Method::HEAD;
    let params = Params::read(parts.uri.query().unwrap_or_default());
    match path.as_str() {
        "invalidate" if parts.method == Method::POST => invalidate::order(mounted, parts, body).await,
        name if !reads => access::not_allowed(name == "invalidate" && mounted.signer.is_some()),
        "overview" => overview::page(mounted),
        "fragments" => fragments::page(mounted, &params),
        "misses" => misses::page(mounted, &params),
        "events" => events::page(mounted, &params),
        "entries" => entries::page(mounted, params).await,
        "entry" => entry::page(mounted, &params).await,
        "invalidate" => invalidate::page(mounted, &params),
        "live" => live::stream(mounted, &parts.method),
        "style.css" => view::asset("text/css; charset=utf-8", include_str!("assets/style.css")),
        "script.js" => view::asset("text/javascript; charset=utf-8", include_str!("assets/script.js")),
        "icon.svg" => view::asset("image/svg+xml", include_str!("assets/icon.svg")),
        _ => mounted.problem(StatusCode::NOT_FOUND, "There is no page at this address."),
    }
}
