//! What the cache tells a `tracing` subscriber.
#![allow(clippy::unwrap_used, missing_docs, unreachable_pub)]

mod balance;
mod capture;
mod events;
mod spans;
#[allow(dead_code)]
#[path = "../suite/support.rs"]
mod support;
