//! The example application as the web sees it: behind a caching proxy, in a browser, and by curl.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, dead_code)]

#[path = "../../examples/catalogue/app/mod.rs"]
mod app;
#[path = "../servers/mod.rs"]
mod servers;
#[path = "../catalogue/visit.rs"]
mod visit;

mod browser;
#[cfg(feature = "dashboard")]
mod dashboard;
mod debug;
mod edits;
mod privacy;
mod protocols;
mod proxy;
mod savings;
mod site;
mod transcripts;

use servers::http;
