//! One connection to one server: commands out, replies in, by a deadline.
//!
//! Owns the handshake, and what a failure of the connection or a refusal is called. Which server that is, `topology.rs`
//! says; a link that failed in the middle of an exchange is closed for good, for what comes next on it answers
//! something else.

use std::io::{self, Read, Write};
use std::time::{Duration, Instant};

use redis::{Cmd, ConnectionAddr, ConnectionInfo, Parser, RedisError, ServerError, Value};

use super::socket::Socket;
use super::tls::{Session, Trust};
use crate::store::{FailureKind, StoreFailure};

/// A reply takes at most this many bytes: what is no Redis could send for ever.
const MAX_BYTES: usize = 64 << 20;

pub(super) struct Link {
    stream: Stream,
    parser: Parser,
    open: bool,
    used: Instant,
}

enum Stream {
    Plain(Socket),
    Tls(Session),
}

impl Link {
    /// Connects and authenticates.
    pub(super) fn connect(info: &ConnectionInfo, trust: &Trust, deadline: Instant) -> Result<Link, StoreFailure> {
        let stream = Stream::connect(info.addr(), trust, deadline).map_err(|error| from_io(&error))?;
        let mut link = Link { stream, parser: Parser::new(), open: true, used: Instant::now() };
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
            return Ok(link);
        }
        for reply in link.run(&commands, deadline)? {
            if let Value::ServerError(error) = reply {
                let mut failure = refused(&error);
                if let Some(password) = settings.password().filter(|password| !password.is_empty()) {
                    failure.message = failure.message.replace(password, "***");
                }
                return Err(failure);
            }
        }
        Ok(link)
    }

    /// Sends the commands in one go, and reads a reply for each. A refusal is a reply.
    pub(super) fn run<'a>(
        &mut self,
        commands: impl IntoIterator<Item = &'a Cmd>,
        deadline: Instant,
    ) -> Result<Vec<Value>, StoreFailure> {
        let count = self.send(commands, deadline)?;
        (0..count).map(|_| self.receive(deadline)).collect()
    }

    /// Sends commands whose replies are to be received, and says how many.
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

    /// As [`receive`](Link::receive), but a time-out does not close the link: the reply may be waited for again.
    pub(super) fn poll(&mut self, deadline: Instant) -> Result<Value, StoreFailure> {
        self.stream.socket().set_deadline(deadline);
        let mut metered = Metered { stream: &mut self.stream, left: MAX_BYTES, nonsense: None };
        let reply = self.parser.parse_value(&mut metered);
        let nonsense = metered.nonsense;
        reply.map_err(|error| {
            nonsense.map_or_else(|| from_redis(&error), |why| StoreFailure::new(FailureKind::InvalidReply, why))
        })
    }

    /// Whether the link may be used, as far as can be told without asking the server. One that was used just now is
    /// believed to be, unless `doubted`.
    pub(super) fn is_fit(&mut self, doubted: bool) -> bool {
        const UNDOUBTED: Duration = Duration::from_secs(1);
        self.open && (!doubted && self.used.elapsed() < UNDOUBTED || self.is_quiet())
    }

    pub(super) fn is_open(&self) -> bool {
        self.open
    }

    /// Nothing is to be read between exchanges: what is, is the end of the connection, or a reply nobody asked for.
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

impl Stream {
    fn connect(address: &ConnectionAddr, trust: &Trust, deadline: Instant) -> io::Result<Stream> {
        let socket = Socket::connect(address, deadline)?;
        match address {
            ConnectionAddr::TcpTls { host, insecure, .. } => {
                let mut session = trust.session(host, *insecure, socket)?;
                // Shakes hands, which no page should have to wait for.
                session.flush()?;
                Ok(Stream::Tls(session))
            }
            _ => Ok(Stream::Plain(socket)),
        }
    }

    fn socket(&mut self) -> &mut Socket {
        match self {
            Stream::Plain(socket) => socket,
            Stream::Tls(session) => session.socket(),
        }
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Plain(socket) => socket.read(buffer),
            Stream::Tls(session) => session.read(buffer),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        match self {
            Stream::Plain(socket) => socket.write(buffer),
            Stream::Tls(session) => session.write(buffer),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Stream::Plain(socket) => socket.flush(),
            Stream::Tls(session) => session.flush(),
        }
    }
}

/// Counts what a reply takes: the parser believes any length it is told. It also keeps what the parser's errors lose.
struct Metered<'a> {
    stream: &'a mut Stream,
    left: usize,
    nonsense: Option<String>,
}

impl Read for Metered<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.stream.read(buffer) {
            Ok(read) if read > self.left => {
                self.nonsense = Some(format!("the reply is longer than {} MiB", MAX_BYTES >> 20));
                Err(io::ErrorKind::InvalidData.into())
            }
            Ok(read) => {
                self.left -= read;
                Ok(read)
            }
            // TLS that is none, or a certificate that is not believed.
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                self.nonsense = Some(error.to_string());
                Err(error)
            }
            Err(error) => Err(error),
        }
    }
}

/// What a refusal in a reply amounts to. The server's words, but never the arguments it may repeat.
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
        // Not the parser's words: they quote what was received.
        _ => StoreFailure::new(FailureKind::InvalidReply, "the answer is not Redis protocol"),
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
    StoreFailure::new(FailureKind::Timeout, "no answer within the time allowed")
}
