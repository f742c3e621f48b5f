//! Where a server is: what was configured, and the socket addresses that stands for.
//!
//! Names are looked up on a thread of their own, because the system's resolver cannot be given a deadline. Whoever
//! needs an address waits for that as long as there is time; addresses once found are kept while they work.

use std::net::{IpAddr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::thread;
use std::time::{Duration, Instant};

use crate::error::{Error, ErrorKind};
use crate::store::{FailureKind, StoreFailure};
use crate::sync::{Arc, Condvar, Mutex, lock, unpoisoned};

const PORT: u16 = 11211;

/// How long the answer of a lookup is not asked for again, at least, and after how long it is where all is well: a name
/// may move to another address while the old one still answers.
const PAUSE: Duration = Duration::from_secs(1);
const OLD: Duration = Duration::from_secs(30);

/// A server's address.
#[derive(Debug)]
pub(super) struct Address {
    /// `host:port` in lower case: what the server is chosen by, the same in every process.
    pub(super) name: String,
    lookup: Arc<Lookup>,
}

#[derive(Debug)]
struct Lookup {
    host: String,
    port: u16,
    state: Mutex<State>,
    done: Condvar,
}

#[derive(Debug, Default)]
struct State {
    found: Vec<SocketAddr>,
    error: Option<String>,
    running: bool,
    finished: Option<Instant>,
}

impl State {
    fn recent(&self) -> bool {
        self.finished.is_some_and(|finished| finished.elapsed() < PAUSE)
    }
}

impl Address {
    /// Reads `host`, `host:port` or `memcached://host:port`; an IPv6 address with a port stands in brackets.
    pub(super) fn parse(text: &str) -> Result<Address, Error> {
        let refuse = |why: &str| Error::new(ErrorKind::Config, format!("memcached server {text:?}: {why}"));
        let rest = text.strip_prefix("memcached://").map_or(text, |rest| rest.strip_suffix('/').unwrap_or(rest));
        let (host, port) = split(rest).ok_or_else(|| refuse("not host:port"))?;
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
        let state = Mutex::new(State { found, ..State::default() });
        Ok(Address { name, lookup: Arc::new(Lookup { host, port, state, done: Condvar::new() }) })
    }

    /// The socket addresses, the one that last worked first.
    pub(super) fn resolve(&self, deadline: Instant) -> Result<Vec<SocketAddr>, StoreFailure> {
        let lookup = &self.lookup;
        let mut state = lock(&lookup.state);
        loop {
            if !state.found.is_empty() {
                if state.finished.is_some_and(|finished| finished.elapsed() > OLD) {
                    lookup.start(&mut state);
                }
                return Ok(state.found.clone());
            }
            if let (Some(error), true) = (&state.error, state.recent()) {
                return Err(StoreFailure::new(FailureKind::Unreachable, error.clone()));
            }
            lookup.start(&mut state);
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(StoreFailure::new(FailureKind::Timeout, "looking up the host name timed out"));
            }
            state = unpoisoned(lookup.done.wait_timeout(state, left)).0;
        }
    }

    /// None of the addresses answered: looks the name up again, behind the caller's back. What is known stays until
    /// there is something better.
    pub(super) fn failed(&self) {
        let mut state = lock(&self.lookup.state);
        if !state.recent() && self.lookup.host.parse::<IpAddr>().is_err() {
            self.lookup.start(&mut state);
        }
    }

    /// This address answered: the next attempt begins with it.
    pub(super) fn prefer(&self, works: SocketAddr) {
        let found = &mut lock(&self.lookup.state).found;
        if let Some(at) = found.iter().position(|&address| address == works) {
            found[..=at].rotate_right(1);
        }
    }
}

impl Lookup {
    fn start(self: &Arc<Lookup>, state: &mut State) {
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

/// The host and, where one is given, the port.
fn split(text: &str) -> Option<(&str, Option<&str>)> {
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
    fn addresses_have_one_spelling() {
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
    fn err_addresses_that_make_no_sense() {
        for text in
            ["", ":1", "a:", "a:0", "a:65536", "a:b", "a b", "redis://a", "me:pw@a:1", "[::1", "[::1]1", "[a]:1", "a/b"]
        {
            let error = Address::parse(text).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Config, "{text}");
            assert!(error.to_string().contains(&format!("{text:?}")), "{error}");
        }
    }

    #[test]
    fn a_name_that_does_not_exist_is_no_address_and_costs_no_more_than_the_deadline() {
        let address = Address::parse("does-not-exist.invalid").unwrap();
        let start = Instant::now();
        assert!(address.resolve(start + Duration::from_millis(20)).is_err());
        assert!(start.elapsed() < Duration::from_secs(2));
    }

    #[test]
    fn a_name_is_looked_up_and_what_works_comes_first() {
        let address = Address::parse("localhost").unwrap();
        let found = address.resolve(Instant::now() + Duration::from_secs(10)).unwrap();
        let last = *found.last().unwrap();
        address.prefer(last);
        assert_eq!(address.resolve(Instant::now()).unwrap()[0], last);
    }
}
