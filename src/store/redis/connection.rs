//! One connection to one server: it sends commands and reads replies, by a deadline.
//!
//! It logs in, and translates errors of the connection and error replies into failures. `topology.rs` chooses the
//! server. A connection that failed during an exchange is closed, because the next reply on it belongs to an earlier
//! command.

use std::io::{self, Read, Write};
use std::time::{Duration, Instant};

use redis::{Cmd, ConnectionAddr, ConnectionInfo, Parser, RedisError, ServerError, Value};

use super::socket::Socket;
use super::tls::{TlsConfig, TlsStream};
use crate::store::{FailureKind, StoreFailure};

/// The largest reply. Without a limit, a server that is not Redis could send endlessly.
const MAX_BYTES: usize = 64 << 20;

pub(super) struct RedisConnection {
    stream: ConnectionStream,
    parser: Parser,
    open: bool,
    used: Instant,
}

enum ConnectionStream {
    Plain(Socket),
    Tls(TlsStream),
}

impl RedisConnection {
    /// Connects and authenticates.
    pub(super) fn connect(
        info: &ConnectionInfo,
        tls: &TlsConfig,
        deadline: Instant,
    ) -> Result<RedisConnection, StoreFailure> {
        let stream = ConnectionStream::connect(info.addr(), tls, deadline).map_err(|error| from_io(&error))?;
        let mut connection = RedisConnection { stream, parser: Parser::new(), open: true, used: Instant::now() };
        let settings = info.redis_settings();
        let mut commands = Vec::new();
        if let Some(password) = settings.password() {
            let mut auth = redis::cmd("AUTH");
            if let Some(user) = settings.username() {
                auth.arg(user);
            }
            auth.arg(password);
            commands.push(auth);
        }
        if settings.db() != 0 {
            let mut select = redis::cmd("SELECT");
            select.arg(settings.db());
            commands.push(select);
        }
        if commands.is_empty() {
            return Ok(connection);
        }
        for reply in connection.run(&commands, deadline)? {
            if let Value::ServerError(error) = reply {
                let mut failure = refused(&error);
                if let Some(password) = settings.password().filter(|password| !password.is_empty()) {
                    failure.message = failure.message.replace(password, "***");
                }
                return Err(failure);
            }
        }
        Ok(connection)
    }

    /// Sends the commands in one packet and reads a reply for each. An error reply is a reply.
    pub(super) fn run<'a>(
        &mut self,
        commands: impl IntoIterator<Item = &'a Cmd>,
        deadline: Instant,
    ) -> Result<Vec<Value>, StoreFailure> {
        let count = self.send(commands, deadline)?;
        (0..count).map(|_| self.receive(deadline)).collect()
    }

    /// Sends commands without reading their replies. Returns the number of commands.
    pub(super) fn send<'a>(
        &mut self,
        commands: impl IntoIterator<Item = &'a Cmd>,
        deadline: Instant,
    ) -> Result<usize, StoreFailure> {
        if !self.open {
            return Err(StoreFailure::new(FailureKind::Unreachable, "the connection is closed"));
        }
        self.used = Instant::now();
        let (mut packed, mut count) = (Vec::with_capacity(128), 0);
        for command in commands {
            command.write_packed_command(&mut packed);
            count += 1;
        }
        self.stream.socket().set_deadline(deadline);
        let sent = self.stream.write_all(&packed).and_then(|()| self.stream.flush());
        sent.map_err(|error| self.close(from_io(&error)))?;
        Ok(count)
    }

    pub(super) fn receive(&mut self, deadline: Instant) -> Result<Value, StoreFailure> {
        match self.poll(deadline) {
            Err(failure) => Err(self.close(failure)),
            reply => reply,
        }
    }

    /// As [`receive`](RedisConnection::receive), but a time-out does not close the connection, so that the caller can
    /// wait for the reply again.
    pub(super) fn poll(&mut self, deadline: Instant) -> Result<Value, StoreFailure> {
        self.stream.socket().set_deadline(deadline);
        let mut limited = LimitedReader { stream: &mut self.stream, left: MAX_BYTES, invalid: None };
        let reply = self.parser.parse_value(&mut limited);
        let invalid = limited.invalid;
        reply.map_err(|error| {
            invalid.map_or_else(|| from_redis(&error), |why| StoreFailure::new(FailureKind::InvalidReply, why))
        })
    }

    /// Whether the connection is usable, without a round trip. A connection that was used within a second is not
    /// checked, unless `doubted`.
    pub(super) fn is_usable(&mut self, doubted: bool) -> bool {
        const UNCHECKED: Duration = Duration::from_secs(1);
        self.open && (!doubted && self.used.elapsed() < UNCHECKED || self.is_quiet())
    }

    pub(super) fn is_open(&self) -> bool {
        self.open
    }

    /// Whether no bytes are to be read. Between exchanges there are none, unless the server closed the connection or
    /// sent a stray reply.
    fn is_quiet(&mut self) -> bool {
        let quiet = self.stream.socket().probe(true).is_ok()
            && matches!(self.stream.read(&mut [0]), Err(error) if error.kind() == io::ErrorKind::WouldBlock);
        quiet && self.stream.socket().probe(false).is_ok()
    }

    fn close(&mut self, failure: StoreFailure) -> StoreFailure {
        self.open = false;
        failure
    }
}

impl ConnectionStream {
    fn connect(address: &ConnectionAddr, tls: &TlsConfig, deadline: Instant) -> io::Result<ConnectionStream> {
        let socket = Socket::connect(address, deadline)?;
        match address {
            ConnectionAddr::TcpTls { host, insecure, .. } => {
                let mut session = tls.stream(host, *insecure, socket)?;
                // Performs the handshake here, so that no request has to wait for it.
                session.flush()?;
                Ok(ConnectionStream::Tls(session))
            }
            _ => Ok(ConnectionStream::Plain(socket)),
        }
    }

    fn socket(&mut self) -> &mut Socket {
        match self {
            ConnectionStream::Plain(socket) => socket,
            ConnectionStream::Tls(session) => session.socket(),
        }
    }
}

impl Read for ConnectionStream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            ConnectionStream::Plain(socket) => socket.read(buffer),
            ConnectionStream::Tls(session) => session.read(buffer),
        }
    }
}

impl Write for ConnectionStream {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        match self {
            ConnectionStream::Plain(socket) => socket.write(buffer),
            ConnectionStream::Tls(session) => session.write(buffer),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            ConnectionStream::Plain(socket) => socket.flush(),
            ConnectionStream::Tls(session) => session.flush(),
        }
    }
}

/// Limits the size of a reply, because the parser accepts any length that the server announces. It also keeps the
/// reason of an error, which the parser's errors do not contain.
struct LimitedReader<'a> {
    stream: &'a mut ConnectionStream,
    left: usize,
    invalid: Option<String>,
}

impl Read for LimitedReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.stream.read(buffer) {
            Ok(read) if read > self.left => {
                self.invalid = Some(format!("the reply is longer than {} MiB", MAX_BYTES >> 20));
                Err(io::ErrorKind::InvalidData.into())
            }
            Ok(read) => {
                self.left -= read;
                Ok(read)
            }
            // The peer does not speak TLS, or its certificate is not trusted.
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                self.invalid = Some(error.to_string());
                Err(error)
            }
            Err(error) => Err(error),
        }
    }
}

/// The failure of an error reply. It contains the server's message, without the arguments that the message may repeat.
pub(super) fn refused(error: &ServerError) -> StoreFailure {
    let details = error.details().unwrap_or_default();
    let details = details.split(", with args").next().unwrap_or_default();
    let message = format!("{} {details}", error.code());
    let message: String = message.trim().chars().filter(|character| !character.is_control()).take(200).collect();
    match error.code() {
        "WRONGTYPE" => StoreFailure::new(FailureKind::InvalidReply, message),
        "MOVED" | "ASK" => {
            StoreFailure::new(FailureKind::Refused, "the server is a node of a cluster: use `RedisStore::cluster`")
        }
        _ => StoreFailure::new(FailureKind::Refused, message),
    }
}

fn from_redis(error: &RedisError) -> StoreFailure {
    if error.is_timeout() {
        return timeout();
    }
    match error.kind() {
        redis::ErrorKind::Io if error.is_connection_dropped() => {
            StoreFailure::new(FailureKind::Unreachable, "the server closed the connection")
        }
        redis::ErrorKind::Io => StoreFailure::new(FailureKind::Unreachable, error.to_string()),
        // Without the parser's message, which quotes the received bytes.
        _ => StoreFailure::new(FailureKind::InvalidReply, "the reply is not Redis protocol"),
    }
}

fn from_io(error: &io::Error) -> StoreFailure {
    match error.kind() {
        io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => timeout(),
        io::ErrorKind::InvalidData => StoreFailure::new(FailureKind::InvalidReply, error.to_string()),
        _ => StoreFailure::new(FailureKind::Unreachable, error.to_string()),
    }
}

pub(super) fn timeout() -> StoreFailure {
    StoreFailure::new(FailureKind::Timeout, "no reply within the time allowed")
}
