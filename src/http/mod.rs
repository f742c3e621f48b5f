//! HTTP caching of whole responses, conditional requests, and `Cache-Control` restricted by the fragments of a page.
//!
//! [`CacheLayer`] and [`ConditionalLayer`] are tower layers for axum, hyper and other servers with
//! `Service<Request<_>, Response = Response<_>>`.

// The layers and their configuration.
mod conditional;
#[cfg(feature = "debug")]
mod debug;
mod layer;
pub(crate) mod page;
mod policy;
mod state;

// The way of a request: key, look-up, handler, storing, response.
mod exchange;
mod pending;
mod request;
mod request_headers;
mod response;
mod serve;
mod service;
mod shadow;
mod store;

// The rules of HTTP.
mod cache_control;
mod cache_status;
mod date;
mod etag;
mod evaluate;
mod headers;
mod invalidate;
mod list;
mod preconditions;
mod revalidate;
mod storability;
mod tag_header;
mod vary;

// Bodies, holes, futures and helpers.
mod body;
mod fill_holes;
mod future;
mod hole_request;
mod timeout;

pub use self::body::LayerBody;
pub use self::cache_control::CacheControl;
pub use self::conditional::{ConditionalLayer, ConditionalService, Validators};
#[cfg(feature = "debug")]
pub use self::debug::{DebugBody, DebugFuture, DebugLayer, DebugService};
pub use self::etag::EntityTag;
pub use self::future::CacheFuture;
pub use self::hole_request::HoleRequest;
pub use self::layer::CacheLayer;
pub use self::policy::Query;
pub use self::service::CacheService;
pub use self::tag_header::TagHeader;
