//! TLS, which the feature `redis-tls` brings; without it, a session that cannot exist.

#[cfg(not(feature = "redis-tls"))]
mod disabled;
#[cfg(feature = "redis-tls")]
mod enabled;

#[cfg(not(feature = "redis-tls"))]
pub(super) use self::disabled::{Session, Trust};
#[cfg(feature = "redis-tls")]
pub(super) use self::enabled::{Session, Trust};
