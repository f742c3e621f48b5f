//! Tests of the HTTP layers, one file per area.

#![allow(missing_docs, clippy::unwrap_used)]

mod pages;
mod support;
