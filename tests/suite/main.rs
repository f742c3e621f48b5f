//! All integration tests, in one binary.
#![allow(clippy::unwrap_used, clippy::drop_non_drop, missing_docs, unreachable_pub)]

mod argument_errors;
mod block;
#[cfg(feature = "watch")]
mod bulk;
mod config;
mod console;
mod contract;
mod data;
mod declared;
mod environments;
mod events;
mod explain;
mod flights;
mod foreign;
mod futures;
mod grace;
mod guide;
mod handler;
mod hostile;
mod identity;
mod inputs;
mod instrumentation;
mod key_parts;
mod keys;
mod layers;
mod lazy;
mod lifetimes;
mod markup_keys;
mod nesting;
#[cfg(feature = "shared")]
mod outages;
mod partial;
mod potential;
mod properties;
mod races;
mod reasons;
mod recursion;
mod render_starts;
mod scoping;
mod served;
mod settings;
mod shadow;
#[cfg(feature = "shared")]
mod shared;
mod signals;
#[cfg(feature = "watch")]
mod sources;
#[cfg(all(unix, feature = "watch"))]
mod special;
mod statistics;
mod storms;
mod support;
mod syntax;
mod templates;
mod unchanged;
mod values;
#[cfg(feature = "watch")]
mod watching;
