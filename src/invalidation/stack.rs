//! What encloses the work on this thread: scopes, closures, open fragments, and the renders they open in.
//!
//! Owns the stack and who learns what. It is thread-local because it must reach across MiniJinja states (a closure
//! that renders, a lazy value that renders); a future takes its frame along from poll to poll.
//!
//! A frame is removed by id, and whatever still stands above it goes too: that was left open by an error that
//! somebody swallowed, and what encloses it is not stored, because nobody can say what it was to contain.

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

    /// The innermost frame of a cache that is open here, as one that other threads can enter too.
    fn innermost(&mut self, cache: u64) -> Option<SharedFrame> {
        let around = self.frames.iter().rev().find_map(Frame::entered).map(Arc::downgrade);
        let frame = self.frames.iter_mut().rev().find(|frame| frame.is_of(cache))?;
        Some(SharedFrame { around, ..frame.open_to_threads() })
    }

    /// Takes a frame off, and with it what was left open in it.
    fn pop(&mut self, id: FrameId) -> Option<(Frame, Vec<Frame>)> {
        let at = self.frames.iter().rposition(|frame| frame.id() == id)?;
        let above = self.frames.split_off(at + 1);
        let mut frame = self.frames.pop()?;
        let mut closed = Vec::new();
        for mut inner in above {
            match inner.role() {
                // A guard that outlives an earlier one: its scope stays entered.
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

/// Puts a frame on top. Its span is entered beside the stack, not under it: a subscriber may come back here.
pub(crate) fn push(mut frame: Frame) -> FrameId {
    let id = frame.id();
    if let Some(entered) = frame.entered().cloned() {
        // A scope knows the span around it, which is current here unless this is another thread.
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

/// Takes a frame off, if it stands on this thread.
pub(crate) fn pop(id: FrameId) -> Option<Frame> {
    let (frame, closed) = with(|context| context.pop(id)).flatten()?;
    let frames = closed.iter().rev().chain([&frame]);
    frames.filter_map(Frame::entered).for_each(|entered| entered.exit());
    Some(frame)
}

/// What `find` gives for the innermost frame for which it gives anything.
pub(crate) fn find<R>(find: impl FnMut(&Frame) -> Option<R>) -> Option<R> {
    with(|context| context.frames.iter().rev().find_map(find)).flatten()
}

/// The same among the frames of a cache.
pub(crate) fn find_of<R>(cache: u64, mut of_frame: impl FnMut(&Frame) -> Option<R>) -> Option<R> {
    find(|frame| frame.is_of(cache).then(|| of_frame(frame)).flatten())
}

/// When the work here began, by cache, innermost first.
pub(crate) fn began() -> Vec<(u64, StartStamp)> {
    let began = |frame: &Frame| frame.with_record(|record| (record.cache, record.begin));
    with(|context| context.frames.iter().rev().map(began).collect()).unwrap_or_default()
}

/// Adds to what the innermost frame gathers; nothing outside of any.
#[inline]
pub(crate) fn gather(f: impl FnOnce(&mut Dependencies)) {
    with(|context| context.frames.last_mut().map(|frame| frame.with(f)));
}

/// Whether anything encloses the work here.
pub(crate) fn is_enclosed() -> bool {
    with(|context| !context.frames.is_empty()).unwrap_or(false)
}

/// Whether the work here may not wait for somebody else's: it stands in a flight itself. A page may wait for fragments,
/// and no fragment waits for anything, so that no two can wait for each other.
pub(crate) fn in_flight(of_page: bool) -> bool {
    let leads = |frame: &Frame| match frame.role() {
        Role::Aside | Role::Scope => false,
        Role::Fragment { leads, .. } => leads,
        Role::Page { leads } => leads && of_page,
    };
    with(|context| context.frames.iter().any(leads)).unwrap_or(false)
}

/// When the innermost work of this cache on this thread began.
pub(crate) fn scope_begin(cache: u64) -> Option<StartStamp> {
    with(|context| context.scope_of(cache)).flatten()
}

/// The innermost scope of a cache on this thread, or what is computed inside of it.
pub(crate) fn innermost_scope(cache: u64) -> Option<SharedFrame> {
    with(|context| context.innermost(cache)).flatten()
}

/// Whether all that the work here is part of is text: in a value no mark would be found again.
pub(crate) fn is_in_text() -> bool {
    let text = |frame: &Frame| !matches!(frame.role(), Role::Fragment { text: false, .. });
    with(|context| context.frames.iter().all(text)).unwrap_or(false)
}
