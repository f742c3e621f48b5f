//! The debug layer: which part of a page came from the cache, said in the page itself.
//!
//! Here is how it is configured. `service` has the order of events, `facts` what is said of a fragment, `timing` what
//! `Server-Timing` says, `script` how the overlay gets onto the page, `body` takes marks out of what is streamed.

mod body;
mod facts;
mod options;
mod script;
mod service;
mod timing;

use std::sync::Arc;

use http::request::Parts;
use tower_layer::Layer;

pub use self::body::DebugBody;
use self::options::DebugOptions;
pub use self::service::{DebugFuture, DebugService};
use crate::cache::FragmentCache;

/// Shows in each page what the cache did for it, to those who develop it: comments around fragments, an overlay that
/// outlines them, and `Server-Timing`.
///
/// On in builds with debug assertions, off in others unless [`enabled`](DebugLayer::enabled) says otherwise. When off
/// it passes everything on untouched.
///
/// - Around each fragment stand comments: `<!-- fragment 3f {"label":"index.html:4","outcome":"miss","why":"expired",
///   …} -->` and `<!-- /fragment 3f -->`. The first says in JSON where the fragment comes from, how it was answered and
///   why, what it took or saved in milliseconds, its age and what is left of its lifetime in seconds, its tags and
///   templates. Comments stand only where a browser makes a comment and nothing else of them: not in attributes,
///   scripts, styles, titles, nor in what is no HTML. Fragments without a place are told of at the page's end.
/// - The overlay is one script, which the layer serves itself, at the page's own address with another query: a policy
///   with `script-src 'self'` allows it, and a nonce in the page's `Content-Security-Policy` is used. It outlines
///   fragments, coloured by outcome, and lists them; hover or focus one to see what there is to say of it. Where the
///   policy allows neither there are comments only.
/// - `Server-Timing` tells of every request what was rendered, what was saved, and why there were misses.
///
/// A page that was changed must not be kept: it goes out with `Cache-Control: no-store` and without validators. (The
/// overlay's list says what it had in `Cache-Control`, `Cache-Status` and `Server-Timing`.)
///
/// ```
/// use std::time::Duration;
/// use axum::{Router, routing::get};
/// use minijinja_cache::FragmentCache;
/// use minijinja_cache::http::{CacheLayer, DebugLayer};
///
/// let cache = FragmentCache::builder().build()?;
/// let app: Router = Router::new()
///     .route("/", get(|| async { "films" }))
///     .layer(CacheLayer::new(&cache).ttl(Duration::from_secs(60)))
///     .layer(DebugLayer::new(&cache));
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
///
/// Lay it outside of everything that makes or keeps pages, a [`CacheLayer`](super::CacheLayer) and what compresses
/// among it; what compresses outside of it does no harm.
///
/// Templates print marks for it, of 22 letters and more. They print none where a template can read its own output: in
/// `set`, `filter` and `call` blocks, in macros, in blocks and partials whose `self.name()`, `super()` or
/// `cache_partial(…)` is more than printed, and in all that these include. Nor has a fragment any that a handler passes
/// to a template. Such fragments are told of at the page's end. What else a handler does with the text of a fragment
/// that [`render`](FragmentCache::render) gave it, such as sending it by mail, sees the marks; so does a template that
/// is given what a function of the application rendered.
#[derive(Debug, Clone)]
#[must_use]
pub struct DebugLayer {
    options: Arc<DebugOptions>,
}

impl DebugLayer {
    /// A layer that shows what this cache does, in whatever namespace.
    pub fn new(cache: &FragmentCache) -> DebugLayer {
        DebugLayer { options: Arc::new(DebugOptions::new(cache)) }
    }

    /// Switches it on or off, whatever the build. What it shows is for developers: labels, tags and names of templates
    /// are seen by everybody who sees the page.
    pub fn enabled(mut self, yes: bool) -> DebugLayer {
        self.options().enabled = yes;
        self
    }

    /// Debugs only the requests for which this holds: those of an administrator, say. Others pass as if it were off.
    /// The overlay's script is asked for by a request of its own, for which it must hold too.
    pub fn only_if(mut self, holds: impl Fn(&Parts) -> bool + Send + Sync + 'static) -> DebugLayer {
        self.options().only_if = Some(Arc::new(holds));
        self
    }

    /// Whether pages get the overlay; yes by default. Without it they have comments, for whoever reads the source.
    pub fn overlay(mut self, yes: bool) -> DebugLayer {
        self.options().overlay = yes;
        self
    }

    /// Whether keys are shown as they were given; no by default, as they may hold what is private. A hash is shown in
    /// their place.
    pub fn show_keys(mut self, yes: bool) -> DebugLayer {
        self.options().show_keys = yes;
        self
    }

    /// The largest page that gets comments, in bytes; 4 MiB by default. A larger one, and one that takes longer than
    /// the cache's wait timeout to come, goes on as it comes, without.
    pub fn max_body_bytes(mut self, bytes: usize) -> DebugLayer {
        self.options().max_body_bytes = bytes;
        self
    }

    fn options(&mut self) -> &mut DebugOptions {
        Arc::make_mut(&mut self.options)
    }
}

impl<S> Layer<S> for DebugLayer {
    type Service = DebugService<S>;

    fn layer(&self, inner: S) -> DebugService<S> {
        DebugService::new(inner, Arc::clone(&self.options))
    }
}
