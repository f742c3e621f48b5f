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
// What only a shared tier or the HTTP layers ask for is not taken out piece by piece; with both nothing may be unused.
#![cfg_attr(not(all(feature = "shared", feature = "http")), allow(dead_code))]
#![cfg_attr(not(feature = "shared"), allow(unreachable_code, unused_variables))]

mod asker;
mod attachments;
mod builder;
mod cache;
mod clock;
mod compile;
mod config;
mod context;
#[cfg(feature = "dashboard")]
mod dashboard;
mod debug;
mod declared;
mod departures;
mod duration;
mod entry;
mod environment;
mod error;
mod explain;
#[cfg(feature = "metrics")]
mod export;
#[cfg(not(feature = "metrics"))]
#[path = "export/disabled.rs"]
mod export;
mod file;
mod flight;
mod floors;
mod front;
#[cfg(doctest)]
mod guide;
mod handler;
mod hole;
#[cfg(feature = "shared")]
mod host;
#[cfg(feature = "http")]
pub mod http;
mod identity;
#[cfg(feature = "dashboard")]
mod inspect;
mod invalidated;
mod invalidation;
mod key;
mod lazy;
mod loader;
mod lookup;
mod miss_reason;
#[cfg(doctest)]
mod must_use;
mod names;
mod namespace;
#[cfg(feature = "shared")]
mod node;
mod observe;
mod options;
#[cfg(feature = "http")]
mod page;
mod partial;
mod payload;
mod potential;
mod question;
mod random;
mod record;
#[cfg(feature = "watch")]
mod refresh;
mod report;
mod runtime;
mod scope;
#[cfg(all(test, unix, not(shuttle), feature = "shared"))]
#[path = "../tests/servers/mod.rs"]
mod servers;
mod shadow;
#[cfg(feature = "shared")]
mod shared;
#[cfg(not(feature = "shared"))]
#[path = "shared/disabled.rs"]
mod shared;
mod signal;
#[cfg(feature = "watch")]
mod source;
mod spelling;
mod statistics;
mod stats;
mod store;
mod sync;
mod templates;
mod timer;
#[cfg(feature = "tracing")]
mod trace;
#[cfg(not(feature = "tracing"))]
#[path = "trace/disabled.rs"]
mod trace;
#[cfg(feature = "watch")]
mod watch;
mod weight;
mod work;

pub use builder::Builder;
pub use cache::FragmentCache;
pub use clock::ManualClock;
pub use config::{CacheConfig, CacheType};
#[cfg(feature = "dashboard")]
pub use dashboard::Dashboard;
pub use entry::Fragment;
pub use environment::LiveEnvironment;
pub use error::{Error, ErrorKind};
pub use invalidated::Invalidated;
pub use invalidation::{Confirmed, Invalidation};
pub use lazy::{lazy, with_lazy};
pub use observe::{
    About, By, Bypass, Difference, Event, Explained, Explanation, FragmentKind, FragmentStats, Happened, KeyHash, Miss,
    MissReason, Outcome, Rejection, Subscription, Target,
};
pub use options::Options;
pub use potential::Potential;
pub use scope::{Attached, Scope};
#[cfg(feature = "shared")]
pub use shared::{SharedStatus, SharedTier};
pub use signal::{Connection, Signal};
#[cfg(feature = "watch")]
pub use source::WatchedFile;
pub use stats::Stats;
#[cfg(feature = "shared")]
pub use store::LocalStore;
#[cfg(feature = "memcached")]
pub use store::MemcachedStore;
#[cfg(feature = "redis")]
pub use store::RedisStore;
#[cfg(feature = "watch")]
pub use watch::{WatchMode, Watcher};
