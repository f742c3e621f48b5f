//! The address of a server: the configured text, and the socket addresses it resolves to.
//!
//! Host names are resolved on a background thread, because the system's resolver takes no deadline. A call waits for
//! the result until its deadline. Resolved addresses are kept while connections to them succeed.

use std::net::{IpAddr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::thread;
use std::time::{Duration, Instant};

use crate::error::{Error, ErrorKind};
use crate::store::deadline::left;
use crate::store::{FailureKind, StoreFailure};
use crate::util::sync::{Arc, Condvar, Mutex, lock, unpoisoned};

const PORT: u16 = 11211;

/// The shortest time between two lookups of a name.
const MIN_INTERVAL: Duration = Duration::from_secs(1);

/// The age at which a result is looked up again even if its addresses work: the name may lead to another address while
/// the old one still replies.
const MAX_AGE: Duration = Duration::from_secs(30);

/// The address of a server.
#[derive(Debug)]
pub(super) struct Address {
    /// `host:port` in lower case. Keys are assigned to servers by it, so it must be the same in every process.
    pub(super) name: String,
    lookup: Arc<HostLookup>,
}

#[derive(Debug)]
struct HostLookup {
    host: String,
    port: u16,
    state: Mutex<LookupState>,
    done: Condvar,
}

#[derive(Debug, Default)]
struct LookupState {
    found: Vec<SocketAddr>,
    error: Option<String>,
    running: bool,
    finished: Option<Instant>,
}

impl LookupState {
    fn recent(&self) -> bool {
        self.finished.is_some_and(|finished| finished.elapsed() < MIN_INTERVAL)
    }
}

impl Address {
    /// Parses `host`, `host:port` or `memcached://host:port`. An IPv6 address with a port is in brackets.
    pub(super) fn parse(text: &str) -> Result<Address, Error> {
        let refuse = |why: &str| Error::new(ErrorKind::Config, format!("memcached server {text:?}: {why}"));
        let rest = text.strip_prefix("memcached://").map_or(text, |rest| rest.strip_suffix('/').unwrap_or(rest));
        let (host, port) = split_port(rest).ok_or_else(|| refuse("not host:port"))?;
        let port = match port {
            None => PORT,
            Some(port) => match port.parse() {
                Ok(0) | Err(_) => return Err(refuse("not a port")),
                Ok(port) => port,
            },
        };
        let ip = host.parse::<IpAddr>().ok();
        let named = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
        if ip.is_none() && (host.is_empty() || !host.chars().all(named)) {
            return Err(refuse("not a host name"));
        }
        let host = host.to_ascii_lowercase();
        let name = match ip {
            Some(ip) => SocketAddr::new(ip, port).to_string(),
            None => format!("{host}:{port}"),
        };
        let found = ip.map(|ip| SocketAddr::new(ip, port)).into_iter().collect();
        let state = Mutex::new(LookupState { found, ..LookupState::default() });
        Ok(Address { name, lookup: Arc::new(HostLookup { host, port, state, done: Condvar::new() }) })
    }

    /// The socket addresses. The one that worked last comes first.
    pub(super) fn resolve(&self, deadline: Instant) -> Result<Vec<SocketAddr>, StoreFailure> {
        let lookup = &self.lookup;
        let mut state = lock(&lookup.state);
        loop {
            if !state.found.is_empty() {
                if state.finished.is_some_and(|finished| finished.elapsed() > MAX_AGE) {
                    lookup.start(&mut state);
                }
                return Ok(state.found.clone());
            }
            if let (Some(error), true) = (&state.error, state.recent()) {
                return Err(StoreFailure::new(FailureKind::Unreachable, error.clone()));
            }
            lookup.start(&mut state);
            let left = left(deadline);
            if left.is_zero() {
                return Err(StoreFailure::new(FailureKind::Timeout, "looking up the host name timed out"));
            }
            state = unpoisoned(lookup.done.wait_timeout(state, left)).0;
        }
    }

    /// Starts a new lookup in the background, after no address could be connected to. The old addresses stay until it
    /// succeeds.
    pub(super) fn look_up_again(&self) {
        let mut state = lock(&self.lookup.state);
        if !state.recent() && self.lookup.host.parse::<IpAddr>().is_err() {
            self.lookup.start(&mut state);
        }
    }

    /// Moves an address that worked to the front.
    pub(super) fn prefer(&self, works: SocketAddr) {
        let found = &mut lock(&self.lookup.state).found;
        if let Some(at) = found.iter().position(|&address| address == works) {
            found[..=at].rotate_right(1);
        }
    }
}

impl HostLookup {
    fn start(self: &Arc<HostLookup>, state: &mut LookupState) {
        if state.running {
            return;
        }
        let lookup = Arc::clone(self);
        let spawned = thread::Builder::new().name("minijinja-cache-dns".into()).spawn(move || {
            let answer = (lookup.host.as_str(), lookup.port).to_socket_addrs().map(Iterator::collect::<Vec<_>>);
            let mut state = lock(&lookup.state);
            match answer {
                Ok(found) if !found.is_empty() => (state.found, state.error) = (found, None),
                Ok(_) => state.error = Some("the host name has no address".into()),
                Err(error) => state.error = Some(format!("cannot look up the host name: {error}")),
            }
            (state.running, state.finished) = (false, Some(Instant::now()));
            lookup.done.notify_all();
        });
        match spawned {
            Ok(_) => state.running = true,
            Err(error) => {
                state.error = Some(format!("cannot start a thread to look up the host name: {error}"));
                state.finished = Some(Instant::now());
            }
        }
    }
}

/// The host and the port, if there is one.
fn split_port(text: &str) -> Option<(&str, Option<&str>)> {
    if let Some(rest) = text.strip_prefix('[') {
        let (host, rest) = rest.split_once(']')?;
        host.parse::<Ipv6Addr>().ok()?;
        return match rest {
            "" => Some((host, None)),
            _ => Some((host, Some(rest.strip_prefix(':')?))),
        };
    }
    if text.parse::<Ipv6Addr>().is_ok() {
        return Some((text, None));
    }
    match text.split_once(':') {
        Some((host, port)) => Some((host, Some(port))),
        None => Some((text, None)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_normalised() {
        for (text, name) in [
            ("cache", "cache:11211"),
            ("Cache.Example:1", "cache.example:1"),
            ("memcached://cache:2/", "cache:2"),
            ("127.0.0.1", "127.0.0.1:11211"),
            ("::1", "[::1]:11211"),
            ("[::1]:3", "[::1]:3"),
            ("[0::1]", "[::1]:11211"),
        ] {
            assert_eq!(Address::parse(text).unwrap().name, name, "{text}");
        }
    }

    #[test]
    fn err_malformed_addresses_are_rejected() {
        for text in
            ["", ":1", "a:", "a:0", "a:65536", "a:b", "a b", "redis://a", "me:pw@a:1", "[::1", "[::1]1", "[a]:1", "a/b"]
        {
            let error = Address::parse(text).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Config, "{text}");
            assert!(error.to_string().contains(&format!("{text:?}")), "{error}");
        }
    }

    #[test]
    fn an_unknown_host_name_fails_by_the_deadline() {
        let address = Address::parse("does-not-exist.invalid").unwrap();
        let start = Instant::now();
        assert!(address.resolve(start + Duration::from_millis(20)).is_err());
        assert!(start.elapsed() < Duration::from_secs(2));
    }

    #[test]
    fn a_host_name_is_resolved_and_the_working_address_comes_first() {
        let address = Address::parse("localhost").unwrap();
        let found = address.resolve(Instant::now() + Duration::from_secs(10)).unwrap();
        let last = *found.last().unwrap();
        address.prefer(last);
        assert_eq!(address.resolve(Instant::now()).unwrap()[0], last);
    }
}
