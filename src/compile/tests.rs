//! Tests of lowering: text in, text out.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod fixtures;
mod growth;
mod marks;
mod properties;
mod rendering;
mod support;
mod tags;
mod ttl;
