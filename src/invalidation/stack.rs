//! The frames that are open on this thread: scopes, computations, and results gathered apart.
//!
//! Owns the stack, and which frame gathers a dependency. `stack/frame.rs` is one frame, `stack/aside.rs` runs code in a
//! frame whose dependencies do not reach the frame around it. The stack is thread-local because it must reach across
//! MiniJinja states (a closure that renders, a lazy value that renders). A future carries its frame along from poll to
//! poll.
//!
//! Popping a frame by id also pops the frames above it. An error that template code swallowed left those open. The
//! enclosing result may be incomplete, so it is marked uncacheable.

mod aside;
mod frame;

use std::cell::RefCell;
use std::sync::Arc;

pub(crate) use self::aside::{Evaluated, evaluate, gather_apart};
#[cfg(feature = "http")]
pub(crate) use self::frame::WeakEntered;
pub(crate) use self::frame::{Entered, Frame, FrameId, Role, SharedFrame};
use crate::invalidation::dependencies::{Dependencies, StartStamp};

thread_local! {
    static CONTEXT: RefCell<Context> = const { RefCell::new(Context::new()) };
}

struct Context {
    frames: Vec<Frame>,
}

impl Context {
    const fn new() -> Context {
        Context { frames: Vec::new() }
    }

    fn scope_of(&mut self, cache: u64) -> Option<StartStamp> {
        self.frames
            .iter_mut()
            .rev()
            .find_map(|frame| frame.with(|record| (record.cache == cache).then_some(record.begin)))
    }

    /// The innermost open frame of a cache, in a form that other threads can push too.
    fn innermost(&mut self, cache: u64) -> Option<SharedFrame> {
        let around = self.frames.iter().rev().find_map(Frame::entered).map(Arc::downgrade);
        let frame = self.frames.iter_mut().rev().find(|frame| frame.is_of(cache))?;
        Some(SharedFrame { around, ..frame.open_to_threads() })
    }

    /// Pops a frame, and the frames that were left open above it.
    fn pop(&mut self, id: FrameId) -> Option<(Frame, Vec<Frame>)> {
        let at = self.frames.iter().rposition(|frame| frame.id() == id)?;
        let above = self.frames.split_off(at + 1);
        let mut frame = self.frames.pop()?;
        let mut closed = Vec::new();
        for mut inner in above {
            match inner.role() {
                // The guard of this scope outlives the guard of an earlier one: the scope stays entered.
                Role::Scope => self.frames.push(inner),
                _ => {
                    let left_open = inner.with(|record| record.clone());
                    frame.with(|record| {
                        record.merge_nested(&left_open);
                        record.uncacheable = true;
                    });
                    closed.push(inner);
                }
            }
        }
        Some((frame, closed))
    }
}

/// Runs `f` on this thread's context; `None` while the thread is being torn down.
#[inline]
fn with<R>(f: impl FnOnce(&mut Context) -> R) -> Option<R> {
    CONTEXT.try_with(|context| f(&mut context.borrow_mut())).ok()
}

/// Pushes a frame. Its span is entered while the stack is not borrowed, because a tracing subscriber may call back into
/// this file.
pub(crate) fn push(mut frame: Frame) -> FrameId {
    let id = frame.id();
    if let Some(entered) = frame.entered().cloned() {
        // A scope has the span around it. On the thread of that span it is already entered.
        let is_entered = |known: &Frame| known.entered().is_some_and(|known| Arc::ptr_eq(known, &entered));
        if with(|context| context.frames.iter().any(is_entered)).unwrap_or(true) {
            frame.enter_in(None);
        } else {
            entered.enter();
        }
    }
    with(|context| context.frames.push(frame));
    id
}

/// Pops a frame, if it is on this thread's stack.
pub(crate) fn pop(id: FrameId) -> Option<Frame> {
    let (frame, closed) = with(|context| context.pop(id)).flatten()?;
    let frames = closed.iter().rev().chain([&frame]);
    frames.filter_map(Frame::entered).for_each(|entered| entered.exit());
    Some(frame)
}

/// The result of `find` for the innermost frame for which it returns `Some`.
pub(crate) fn find<R>(find: impl FnMut(&Frame) -> Option<R>) -> Option<R> {
    with(|context| context.frames.iter().rev().find_map(find)).flatten()
}

/// Like [`find`], among the frames of one cache.
pub(crate) fn find_of<R>(cache: u64, mut of_frame: impl FnMut(&Frame) -> Option<R>) -> Option<R> {
    find(|frame| frame.is_of(cache).then(|| of_frame(frame)).flatten())
}

/// The start stamp of each open frame with its cache, the innermost first.
pub(crate) fn began() -> Vec<(u64, StartStamp)> {
    let began = |frame: &Frame| frame.with_record(|record| (record.cache, record.begin));
    with(|context| context.frames.iter().rev().map(began).collect()).unwrap_or_default()
}

/// Calls `f` on the dependencies of the innermost frame; does nothing without an open frame.
#[inline]
pub(crate) fn gather(f: impl FnOnce(&mut Dependencies)) {
    with(|context| context.frames.last_mut().map(|frame| frame.with(f)));
}

/// Whether a frame is open on this thread.
pub(crate) fn is_enclosed() -> bool {
    with(|context| !context.frames.is_empty()).unwrap_or(false)
}

/// Whether a caller on this thread must not wait for a flight, because a frame of the thread leads one itself. A leader
/// of a page may wait for fragments, and a leader of a fragment waits for no flight, so that no two leaders wait for
/// each other. `of_page` is true if the caller looks up a page.
pub(crate) fn in_flight(of_page: bool) -> bool {
    let leads = |frame: &Frame| match frame.role() {
        Role::Aside | Role::Scope => false,
        Role::Fragment { leads, .. } => leads,
        Role::Page { leads } => leads && of_page,
    };
    with(|context| context.frames.iter().any(leads)).unwrap_or(false)
}

/// The start stamp of the innermost frame of this cache on this thread.
pub(crate) fn scope_begin(cache: u64) -> Option<StartStamp> {
    with(|context| context.scope_of(cache)).flatten()
}

/// The innermost scope of a cache on this thread, or the computation inside it.
pub(crate) fn innermost_scope(cache: u64) -> Option<SharedFrame> {
    with(|context| context.innermost(cache)).flatten()
}

/// Whether all open frames produce text. A mark inside a value could not be found again.
pub(crate) fn is_in_text() -> bool {
    let text = |frame: &Frame| !matches!(frame.role(), Role::Fragment { text: false, .. });
    with(|context| context.frames.iter().all(text)).unwrap_or(false)
}
