//! What a render has under way, and how its end is noticed.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use minijinja::State;
use minijinja::value::Value;

use super::{NO_TICKET, Next, Open};
use crate::cache::Inner;
use crate::context::{self, RenderId};

/// What a render has under way; lives as long as MiniJinja's `State`.
pub(super) struct Rendering {
    cache: Arc<Inner>,
    render: RenderId,
    /// What the last look-up left to be opened.
    pub(super) next: Option<Next>,
    pub(super) open: Vec<Opened>,
    pub(super) tickets: u64,
}

/// A body that was opened.
pub(super) struct Opened {
    pub(super) ticket: u64,
    pub(super) open: Open,
    /// Its key, as the author wrote it.
    pub(super) source: Value,
    /// Its key holds what `caller()` shows.
    pub(super) shows_caller: bool,
}

/// Notices the end of a render in which nothing was computed; a value without size costs no allocation.
pub(super) struct RenderEnd;

impl RenderEnd {
    /// Has the end of this render noticed, where a beginning was noted that ends with it.
    pub(super) fn see(state: &mut State<'_, '_>) {
        if context::render_end_unseen() {
            state.get_or_insert_extension_with(|| RenderEnd);
        }
    }
}

impl Drop for RenderEnd {
    fn drop(&mut self) {
        context::leave_hits();
    }
}

impl Rendering {
    /// What this render has under way; noted on first use.
    pub(super) fn of<'a>(state: &'a mut State<'_, '_>, cache: &Arc<Inner>) -> &'a mut Rendering {
        state.get_or_insert_extension_with(|| Rendering {
            render: context::enter_render(cache.id, cache.begin()),
            cache: Arc::clone(cache),
            next: None,
            open: Vec::new(),
            tickets: NO_TICKET,
        })
    }
}

impl Drop for Rendering {
    fn drop(&mut self) {
        // Innermost first, as their frames stand.
        while let Some(left_open) = self.open.pop() {
            drop(left_open);
        }
        self.next = None;
        // Only a loader of ours shows the look-ups that other renders begin with.
        let ended = (self.cache.loaders.load(Ordering::Relaxed) > 0).then(|| self.cache.begin());
        let outermost = context::leave_render(self.render, self.cache.id, ended);
        if let Some(shared) = self.cache.shared.as_ref().filter(|_| outermost) {
            shared.render_ended(self.cache.id);
        }
    }
}
