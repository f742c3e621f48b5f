//! All integration tests, in one binary.
#![allow(clippy::unwrap_used, missing_docs, unreachable_pub)]

mod block;
mod flights;
mod handler;
mod keys;
mod lifetimes;
mod nesting;
mod partial;
mod properties;
mod races;
mod scoping;
mod support;
mod syntax;
mod templates;
mod values;
#[cfg(feature = "watch")]
mod watching;
