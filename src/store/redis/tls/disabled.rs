//! Replaces TLS when the feature is off. URLs that need TLS are rejected before a stream is opened.

use std::io::{self, Read, Write};

use super::super::socket::Socket;

#[derive(Debug, Clone, Default)]
pub(in super::super) struct TlsConfig(());

#[derive(Debug)]
pub(in super::super) enum TlsStream {}

impl TlsConfig {
    pub(in super::super) fn stream(&self, _host: &str, _insecure: bool, _socket: Socket) -> io::Result<TlsStream> {
        Err(io::Error::new(io::ErrorKind::Unsupported, "TLS needs the feature `redis-tls`"))
    }
}

impl TlsStream {
    pub(in super::super) fn socket(&mut self) -> &mut Socket {
        match *self {}
    }
}

impl Read for TlsStream {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        match *self {}
    }
}

impl Write for TlsStream {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        match *self {}
    }

    fn flush(&mut self) -> io::Result<()> {
        match *self {}
    }
}
