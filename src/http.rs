//! HTTP: whole responses in the cache, validators, and headers that say what a page's fragments allow.
//!
//! [`CacheLayer`] and [`ConditionalLayer`] are tower layers for axum, hyper and whatever else speaks
//! `Service<Request<_>, Response = Response<_>>`.

mod body;
mod cache_control;
mod cache_status;
mod conditional;
mod date;
#[cfg(feature = "debug")]
mod debug;
mod etag;
mod evaluate;
mod exchange;
mod fill_holes;
mod future;
mod headers;
mod hole_request;
mod invalidate;
mod layer;
mod list;
mod pending;
mod policy;
mod preconditions;
mod recent_set;
mod request;
mod request_headers;
mod response;
mod revalidate;
mod serve;
mod service;
mod shadow;
mod state;
mod storability;
mod store;
mod tag_header;
mod timeout;
mod vary;

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
