//! Free loopback ports.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};

/// Below what Linux and macOS hand out by themselves: no outgoing connection and no `bind` to port 0 takes the port of
/// a server that is down for a moment. The range ends where a cluster node's second port would leave it.
const FIRST: u16 = 10_240;
const LAST: u16 = 21_999;

/// Where Redis puts a cluster node's bus, counted from the port for clients.
const BUS: u16 = 10_000;

/// A port that was free, and whose cluster bus was, when this looked: somebody else can still be faster.
pub fn free() -> u16 {
    for _ in 0..1_000 {
        // Random and not counted up: test binaries run side by side, and must not look in the same order.
        let random = RandomState::new().build_hasher().finish();
        let port = FIRST + (random % u64::from(LAST - FIRST + 1)) as u16;
        if vacant(port) && vacant(port + BUS) {
            return port;
        }
    }
    panic!("no free port between {FIRST} and {LAST}");
}

/// The address of a port on this machine.
pub fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

fn vacant(port: u16) -> bool {
    TcpListener::bind(loopback(port)).is_ok()
}
