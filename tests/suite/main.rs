//! All integration tests, in one binary.
#![allow(clippy::unwrap_used, missing_docs, unreachable_pub)]

mod block;
mod keys;
mod lifetimes;
mod nesting;
mod scoping;
mod support;
mod syntax;
