//! One server: its connections, and the breaker that skips it while it fails.
//!
//! The commands on a connection are `batch.rs`; `store/pool.rs` keeps the connections. A connection returns to the pool
//! only after a complete exchange, because otherwise the next reply on it belongs to another command.

use std::io::{self, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use memcache::exp::{Error as ProtocolError, MetaConnection, MetaResponse};

use super::address::Address;
use crate::store::breaker::Breaker;
use crate::store::deadline::left;
use crate::store::pool::{Pool, PoolGuard};
use crate::store::{FailureKind, StoreFailure};
use crate::util::sync::Arc;

/// The time allowed for connecting. Requests do not wait for it longer than their own deadline.
const CONNECT: Duration = Duration::from_secs(1);

/// A server that fails gets one attempt in this time. It is constant, because the other servers work and a recovered
/// one should get its share back soon.
const PAUSE: Duration = Duration::from_millis(500);

/// The most bytes per write call. The timeout of a call restarts with each call, so a large call to a peer that reads
/// slowly could outlast the deadline.
const MAX_WRITE: usize = 64 * 1024;

/// One server.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) address: Arc<Address>,
    pool: OnceLock<Pool<MetaSocket>>,
    breaker: Breaker,
}

/// A connection, as two handles of one socket: `MetaConnection` reads replies, but it would write each command in a
/// packet of its own.
pub(super) struct MetaSocket {
    replies: MetaConnection,
    socket: TcpStream,
}

/// A connection in use.
pub(super) struct ServerConnection<'a> {
    pool: &'a Pool<MetaSocket>,
    guard: PoolGuard<'a, MetaSocket>,
}

impl Server {
    pub(super) fn new(address: Address) -> Server {
        Server { address: Arc::new(address), pool: OnceLock::new(), breaker: Breaker::with_pauses(PAUSE, PAUSE) }
    }

    /// Writes commands to an idle or new connection. There are at most `size` connections.
    pub(super) fn send(
        &self,
        payload: &[u8],
        size: usize,
        deadline: Instant,
    ) -> Result<ServerConnection<'_>, StoreFailure> {
        let pool = self.pool(size);
        let mut connection = ServerConnection { pool, guard: pool.check_out(deadline)? };
        match connection.send(payload, deadline) {
            Err(failure) if connection.is_reused() && failure.kind == FailureKind::Unreachable => {
                connection.send_again(payload, deadline)
            }
            sent => sent.map(|()| connection),
        }
    }

    /// The pool of at most `size` connections.
    pub(super) fn pool(&self, size: usize) -> &Pool<MetaSocket> {
        let address = Arc::clone(&self.address);
        self.pool.get_or_init(|| Pool::new(size, move || connect(&address, Instant::now() + CONNECT)))
    }

    /// Whether the breaker admits a call to the server.
    pub(super) fn is_admitted(&self) -> bool {
        self.breaker.admits(Instant::now())
    }

    pub(super) fn failures(&self) -> u32 {
        self.breaker.failures()
    }

    /// Records the outcome of an attempt. A server that replies, even with an error, costs no waiting time and counts
    /// as working.
    pub(super) fn record(&self, failed: Option<FailureKind>) {
        let succeeded = !matches!(failed, Some(FailureKind::Timeout | FailureKind::Unreachable));
        self.breaker.record(succeeded, Instant::now());
    }
}

impl<'a> ServerConnection<'a> {
    /// Whether the connection was idle in the pool. The server may have closed it in the meantime.
    pub(super) fn is_reused(&self) -> bool {
        self.guard.is_reused()
    }

    /// The next reply. Errors are those of the protocol.
    pub(super) fn receive(&mut self, deadline: Instant) -> Result<MetaResponse, ProtocolError> {
        let replies = &mut self.guard.connection().replies;
        replies.set_io_timeout(Some(left(deadline)));
        replies.receive()
    }

    /// Waits for the beginning of a reply. The end or an error of the connection counts as one.
    pub(super) fn has_reply(&mut self, wait: Duration) -> bool {
        let socket = &self.guard.connection().socket;
        if wait.is_zero() || socket.set_read_timeout(Some(wait)).is_err() {
            return false;
        }
        match socket.peek(&mut [0]) {
            Ok(_) => true,
            Err(error) => !is_timeout(&error),
        }
    }

    /// Sends again on a new connection, after the server closed the pooled one. The other pooled connections are closed
    /// as well.
    pub(super) fn send_again(self, payload: &[u8], deadline: Instant) -> Result<ServerConnection<'a>, StoreFailure> {
        let ServerConnection { pool, guard } = self;
        drop(guard);
        pool.renew();
        let mut connection = ServerConnection { pool, guard: pool.check_out(deadline)? };
        connection.send(payload, deadline)?;
        Ok(connection)
    }

    /// Returns the connection to the pool, after a complete exchange.
    pub(super) fn give_back(self) {
        self.guard.give_back();
    }

    fn send(&mut self, mut payload: &[u8], deadline: Instant) -> Result<(), StoreFailure> {
        let connection = self.guard.connection();
        while !payload.is_empty() {
            let left = left(deadline);
            if left.is_zero() {
                return Err(timed_out());
            }
            let mut write = || {
                connection.socket.set_write_timeout(Some(left))?;
                connection.socket.write(&payload[..payload.len().min(MAX_WRITE)])
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

fn connect(address: &Address, deadline: Instant) -> Result<MetaSocket, StoreFailure> {
    let addresses = address.resolve(deadline)?;
    let mut failure = timed_out();
    for (tried, one) in addresses.iter().enumerate() {
        // Each address gets an equal share of the time left, so that one that drops packets does not use up all of it.
        let share = left(deadline) / (addresses.len() - tried) as u32;
        if share.is_zero() {
            break;
        }
        match MetaSocket::open(one, share) {
            Ok(connection) => {
                address.prefer(*one);
                return Ok(connection);
            }
            Err(error) => failure = io_failure(&error),
        }
    }
    address.look_up_again();
    Err(failure)
}

impl MetaSocket {
    fn open(address: &SocketAddr, timeout: Duration) -> io::Result<MetaSocket> {
        let socket = TcpStream::connect_timeout(address, timeout)?;
        socket.set_nodelay(true)?;
        Ok(MetaSocket { replies: MetaConnection::from_stream(socket.try_clone()?), socket })
    }
}

/// The failure that an error of the connection or the protocol stands for.
pub(super) fn protocol_failure(error: ProtocolError) -> StoreFailure {
    let refused = |message: &str| StoreFailure::new(FailureKind::Refused, format!("the server replies {message:?}"));
    match error {
        ProtocolError::Io(error) => io_failure(&error),
        ProtocolError::Rejected(message) if message == "ERROR" => StoreFailure::new(
            FailureKind::Refused,
            "the server does not know the command, or has no connection left; it must be memcached 1.6.10 or later",
        ),
        ProtocolError::Server(message) | ProtocolError::Rejected(message) => refused(&message),
        other => StoreFailure::new(FailureKind::InvalidReply, format!("not a reply of memcached: {other}")),
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
