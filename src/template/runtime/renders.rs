//! The renders under way on this thread, and when each began.
//!
//! A render inside of another one takes over when that began, because its context may hold what the outer one read. Where a
//! render's state stands on the stack tells what runs inside of it.

use std::cell::RefCell;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::invalidation::dependencies::StartStamp;
use crate::invalidation::stack;

thread_local! {
    static RENDERS: RefCell<Renders> = const { RefCell::new(Renders { open: Vec::new(), nesting: Nesting { levels: 0, outermost: 0 } }) };
}

/// A render's name, never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RenderId(u64);

impl RenderId {
    fn next() -> RenderId {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        RenderId(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

/// A MiniJinja render whose state is kept. A render inside it takes over when it began, because its context may hold what
/// this one read.
struct Render {
    id: RenderId,
    cache: u64,
    begin: StartStamp,
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

struct Renders {
    open: Vec<Render>,
    nesting: Nesting,
}

impl Renders {
    /// The renders around a place of the stack, innermost first.
    fn around(&self, at: usize) -> impl Iterator<Item = &Render> {
        self.open.iter().rev().filter(move |render| render.encloses(at))
    }

    /// When the innermost render of a cache around this place of the stack began.
    fn begin_of(&self, cache: u64, at: usize) -> Option<StartStamp> {
        self.around(at).find(|render| render.cache == cache).map(|render| render.begin)
    }
}

/// Runs `f` on this thread's renders; `None` while the thread is being torn down.
fn with<R>(f: impl FnOnce(&mut Renders) -> R) -> Option<R> {
    RENDERS.try_with(|renders| f(&mut renders.borrow_mut())).ok()
}

/// When the work here began: with the innermost scope of this cache, else with the innermost render around it.
pub(crate) fn work_begin(cache: u64) -> Option<StartStamp> {
    stack::scope_begin(cache).or_else(|| with(|renders| renders.begin_of(cache, stack_address())).flatten())
}

/// When the work here began, for every cache that has a part in it, innermost first.
pub(crate) fn began_everywhere() -> Vec<(u64, StartStamp)> {
    let of_renders = |renders: &mut Renders| -> Vec<(u64, StartStamp)> {
        renders.around(stack_address()).map(|render| (render.cache, render.begin)).collect()
    };
    let mut began: Vec<(u64, StartStamp)> = Vec::new();
    for (cache, begin) in stack::began().into_iter().chain(with(of_renders).unwrap_or_default()) {
        if !began.iter().any(|(known, _)| *known == cache) {
            began.push((cache, begin));
        }
    }
    began
}

/// Notes that a render begins, whose state is at this place of the stack; what runs inside of it is so far below at the
/// least. Gives when it began: with what encloses it, else at `now`. One whose start was not seen is not noted.
pub(crate) fn enter_render(
    cache: u64,
    state: usize,
    distance: usize,
    now: impl FnOnce() -> StartStamp,
) -> (StartStamp, Option<RenderId>) {
    let scope = stack::scope_begin(cache);
    let entered = with(|renders| {
        let begin = scope.or_else(|| renders.begin_of(cache, state)).unwrap_or_else(now);
        if begin == StartStamp::UNSEEN {
            return (begin, None);
        }
        let id = RenderId::next();
        renders.open.push(Render { id, cache, begin, state, distance });
        (begin, Some(id))
    });
    entered.unwrap_or((StartStamp::UNSEEN, None))
}

/// Notes that the state of a render is gone.
pub(crate) fn leave_render(id: RenderId) {
    with(|renders| renders.open.retain(|render| render.id != id));
}

/// Whether the work here runs inside of another render than this one.
pub(crate) fn is_inside_another(render: Option<RenderId>) -> bool {
    with(|renders| renders.around(stack_address()).any(|around| Some(around.id) != render)).unwrap_or(false)
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
    with(|renders| {
        if renders.nesting.levels == 0 {
            let here = stack_address();
            renders.nesting.outermost = renders.around(here).map(|render| render.state).max().unwrap_or(here);
        }
        renders.nesting.levels += 1;
        renders.nesting
    })
    .unwrap_or_default()
}

/// Notes that one such render ended.
pub(crate) fn unnest() {
    with(|renders| renders.nesting.levels = renders.nesting.levels.saturating_sub(1));
}
