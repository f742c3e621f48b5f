//! All integration tests, in one binary.
#![allow(clippy::unwrap_used, clippy::drop_non_drop, missing_docs, unreachable_pub)]

mod block;
mod config;
mod contract;
mod data;
mod declared;
mod environments;
mod events;
mod explain;
mod flights;
mod futures;
mod grace;
mod guide;
mod handler;
mod hostile;
mod inputs;
mod instrumentation;
mod keys;
mod lifetimes;
mod nesting;
#[cfg(feature = "shared")]
mod outages;
mod partial;
mod potential;
mod properties;
mod races;
mod reasons;
mod scoping;
mod shadow;
#[cfg(feature = "shared")]
mod shared;
mod signals;
#[cfg(feature = "watch")]
mod sources;
mod statistics;
mod storms;
mod support;
mod syntax;
mod templates;
mod tidy;
mod unchanged;
mod values;
#[cfg(feature = "watch")]
mod watching;
