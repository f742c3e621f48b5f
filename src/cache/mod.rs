//! The cache: its handle, its engine, and how a look-up becomes a hit or a computation.
//!
//! - `fragment_cache.rs` is the handle that applications hold; `engine.rs` is the state that all handles share.
//! - `builder.rs`, `config/` and `settings.rs` configure a cache; `options.rs` configures one call.
//! - `lookup.rs` looks up, `flight.rs` lets one caller compute for all, `computation.rs` is a computation from its
//!   start to the stored entry.
//! - `get_or_set.rs` is the API for handlers. The API for templates is `crate::template`.
//! - `invalidation.rs`, `invalidate.rs` and `signal.rs` are about invalidations; `scope.rs` and `hole.rs` about
//!   requests; `miss_reason.rs`, `statistics.rs`, `explain.rs`, `shadow.rs` and `inspect.rs` about reports.

pub(crate) mod builder;
pub(crate) mod computation;
pub(crate) mod config;
mod engine;
pub(crate) mod explain;
pub(crate) mod flight;
mod fragment_cache;
pub(crate) mod get_or_set;
pub(crate) mod hole;
#[cfg(feature = "dashboard")]
pub(crate) mod inspect;
pub(crate) mod invalidate;
pub(crate) mod invalidation;
pub(crate) mod lookup;
mod miss_reason;
#[cfg(doctest)]
mod must_use;
#[cfg(feature = "shared")]
mod node;
pub(crate) mod options;
pub(crate) mod scope;
mod settings;
pub(crate) mod shadow;
pub(crate) mod signal;
mod statistics;

pub(crate) use self::engine::{Engine, Look};
pub use self::fragment_cache::FragmentCache;
