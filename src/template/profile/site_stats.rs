//! Statistics of one include or macro: counters, the names of its inputs, and a bounded memory of inputs and outputs,
//! by which repeated calls are recognised.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::input_kind::{InputKind, UnreadableInput};
use super::potential::Potential;

/// The number of inputs that a site remembers. A full set drops its least recently seen input, as an LRU cache would.
const REMEMBERED: usize = 4096;
/// The number of inputs in a set. An input belongs to exactly one set, as in a set-associative cache.
const SET: usize = 8;
/// The most names of inputs that are kept.
const NAMES: usize = 64;

/// The hashes of the inputs and of the output of an earlier call.
///
/// Zeros mean an empty slot. Real hashes that are zero are as likely as any other collision: one in 2^64 for each
/// remembered input.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct RememberedCall {
    input: u64,
    output: u64,
}

/// A call that ended without an error.
pub(super) struct CompletedCall {
    pub(super) inputs: Result<u128, UnreadableInput>,
    pub(super) output: u64,
    pub(super) bytes: usize,
    pub(super) time: Duration,
    pub(super) own_time: Duration,
}

/// The result of comparing a call with the remembered ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CallComparison {
    /// No remembered call has the same inputs.
    New,
    /// The same inputs gave the same output.
    Repeat,
    /// The same inputs gave another output.
    Conflict,
    /// The inputs cannot be compared.
    Unreadable,
}

/// Statistics of one measured include or macro.
#[derive(Debug, Default)]
pub(super) struct SiteStats {
    calls: u64,
    distinct: u64,
    repeats: u64,
    conflicts: u64,
    unreadable: u64,
    time: Duration,
    own_time: Duration,
    saved: Duration,
    bytes: u64,
    /// Sets one after another, each with the most recently seen call first. Allocated by the first call.
    remembered: Vec<RememberedCall>,
    /// The worst kind seen of each input.
    inputs: BTreeMap<Arc<str>, InputKind>,
    /// Whether the site may have inputs that are not in `inputs`.
    incomplete: bool,
    unreadable_input: Option<String>,
}

impl SiteStats {
    pub(super) fn record(&mut self, call: CompletedCall) -> CallComparison {
        self.calls += 1;
        self.time += call.time;
        self.own_time += call.own_time;
        self.bytes = self.bytes.saturating_add(call.bytes as u64);
        let comparison = match call.inputs {
            Ok(input) => self.compare(input, call.output),
            Err(unreadable) => {
                self.unreadable_input.get_or_insert_with(|| unreadable.to_string());
                CallComparison::Unreadable
            }
        };
        match comparison {
            CallComparison::New => self.distinct += 1,
            CallComparison::Repeat => {
                self.repeats += 1;
                self.saved += call.time;
            }
            CallComparison::Conflict => self.conflicts += 1,
            CallComparison::Unreadable => self.unreadable += 1,
        }
        comparison
    }

    fn compare(&mut self, input: u128, output: u64) -> CallComparison {
        if self.remembered.is_empty() {
            self.remembered.resize(REMEMBERED, RememberedCall::default());
        }
        // The upper half of the hash selects the set, the lower half identifies the input in it.
        let set = (input >> 64) as usize % (REMEMBERED / SET) * SET;
        let set = &mut self.remembered[set..set + SET];
        let call = RememberedCall { input: input as u64, output };
        match set.iter().position(|known| known.input == call.input) {
            Some(at) => {
                let same = set[at].output == output;
                set[..=at].rotate_right(1);
                set[0] = call;
                if same { CallComparison::Repeat } else { CallComparison::Conflict }
            }
            None => {
                set.rotate_right(1);
                set[0] = call;
                CallComparison::New
            }
        }
    }

    /// Records the name of an input, and its kind if it is worse than before.
    pub(super) fn record_input(&mut self, name: &Arc<str>, kind: InputKind) {
        if kind == InputKind::Code {
            return;
        }
        if self.inputs.len() >= NAMES && !self.inputs.contains_key(name) {
            self.incomplete = true;
            return;
        }
        let known = self.inputs.entry(Arc::clone(name)).or_insert(kind);
        *known = kind.max(*known);
    }

    /// Records an input of a nested call. At this site the same name may be undefined, so its kind is at least
    /// [`InputKind::Missing`].
    pub(super) fn record_nested_input(&mut self, name: &Arc<str>, kind: InputKind) {
        if kind > InputKind::Missing || !self.inputs.contains_key(name) && kind != InputKind::Code {
            self.record_input(name, kind.max(InputKind::Missing));
        }
    }

    /// Records that a call may have inputs that are not known.
    pub(super) fn mark_incomplete(&mut self) {
        self.incomplete = true;
    }

    /// The names of the inputs and their worst kinds. Inputs that were undefined in every call are included, because
    /// the next call may define them.
    pub(super) fn inputs(&self) -> impl Iterator<Item = (&str, InputKind)> {
        self.inputs.iter().map(|(name, kind)| (&**name, *kind))
    }

    /// Whether a key can hold all inputs.
    pub(super) fn fits_a_key(&self) -> bool {
        !self.incomplete && self.inputs().all(|(_, kind)| kind != InputKind::NoValue)
    }

    /// The report, without the label and the suggestion.
    pub(super) fn potential(&self) -> Potential {
        Potential {
            label: String::new(),
            calls: self.calls,
            distinct: self.distinct,
            repeats: self.repeats,
            conflicts: self.conflicts,
            unreadable: self.unreadable,
            total_time: self.time,
            own_time: self.own_time,
            saved_time: self.saved,
            bytes: self.bytes,
            inputs: self.inputs().map(|(name, _)| name.to_owned()).collect(),
            unreadable_input: self.unreadable_input.clone(),
            suggestion: None,
        }
    }
}
