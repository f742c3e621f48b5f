//! Calls under way: when they began, what they were given, and what is measured inside of them.
//!
//! They live in a `State` extension, so a render that fails takes them along. A call that was left open by an error
//! which a function of the application swallowed stands above the one that ends next, and is dropped with it.

use std::cell::Cell;
use std::sync::Arc;
use std::time::{Duration, Instant};

use minijinja::{AutoEscape, State, Value};
use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

use super::inputs::Reader;
use super::ledger::{Call, Reason, Verdict};
use super::plan::{Path, Plan};
use super::{Measurements, Site};

/// The largest buffer that a thread keeps for its next call.
const KEPT_BYTES: usize = 64 << 10;

thread_local! {
    static BUFFER: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// What a render has under way.
#[derive(Default)]
pub(crate) struct Running {
    open: Vec<Open>,
    /// The name of the include whose turn it is.
    pub(crate) target: Option<Value>,
    /// How many renders around this place throw their output away.
    pub(crate) discarding: u32,
}

struct Open {
    site: Arc<Site>,
    given: Given,
    started: Instant,
    nested: Nested,
}

/// The inputs of a call.
pub(crate) struct Given {
    pub(crate) plan: Arc<Plan>,
    /// Of the plan's roots.
    pub(crate) values: Vec<Value>,
    /// The mode of escaping, as far as it tells calls apart.
    pub(crate) escaping: u8,
}

/// What was measured inside of a call.
#[derive(Default)]
struct Nested {
    time: Duration,
    /// Spent on measuring.
    probes: Duration,
    /// What it read from outside: that may be outside of this call as well.
    inputs: u64,
    unreadable: Option<Reason>,
}

/// A call's inputs, compared.
struct Compared {
    inputs: Result<u128, Reason>,
    /// The part of them that whoever calls has not given.
    outside: Result<u64, Reason>,
}

impl Running {
    pub(crate) fn of<'s>(state: &'s mut State<'_, '_>) -> &'s mut Running {
        state.get_or_insert_extension_with(Running::default)
    }

    /// How many calls are under way.
    pub(crate) fn depth(&self) -> usize {
        self.open.len()
    }

    /// Begins a call that has been prepared for since `since`.
    pub(crate) fn begin(&mut self, site: Arc<Site>, given: Given, since: Instant) {
        let started = Instant::now();
        if let Some(around) = self.open.last_mut() {
            around.nested.probes += started - since;
        }
        self.open.push(Open { site, given, started, nested: Nested::default() });
    }

    /// Drops calls that will not end, down to a depth.
    pub(crate) fn abandon(&mut self, depth: usize) {
        self.open.truncate(depth);
    }

    /// Notes that what is rendered next shows inputs which nobody sees.
    pub(crate) fn overlook(&self) {
        self.open.iter().for_each(|around| around.site.ledger().overlook());
    }

    /// What a call reads from outside, those around it read too.
    fn tell_around(&self, given: &Given, reader: &Reader<'_>) {
        for around in &self.open {
            let mut ledger = around.site.ledger();
            if given.plan.inherits {
                ledger.overlook();
            }
            for path in given.plan.read_outside() {
                ledger.inner_input(&path.name, reader.kind(path, &given.values));
            }
        }
    }

    /// Where the innermost call of a site is.
    pub(crate) fn innermost(&self, id: u64) -> Option<usize> {
        self.open.iter().rposition(|open| open.site.id == id)
    }

    /// Ends the call at a depth, with what it rendered.
    pub(crate) fn end(&mut self, depth: usize, body: &Value, all: &Measurements) {
        let ended = Instant::now();
        self.open.truncate(depth + 1);
        let Some(Open { site, given, started, nested }) = self.open.pop() else { return };
        let time = (ended - started).saturating_sub(nested.probes);
        let own_time = time.saturating_sub(nested.time);

        let mut reader = Reader { readable: &all.readable, bytes: BUFFER.take() };
        let compared = compare(&given, &nested, &mut reader);
        let text = body.as_str().unwrap_or_default();
        let call = Call {
            inputs: compared.inputs,
            output: xxh3_64(text.as_bytes()) ^ u64::from(body.is_safe()),
            bytes: text.len(),
            time,
            own_time,
        };
        let mut ledger = site.ledger();
        if ledger.note(call) != Verdict::Repeat {
            for path in &given.plan.paths {
                ledger.input(&path.name, reader.kind(path, &given.values));
            }
        }
        if given.plan.inherits {
            ledger.overlook();
        }
        drop(ledger);
        self.tell_around(&given, &reader);
        if reader.bytes.capacity() <= KEPT_BYTES {
            reader.bytes.clear();
            BUFFER.set(reader.bytes);
        }

        let Some(around) = self.open.last_mut() else { return };
        around.nested.time += time;
        match compared.outside {
            Ok(inputs) => around.nested.inputs = around.nested.inputs.rotate_left(1) ^ inputs,
            Err(reason) => drop(around.nested.unreadable.get_or_insert(reason)),
        }
        around.nested.probes += nested.probes + ended.elapsed();
    }
}

/// Compares by a hash of the bytes, what is read from outside first.
fn compare(given: &Given, nested: &Nested, reader: &mut Reader<'_>) -> Compared {
    let (outside, own) = given.plan.paths.split_at(given.plan.outside);
    reader.bytes.push(given.escaping);
    reader.bytes.extend_from_slice(&given.plan.version.to_le_bytes());
    reader.bytes.extend_from_slice(&nested.inputs.to_le_bytes());
    let nested = nested.unreadable.clone().map_or(Ok(()), Err);
    let outside = nested.and_then(|()| read(outside, given, reader)).map(|()| xxh3_64(&reader.bytes));
    let inputs = match &outside {
        Ok(_) => read(own, given, reader).map(|()| xxh3_128(&reader.bytes)),
        Err(reason) => Err(reason.clone()),
    };
    Compared { inputs, outside }
}

fn read(paths: &[Path], given: &Given, reader: &mut Reader<'_>) -> Result<(), Reason> {
    paths.iter().try_for_each(|path| {
        let refused = |why| Reason { input: Arc::clone(&path.name), why };
        reader.path(path, &given.values).map_err(refused)
    })
}

/// The mode of escaping where a call is.
pub(crate) fn escaping(state: &State<'_, '_>) -> u8 {
    match state.auto_escape() {
        AutoEscape::None => 0,
        AutoEscape::Html => 1,
        _ => 2,
    }
}
