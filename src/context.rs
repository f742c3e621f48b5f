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
use crate::hole::Holes;
use crate::observe::Collector;
use crate::record::{Begin, Record};
use crate::templates::Dependency;
use crate::trace::Span;

thread_local! {
    static CONTEXT: RefCell<Context> = const { RefCell::new(Context::new()) };
}

/// A render's name, never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RenderId(u64);

/// A MiniJinja render whose state is kept. A render inside it takes over when it began, because its context may hold what
/// this one read.
struct Render {
    id: RenderId,
    cache: u64,
    begin: Begin,
    /// Where its state was on the stack while it ran.
    state: usize,
    /// Bytes of stack by which what runs inside of it is below its state, at the least. What runs after it, where its
    /// state is kept and stands elsewhere, is as high on the stack as it was, or called from so deep that it counts as
    /// inside: that only refuses more.
    distance: usize,
}

impl Render {
    /// Whether what stands at this place of the stack runs inside of it.
    fn encloses(&self, at: usize) -> bool {
        self.state.checked_sub(at).is_some_and(|below| below >= self.distance)
    }
}

struct Context {
    frames: Vec<Frame>,
    renders: Vec<Render>,
    /// The look-ups of an import or an `extends`, while one is made.
    importing: Option<Vec<(u64, Dependency)>>,
    nesting: Nesting,
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
            importing: None,
            nesting: Nesting { levels: 0, outermost: 0 },
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

    /// When the innermost work of a cache around this place of the stack began: a scope's, else a render's.
    fn begin_of(&mut self, cache: u64, at: usize) -> Option<Begin> {
        self.scope_of(cache).or_else(|| self.around(at).find(|render| render.cache == cache).map(|render| render.begin))
    }

    /// The renders around a place of the stack, innermost first.
    fn around(&self, at: usize) -> impl Iterator<Item = &Render> {
        self.renders.iter().rev().filter(move |render| render.encloses(at))
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
        let frames = self.frames.iter_mut().rev().map(|frame| frame.with(|record| (record.cache, record.begin)));
        let frames: Vec<(u64, Begin)> = frames.collect();
        let renders = self.around(stack_address()).map(|render| (render.cache, render.begin));
        let mut began: Vec<(u64, Begin)> = Vec::new();
        for (cache, begin) in frames.into_iter().chain(renders) {
            if !began.iter().any(|(known, _)| *known == cache) {
                began.push((cache, begin));
            }
        }
        began
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

/// When the work here began: with the innermost scope of this cache, else with the innermost render around it.
pub(crate) fn work_begin(cache: u64) -> Option<Begin> {
    with(|context| context.begin_of(cache, stack_address())).flatten()
}

/// Notes that a template was looked up.
pub(crate) fn looked_up(cache: u64, dependency: Dependency) {
    with(|context| {
        if let Some(importing) = &mut context.importing {
            importing.push((cache, dependency.clone()));
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

/// Looks that are made again at the most, while other threads load the same template.
const LOOKS: usize = 8;

/// Looks templates up, and gives what was looked up in this cache beside the answer. A look-up that loaded a template is
/// made again, because MiniJinja may have answered it with an older text that another thread loaded meanwhile.
pub(crate) fn look_up<R>(cache: u64, look: impl Fn() -> R) -> (R, Vec<Dependency>) {
    let mut looks = 0;
    loop {
        let importing = Importing::begin();
        let answer = look();
        let seen = importing.end();
        looks += 1;
        if looks == LOOKS || seen.iter().all(|(_, dependency)| dependency.seen.load.is_none()) {
            let of_cache = seen.into_iter().filter(|(of, _)| *of == cache);
            return (answer, of_cache.map(|(_, dependency)| dependency).collect());
        }
    }
}

/// Collects look-ups until it is dropped, also by a panic of the application's loader.
struct Importing {
    outer: Option<Vec<(u64, Dependency)>>,
}

impl Importing {
    fn begin() -> Importing {
        Importing { outer: with(|context| context.importing.replace(Vec::new())).flatten() }
    }

    fn end(self) -> Vec<(u64, Dependency)> {
        with(|context| context.importing.take()).flatten().unwrap_or_default()
    }
}

impl Drop for Importing {
    fn drop(&mut self) {
        with(|context| context.importing = self.outer.take());
    }
}

/// What `look` shows of the template of a name; what encloses the look-up does not depend on it.
pub(crate) fn observe(cache: u64, begin: Begin, name: &str, look: impl Fn()) -> Option<Dependency> {
    let (((), seen), _) = gather_apart(Record::new(cache, begin), || look_up(cache, look));
    seen.into_iter().find(|known| known.template.name() == name)
}

/// Notes that a render begins, whose state is at this place of the stack; what runs inside of it is so far below at the
/// least. Gives when it began: with what encloses it, else at `now`. One whose start was not seen is not noted.
pub(crate) fn enter_render(
    cache: u64,
    state: usize,
    distance: usize,
    now: impl FnOnce() -> Begin,
) -> (Begin, Option<RenderId>) {
    let entered = with(|context| {
        let begin = context.begin_of(cache, state).unwrap_or_else(now);
        if begin == Begin::UNSEEN {
            return (begin, None);
        }
        let id = RenderId(next_id());
        context.renders.push(Render { id, cache, begin, state, distance });
        (begin, Some(id))
    });
    entered.unwrap_or((Begin::UNSEEN, None))
}

/// Notes that the state of a render is gone.
pub(crate) fn leave_render(id: RenderId) {
    with(|context| context.renders.retain(|render| render.id != id));
}

/// Whether the work here runs inside of another render than this one.
pub(crate) fn is_inside_another(render: Option<RenderId>) -> bool {
    with(|context| context.around(stack_address()).any(|around| Some(around.id) != render)).unwrap_or(false)
}

/// How deep renders that the crate started are inside one another on a thread.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Nesting {
    pub(crate) levels: usize,
    /// Where the outermost render around them has its state on the stack, or where the first one began.
    outermost: usize,
}

impl Nesting {
    /// Bytes of the thread's stack between the outermost render and here: includes and macros count too.
    pub(crate) fn stack(self) -> usize {
        self.outermost.abs_diff(stack_address())
    }
}

/// Where the thread's stack has grown to.
pub(crate) fn stack_address() -> usize {
    let here = 0_u8;
    std::ptr::from_ref(&here).addr()
}

/// Notes that one more such render is open here.
pub(crate) fn nest() -> Nesting {
    with(|context| {
        if context.nesting.levels == 0 {
            let here = stack_address();
            context.nesting.outermost = context.around(here).map(|render| render.state).max().unwrap_or(here);
        }
        context.nesting.levels += 1;
        context.nesting
    })
    .unwrap_or_default()
}

/// Notes that one such render ended.
pub(crate) fn unnest() {
    with(|context| context.nesting.levels = context.nesting.levels.saturating_sub(1));
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
