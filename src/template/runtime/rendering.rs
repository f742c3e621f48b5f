//! What a render has under way, and when it began.
//!
//! Each template that the cache serves says so when it begins (`compile/mark.rs` has the text). The first one of a MiniJinja
//! state is the start of its render, unless its template is not the page: a page that the cache did not serve includes one
//! that it did. When such a render began is not known, and what it computes is not stored.

use std::ptr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use minijinja::{Environment, State, Value};

use super::body::{NO_TICKET, NextBody, OpenBody};
use super::renders::{self, RenderId, stack_address};
use crate::cache::Engine;
use crate::invalidation::dependencies::{Dependency, StartStamp};

/// When a render began. It is in the state, and beside it on the thread, where renders inside this one find it.
pub(super) struct RenderStart {
    cache: u64,
    begin: StartStamp,
    on_thread: Option<RenderId>,
    /// The templates begun so far whose statements can be reached from templates that they include.
    pub(super) sharing: Vec<Box<str>>,
}

impl RenderStart {
    /// Notes that a template begins: the first one of a state begins its render. `shares` is whether templates that it
    /// includes can reach what it binds.
    pub(super) fn note(state: &mut State<'_, '_>, cache: &Engine, shares: bool) {
        let sharing = shares.then(|| state.name().into());
        if let Some(start) = state.get_extension_mut::<RenderStart>() {
            start.sharing.extend(sharing.filter(|name| !start.sharing.contains(name)));
            return;
        }
        let (at, run) = (ptr::from_ref(state).addr(), interpreter_run());
        let (begin, on_thread) = renders::enter_render(cache.id, at, run / 2, || {
            if is_page(state, run) { cache.begin() } else { StartStamp::UNSEEN }
        });
        let sharing = sharing.into_iter().collect();
        state.get_or_insert_extension(RenderStart { cache: cache.id, begin, on_thread, sharing });
    }

    /// When the render of a state began.
    pub(super) fn of(state: &State<'_, '_>, cache: u64) -> StartStamp {
        let start = state.get_extension::<RenderStart>().filter(|start| start.cache == cache);
        start.map_or(StartStamp::UNSEEN, |start| start.begin)
    }
}

impl Drop for RenderStart {
    fn drop(&mut self) {
        self.on_thread.into_iter().for_each(renders::leave_render);
    }
}

/// Whether the template that begins is the page of its render, and not included by another one.
///
/// MiniJinja shows no difference between the two, except in where its state stands: on the stack of the function that runs
/// the page. A test that the page itself calls is one run of the interpreter away from it, a test of an included template,
/// a block or a macro two and more. The layout of a page stands where the page does, but after what the page sets.
fn is_page(state: &State<'_, '_>, run: usize) -> bool {
    ptr::from_ref(state).addr().abs_diff(stack_address()) < run / 2 * 3 && state.exports().is_empty()
}

/// One run of the interpreter, in bytes of stack. Measured once for a process, because it differs with the build: 17 kB
/// without optimisation and 3 kB with it, always the same for every way to render.
fn interpreter_run() -> usize {
    static RUN: OnceLock<usize> = OnceLock::new();
    *RUN.get_or_init(|| {
        // Nothing is that far from a page. The render cannot fail; if it did, every template would count as one.
        let run = Arc::new(AtomicUsize::new(usize::MAX / 2));
        let measured = Arc::clone(&run);
        let mut env = Environment::new();
        env.add_test("measure", move |state: &mut State<'_, '_>, _: &Value| {
            measured.store(ptr::from_ref(state).addr().abs_diff(stack_address()), Ordering::Relaxed);
            false
        });
        let _ = env.render_str("{% if none is measure %}{% endif %}", ());
        run.load(Ordering::Relaxed)
    })
}

/// What a render has under way; lives as long as MiniJinja's `State`.
pub(super) struct Rendering {
    cache: Arc<Engine>,
    on_thread: Option<RenderId>,
    /// What it imported or extended: every fragment it opens afterwards depends on these.
    pub(super) imported: Vec<Imported>,
    /// What the last look-up left to be opened.
    pub(super) next: Option<NextBody>,
    pub(super) open: Vec<OpenedBody>,
    pub(super) tickets: u64,
}

/// What a look-up was for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Loads {
    Import,
    /// The parent of the template of this name.
    Parent {
        of: Box<str>,
    },
}

/// A template that a render imported or extended.
#[derive(Debug)]
pub(super) struct Imported {
    pub(super) dependency: Dependency,
    pub(super) loads: Loads,
}

/// A body that was opened.
pub(super) struct OpenedBody {
    pub(super) ticket: u64,
    pub(super) open: OpenBody,
    /// Its key, as the author wrote it.
    pub(super) source: Value,
    /// Its key holds what `caller()` shows.
    pub(super) shows_caller: bool,
}

impl Rendering {
    /// What this render has under way.
    pub(super) fn of<'a>(state: &'a mut State<'_, '_>, cache: &Arc<Engine>) -> &'a mut Rendering {
        let on_thread = state.get_extension::<RenderStart>().and_then(|start| start.on_thread);
        state.get_or_insert_extension_with(|| Rendering {
            cache: Arc::clone(cache),
            on_thread,
            imported: Vec::new(),
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
        if let Some(shared) = self.cache.shared.as_ref().filter(|_| !renders::is_inside_another(self.on_thread)) {
            shared.render_ended();
        }
    }
}
