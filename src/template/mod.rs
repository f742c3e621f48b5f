//! The integration with MiniJinja: loading templates, the functions that lowered templates call, rendering, lazy
//! values, and watching template files.
//!
//! `loader.rs` lowers templates when MiniJinja loads them. `runtime.rs` holds the tests, filters and functions that
//! lowered templates call. `partial.rs` renders and caches whole templates, and `live_environment.rs` replaces an
//! environment after reloads. `lazy.rs` computes context values when a template uses them. `profile.rs` measures
//! includes and macros. `watch.rs` and `watched_file.rs` report changed files, and `refresh.rs` invalidates their
//! templates. Parsing and lowering are in `compile`.

mod folder;
pub(crate) mod lazy;
pub(crate) mod live_environment;
pub(crate) mod loader;
pub(crate) mod partial;
pub(crate) mod profile;
#[cfg(feature = "watch")]
pub(crate) mod refresh;
pub(crate) mod runtime;
#[cfg(feature = "watch")]
pub(crate) mod watch;
#[cfg(feature = "watch")]
pub(crate) mod watched_file;
