//! The options of a debug layer.

use std::fmt;

use crate::cache::FragmentCache;
use crate::http::policy::RequestFn;

#[derive(Clone)]
pub(super) struct DebugOptions {
    pub(super) cache: FragmentCache,
    pub(super) enabled: bool,
    pub(super) only_if: Option<RequestFn<bool>>,
    pub(super) overlay: bool,
    pub(super) show_keys: bool,
    pub(super) max_body_bytes: usize,
}

impl DebugOptions {
    pub(super) fn new(cache: &FragmentCache) -> DebugOptions {
        DebugOptions {
            cache: cache.clone(),
            enabled: cfg!(debug_assertions),
            only_if: None,
            overlay: true,
            show_keys: false,
            max_body_bytes: 4 << 20,
        }
    }
}

impl fmt::Debug for DebugOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DebugOptions")
            .field("enabled", &self.enabled)
            .field("overlay", &self.overlay)
            .field("show_keys", &self.show_keys)
            .field("max_body_bytes", &self.max_body_bytes)
            .finish_non_exhaustive()
    }
}
