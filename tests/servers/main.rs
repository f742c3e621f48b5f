//! The servers, the browser and the proxy that other tests rely on, tested by themselves, once.
#![cfg(unix)]
#![allow(clippy::unwrap_used, missing_docs, unreachable_pub)]

mod selftest;
#[path = "mod.rs"]
mod servers;
