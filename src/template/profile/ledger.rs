//! What is known of one include or macro: counts, and a bounded memory of which inputs gave which output.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::Potential;
use super::inputs::{InputKind, Why};

/// How many inputs are remembered at each place. The least recently seen of a set goes first, as it would from a cache.
pub(crate) const REMEMBERED: usize = 4096;
/// Inputs that can stand in for one another: each is kept in one set of this size.
const SET: usize = 8;
/// The most names of inputs that are kept.
const NAMES: usize = 64;

/// Hashes of an input and what it gave. Zero is an empty place: that two hashes of a call are zero is as likely as any
/// other collision, one in 2^64 for each input remembered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Pair {
    input: u64,
    output: u64,
}

/// Which input cannot be compared, and why.
#[derive(Debug, Clone)]
pub(crate) struct Reason {
    pub(crate) input: Arc<str>,
    pub(crate) why: Why,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.input, self.why)
    }
}

/// One call that ended.
pub(crate) struct Call {
    pub(crate) inputs: Result<u128, Reason>,
    pub(crate) output: u64,
    pub(crate) bytes: usize,
    pub(crate) time: Duration,
    pub(crate) own_time: Duration,
}

/// What a call was, compared with those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Its input is not remembered.
    New,
    /// The same input gave the same output.
    Repeat,
    /// The same input gave another output.
    Conflict,
    /// Its input cannot be compared.
    Unreadable,
}

#[derive(Debug, Default)]
pub(crate) struct Ledger {
    calls: u64,
    distinct: u64,
    repeats: u64,
    conflicts: u64,
    unreadable: u64,
    time: Duration,
    own_time: Duration,
    saved: Duration,
    bytes: u64,
    /// Sets one after another, each with the most recently seen first. Made with the first call.
    pairs: Vec<Pair>,
    /// How each was at its worst, for a key.
    inputs: BTreeMap<Arc<str>, InputKind>,
    /// Whether there may be inputs that are not among them.
    more_inputs: bool,
    unreadable_input: Option<String>,
}

impl Ledger {
    pub(crate) fn note(&mut self, call: Call) -> Verdict {
        self.calls += 1;
        self.time += call.time;
        self.own_time += call.own_time;
        self.bytes = self.bytes.saturating_add(call.bytes as u64);
        let verdict = match call.inputs {
            Ok(input) => self.judge(input, call.output),
            Err(why) => {
                self.unreadable_input.get_or_insert_with(|| why.to_string());
                Verdict::Unreadable
            }
        };
        match verdict {
            Verdict::New => self.distinct += 1,
            Verdict::Repeat => {
                self.repeats += 1;
                self.saved += call.time;
            }
            Verdict::Conflict => self.conflicts += 1,
            Verdict::Unreadable => self.unreadable += 1,
        }
        verdict
    }

    fn judge(&mut self, input: u128, output: u64) -> Verdict {
        if self.pairs.is_empty() {
            self.pairs.resize(REMEMBERED, Pair::default());
        }
        // The upper half chooses the set, the lower half tells inputs apart in it.
        let set = (input >> 64) as usize % (REMEMBERED / SET) * SET;
        let set = &mut self.pairs[set..set + SET];
        let seen = Pair { input: input as u64, output };
        match set.iter().position(|pair| pair.input == seen.input) {
            Some(at) => {
                let same = set[at].output == output;
                set[..=at].rotate_right(1);
                set[0] = seen;
                if same { Verdict::Repeat } else { Verdict::Conflict }
            }
            None => {
                set.rotate_right(1);
                set[0] = seen;
                Verdict::New
            }
        }
    }

    /// Notes what an input was.
    pub(crate) fn input(&mut self, name: &Arc<str>, kind: InputKind) {
        if kind == InputKind::Code {
            return;
        }
        if self.inputs.len() >= NAMES && !self.inputs.contains_key(name) {
            self.more_inputs = true;
            return;
        }
        let known = self.inputs.entry(Arc::clone(name)).or_insert(kind);
        *known = kind.max(*known);
    }

    /// Notes an input of a call inside of this one. What stands for its name where this one is may be undefined.
    pub(crate) fn inner_input(&mut self, name: &Arc<str>, kind: InputKind) {
        if kind > InputKind::Missing || !self.inputs.contains_key(name) && kind != InputKind::Code {
            self.input(name, kind.max(InputKind::Missing));
        }
    }

    /// Notes that a call may have had inputs that nobody saw.
    pub(crate) fn overlook(&mut self) {
        self.more_inputs = true;
    }

    /// The inputs, and how they were at their worst: those that were undefined in every call too, since they may not be
    /// in the next one.
    pub(crate) fn inputs(&self) -> impl Iterator<Item = (&str, InputKind)> {
        self.inputs.iter().map(|(name, kind)| (&**name, *kind))
    }

    /// Whether a key could hold all that the output depends on.
    pub(crate) fn fits_a_key(&self) -> bool {
        !self.more_inputs && self.inputs().all(|(_, kind)| kind != InputKind::NoValue)
    }

    /// What it comes to; the label and the suggestion are the caller's.
    pub(crate) fn read(&self) -> Potential {
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
