//! Each control does what it says, so that a test that uses one tests what it means to.

mod chromium;
mod http;
mod install;
mod memcached;
mod nginx;
mod proxy;
mod redis;
mod upstream;
