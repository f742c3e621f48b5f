//! Tests of the HTTP layers, one file per area.

#![allow(missing_docs, clippy::unwrap_used)]

mod fragments;
mod keys;
mod pages;
mod support;
mod visitors;
