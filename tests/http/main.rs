//! Tests of the HTTP layers, one file per area.

#![allow(missing_docs, clippy::unwrap_used)]

mod bodies;
mod compression;
mod conditional;
mod conformance;
mod counts;
#[cfg(feature = "debug")]
mod debug;
mod declared;
mod enclosing;
mod fragments;
mod front;
mod holes;
mod invalidation;
mod keys;
mod lazy;
mod marks;
mod nested;
mod nodes;
mod pages;
mod poisoning;
mod races;
mod settings;
mod stale;
mod statistics;
mod storms;
mod support;
mod unreadable;
mod verifying;
mod visitors;
mod waiting;
