//! An address where connecting hangs, as behind a firewall that drops packets.

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use super::ports;

pub struct Blackhole {
    listener: TcpListener,
    _waiting: Vec<TcpStream>,
}

impl Blackhole {
    /// A listener nobody accepts from, with so many connections waiting that the kernel ignores further ones.
    pub fn open() -> Blackhole {
        let listener = TcpListener::bind(ports::loopback(0)).unwrap();
        let address = listener.local_addr().unwrap();
        let mut waiting = Vec::new();
        loop {
            match TcpStream::connect_timeout(&address, Duration::from_millis(300)) {
                Ok(stream) => waiting.push(stream),
                Err(error) if error.kind() == ErrorKind::TimedOut => break,
                Err(error) => panic!("connection {} to a listener that does not accept: {error}", waiting.len()),
            }
        }
        Blackhole { listener, _waiting: waiting }
    }

    pub fn address(&self) -> SocketAddr {
        self.listener.local_addr().unwrap()
    }
}
