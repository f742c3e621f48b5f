//! Code that runs in a frame of its own, whose dependencies the enclosing frame does not gather: lazy values, which
//! several computations read, and look-ups that only observe.

use super::{Frame, FrameId, Role, pop, push};
use crate::invalidation::dependencies::{Dependencies, StartStamp};

/// The dependencies of a lazy value, and the start stamps of the frames around its evaluation, by cache.
#[derive(Debug)]
pub(crate) struct Evaluated {
    began: Vec<(u64, StartStamp)>,
    record: Option<Dependencies>,
}

/// Evaluates a lazy value and gathers its dependencies. `began` has the start stamps of the open frames by cache, the
/// innermost first.
pub(crate) fn evaluate<R>(began: Vec<(u64, StartStamp)>, load: impl FnOnce() -> R) -> (R, Evaluated) {
    let Some(&(cache, begin)) = began.first() else {
        return (load(), Evaluated { began, record: None });
    };
    let (result, record) = gather_apart(Dependencies::new(cache, begin), load);
    (result, Evaluated { began, record })
}

/// Runs `run` and returns its dependencies. The enclosing frame does not gather them.
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
    /// Adds the dependencies of the value to a fragment that reads it.
    pub(crate) fn reach(&self, reader: &mut Dependencies) {
        match self.began.iter().find(|(cache, _)| *cache == reader.cache) {
            Some((_, begin)) => reader.begin = reader.begin.earliest(*begin),
            // The value was evaluated outside of all frames of this cache, so its age is not known.
            None => reader.uncacheable = true,
        }
        if let Some(record) = &self.record {
            reader.merge_nested(record);
        }
    }
}
