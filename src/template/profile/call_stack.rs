//! The stack of running measured calls of a render: their start times, their inputs, and the nested calls' times.
//!
//! The stack is an extension of the render's `State`, so it is dropped with a render that fails. If a function of the
//! application swallows the error of a call, the call's frame stays on the stack. It is removed when a frame below it
//! ends.

use std::cell::Cell;
use std::sync::Arc;
use std::time::{Duration, Instant};

use minijinja::{AutoEscape, State, Value};
use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

use super::input_kind::UnreadableInput;
use super::inputs::InputReader;
use super::measurements::Measurements;
use super::plan::{InputPath, Plan};
use super::site::Site;
use super::site_stats::{CallComparison, CompletedCall};

/// A thread keeps its buffer for the next call if it is not larger than this.
const KEPT_BYTES: usize = 64 << 10;

thread_local! {
    static BUFFER: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// The running measured calls of a render.
#[derive(Default)]
pub(crate) struct CallStack {
    frames: Vec<CallFrame>,
    /// The template name of the include that is rendered next.
    pub(crate) target: Option<Value>,
    /// The number of enclosing renders whose output is discarded.
    pub(crate) discarding: u32,
}

/// A running call.
struct CallFrame {
    site: Arc<Site>,
    inputs: CallInputs,
    started: Instant,
    nested: NestedCalls,
}

/// The inputs of a call.
pub(crate) struct CallInputs {
    pub(crate) plan: Arc<Plan>,
    /// The values of the plan's roots.
    pub(crate) values: Vec<Value>,
    /// The mode of escaping, see [`escaping`].
    pub(crate) escaping: u8,
}

/// The sums over the measured calls inside of a call.
#[derive(Default)]
struct NestedCalls {
    time: Duration,
    /// The time spent on measuring them.
    overhead: Duration,
    /// A hash of the inputs that they read from their surroundings, which may be inputs of the enclosing call too.
    inputs: u64,
    unreadable: Option<UnreadableInput>,
}

/// Hashes of the inputs of a call.
struct HashedInputs {
    all: Result<u128, UnreadableInput>,
    /// The part that was read from the surroundings instead of the caller's arguments.
    outside: Result<u64, UnreadableInput>,
}

impl CallStack {
    pub(crate) fn of<'s>(state: &'s mut State<'_, '_>) -> &'s mut CallStack {
        state.get_or_insert_extension_with(CallStack::default)
    }

    /// The number of running calls.
    pub(crate) fn depth(&self) -> usize {
        self.frames.len()
    }

    /// Pushes the frame of a call. The time since `since` was spent on preparing it, and counts as overhead.
    pub(crate) fn begin(&mut self, site: Arc<Site>, inputs: CallInputs, since: Instant) {
        let started = Instant::now();
        if let Some(enclosing) = self.frames.last_mut() {
            enclosing.nested.overhead += started - since;
        }
        self.frames.push(CallFrame { site, inputs, started, nested: NestedCalls::default() });
    }

    /// Drops the frames above a depth, whose calls failed.
    pub(crate) fn abandon(&mut self, depth: usize) {
        self.frames.truncate(depth);
    }

    /// Records for all running calls that they have unknown inputs, because a part of them is not measured.
    pub(crate) fn mark_incomplete(&self) {
        self.frames.iter().for_each(|enclosing| enclosing.site.stats().mark_incomplete());
    }

    /// Records for the enclosing calls the inputs that a call read from its surroundings.
    fn record_in_enclosing(&self, inputs: &CallInputs, reader: &InputReader<'_>) {
        for enclosing in &self.frames {
            let mut stats = enclosing.site.stats();
            if inputs.plan.inherits {
                stats.mark_incomplete();
            }
            for path in inputs.plan.read_outside() {
                stats.record_nested_input(&path.name, reader.kind(path, &inputs.values));
            }
        }
    }

    /// The depth of the innermost running call of a site.
    pub(crate) fn innermost(&self, id: u64) -> Option<usize> {
        self.frames.iter().rposition(|frame| frame.site.id() == id)
    }

    /// Pops the frame at a depth, whose call rendered `body`, and the frames that were left above it.
    pub(crate) fn end(&mut self, depth: usize, body: &Value, measurements: &Measurements) {
        let ended = Instant::now();
        self.frames.truncate(depth + 1);
        let Some(CallFrame { site, inputs, started, nested }) = self.frames.pop() else { return };
        let time = (ended - started).saturating_sub(nested.overhead);
        let own_time = time.saturating_sub(nested.time);

        let mut reader = InputReader { readable: measurements.readable(), bytes: BUFFER.take() };
        let hashed = hash_inputs(&inputs, &nested, &mut reader);
        let text = body.as_str().unwrap_or_default();
        let call = CompletedCall {
            inputs: hashed.all,
            output: xxh3_64(text.as_bytes()) ^ u64::from(body.is_safe()),
            bytes: text.len(),
            time,
            own_time,
        };
        let mut stats = site.stats();
        if stats.record(call) != CallComparison::Repeat {
            for path in &inputs.plan.paths {
                stats.record_input(&path.name, reader.kind(path, &inputs.values));
            }
        }
        if inputs.plan.inherits {
            stats.mark_incomplete();
        }
        drop(stats);
        self.record_in_enclosing(&inputs, &reader);
        if reader.bytes.capacity() <= KEPT_BYTES {
            reader.bytes.clear();
            BUFFER.set(reader.bytes);
        }

        let Some(enclosing) = self.frames.last_mut() else { return };
        enclosing.nested.time += time;
        match hashed.outside {
            Ok(hash) => enclosing.nested.inputs = enclosing.nested.inputs.rotate_left(1) ^ hash,
            Err(unreadable) => drop(enclosing.nested.unreadable.get_or_insert(unreadable)),
        }
        enclosing.nested.overhead += nested.overhead + ended.elapsed();
    }
}

/// Hashes the inputs of a call: first those from the surroundings, then the arguments.
fn hash_inputs(inputs: &CallInputs, nested: &NestedCalls, reader: &mut InputReader<'_>) -> HashedInputs {
    let (outside, own) = inputs.plan.paths.split_at(inputs.plan.outside);
    reader.bytes.push(inputs.escaping);
    reader.bytes.extend_from_slice(&inputs.plan.version.to_le_bytes());
    reader.bytes.extend_from_slice(&nested.inputs.to_le_bytes());
    let nested = nested.unreadable.clone().map_or(Ok(()), Err);
    let outside = nested.and_then(|()| read(outside, inputs, reader)).map(|()| xxh3_64(&reader.bytes));
    let all = match &outside {
        Ok(_) => read(own, inputs, reader).map(|()| xxh3_128(&reader.bytes)),
        Err(unreadable) => Err(unreadable.clone()),
    };
    HashedInputs { all, outside }
}

fn read(paths: &[InputPath], inputs: &CallInputs, reader: &mut InputReader<'_>) -> Result<(), UnreadableInput> {
    paths.iter().try_for_each(|path| {
        let unreadable = |reason| UnreadableInput { name: Arc::clone(&path.name), reason };
        reader.append_path(path, &inputs.values).map_err(unreadable)
    })
}

/// The mode of escaping at a call, as one byte. JSON and custom modes share one.
pub(crate) fn escaping(state: &State<'_, '_>) -> u8 {
    match state.auto_escape() {
        AutoEscape::None => 0,
        AutoEscape::Html => 1,
        _ => 2,
    }
}
