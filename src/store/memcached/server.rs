//! One server: its connections, and whether it is worth asking.
//!
//! What is said on a connection is for `exchange.rs`. A connection goes back to the pool only after a whole exchange;
//! dropped before that it is closed, because what comes next on it belongs to somebody else's question.

use std::io::{self, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use memcache::exp::{Error as Wire, MetaConnection, MetaResponse};

use super::address::Address;
use crate::store::{Failure, FailureKind};
use crate::sync::{Condvar, Mutex, lock};

/// After so many failures in a row a server is left alone, but for one attempt each `PAUSE`.
const FAILURES: u32 = 3;
const PAUSE: Duration = Duration::from_millis(500);

/// The most that is written in one call: its timeout is for waiting, not for the whole, so that with a peer that takes
/// in just enough one large call would outlast the deadline.
const AT_ONCE: usize = 64 * 1024;

/// One server.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) address: Address,
    pool: Mutex<Pool>,
    freed: Condvar,
    health: Mutex<Health>,
}

#[derive(Debug, Default)]
struct Pool {
    idle: Vec<Connection>,
    /// Connections there are, idle or in use.
    open: usize,
}

#[derive(Debug, Default)]
struct Health {
    failures: u32,
    tried: Option<Instant>,
}

/// A connection, by two handles of one socket: `MetaConnection` reads replies but writes commands only one by one,
/// a packet each.
struct Connection {
    replies: MetaConnection,
    socket: TcpStream,
}

/// A connection in use.
#[derive(Debug)]
pub(super) struct Checkout<'a> {
    server: &'a Server,
    connection: Option<Connection>,
    /// Whether it lay in the pool, where the server may have closed it unnoticed.
    pub(super) pooled: bool,
}

impl Server {
    pub(super) fn new(address: Address) -> Server {
        Server { address, pool: Mutex::default(), freed: Condvar::new(), health: Mutex::default() }
    }

    /// Writes commands to an idle or new connection, of which there are at most `size`.
    pub(super) fn send(&self, payload: &[u8], size: usize, deadline: Instant) -> Result<Checkout<'_>, Failure> {
        let mut checkout = self.check_out(size, deadline)?;
        match checkout.send(payload, deadline) {
            Err(failure) if checkout.pooled && failure.kind == FailureKind::Unreachable => {
                checkout.send_again(payload, deadline)?;
            }
            sent => sent?,
        }
        Ok(checkout)
    }

    /// Whether to ask at all. Somebody has to try now and then.
    pub(super) fn worth_asking(&self) -> bool {
        let mut health = lock(&self.health);
        if health.failures >= FAILURES {
            if health.tried.is_some_and(|tried| tried.elapsed() < PAUSE) {
                return false;
            }
            health.tried = Some(Instant::now());
        }
        true
    }

    pub(super) fn failures(&self) -> u32 {
        lock(&self.health).failures
    }

    /// Remembers how an attempt ended. A server that answers, whatever it says, costs no time.
    pub(super) fn note(&self, failed: Option<FailureKind>) {
        let mut health = lock(&self.health);
        if matches!(failed, Some(FailureKind::Timeout | FailureKind::Unreachable)) {
            health.failures = health.failures.saturating_add(1);
            health.tried = Some(Instant::now());
        } else {
            *health = Health::default();
        }
    }

    fn check_out(&self, size: usize, deadline: Instant) -> Result<Checkout<'_>, Failure> {
        let mut pool = lock(&self.pool);
        loop {
            if let Some(connection) = pool.idle.pop() {
                return Ok(Checkout { server: self, connection: Some(connection), pooled: true });
            }
            if pool.open < size {
                pool.open += 1;
                break;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(Failure::new(FailureKind::Timeout, format!("all {size} connections are in use")));
            }
            pool = match self.freed.wait_timeout(pool, left) {
                Ok((pool, _)) => pool,
                Err(poisoned) => poisoned.into_inner().0,
            };
        }
        drop(pool);
        let mut checkout = Checkout { server: self, connection: None, pooled: false };
        checkout.connection = Some(self.dial(deadline)?);
        Ok(checkout)
    }

    fn dial(&self, deadline: Instant) -> Result<Connection, Failure> {
        let addresses = self.address.resolve(deadline)?;
        let mut failure = timed_out();
        for (tried, address) in addresses.iter().enumerate() {
            // An address that swallows packets leaves the others their share of the time.
            let left = deadline.saturating_duration_since(Instant::now()) / (addresses.len() - tried) as u32;
            if left.is_zero() {
                break;
            }
            match Connection::open(address, left) {
                Ok(connection) => {
                    if tried > 0 {
                        self.address.prefer(*address);
                    }
                    return Ok(connection);
                }
                Err(error) => failure = io_failure(&error),
            }
        }
        self.address.failed();
        Err(failure)
    }
}

impl Checkout<'_> {
    /// The next reply, errors as the protocol has them.
    pub(super) fn receive(&mut self, deadline: Instant) -> Result<MetaResponse, Wire> {
        let Some(connection) = &mut self.connection else {
            return Err(io::Error::from(io::ErrorKind::NotConnected).into());
        };
        connection.replies.set_io_timeout(Some(deadline.saturating_duration_since(Instant::now())));
        connection.replies.receive()
    }

    /// Waits for the beginning of a reply. An end or an error of the connection counts as one.
    pub(super) fn answered(&self, patience: Duration) -> bool {
        let Some(connection) = &self.connection else { return true };
        if patience.is_zero() || connection.socket.set_read_timeout(Some(patience)).is_err() {
            return false;
        }
        match connection.socket.peek(&mut [0]) {
            Ok(_) => true,
            Err(error) => !is_timeout(&error),
        }
    }

    /// Replaces a connection from the pool that the server had closed, along with its likes.
    pub(super) fn send_again(&mut self, payload: &[u8], deadline: Instant) -> Result<(), Failure> {
        let stale = {
            let mut pool = lock(&self.server.pool);
            let stale = std::mem::take(&mut pool.idle);
            pool.open -= stale.len();
            stale
        };
        // One may fill each place that came free.
        stale.iter().for_each(|_| self.server.freed.notify_one());
        drop(stale);
        self.pooled = false;
        self.connection = None;
        self.connection = Some(self.server.dial(deadline)?);
        self.send(payload, deadline)
    }

    /// After a whole exchange: the next one may have it.
    pub(super) fn give_back(mut self) {
        if let Some(connection) = self.connection.take() {
            let mut pool = lock(&self.server.pool);
            pool.idle.push(connection);
            // `drop` takes one away for a connection that is closed.
            pool.open += 1;
        }
    }

    fn send(&mut self, mut payload: &[u8], deadline: Instant) -> Result<(), Failure> {
        let Some(connection) = &mut self.connection else { return Err(timed_out()) };
        while !payload.is_empty() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(timed_out());
            }
            let mut write = || {
                connection.socket.set_write_timeout(Some(left))?;
                connection.socket.write(&payload[..payload.len().min(AT_ONCE)])
            };
            match write() {
                Ok(0) => return Err(io_failure(&io::ErrorKind::WriteZero.into())),
                Ok(written) => payload = &payload[written..],
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(io_failure(&error)),
            }
        }
        Ok(())
    }
}

impl Drop for Checkout<'_> {
    fn drop(&mut self) {
        drop(self.connection.take());
        lock(&self.server.pool).open -= 1;
        self.server.freed.notify_one();
    }
}

impl Connection {
    fn open(address: &SocketAddr, timeout: Duration) -> io::Result<Connection> {
        let socket = TcpStream::connect_timeout(address, timeout)?;
        socket.set_nodelay(true)?;
        Ok(Connection { replies: MetaConnection::from_stream(socket.try_clone()?), socket })
    }
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.socket.fmt(f)
    }
}

/// What an error of the connection or the protocol amounts to.
pub(super) fn wire_failure(error: Wire) -> Failure {
    match error {
        Wire::Io(error) => io_failure(&error),
        Wire::Server(message) => Failure::new(FailureKind::Refused, format!("the server says {message:?}")),
        Wire::Rejected(message) if message == "ERROR" => Failure::new(
            FailureKind::Refused,
            "the server does not know the command, or has no connection left; it must be memcached 1.6.10 or later",
        ),
        Wire::Rejected(message) => Failure::new(FailureKind::Refused, format!("the server says {message:?}")),
        other => Failure::new(FailureKind::Nonsense, format!("not an answer of memcached: {other}")),
    }
}

pub(super) fn timed_out() -> Failure {
    Failure::new(FailureKind::Timeout, "timed out")
}

fn io_failure(error: &io::Error) -> Failure {
    if is_timeout(error) { timed_out() } else { Failure::new(FailureKind::Unreachable, error.to_string()) }
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock)
}
