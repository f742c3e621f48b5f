//! The public report of one measured include or macro.

use std::fmt;
use std::time::Duration;

/// What caching an include or a macro would be worth; see [`FragmentCache::potential`].
///
/// `distinct + repeats + conflicts + unreadable` are the `calls`. A call that failed is none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Potential {
    /// Where and what it is: `index.html:12 include "_cards.html"`, or `film.html:3 macro stars`.
    pub label: String,
    /// Calls that ended.
    pub calls: u64,
    /// Calls with inputs that were not seen before. Of each place the last 4,096 inputs are remembered or a little
    /// less; one that was forgotten counts again, as a cache of that size would have rendered it again.
    pub distinct: u64,
    /// Calls with the same inputs as an earlier one, and the same output: what a cache would have answered.
    pub repeats: u64,
    /// Calls with the same inputs as an earlier one, and another output. If there is any, it shows something that is not
    /// among its inputs (a function that reads the database, the time, a random number), and caching it by them would
    /// be wrong.
    pub conflicts: u64,
    /// Calls with inputs that cannot be compared: an iterator that can be read once, an object of the application's (but
    /// see [`Builder::measure_object`](crate::Builder::measure_object)), more than 256 KiB of data.
    pub unreadable: u64,
    /// The time of all calls, with what is inside of them. Places that stand in one another share it.
    pub total_time: Duration,
    /// The time of all calls without that of measured includes and macros inside of them.
    pub own_time: Duration,
    /// The time of the repeats, with what is inside of them. A hit costs about a microsecond, which is not taken off; nor
    /// is it known whether a cache would have kept them, or for how long they were right.
    pub saved_time: Duration,
    /// The length of all output.
    pub bytes: u64,
    /// What it depends on, by the names it has there: `film.title`, `here`. Functions and macros are left out.
    pub inputs: Vec<String>,
    /// The first input that could not be compared, and why.
    pub unreadable_input: Option<String>,
    /// The tag to put around the include, or around what stands in the macro. `None` if there were conflicts, if nothing
    /// repeated, or if it shows what no key can hold (`caller()`, a template that it extends). Its key holds whole values;
    /// what identifies them (`film.id`) makes a better one, with a tag by which to invalidate it. In place of a lazy value,
    /// which a key would compute on hits too, stands a name that is undefined until you put there what the value is loaded
    /// by: `key_of_films`.
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
