//! The cache: its handle, its engine, and how a look-up becomes a hit or a computation.
//!
//! `fragment_cache.rs` is the handle that applications hold, `engine.rs` what all handles share, `builder.rs` and `config/` how
//! it is configured. `lookup.rs` looks up, `flight.rs` lets one caller compute for all, `computation.rs` is a computation from
//! its start to the stored entry. `get_or_set.rs` is what handlers call; what templates call is the template room.

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
