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

use minijinja::Value;

use self::aside::gather_apart;
pub(crate) use self::aside::{Evaluated, evaluate};
pub(crate) use self::frame::{Frame, FrameId, Role, Shared};
use crate::began::Began;
use crate::hole::Holes;
use crate::observe::Collector;
use crate::record::{Begin, Dependency, Record};
use crate::trace::Span;

thread_local! {
    static CONTEXT: RefCell<Context> = const { RefCell::new(Context::new()) };
}

/// A render's name, never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RenderId(u64);

/// A MiniJinja render in which a block, an import or an `extends` was reached.
struct Render {
    id: RenderId,
    began: Began,
    /// What it imported or extended: every fragment it opens afterwards depends on these.
    imported: Vec<Imported>,
    /// What the look-ups made here are for, if they are an import's or an `extends`'.
    importing: Option<Loads>,
}

/// What a look-up is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Loads {
    Import,
    /// The parent of the template of this name.
    Parent {
        of: Box<str>,
    },
}

/// A template that a render imported or extended.
#[derive(Debug, Clone)]
pub(crate) struct Imported {
    cache: u64,
    pub(crate) dependency: Dependency,
    pub(crate) loads: Loads,
}

struct Context {
    frames: Vec<Frame>,
    renders: Vec<Render>,
    /// Per cache, the first template look-up since the last render known to have ended: what a render without a
    /// scope began with, or something earlier, which only ever refuses more.
    began: Began,
    /// When the last render that was seen to end did so. One of a template that was looked up earlier and kept begins
    /// without a look-up, but not before that.
    ended: Began,
    /// What the hit just looked up prints.
    hit: Option<Value>,
    /// The number that the look-up just made is to be marked by.
    mark: Option<u64>,
}

impl Context {
    const fn new() -> Context {
        Context {
            frames: Vec::new(),
            renders: Vec::new(),
            began: Began::none(),
            ended: Began::none(),
            hit: None,
            mark: None,
        }
    }

    fn scope_of(&mut self, cache: u64) -> Option<Begin> {
        self.frames
            .iter_mut()
            .rev()
            .find_map(|frame| frame.with(|record| (record.cache == cache).then_some(record.begin)))
    }

    /// The innermost thing of a cache that is open here, as something that other threads can enter too.
    fn innermost(&mut self, cache: u64) -> Option<Shared> {
        let collector = self.collector(cache);
        let span = self.frames.iter().rev().map(Frame::span).find(|span| !span.is_none());
        let span = span.map(Span::downgrade).unwrap_or_default();
        let frame = self.frames.iter_mut().rev().find(|frame| frame.with_record(|record| record.cache == cache))?;
        Some(Shared { collector, span, ..frame.open_to_threads() })
    }

    /// Who collects the look-ups that are made here.
    fn collector(&self, cache: u64) -> Option<Arc<Collector>> {
        let of_cache = |frame: &&Frame| frame.with_record(|record| record.cache == cache);
        self.frames.iter().rev().filter(of_cache).find_map(Frame::collector).cloned()
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
                        record.enclose(&left_open);
                        record.uncacheable = true;
                    });
                    closed.push(inner);
                }
            }
        }
        Some((frame, closed))
    }

    /// When the work here began, for every cache that has a part in it, innermost first.
    fn began_everywhere(&mut self) -> Vec<(u64, Begin)> {
        let mut began: Vec<(u64, Begin)> = Vec::new();
        for frame in self.frames.iter_mut().rev() {
            let (cache, begin) = frame.with(|record| (record.cache, record.begin));
            if !began.iter().any(|(known, _)| *known == cache) {
                began.push((cache, begin));
            }
        }
        for (cache, begin) in self.innermost_began().all() {
            if !began.iter().any(|(known, _)| *known == cache) {
                began.push((cache, begin));
            }
        }
        began
    }

    /// Notes a look-up as a render's beginning, unless an earlier one is known. Renders without blocks end unseen, so
    /// what is long past is taken for another render's.
    fn note_beginning(&mut self, cache: u64, now: Begin) {
        let began = match self.renders.last_mut() {
            Some(render) => &mut render.began,
            None => {
                self.began.forget_if_long_past(cache, now);
                &mut self.began
            }
        };
        if began.of(cache).is_none() {
            began.note(cache, now);
        }
    }

    /// When the render here began, or a little before; what is long past was another render's.
    fn render_began(&self, cache: u64, now: Begin) -> Begin {
        let began = self.innermost_began().recent(cache, now);
        began.or_else(|| self.ended.recent(cache, now)).unwrap_or(now)
    }

    fn innermost_began(&self) -> &Began {
        self.renders.last().map_or(&self.began, |render| &render.began)
    }
}

/// A number that is never given twice.
fn next_id() -> u64 {
    use std::sync::atomic::{AtomicU64, Ordering};
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// Runs `f` on this thread's context; `None` while the thread is being torn down.
#[inline]
fn with<R>(f: impl FnOnce(&mut Context) -> R) -> Option<R> {
    CONTEXT.try_with(|context| f(&mut context.borrow_mut())).ok()
}

/// Puts a frame on top. Its span is entered beside the stack, not under it: a subscriber may come back here.
pub(crate) fn push(mut frame: Frame) -> FrameId {
    let id = frame.id();
    if !frame.span().is_none() {
        // A scope knows the span around it, which is current here unless this is another thread.
        let current = with(|context| context.frames.iter().any(|known| known.span().is(frame.span())));
        if current.unwrap_or(true) {
            frame.forget_span();
        }
        frame.span().enter();
    }
    with(|context| context.frames.push(frame));
    id
}

/// Takes a frame off, if it stands on this thread.
pub(crate) fn pop(id: FrameId) -> Option<Frame> {
    let (frame, closed) = with(|context| context.pop(id)).flatten()?;
    closed.iter().rev().for_each(|inner| inner.span().exit());
    frame.span().exit();
    Some(frame)
}

/// Adds to what the innermost frame gathers; nothing outside of any.
#[inline]
pub(crate) fn gather(f: impl FnOnce(&mut Record)) {
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
pub(crate) fn scope_begin(cache: u64) -> Option<Begin> {
    with(|context| context.scope_of(cache)).flatten()
}

/// The innermost scope of a cache on this thread, or what is computed inside of it.
pub(crate) fn innermost_scope(cache: u64) -> Option<Shared> {
    with(|context| context.innermost(cache)).flatten()
}

/// Why there can be no hole here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoHole {
    /// It would be stored with a fragment.
    InFragment,
    /// It would be stored with the page of a layer inside of the one that fills it.
    InPage,
    /// Nobody would fill it.
    NoPage,
}

/// The holes of the page that is being rendered.
pub(crate) fn holes() -> Result<Arc<Holes>, NoHole> {
    with(|context| {
        for frame in context.frames.iter().rev() {
            match frame.role() {
                Role::Scope => {
                    if let Some(holes) = frame.holes() {
                        return Ok(holes);
                    }
                }
                Role::Page { .. } => return Err(NoHole::InPage),
                Role::Fragment { .. } | Role::Aside => return Err(NoHole::InFragment),
            }
        }
        Err(NoHole::NoPage)
    })
    .unwrap_or(Err(NoHole::NoPage))
}

/// When the render on this thread began, for a render without a scope.
pub(crate) fn render_begin(cache: u64, now: Begin) -> Begin {
    with(|context| context.render_began(cache, now)).unwrap_or(now)
}

/// Notes that the render looked a template up. `now` is asked only outside of any scope.
pub(crate) fn looked_up(cache: u64, dependency: Dependency, now: impl FnOnce() -> Begin) {
    with(|context| {
        if context.scope_of(cache).is_none() {
            context.note_beginning(cache, now());
        }
        if let Some(render) = context.renders.last_mut()
            && let Some(loads) = render.importing.clone()
        {
            render.imported.push(Imported { cache, dependency: dependency.clone(), loads });
        }
        if let Some(frame) = context.frames.last_mut() {
            frame.with(|record| {
                if record.cache == cache {
                    record.depend(dependency);
                } else {
                    record.uncacheable = true;
                }
            });
        }
    });
}

/// Looks a template up on behalf of an import or an `extends`: what `look_up` comes across, every fragment that this
/// render opens later depends on. A look-up that loaded the template is made again, so that it is MiniJinja's own copy
/// that answers, whoever else loads it at this moment.
pub(crate) fn import(loads: Loads, look_up: impl Fn()) {
    set_importing(Some(loads));
    look_up();
    if forget_loads() {
        look_up();
    }
    set_importing(None);
}

/// What `look` shows of the template of a name; looked up once more if the first time loaded it, as in [`import`].
pub(crate) fn observe(cache: u64, begin: Begin, name: &str, look: impl Fn()) -> Option<Dependency> {
    let observed = || {
        let ((), record) = gather_apart(Record::new(cache, begin), &look);
        record?.dependencies().iter().find(|known| known.template.name() == name).cloned()
    };
    observed().and_then(|found| if found.seen.load.is_some() { observed() } else { Some(found) })
}

/// Forgets imports that were answered by loading; whether there were any.
fn forget_loads() -> bool {
    with(|context| {
        let Some(render) = context.renders.last_mut() else { return false };
        let known = render.imported.len();
        render.imported.retain(|imported| imported.dependency.seen.load.is_none());
        render.imported.len() < known
    })
    .unwrap_or(false)
}

fn set_importing(loads: Option<Loads>) {
    with(|context| context.renders.last_mut().map(|render| render.importing = loads));
}

/// What the render has imported and extended so far, through this cache.
pub(crate) fn imported(cache: u64) -> Vec<Imported> {
    with(|context| {
        let imported = context.renders.last().map_or(&[][..], |render| &render.imported);
        imported.iter().filter(|imported| imported.cache == cache).cloned().collect()
    })
    .unwrap_or_default()
}

/// Whether a render has begun here whose end nobody would see.
pub(crate) fn render_end_unseen() -> bool {
    with(|context| context.renders.is_empty() && context.began.all().next().is_some()).unwrap_or(false)
}

/// Notes that a render goes on inside this one, or begins.
pub(crate) fn enter_render(cache: u64, now: Begin) -> RenderId {
    let id = RenderId(next_id());
    with(|context| {
        let mut began = context.innermost_began().clone();
        // Not inside that render, if its state was kept after its end.
        began.forget_if_long_past(cache, now);
        if began.of(cache).is_none() {
            began.note(cache, context.render_began(cache, now));
        }
        context.renders.push(Render { id, began, imported: Vec::new(), importing: None });
    });
    id
}

/// Notes that a render ended, with all that it left open inside; whether it was the outermost one.
pub(crate) fn leave_render(id: RenderId, cache: u64, ended: Option<Begin>) -> bool {
    with(|context| {
        if let Some(at) = context.renders.iter().rposition(|render| render.id == id) {
            context.renders.truncate(at);
        }
        if context.renders.is_empty() {
            context.began = Began::none();
            if let Some(ended) = ended {
                context.ended.set(cache, ended);
            }
        }
        context.renders.is_empty()
    })
    .unwrap_or(true)
}

/// Notes that a render ended in which nothing was computed.
pub(crate) fn leave_hits() {
    with(|context| {
        if context.renders.is_empty() {
            context.began = Began::none();
        }
    });
}

/// Who collects the look-ups made here, if anybody does.
pub(crate) fn collector(cache: u64) -> Option<Arc<Collector>> {
    with(|context| context.collector(cache)).flatten()
}

/// What the work here is inside of, among what its collector has.
pub(crate) fn explained(cache: u64) -> Option<usize> {
    with(|context| {
        let of_cache = |frame: &&Frame| frame.with_record(|record| record.cache == cache);
        let inside = |frame: &&Frame| frame.explained().is_some() || frame.collector().is_some();
        context.frames.iter().rev().filter(of_cache).find(inside).and_then(Frame::explained)
    })
    .flatten()
}

/// Whether all that the work here is part of is text: in a value no mark would be found again.
pub(crate) fn is_in_text() -> bool {
    let text = |frame: &Frame| !matches!(frame.role(), Role::Fragment { text: false, .. });
    with(|context| context.frames.iter().all(text)).unwrap_or(false)
}

/// Leaves the number that a look-up is to be marked by.
pub(crate) fn set_mark(mark: Option<u64>) {
    with(|context| context.mark = mark);
}

/// Takes the number that the look-up just made is to be marked by. One that was left here by another's is for nobody.
pub(crate) fn take_mark() -> Option<u64> {
    with(|context| {
        let mark = context.mark.take();
        let marks = |frame: &Frame| frame.collector().is_some_and(|collector| collector.marks());
        mark.filter(|_| context.frames.iter().any(marks))
    })
    .flatten()
}

/// Leaves the text of a hit for the filter that prints it.
pub(crate) fn set_hit(text: Value) {
    with(|context| context.hit = Some(text));
}

/// Takes the text of the hit looked up last.
pub(crate) fn take_hit() -> Option<Value> {
    with(|context| context.hit.take()).flatten()
}
