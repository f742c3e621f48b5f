//! HTTP: whole responses in the cache, validators, and headers that say what a page's fragments allow.
//!
//! [`CacheLayer`] and [`ConditionalLayer`] are tower layers for axum, hyper and whatever else speaks
//! `Service<Request<_>, Response = Response<_>>`.

mod ask;
mod body;
mod cache_control;
mod cache_status;
mod conditional;
mod conditions;
mod date;
#[cfg(feature = "debug")]
mod debug;
mod etag;
mod future;
mod headers;
mod hole;
mod hole_request;
mod invalidate;
mod judged;
mod keep;
mod lately;
mod layer;
mod list;
mod make;
mod notice;
mod pending;
mod policy;
mod service;
mod show;
mod state;
mod tags;
mod timeout;
mod validate;
mod vary;
mod verdict;
mod verify;

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
pub use self::tags::TagHeader;
