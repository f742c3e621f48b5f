//! What is computed apart from what encloses it, which is not told of that as it happens: lazy values, which are read by
//! several, and look-ups that only observe.

use super::{Frame, FrameId, Role, pop, push};
use crate::invalidation::dependencies::{Dependencies, StartStamp};

/// What computing a lazy value depended on, and when the work around it began, by cache.
#[derive(Debug)]
pub(crate) struct Evaluated {
    began: Vec<(u64, StartStamp)>,
    record: Option<Dependencies>,
}

/// Computes a lazy value, gathering what that depends on. `began` is when the work here began, by cache, innermost first.
pub(crate) fn evaluate<R>(began: Vec<(u64, StartStamp)>, load: impl FnOnce() -> R) -> (R, Evaluated) {
    let Some(&(cache, begin)) = began.first() else {
        return (load(), Evaluated { began, record: None });
    };
    let (result, record) = gather_apart(Dependencies::new(cache, begin), load);
    (result, Evaluated { began, record })
}

/// Runs something and gives what it depended on, of which what encloses it here is not told.
pub(crate) fn gather_apart<R>(record: Dependencies, run: impl FnOnce() -> R) -> (R, Option<Dependencies>) {
    let frame = push(Frame::new(record, Role::Aside));
    let _left_on_panic = PopOnDrop(frame);
    let result = run();
    (result, pop(frame).and_then(Frame::into_record))
}

struct PopOnDrop(FrameId);

impl Drop for PopOnDrop {
    fn drop(&mut self) {
        pop(self.0);
    }
}

impl Evaluated {
    /// Tells a fragment that reads the value.
    pub(crate) fn reach(&self, reader: &mut Dependencies) {
        match self.began.iter().find(|(cache, _)| *cache == reader.cache) {
            Some((_, begin)) => reader.begin = reader.begin.earliest(*begin),
            // Computed outside anything this cache knew of: nobody can say since when the value is old.
            None => reader.uncacheable = true,
        }
        if let Some(record) = &self.record {
            reader.merge_nested(record);
        }
    }
}
