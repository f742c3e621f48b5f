//! The public report of one measured include or macro.

use std::fmt;
use std::time::Duration;

/// The report on an include or a macro that is not cached: what caching it would be worth. See
/// [`FragmentCache::potential`](crate::FragmentCache::potential).
///
/// `calls` is the sum of `distinct`, `repeats`, `conflicts` and `unreadable`. Calls that failed are not counted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Potential {
    /// The place, the kind and the name: `index.html:12 include "_cards.html"`, or `film.html:3 macro stars`.
    pub label: String,
    /// Calls that ended without an error.
    pub calls: u64,
    /// Calls with new inputs. About 4,096 inputs of each include or macro are remembered. Forgotten inputs count as
    /// new, because a cache of that size would have evicted their entry.
    pub distinct: u64,
    /// Calls with the same inputs and the same output as an earlier call: hits, if it were cached.
    pub repeats: u64,
    /// Calls with the same inputs as an earlier call, but another output. If there are any, the output depends on
    /// something else (a function that reads the database, the time, a random number), so these inputs are not a
    /// correct key.
    pub conflicts: u64,
    /// Calls with inputs that cannot be compared: iterators that can be read only once, objects of the application
    /// (unless [`Builder::measure_object`](crate::Builder::measure_object) allows their type), more than 256 KiB of
    /// data.
    pub unreadable: u64,
    /// The time of all calls, including nested calls. Nested includes and macros report the same time again.
    pub total_time: Duration,
    /// The time of all calls, without measured calls inside of them.
    pub own_time: Duration,
    /// The time of the repeats, including nested calls. This is an upper bound: the cost of a hit, about a microsecond,
    /// is not subtracted, and a cache may evict or expire some of these entries.
    pub saved_time: Duration,
    /// The total length of the output.
    pub bytes: u64,
    /// The inputs, as the template names them: `film.title`, `here`. Without functions and macros.
    pub inputs: Vec<String>,
    /// The first input that could not be compared, and the reason.
    pub unreadable_input: Option<String>,
    /// The `cache` tag to put around the include, or around the body of the macro. `None` if there were conflicts, if
    /// no call repeated, or if an input cannot be a part of a key (`caller()`, the inputs of an extended template).
    ///
    /// The key contains whole values. A better key contains only their identifiers (`film.id`), with a tag to
    /// invalidate by. A lazy value would be computed for the key even on hits, so the key contains a placeholder
    /// instead (`key_of_films`). Replace it by the identifier that the value is loaded by.
    pub suggestion: Option<String>,
}

impl fmt::Display for Potential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Potential { label, calls, repeats, saved_time, total_time, .. } = self;
        write!(f, "{label}: {repeats} of {calls} calls repeated, {saved_time:.1?} of {total_time:.1?}")?;
        if self.conflicts > 0 {
            write!(f, "; {} gave another output", self.conflicts)?;
        }
        match &self.unreadable_input {
            Some(input) => write!(f, "; {} not compared ({input})", self.unreadable),
            None => Ok(()),
        }
    }
}
