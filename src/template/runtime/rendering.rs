//! The state of a render: its start, its imports and its open bodies. `renders.rs` lists the renders of a thread.
//!
//! Each template that the cache serves has a start mark, which records that the template begins (`compile/mark.rs`
//! writes it). The first mark in a MiniJinja state is the start of its render, unless the template is included by a
//! page that the cache did not serve. The start of such a render is not known, so its results are not stored.

use std::ptr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use minijinja::{Environment, State, Value};

use super::body::{NO_TICKET, NextBody, OpenBody};
use super::renders::{self, RenderId, stack_address};
use crate::cache::Engine;
use crate::invalidation::dependencies::{Dependency, StartStamp};

/// The start of a render. It is stored in the state, and also on the thread, where renders inside this one find it.
pub(super) struct RenderStart {
    cache: u64,
    begin: StartStamp,
    on_thread: Option<RenderId>,
    /// The templates begun so far that bind names which their included templates can read.
    pub(super) sharing: Vec<Box<str>>,
}

impl RenderStart {
    /// Records that a template begins. The first template of a state begins its render. `shares` is whether templates
    /// that it includes can read the names that it binds.
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

    /// The start of the render of a state.
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

/// Whether the template that begins is the page of its render, not an included template.
///
/// MiniJinja distinguishes the two only by the address of its state, which is on the stack of the function that runs
/// the page. A test that the page itself calls is one interpreter run below that address. A test in an included
/// template, a block or a macro is two or more runs below. The layout of a page runs at the same depth as the page, but
/// after the page's statements, so the exports show the names that the page has set.
fn is_page(state: &State<'_, '_>, run: usize) -> bool {
    ptr::from_ref(state).addr().abs_diff(stack_address()) < run / 2 * 3 && state.exports().is_empty()
}

/// Stack use of one interpreter run in bytes. Measured once per process, because it depends on the build: 17 kB without
/// optimisation, 3 kB with it, and the same for every way to render.
fn interpreter_run() -> usize {
    static RUN: OnceLock<usize> = OnceLock::new();
    *RUN.get_or_init(|| {
        // Larger than any real distance. The render cannot fail; if it did, every template would count as a page.
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

/// The open parts of a render. Lives as long as MiniJinja's `State`.
pub(super) struct Rendering {
    cache: Arc<Engine>,
    on_thread: Option<RenderId>,
    /// The templates that it imported or extended. Each fragment that it opens afterwards depends on them.
    pub(super) imported: Vec<Imported>,
    /// The result of the last look-up, for `_f.open`.
    pub(super) next: Option<NextBody>,
    pub(super) open: Vec<OpenedBody>,
    pub(super) tickets: u64,
}

/// The statement that looked a template up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Loads {
    Import,
    /// An `extends` in the template `of`.
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

/// A body that was opened and is not stored yet.
pub(super) struct OpenedBody {
    pub(super) ticket: u64,
    pub(super) open: OpenBody,
    /// The author's text of its key.
    pub(super) source: Value,
    /// Whether its key contains the text of `caller()`.
    pub(super) shows_caller: bool,
}

impl Rendering {
    /// The open parts of this render.
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
        // Innermost first, in the order of their frames on the stack.
        while let Some(left_open) = self.open.pop() {
            drop(left_open);
        }
        self.next = None;
        if let Some(shared) = self.cache.shared.as_ref().filter(|_| !renders::is_inside_another(self.on_thread)) {
            shared.render_ended();
        }
    }
}
