//! Lowering for measuring: the calls of includes and macros are timed, and their inputs and outputs compared.
//!
//! `parts` finds the includes and macros, `reads` what they read from outside, and `probe` writes the text.

mod parts;
mod probe;
mod reads;

pub(crate) use probe::lower_measured;
pub(crate) use reads::{CALLED_SUFFIX, extends_another, free_paths};
