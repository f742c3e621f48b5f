//! `FragmentCache`: the handle applications hold, and what all handles of one cache share.
//!
//! Owns invalidation, namespaces and statistics. How results are computed and cached for handlers is in
//! `handler.rs`; templates come in through `runtime.rs` and `loader.rs`.

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
