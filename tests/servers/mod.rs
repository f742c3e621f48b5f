//! Real servers, a real browser, and a proxy that is a bad network, for as long as a value lives.
//!
//! Controls take `&self`, so a server can sit in a `static` that all tests of a binary share; it ends with the process.
//! Unix only: pausing needs signals.
//!
//! A server that ends or is paused sends SIGCHLD to the test process. Nobody handles it, and still it can now and then
//! interrupt a read with a timeout, in any thread (`ErrorKind::Interrupted`).
#![allow(dead_code, unused_imports, missing_docs, unreachable_pub, clippy::unwrap_used, clippy::expect_used)]

mod blackhole;
mod chromium;
mod clock;
mod cluster;
pub mod http;
mod install;
mod memcached;
mod nginx;
mod ports;
mod process;
mod prometheus;
mod proxy;
mod redis;
mod resp;
mod sentinel;

use std::thread::sleep;
use std::time::{Duration, Instant};

pub use blackhole::Blackhole;
pub use chromium::{Chromium, Seen, Tab};
pub use clock::Clock;
pub use cluster::RedisCluster;
pub use install::{Policy, ensure, ensure_programs, program, redis_server};
pub use memcached::Memcached;
pub use nginx::Nginx;
pub use ports::free as free_port;
pub use prometheus::{Prometheus, promtool};
pub use proxy::{Proxy, Traffic};
pub use redis::Redis;
pub use resp::{Client, Endpoint, Reply};
pub use sentinel::Sentinel;

/// How long anything that must happen may take before it is called stuck.
pub const STUCK: Duration = Duration::from_secs(60);

/// Returns when `happened` first says so.
#[track_caller]
pub fn wait_for(what: &str, mut happened: impl FnMut() -> bool) {
    let deadline = Instant::now() + STUCK;
    while !happened() {
        assert!(Instant::now() < deadline, "stuck waiting: {what}");
        sleep(Duration::from_millis(5));
    }
}
