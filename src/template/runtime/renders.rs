//! The renders that are running on this thread, and the start of each. Owns the list of renders and the nesting depth
//! of renders that the crate starts.
//!
//! A render inside another one takes over the start of the outer render, because its context may contain data that the
//! outer one read. The position of a render's state on the stack shows which code runs inside that render. The state's
//! own record of its start is in `rendering.rs`.

use std::cell::RefCell;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::invalidation::dependencies::StartStamp;
use crate::invalidation::stack;

thread_local! {
    static RENDERS: RefCell<Renders> = const { RefCell::new(Renders { open: Vec::new(), nesting: Nesting { levels: 0, outermost: 0 } }) };
}

/// The identifier of a render, never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RenderId(u64);

impl RenderId {
    fn next() -> RenderId {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        RenderId(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

/// A MiniJinja render whose state exists.
struct Render {
    id: RenderId,
    cache: u64,
    begin: StartStamp,
    /// Stack address of its state while it ran.
    state: usize,
    /// Minimum distance in bytes between its state and the stack of code that runs inside it. The application may keep
    /// the state after the render ended. Code that runs afterwards is as high on the stack as the render was, so it
    /// counts as outside. If that code is called from far below, it counts as inside: then a result may be refused, but
    /// none is stale.
    distance: usize,
}

impl Render {
    /// Whether the code at this stack address runs inside the render.
    fn encloses(&self, at: usize) -> bool {
        self.state.checked_sub(at).is_some_and(|below| below >= self.distance)
    }
}

struct Renders {
    open: Vec<Render>,
    nesting: Nesting,
}

impl Renders {
    /// The renders around a stack address, innermost first.
    fn around(&self, at: usize) -> impl Iterator<Item = &Render> {
        self.open.iter().rev().filter(move |render| render.encloses(at))
    }

    /// The start of the innermost render of a cache around a stack address.
    fn begin_of(&self, cache: u64, at: usize) -> Option<StartStamp> {
        self.around(at).find(|render| render.cache == cache).map(|render| render.begin)
    }
}

/// Runs `f` on this thread's renders; `None` while the thread is being torn down.
fn with<R>(f: impl FnOnce(&mut Renders) -> R) -> Option<R> {
    RENDERS.try_with(|renders| f(&mut renders.borrow_mut())).ok()
}

/// The start of a computation at this point: that of the innermost scope of this cache, else of the innermost render
/// around it.
pub(crate) fn work_begin(cache: u64) -> Option<StartStamp> {
    stack::scope_begin(cache).or_else(|| with(|renders| renders.begin_of(cache, stack_address())).flatten())
}

/// The start of a computation at this point in each cache that has a scope or render around it, innermost first.
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

/// Records the start of a render whose state is at the address `state`. Code inside the render is at least `distance`
/// bytes below. Returns its start: that of the enclosing scope or render, else `now`. A render whose start was not seen
/// is not recorded.
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

/// Records that the state of a render was dropped.
pub(crate) fn leave_render(id: RenderId) {
    with(|renders| renders.open.retain(|render| render.id != id));
}

/// Whether the code at this point runs inside a render other than this one.
pub(crate) fn is_inside_another(render: Option<RenderId>) -> bool {
    with(|renders| renders.around(stack_address()).any(|around| Some(around.id) != render)).unwrap_or(false)
}

/// The nesting of the renders that the crate started on a thread.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Nesting {
    pub(crate) levels: usize,
    /// Stack address of the state of the outermost render around them, or of the point where the first one began.
    outermost: usize,
}

impl Nesting {
    /// Bytes of stack between the outermost render and this point, with those of includes and macros.
    pub(crate) fn stack(self) -> usize {
        self.outermost.abs_diff(stack_address())
    }
}

/// The current stack address.
pub(crate) fn stack_address() -> usize {
    let here = 0_u8;
    std::ptr::from_ref(&here).addr()
}

/// Records the start of a render that the crate starts.
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

/// Records the end of such a render.
pub(crate) fn unnest() {
    with(|renders| renders.nesting.levels = renders.nesting.levels.saturating_sub(1));
}
