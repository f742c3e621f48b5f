//! TLS streams with the feature `redis-tls`; without it, a type that has no values.

#[cfg(not(feature = "redis-tls"))]
mod disabled;
#[cfg(feature = "redis-tls")]
mod enabled;

#[cfg(not(feature = "redis-tls"))]
pub(super) use self::disabled::{TlsConfig, TlsStream};
#[cfg(feature = "redis-tls")]
pub(super) use self::enabled::{TlsConfig, TlsStream};
