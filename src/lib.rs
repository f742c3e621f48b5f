#![doc = include_str!("../README.md")]
//!
//! # Reading the code
//!
//! Text in: `compile` lowers cache blocks. Templates come in through `loader`, `runtime` is what lowered templates
//! call, and `handler` what handlers call; both ask `lookup`, which asks `front`, `store` and `flight` and checks with
//! `floors`. `work` is a computation under way, `context` knows what encloses the work on a thread, `record` what a
//! result depends on. `http` and `dashboard` are edges: `http/service.rs` has the order of events, `dashboard.rs` the
//! pages. `observe` is told what happens; `trace` and `export` hand it on to `tracing` and `metrics`, each with a
//! `disabled.rs` beside it; `debug` makes comments in a page of the marks that `observe` puts around fragments.
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
