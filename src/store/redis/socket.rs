//! A socket whose every call ends by a deadline, whatever the peer sends or does not send.
//!
//! Owns name resolution, connecting, and the timeouts of the operating system. What is said over it is `link.rs`.

use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream, ToSocketAddrs};
#[cfg(unix)]
use std::os::unix::net::UnixStream;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use redis::ConnectionAddr;

#[derive(Debug)]
pub(super) struct Socket {
    stream: Stream,
    deadline: Instant,
    /// The timeouts the operating system has: never longer than what is left when a call starts. They stay from call
    /// to call, so that a call with time to spare costs no more than itself.
    read: Duration,
    write: Duration,
    probing: bool,
}

#[derive(Debug)]
enum Stream {
    Tcp(TcpStream),
    #[cfg(unix)]
    Unix(UnixStream),
}

impl Socket {
    pub(super) fn connect(address: &ConnectionAddr, deadline: Instant) -> io::Result<Socket> {
        let stream = match address {
            ConnectionAddr::Tcp(host, port) | ConnectionAddr::TcpTls { host, port, .. } => {
                Stream::Tcp(connect(host, *port, deadline)?)
            }
            // A full accept queue blocks this, without a timeout that could be set.
            #[cfg(unix)]
            ConnectionAddr::Unix(path) => {
                let path = path.clone();
                Stream::Unix(by(deadline, move || UnixStream::connect(path))?)
            }
            _ => return Err(io::ErrorKind::Unsupported.into()),
        };
        Ok(Socket { stream, deadline, read: Duration::MAX, write: Duration::MAX, probing: false })
    }

    pub(super) fn set_deadline(&mut self, deadline: Instant) {
        self.deadline = deadline;
    }

    /// While probing, a read finds what is there already, or `WouldBlock`.
    pub(super) fn probe(&mut self, probing: bool) -> io::Result<()> {
        self.probing = probing;
        match &self.stream {
            Stream::Tcp(stream) => stream.set_nonblocking(probing),
            #[cfg(unix)]
            Stream::Unix(stream) => stream.set_nonblocking(probing),
        }
    }

    /// Sees to it that a read ends by the deadline. One that ends before, for its timeout is shorter, is begun again.
    fn arm_read(&mut self) -> io::Result<()> {
        let left = left(self.deadline)?;
        if self.read <= left {
            return Ok(());
        }
        self.read = step(left);
        match &self.stream {
            Stream::Tcp(stream) => stream.set_read_timeout(Some(self.read)),
            #[cfg(unix)]
            Stream::Unix(stream) => stream.set_read_timeout(Some(self.read)),
        }
    }

    fn arm_write(&mut self) -> io::Result<()> {
        let left = left(self.deadline)?;
        if self.write <= left {
            return Ok(());
        }
        self.write = step(left);
        match &self.stream {
            Stream::Tcp(stream) => stream.set_write_timeout(Some(self.write)),
            #[cfg(unix)]
            Stream::Unix(stream) => stream.set_write_timeout(Some(self.write)),
        }
    }
}

impl Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if !self.probing {
                self.arm_read()?;
            }
            let read = match &mut self.stream {
                Stream::Tcp(stream) => stream.read(buffer),
                #[cfg(unix)]
                Stream::Unix(stream) => stream.read(buffer),
            };
            match read {
                // Too short a timeout is replaced by one that suits what is left.
                Err(error) if is_timeout(&error) && !self.probing => self.read = Duration::MAX,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => return read,
            }
        }
    }
}

impl Write for Socket {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        loop {
            if !self.probing {
                self.arm_write()?;
            }
            let written = match &mut self.stream {
                Stream::Tcp(stream) => stream.write(buffer),
                #[cfg(unix)]
                Stream::Unix(stream) => stream.write(buffer),
            };
            match written {
                Err(error) if is_timeout(&error) && !self.probing => self.write = Duration::MAX,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                written => return written,
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn connect(host: &str, port: u16, deadline: Instant) -> io::Result<TcpStream> {
    let mut error = io::Error::new(io::ErrorKind::NotFound, "the host has no address");
    let addresses = resolve(host, port, deadline)?;
    for (index, address) in addresses.iter().enumerate() {
        // One address that does not answer leaves time for those after it.
        let share = left(deadline)? / (addresses.len() - index) as u32;
        match TcpStream::connect_timeout(address, share.max(Duration::from_millis(1))) {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                return Ok(stream);
            }
            Err(failed) => error = failed,
        }
    }
    Err(error)
}

fn resolve(host: &str, port: u16, deadline: Instant) -> io::Result<Vec<SocketAddr>> {
    if let Ok(address) = host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(address, port)]);
    }
    let host = host.to_owned();
    by(deadline, move || (host.as_str(), port).to_socket_addrs().map(Iterator::collect))
}

/// Does on a thread of its own what knows no timeout; when it takes too long, it is left to itself.
fn by<T: Send + 'static>(deadline: Instant, work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    let (sender, receiver) = mpsc::sync_channel(1);
    std::thread::Builder::new().name("mjc-redis-dial".into()).spawn(move || {
        // Nobody waits any longer: what was opened is closed.
        let _ = sender.send(work());
    })?;
    receiver.recv_timeout(left(deadline)?).map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
}

fn left(deadline: Instant) -> io::Result<Duration> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(left) }
}

/// The timeout for what is left: a power of two of milliseconds, so that small differences do not set it anew.
fn step(left: Duration) -> Duration {
    let millis = u64::try_from(left.as_millis()).unwrap_or(u64::MAX).max(1);
    Duration::from_millis(1 << millis.ilog2().min(20))
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}
