//! The store against real memcached servers and against fake ones.

mod floors;
mod hostile;
mod support;
mod values;
