//! Several processes on one store, as in production: what the others see of an invalidation, and what readers notice
//! of trouble with the store.
#![cfg(unix)]
#![allow(missing_docs, unreachable_pub, dead_code, clippy::unwrap_used, clippy::expect_used)]

mod away;
mod chaos;
#[cfg(feature = "memcached")]
mod clocks;
mod fleet;
mod moves;
mod particular;
mod process;
mod report;
mod scene;
mod server;
#[path = "../servers/mod.rs"]
mod servers;
