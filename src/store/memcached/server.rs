//! One server: its connections, and whether it is worth asking.
//!
//! What is said on a connection is for `exchange.rs`; `store/pool.rs` keeps connections. One goes back there only after
//! a whole exchange, because what comes next on it belongs to another question.

use std::io::{self, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use memcache::exp::{Error as Wire, MetaConnection, MetaResponse};

use super::address::Address;
use crate::store::pool::{self, Pool};
use crate::store::{FailureKind, StoreFailure};
use crate::sync::{Arc, Mutex, lock};

/// How long connecting may take; pages do not wait for that longer than their own deadline.
const CONNECT: Duration = Duration::from_secs(1);

/// After so many failures in a row a server is left alone, but for one attempt each `PAUSE`.
const FAILURES: u32 = 3;
const PAUSE: Duration = Duration::from_millis(500);

/// The most that is written in one call: its timeout is for waiting, not for the whole, so that with a peer that takes
/// in just enough one large call would outlast the deadline.
const AT_ONCE: usize = 64 * 1024;

/// One server.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) address: Arc<Address>,
    pool: OnceLock<Pool<Connection>>,
    health: Mutex<Health>,
}

#[derive(Debug, Default)]
struct Health {
    failures: u32,
    tried: Option<Instant>,
}

/// A connection, by two handles of one socket: `MetaConnection` reads replies but writes commands only one by one,
/// a packet each.
pub(super) struct Connection {
    replies: MetaConnection,
    socket: TcpStream,
}

/// A connection in use.
pub(super) struct Checkout<'a> {
    pool: &'a Pool<Connection>,
    connection: pool::Checkout<'a, Connection>,
}

impl Server {
    pub(super) fn new(address: Address) -> Server {
        Server { address: Arc::new(address), pool: OnceLock::new(), health: Mutex::default() }
    }

    /// Writes commands to an idle or new connection, of which there are at most `size`.
    pub(super) fn send(&self, payload: &[u8], size: usize, deadline: Instant) -> Result<Checkout<'_>, StoreFailure> {
        let pool = self.pool(size);
        let mut checkout = Checkout { pool, connection: pool.check_out(deadline)? };
        match checkout.send(payload, deadline) {
            Err(failure) if checkout.is_kept() && failure.kind == FailureKind::Unreachable => {
                checkout.send_again(payload, deadline)
            }
            sent => sent.map(|()| checkout),
        }
    }

    /// Connections, of which there are at most `size`.
    pub(super) fn pool(&self, size: usize) -> &Pool<Connection> {
        let address = Arc::clone(&self.address);
        self.pool.get_or_init(|| Pool::new(size, move || dial(&address, Instant::now() + CONNECT)))
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
}

impl<'a> Checkout<'a> {
    /// Whether the connection lay in the pool, where the server may have closed it unnoticed.
    pub(super) fn is_kept(&self) -> bool {
        self.connection.is_kept()
    }

    /// The next reply, errors as the protocol has them.
    pub(super) fn receive(&mut self, deadline: Instant) -> Result<MetaResponse, Wire> {
        let replies = &mut self.connection.connection().replies;
        replies.set_io_timeout(Some(deadline.saturating_duration_since(Instant::now())));
        replies.receive()
    }

    /// Waits for the beginning of a reply. An end or an error of the connection counts as one.
    pub(super) fn answered(&mut self, patience: Duration) -> bool {
        let socket = &self.connection.connection().socket;
        if patience.is_zero() || socket.set_read_timeout(Some(patience)).is_err() {
            return false;
        }
        match socket.peek(&mut [0]) {
            Ok(_) => true,
            Err(error) => !is_timeout(&error),
        }
    }

    /// Replaces a connection from the pool that the server had closed, along with its likes.
    pub(super) fn send_again(self, payload: &[u8], deadline: Instant) -> Result<Checkout<'a>, StoreFailure> {
        let Checkout { pool, connection } = self;
        drop(connection);
        pool.renew();
        let mut checkout = Checkout { pool, connection: pool.check_out(deadline)? };
        checkout.send(payload, deadline)?;
        Ok(checkout)
    }

    /// After a whole exchange: the next one may have it.
    pub(super) fn give_back(self) {
        self.connection.give_back();
    }

    fn send(&mut self, mut payload: &[u8], deadline: Instant) -> Result<(), StoreFailure> {
        let connection = self.connection.connection();
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

fn dial(address: &Address, deadline: Instant) -> Result<Connection, StoreFailure> {
    let addresses = address.resolve(deadline)?;
    let mut failure = timed_out();
    for (tried, one) in addresses.iter().enumerate() {
        // An address that swallows packets leaves the others their share of the time.
        let left = deadline.saturating_duration_since(Instant::now()) / (addresses.len() - tried) as u32;
        if left.is_zero() {
            break;
        }
        match Connection::open(one, left) {
            Ok(connection) => {
                if tried > 0 {
                    address.prefer(*one);
                }
                return Ok(connection);
            }
            Err(error) => failure = io_failure(&error),
        }
    }
    address.failed();
    Err(failure)
}

impl Connection {
    fn open(address: &SocketAddr, timeout: Duration) -> io::Result<Connection> {
        let socket = TcpStream::connect_timeout(address, timeout)?;
        socket.set_nodelay(true)?;
        Ok(Connection { replies: MetaConnection::from_stream(socket.try_clone()?), socket })
    }
}

/// What an error of the connection or the protocol amounts to.
pub(super) fn wire_failure(error: Wire) -> StoreFailure {
    match error {
        Wire::Io(error) => io_failure(&error),
        Wire::Server(message) => StoreFailure::new(FailureKind::Refused, format!("the server says {message:?}")),
        Wire::Rejected(message) if message == "ERROR" => StoreFailure::new(
            FailureKind::Refused,
            "the server does not know the command, or has no connection left; it must be memcached 1.6.10 or later",
        ),
        Wire::Rejected(message) => StoreFailure::new(FailureKind::Refused, format!("the server says {message:?}")),
        other => StoreFailure::new(FailureKind::InvalidReply, format!("not an answer of memcached: {other}")),
    }
}

pub(super) fn timed_out() -> StoreFailure {
    StoreFailure::new(FailureKind::Timeout, "timed out")
}

fn io_failure(error: &io::Error) -> StoreFailure {
    if is_timeout(error) { timed_out() } else { StoreFailure::new(FailureKind::Unreachable, error.to_string()) }
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock)
}
