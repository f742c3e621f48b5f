//! A client for the Redis protocol, version 2: independent of the one under test, and so small that it needs no trust.

use std::io::{BufRead, BufReader, Error, ErrorKind, Read, Result, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

/// Where a server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    Simple(String),
    Error(String),
    Integer(i64),
    Bulk(Option<Vec<u8>>),
    Array(Option<Vec<Reply>>),
}

impl Reply {
    /// What a person would read: the text of anything but an array.
    #[track_caller]
    pub fn text(&self) -> String {
        match self {
            Reply::Simple(text) | Reply::Error(text) => text.clone(),
            Reply::Integer(number) => number.to_string(),
            Reply::Bulk(bytes) => String::from_utf8_lossy(bytes.as_deref().unwrap_or_default()).into_owned(),
            Reply::Array(_) => panic!("an array is not a text: {self:?}"),
        }
    }

    #[track_caller]
    pub fn integer(&self) -> i64 {
        let Reply::Integer(number) = self else { panic!("not an integer: {self:?}") };
        *number
    }

    /// A value, `None` for a key that is not there.
    #[track_caller]
    pub fn bytes(self) -> Option<Vec<u8>> {
        let Reply::Bulk(bytes) = self else { panic!("not a value: {self:?}") };
        bytes
    }

    #[track_caller]
    pub fn items(self) -> Vec<Reply> {
        let Reply::Array(Some(items)) = self else { panic!("not an array: {self:?}") };
        items
    }

    pub fn is_error(&self) -> bool {
        matches!(self, Reply::Error(_))
    }

    /// This reply, if the command worked.
    #[track_caller]
    pub fn ok(self) -> Reply {
        assert!(!self.is_error(), "{self:?}");
        self
    }
}

trait Stream: Read + Write + Send {}
impl<T: Read + Write + Send> Stream for T {}

/// One connection.
pub struct Client {
    stream: BufReader<Box<dyn Stream>>,
}

impl Client {
    /// `patience` bounds the connecting and then each read and write.
    pub fn connect(endpoint: &Endpoint, patience: Duration) -> Result<Client> {
        let stream: Box<dyn Stream> = match endpoint {
            Endpoint::Tcp(address) => {
                let stream = TcpStream::connect_timeout(address, patience)?;
                stream.set_nodelay(true)?;
                stream.set_read_timeout(Some(patience))?;
                stream.set_write_timeout(Some(patience))?;
                Box::new(stream)
            }
            Endpoint::Unix(path) => {
                let stream = UnixStream::connect(path)?;
                stream.set_read_timeout(Some(patience))?;
                stream.set_write_timeout(Some(patience))?;
                Box::new(stream)
            }
        };
        Ok(Client { stream: BufReader::new(stream) })
    }

    pub fn command(&mut self, parts: &[&[u8]]) -> Result<Reply> {
        let mut request = format!("*{}\r\n", parts.len()).into_bytes();
        for part in parts {
            request.extend_from_slice(format!("${}\r\n", part.len()).as_bytes());
            request.extend_from_slice(part);
            request.extend_from_slice(b"\r\n");
        }
        self.stream.get_mut().write_all(&request)?;
        self.reply()
    }

    /// A command whose words have no spaces in them.
    pub fn run(&mut self, words: &str) -> Result<Reply> {
        let parts: Vec<&[u8]> = words.split_whitespace().map(str::as_bytes).collect();
        self.command(&parts)
    }

    fn reply(&mut self) -> Result<Reply> {
        let line = self.line()?;
        let (kind, rest) = line.split_at_checked(1).ok_or_else(|| strange(&line))?;
        Ok(match kind {
            "+" => Reply::Simple(rest.into()),
            "-" => Reply::Error(rest.into()),
            ":" => Reply::Integer(number(rest)?),
            "$" => Reply::Bulk(match usize::try_from(number(rest)?) {
                Ok(length) => Some(self.bulk(length)?),
                Err(_) => None,
            }),
            "*" => Reply::Array(match usize::try_from(number(rest)?) {
                Ok(length) => Some((0..length).map(|_| self.reply()).collect::<Result<_>>()?),
                Err(_) => None,
            }),
            _ => return Err(strange(&line)),
        })
    }

    fn bulk(&mut self, length: usize) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        // Not allocated ahead: through a proxy that corrupts, the length can be anything.
        self.stream.by_ref().take(length as u64 + 2).read_to_end(&mut bytes)?;
        match bytes.strip_suffix(b"\r\n") {
            Some(value) if value.len() == length => Ok(value.to_vec()),
            _ => Err(strange("a value without its end")),
        }
    }

    fn line(&mut self) -> Result<String> {
        let mut line = Vec::new();
        self.stream.read_until(b'\n', &mut line)?;
        let text = String::from_utf8(line).map_err(|_| strange("bytes"))?;
        match text.strip_suffix("\r\n") {
            Some(line) => Ok(line.into()),
            None if text.is_empty() => Err(ErrorKind::UnexpectedEof.into()),
            None => Err(strange(&text)),
        }
    }
}

fn number(text: &str) -> Result<i64> {
    text.parse().map_err(|_| strange(text))
}

fn strange(what: &str) -> Error {
    Error::new(ErrorKind::InvalidData, format!("not the protocol: {what:?}"))
}
