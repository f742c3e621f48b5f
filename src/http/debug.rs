//! [`DebugLayer`]: shows in a page which parts came from the cache.
//!
//! This file has the settings. `service.rs` handles requests, `response.rs` changes responses, `facts.rs` describes
//! fragments for comments, `timing.rs` writes `Server-Timing`, `script.rs` serves the script of the overlay, and
//! `body.rs` removes marks from streamed bodies.

mod annotate;
mod body;
mod facts;
mod html;
mod json;
mod options;
mod response;
mod script;
mod service;
mod stream;
#[cfg(test)]
mod tests;
mod timing;
mod tree;

use std::sync::Arc;

use http::request::Parts;
use tower_layer::Layer;

use self::annotate::{AnnotatedFragments, Annotations, annotate};
pub use self::body::DebugBody;
use self::json::CommentObject;
use self::options::DebugOptions;
pub use self::service::{DebugFuture, DebugService};
use crate::cache::FragmentCache;

/// The script that reads the comments of a page and draws the overlay.
const OVERLAY: &str = include_str!("debug/overlay.js");

/// Shows developers in each page how the cache answered: with comments around fragments, an overlay that outlines them,
/// and `Server-Timing`.
///
/// The layer is on in builds with debug assertions, and off in others, unless [`enabled`](DebugLayer::enabled) is set.
/// If it is off, it changes nothing.
///
/// - Comments stand around each fragment: `<!-- fragment 3f {"label":"index.html:4","outcome":"miss","why":"expired",
///   …} -->` and `<!-- /fragment 3f -->`. The first one contains JSON: the label of the fragment, the outcome of the
///   look-up and its reason, the time that it took or saved in milliseconds, the age and the remaining lifetime in
///   seconds, tags and templates. Comments are added only at positions where the browser reads them as comments and
///   nothing else changes: not inside of attributes, scripts, styles and titles, and only in HTML. A fragment without
///   such a position is listed in a comment at the end of the page.
/// - The overlay is one script. The layer serves it at the URL of the page with another query. It is allowed by a
///   `Content-Security-Policy` with `script-src 'self'`, and a nonce in the policy is used. If the policy allows
///   neither, the page gets comments only. The overlay outlines fragments, coloured by outcome, and lists them. Hover
///   or focus one to see its details.
/// - `Server-Timing` shows for each request what was rendered, what was saved, and the reasons of misses.
///
/// A changed page must not be stored: it is sent with `Cache-Control: no-store` and without validators. (The overlay
/// shows the original `Cache-Control`, `Cache-Status` and `Server-Timing`.)
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
/// Put it outside of every service that generates or stores pages, and outside of [`CacheLayer`](super::CacheLayer) and
/// compression layers. A compression layer outside of it does no harm.
///
/// Templates print marks for the layer, which have 22 characters and more. They print none where a template can read
/// its own output: in `set`, `filter` and `call` blocks, in macros, in blocks and partials whose `self.name()`,
/// `super()` or `cache_partial(…)` is not only printed, and in all templates that these include. A fragment that a
/// handler passes to a template has no marks either. All these fragments are listed at the end of the page. A handler
/// that uses the text of [`render`](FragmentCache::render) for another purpose, such as a mail, sees the marks. So does
/// a template that gets text which a function of the application rendered.
#[derive(Debug, Clone)]
#[must_use]
pub struct DebugLayer {
    options: Arc<DebugOptions>,
}

impl DebugLayer {
    /// A layer that shows the look-ups in this cache, in all namespaces.
    pub fn new(cache: &FragmentCache) -> DebugLayer {
        DebugLayer { options: Arc::new(DebugOptions::new(cache)) }
    }

    /// Switches the layer on or off in any build. Labels, tags and names of templates are then visible to every visitor
    /// of the page.
    pub fn enabled(mut self, yes: bool) -> DebugLayer {
        self.options().enabled = yes;
        self
    }

    /// Debugs only requests for which this holds, for example those of administrators. The layer does nothing for
    /// others. The overlay's script has a request of its own, for which it must hold too.
    pub fn only_if(mut self, holds: impl Fn(&Parts) -> bool + Send + Sync + 'static) -> DebugLayer {
        self.options().only_if = Some(Arc::new(holds));
        self
    }

    /// Whether pages get the overlay; yes by default. Without it they have comments only.
    pub fn overlay(mut self, yes: bool) -> DebugLayer {
        self.options().overlay = yes;
        self
    }

    /// Whether comments contain the keys; no by default, because keys may contain private data. A hash is shown
    /// instead.
    pub fn show_keys(mut self, yes: bool) -> DebugLayer {
        self.options().show_keys = yes;
        self
    }

    /// The largest page that gets comments, in bytes; 4 MiB by default. A larger page is streamed without comments, and
    /// so is one that takes longer than the cache's wait timeout.
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
