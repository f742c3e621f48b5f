//! Each control does what it says, so that a test that uses one tests what it means to.

mod install;
mod memcached;
mod proxy;
mod redis;
