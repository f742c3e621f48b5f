//! The dashboard: pages that show the state of the cache to operators, and let them invalidate entries.
//!
//! This file owns the configuration and the routing. `mounted.rs` holds the state that all requests share. Each page is
//! a file (`overview.rs`, `fragments.rs` …) that turns statistics into the context of a template. `recorder.rs` keeps
//! the samples and events that charts and lists show, and `live.rs` streams them to open pages. `order.rs` parses and
//! carries out invalidations; `token.rs` and `origin.rs` protect them against forged requests. No other room imports
//! this one.

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

/// Pages that show the state of a cache, to be mounted in an axum application: live charts of the hit ratio, the
/// throughput and the time of computations; the time that each fragment saves; the reasons of misses; the last
/// invalidations and evictions; and the entries in memory.
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
/// **Everyone who can reach the dashboard sees it**, unless [`authorize`](Dashboard::authorize) restricts access. It
/// shows labels, tags, names of templates, and statistics. Keys and contents may be private, so
/// [`show_keys`](Dashboard::show_keys) and [`show_contents`](Dashboard::show_contents) have to be turned on to show
/// them. Operators can invalidate only after [`allow_invalidation`](Dashboard::allow_invalidation). Every response has
/// `Cache-Control: no-store` and a content security policy that forbids frames and resources of other origins. The
/// pages work without JavaScript; with it they update themselves.
///
/// Statistics are those of this process, over all namespaces. Entries are listed and invalidated in the namespace of
/// the handle that the dashboard was made with. Templates belong to all namespaces.
///
/// A mounted dashboard costs one thread, which reads the counters once a second, and a
/// [subscription](FragmentCache::subscribe).
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
    /// Creates a dashboard for a cache, or for one of its namespaces. The dashboard keeps the cache alive.
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

    /// Sets the title of the pages, to tell several applications or processes apart. Default: `Fragment cache`.
    pub fn title(mut self, title: impl Into<String>) -> Dashboard {
        self.title = title.into();
        self
    }

    /// Sets the access rule, which is called for every request: for pages, styles and the event stream. If it returns
    /// `false`, the response is 404, so that it does not reveal the dashboard. `parts.uri` is relative to the path
    /// where the dashboard is mounted.
    ///
    /// Web pages in a browser on the same machine can reach a dashboard that listens on the loopback interface only.
    /// There the rule should check `Host` too.
    pub fn authorize(mut self, allow: impl Fn(&Parts) -> bool + Send + Sync + 'static) -> Dashboard {
        self.access = Access::rule(allow);
        self
    }

    /// Sets an asynchronous access rule. Its error is the response, for example a redirect to a sign-in page.
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

    /// Shows the keys of entries and misses, and the queries of pages. Off by default, because they may contain e-mail
    /// addresses and tokens.
    pub fn show_keys(mut self, yes: bool) -> Dashboard {
        self.shows.keys = yes;
        self
    }

    /// Shows the contents of entries as text. Off by default, because they may be private to one visitor.
    pub fn show_contents(mut self, yes: bool) -> Dashboard {
        self.shows.contents = yes;
        self
    }

    /// Lets everyone who may see the dashboard invalidate a key, a tag, the pages of a path, a template, a namespace,
    /// or everything. Off by default.
    ///
    /// An invalidation takes two requests. The second one needs a token, which is valid for this invalidation and for
    /// ten minutes. Requests from pages of other sites are refused: by the header `Sec-Fetch-Site`, or if it is absent,
    /// by `Origin`, which must match `Host`. Browsers do not send `Sec-Fetch-Site` over plain HTTP, so a proxy that they
    /// reach over plain HTTP must pass on `Host`.
    pub fn allow_invalidation(mut self) -> Dashboard {
        self.invalidates = true;
        self
    }

    /// Sets the secret that signs the tokens of [`allow_invalidation`](Dashboard::allow_invalidation), for example 32
    /// random bytes. Several processes behind one address need the same secret, because the two requests of an
    /// invalidation may reach different processes. Default: random for each dashboard.
    pub fn sign_with(mut self, secret: impl AsRef<[u8]>) -> Dashboard {
        self.secret = Some(secret.as_ref().to_vec());
        self
    }

    /// Returns the router, to be mounted with `nest_service`. `nest` works too, but does not route the path with a
    /// slash at its end.
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
