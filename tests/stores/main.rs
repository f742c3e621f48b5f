//! One contract, run over every place entries can live in: memory, and memory or nothing in front of a local store,
//! Redis, a cluster, and Memcached. And what is particular to real servers: round trips, sizes, bounds.
#![cfg(unix)]
#![allow(clippy::unwrap_used, missing_docs, unreachable_pub)]

mod backends;
mod catching_up;
mod contract;
mod epochs;
mod pages;
#[path = "../servers/mod.rs"]
mod servers;
mod settings;
