#![doc = include_str!("../README.md")]
//!
//! # Reading the code
//!
//! The crate has ten rooms. Each imports only those before it, which `tests/suite/layers.rs` checks:
//!
//! | room | what it owns |
//! |---|---|
//! | `util` | clocks, durations, locks, the timer thread, random numbers |
//! | `compile` | template text in, plain MiniJinja text out |
//! | `key` | values to bytes to hashes; identities |
//! | `invalidation` | when a result is still valid: floors, template versions, dependencies, the stack of frames |
//! | `telemetry` | counters, reasons, events, explanations, metrics, tracing |
//! | `store` | entries and where they are: memory, the shared tier, Redis, Memcached |
//! | `cache` | `FragmentCache` and its engine: look-up, single flight, computation, `get_or_set`, scopes, configuration |
//! | `template` | loading, what lowered templates call, rendering, lazy values, watching files |
//! | `http` | tower layers for whole responses |
//! | `dashboard` | a page for operators |
//!
//! A look-up goes from `template/runtime/block.rs` or `cache/get_or_set.rs` to `cache/lookup.rs`. A miss becomes a
//! computation (`cache/computation.rs`), which a frame on the stack (`invalidation/stack.rs`) tells what its result depends on.
//! `DESIGN.md` has the dictionary and the reasons.
#![cfg_attr(docsrs, feature(doc_cfg))]
#![deny(clippy::print_stdout, clippy::print_stderr)]
#![cfg_attr(not(test), deny(clippy::unwrap_used))]

mod cache;
mod compile;
#[cfg(feature = "dashboard")]
mod dashboard;
mod error;
#[cfg(doctest)]
mod guide;
#[cfg(feature = "http")]
pub mod http;
mod invalidation;
mod key;
#[cfg(all(test, unix, not(shuttle), feature = "shared"))]
#[path = "../tests/servers/mod.rs"]
mod servers;
mod store;
mod telemetry;
mod template;
mod util;

pub use cache::FragmentCache;
pub use cache::builder::Builder;
pub use cache::config::{CacheConfig, CacheType};
pub use cache::invalidate::Invalidated;
pub use cache::invalidation::{Confirmed, Invalidation};
pub use cache::options::Options;
pub use cache::scope::{Attached, Scope};
pub use cache::signal::{Connection, Signal};
#[cfg(feature = "dashboard")]
pub use dashboard::Dashboard;
pub use error::{Error, ErrorKind};
#[cfg(feature = "shared")]
pub use store::LocalStore;
#[cfg(feature = "memcached")]
pub use store::MemcachedStore;
#[cfg(feature = "redis")]
pub use store::RedisStore;
pub use store::entry::Fragment;
#[cfg(feature = "shared")]
pub use store::tier::{SharedStatus, SharedTier};
pub use telemetry::stats::Stats;
pub use telemetry::{
    About, By, Bypass, Difference, Event, Explained, Explanation, FragmentKind, FragmentStats, Happened, KeyHash, Miss,
    MissReason, Outcome, Rejection, Subscription, Target,
};
pub use template::lazy::{lazy, with_lazy};
pub use template::live_environment::LiveEnvironment;
pub use template::profile::Potential;
#[cfg(feature = "watch")]
pub use template::watch::{WatchMode, Watcher};
#[cfg(feature = "watch")]
pub use template::watched_file::WatchedFile;
pub use util::clock::ManualClock;
