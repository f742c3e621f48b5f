//! What stands for TLS without the feature: URLs that ask for it are refused before this is reached.

use std::io::{self, Read, Write};

use super::super::socket::Socket;

#[derive(Debug, Clone, Default)]
pub(in super::super) struct Trust(());

#[derive(Debug)]
pub(in super::super) enum Session {}

impl Trust {
    pub(in super::super) fn session(&self, _host: &str, _insecure: bool, _socket: Socket) -> io::Result<Session> {
        Err(io::Error::new(io::ErrorKind::Unsupported, "TLS needs the feature `redis-tls`"))
    }
}

impl Session {
    pub(in super::super) fn socket(&mut self) -> &mut Socket {
        match *self {}
    }
}

impl Read for Session {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        match *self {}
    }
}

impl Write for Session {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        match *self {}
    }

    fn flush(&mut self) -> io::Result<()> {
        match *self {}
    }
}
