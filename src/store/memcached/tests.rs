//! The store against real servers, and against what may be behind a port instead.

mod floors;
mod hostile;
mod support;
mod values;
