//! The MiniJinja side: loading templates, what lowered templates call, rendering, lazy values, watching files.
//!
//! `loader.rs` lowers templates as they are loaded; `runtime.rs` is called by lowered templates. `partial.rs` renders and
//! caches whole templates, `lazy.rs` computes context values when they are used. `profile.rs` measures includes and macros.

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
