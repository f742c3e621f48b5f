//! Lowers templates with probes that measure includes and macros: their time, inputs and outputs.
//!
//! `parts` finds the includes and macros, `reads` the paths that they read from outside, and `probe` writes the probes.

mod parts;
mod probe;
mod reads;

pub(crate) use probe::lower_measured;
pub(crate) use reads::{CALLED_SUFFIX, extends_another, free_paths};
