//! What a render has under way, when it began, and how its end is noticed.
//!
//! Each template that the cache serves says so when it begins and when it ends (`compile/mark.rs` has the text). The first
//! one of a MiniJinja state is the start of its render, unless its template is not the page: a page that the cache did not
//! serve includes one that it did. When such a render began is not known, and what it computes is not stored.

use std::ptr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use minijinja::{Environment, State, Value};

use super::{NO_TICKET, Next, Open};
use crate::cache::Inner;
use crate::context::{self, RenderId};
use crate::record::{Begin, Dependency};

/// When a render began. In the state, and beside it what renders inside this one go by: on the thread, from the first
/// statement of the template to its last, because a state may be kept afterwards.
pub(super) struct RenderStart {
    cache: u64,
    begin: Begin,
    on_thread: Option<RenderId>,
    /// Templates of this render that have begun and not ended.
    depth: isize,
}

impl RenderStart {
    /// Notes that a template begins.
    pub(super) fn template_begins(state: &mut State<'_, '_>, cache: &Inner) {
        let start = match state.get_extension_mut::<RenderStart>() {
            Some(start) => start,
            None => {
                let begin = context::work_begin(cache.id);
                let begin = begin.unwrap_or_else(|| if is_page(state) { cache.begin() } else { Begin::UNSEEN });
                state.get_or_insert_extension(RenderStart { cache: cache.id, begin, on_thread: None, depth: 0 })
            }
        };
        if start.on_thread.is_none() && start.begin != Begin::UNSEEN {
            start.on_thread = Some(context::enter_render(start.cache, start.begin));
        }
        start.depth += 1;
        context::nest(1);
    }

    /// Notes that a template ends: with the outermost one, that the render does.
    pub(super) fn template_ends(state: &mut State<'_, '_>) {
        let Some(start) = state.get_extension_mut::<RenderStart>().filter(|start| start.depth > 0) else { return };
        start.depth -= 1;
        context::nest(-1);
        if start.depth == 0 {
            start.leave();
        }
    }

    /// When the render of a state began.
    pub(super) fn of(state: &State<'_, '_>, cache: u64) -> Begin {
        let start = state.get_extension::<RenderStart>().filter(|start| start.cache == cache);
        start.map_or(Begin::UNSEEN, |start| start.begin)
    }

    fn leave(&mut self) {
        self.on_thread.take().into_iter().for_each(context::leave_render);
    }
}

impl Drop for RenderStart {
    fn drop(&mut self) {
        // An error left templates open.
        context::nest(-self.depth);
        self.leave();
    }
}

/// Whether a template is the page of its render, and not included by another one.
///
/// MiniJinja shows no difference between the two, except in where its state stands: on the stack of the function that runs
/// the page. A test that the page itself calls is one run of the interpreter away from it, a test of an included template,
/// a block or a macro two and more. The layout of a page stands where the page does, but after what the page sets.
fn is_page(state: &State<'_, '_>) -> bool {
    stack_between(state) < *REACH.get_or_init(reach) && state.exports().is_empty()
}

static REACH: OnceLock<usize> = OnceLock::new();

/// One run of the interpreter and a half, in bytes of stack. Measured once for a process, because it differs with the
/// build: 17 kB and 35 kB without optimisation, 3 kB and 6 kB with it, always the same for every way to render.
fn reach() -> usize {
    let run = Arc::new(AtomicUsize::new(usize::MAX));
    let measured = Arc::clone(&run);
    let mut env = Environment::new();
    env.add_test("measure", move |state: &mut State<'_, '_>, _: &Value| {
        measured.store(stack_between(state), Ordering::Relaxed);
        false
    });
    // It cannot fail; if it did, every template would count as a page.
    let _ = env.render_str("{% if none is measure %}{% endif %}", ());
    run.load(Ordering::Relaxed).saturating_mul(3) / 2
}

fn stack_between(state: &State<'_, '_>) -> usize {
    ptr::from_ref(state).addr().abs_diff(context::stack_address())
}

/// What a render has under way; lives as long as MiniJinja's `State`.
pub(super) struct Rendering {
    cache: Arc<Inner>,
    /// What it imported or extended: every fragment it opens afterwards depends on these.
    pub(super) imported: Vec<Imported>,
    /// What the last look-up left to be opened.
    pub(super) next: Option<Next>,
    pub(super) open: Vec<Opened>,
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
pub(super) struct Opened {
    pub(super) ticket: u64,
    pub(super) open: Open,
    /// Its key, as the author wrote it.
    pub(super) source: Value,
    /// Its key holds what `caller()` shows.
    pub(super) shows_caller: bool,
}

impl Rendering {
    /// What this render has under way.
    pub(super) fn of<'a>(state: &'a mut State<'_, '_>, cache: &Arc<Inner>) -> &'a mut Rendering {
        state.get_or_insert_extension_with(|| Rendering {
            cache: Arc::clone(cache),
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
        if let Some(shared) = self.cache.shared.as_ref().filter(|_| !context::is_rendering()) {
            shared.render_ended(self.cache.id);
        }
    }
}
