//! A socket whose calls return by a deadline, whatever the peer sends or does not send.
//!
//! It resolves host names, connects, and sets the timeouts of the operating system. The protocol is `connection.rs`.

use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream, ToSocketAddrs};
#[cfg(unix)]
use std::os::unix::net::UnixStream;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use redis::ConnectionAddr;

use crate::store::deadline;

#[derive(Debug)]
pub(super) struct Socket {
    stream: SocketStream,
    deadline: Instant,
    /// The timeouts that are set in the operating system, at most the time left when a call starts. They are kept from
    /// call to call, so that most calls do not have to set them.
    read: Duration,
    write: Duration,
    probing: bool,
}

#[derive(Debug)]
enum SocketStream {
    Tcp(TcpStream),
    #[cfg(unix)]
    Unix(UnixStream),
}

impl Socket {
    pub(super) fn connect(address: &ConnectionAddr, deadline: Instant) -> io::Result<Socket> {
        let stream = match address {
            ConnectionAddr::Tcp(host, port) | ConnectionAddr::TcpTls { host, port, .. } => {
                SocketStream::Tcp(connect(host, *port, deadline)?)
            }
            // Blocks while the accept queue is full, and has no timeout.
            #[cfg(unix)]
            ConnectionAddr::Unix(path) => {
                let path = path.clone();
                SocketStream::Unix(run_by(deadline, move || UnixStream::connect(path))?)
            }
            _ => return Err(io::ErrorKind::Unsupported.into()),
        };
        Ok(Socket { stream, deadline, read: Duration::MAX, write: Duration::MAX, probing: false })
    }

    pub(super) fn set_deadline(&mut self, deadline: Instant) {
        self.deadline = deadline;
    }

    /// While probing, a read returns received bytes or `WouldBlock` at once.
    pub(super) fn probe(&mut self, probing: bool) -> io::Result<()> {
        self.probing = probing;
        match &self.stream {
            SocketStream::Tcp(stream) => stream.set_nonblocking(probing),
            #[cfg(unix)]
            SocketStream::Unix(stream) => stream.set_nonblocking(probing),
        }
    }

    /// Limits a read to the deadline. A read that ends earlier, because its timeout is shorter, is repeated.
    fn arm_read(&mut self) -> io::Result<()> {
        let left = left(self.deadline)?;
        if self.read <= left {
            return Ok(());
        }
        self.read = timeout_for(left);
        match &self.stream {
            SocketStream::Tcp(stream) => stream.set_read_timeout(Some(self.read)),
            #[cfg(unix)]
            SocketStream::Unix(stream) => stream.set_read_timeout(Some(self.read)),
        }
    }

    fn arm_write(&mut self) -> io::Result<()> {
        let left = left(self.deadline)?;
        if self.write <= left {
            return Ok(());
        }
        self.write = timeout_for(left);
        match &self.stream {
            SocketStream::Tcp(stream) => stream.set_write_timeout(Some(self.write)),
            #[cfg(unix)]
            SocketStream::Unix(stream) => stream.set_write_timeout(Some(self.write)),
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
                SocketStream::Tcp(stream) => stream.read(buffer),
                #[cfg(unix)]
                SocketStream::Unix(stream) => stream.read(buffer),
            };
            match read {
                // The timeout was too short. The next loop sets one that fits the time left.
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
                SocketStream::Tcp(stream) => stream.write(buffer),
                #[cfg(unix)]
                SocketStream::Unix(stream) => stream.write(buffer),
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
        // Each address gets a share of the time, so that one without a reply leaves time for the others.
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
    run_by(deadline, move || (host.as_str(), port).to_socket_addrs().map(Iterator::collect))
}

/// Runs an operation without a timeout on a thread of its own. After the deadline, the thread is left to finish alone.
fn run_by<T: Send + 'static>(
    deadline: Instant,
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let (sender, receiver) = mpsc::sync_channel(1);
    std::thread::Builder::new().name("mjc-redis-dial".into()).spawn(move || {
        // If the caller no longer waits, the result is dropped, which closes the socket.
        let _ = sender.send(work());
    })?;
    receiver.recv_timeout(left(deadline)?).map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
}

fn left(deadline: Instant) -> io::Result<Duration> {
    let left = deadline::left(deadline);
    if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(left) }
}

/// The timeout for the time left: a power of two of milliseconds, so that small differences do not change it.
fn timeout_for(left: Duration) -> Duration {
    let millis = u64::try_from(left.as_millis()).unwrap_or(u64::MAX).max(1);
    Duration::from_millis(1 << millis.ilog2().min(20))
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}
