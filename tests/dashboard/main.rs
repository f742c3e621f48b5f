//! Tests of the dashboard over HTTP, one file per area.

#![allow(missing_docs, clippy::unwrap_used)]

mod access;
mod invalidation;
mod live;
mod mounting;
mod pages;
mod support;
mod told;
