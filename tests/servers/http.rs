//! A client for HTTP/1.1, one connection a request: independent of any library under test, so that what a test sees is
//! what went over the wire.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Error, ErrorKind, Read, Result, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// How long connecting, and then each read and write, may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// Sends requests to one server.
#[derive(Clone, Copy, Debug)]
pub struct Client {
    address: SocketAddr,
}

/// A request that is being put together. `Host`, `Connection` and a needed `Content-Length` come by themselves, unless
/// they are given.
#[derive(Clone, Debug)]
pub struct Request {
    address: SocketAddr,
    method: String,
    path: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

#[derive(Clone, Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: Headers,
    pub body: Vec<u8>,
}

/// The lines of a head in their order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers(Vec<(String, String)>);

impl Client {
    pub fn new(address: SocketAddr) -> Client {
        Client { address }
    }

    pub fn get(&self, path: &str) -> Request {
        self.request("GET", path)
    }

    pub fn head(&self, path: &str) -> Request {
        self.request("HEAD", path)
    }

    /// Posts a form.
    pub fn post(&self, path: &str, fields: &[(&str, &str)]) -> Request {
        let fields: Vec<String> =
            fields.iter().map(|(name, value)| format!("{}={}", encoded(name), encoded(value))).collect();
        self.request("POST", path)
            .header("Content-Type", "application/x-www-form-urlencoded")
            .body(fields.join("&").into_bytes())
    }

    pub fn request(&self, method: &str, path: &str) -> Request {
        let (method, path) = (method.to_owned(), path.to_owned());
        Request { address: self.address, method, path, headers: Vec::new(), body: Vec::new() }
    }
}

impl Request {
    /// Adds a line, also where there is one with this name.
    pub fn header(mut self, name: &str, value: &str) -> Request {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Request {
        self.body = body.into();
        self
    }

    #[track_caller]
    pub fn send(&self) -> Reply {
        self.try_send().unwrap_or_else(|error| panic!("{} {}: {error}", self.method, self.path))
    }

    pub fn try_send(&self) -> Result<Reply> {
        let mut stream = TcpStream::connect_timeout(&self.address, PATIENCE)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        stream.write_all(&[self.text().as_bytes(), &self.body].concat())?;
        let mut stream = BufReader::new(stream);
        loop {
            let reply = head(&mut stream)?;
            // What is not 101 announces that the reply proper is still to come.
            if !(100..200).contains(&reply.status) || reply.status == 101 {
                return self.finish(reply, &mut stream);
            }
        }
    }

    fn text(&self) -> String {
        let mut text = format!("{} {} HTTP/1.1\r\n", self.method, self.path);
        let length = (!self.body.is_empty() || ["POST", "PUT", "PATCH"].contains(&self.method.as_str()))
            .then(|| ("Content-Length", self.body.len().to_string()));
        let own = [("Host", self.address.to_string()), ("Connection", "close".to_owned())];
        let own = own.into_iter().chain(length);
        let own = own.filter(|(name, _)| !self.headers.iter().any(|(given, _)| given.eq_ignore_ascii_case(name)));
        for (name, value) in own {
            let _ = write!(text, "{name}: {value}\r\n");
        }
        for (name, value) in &self.headers {
            let _ = write!(text, "{name}: {value}\r\n");
        }
        text + "\r\n"
    }

    fn finish(&self, mut reply: Reply, stream: &mut impl BufRead) -> Result<Reply> {
        if self.method == "HEAD" || [101, 204, 304].contains(&reply.status) {
            return Ok(reply);
        }
        let chunked = reply.headers.all("transfer-encoding").iter().any(|value| value.ends_with("chunked"));
        match reply.headers.first("content-length") {
            _ if chunked => reply.body = chunks(stream)?,
            Some(length) => reply.body = exactly(stream, number(length, 10)?)?,
            None => {
                stream.read_to_end(&mut reply.body)?;
            }
        }
        Ok(reply)
    }
}

impl Reply {
    /// The value of the first line with this name, in any case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.first(name)
    }

    #[track_caller]
    pub fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }
}

impl Headers {
    pub fn first(&self, name: &str) -> Option<&str> {
        self.all(name).first().copied()
    }

    pub fn all(&self, name: &str) -> Vec<&str> {
        self.iter().filter(|(it, _)| it.eq_ignore_ascii_case(name)).map(|(_, value)| value).collect()
    }

    /// Names as they were sent, and values.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    fn read(stream: &mut impl BufRead) -> Result<Headers> {
        let mut headers = Vec::new();
        loop {
            let line = line(stream)?;
            if line.is_empty() {
                return Ok(Headers(headers));
            }
            let (name, value) = line.split_once(':').ok_or_else(|| strange(&line))?;
            headers.push((name.to_owned(), value.trim().to_owned()));
        }
    }
}

/// A name or value as forms send it.
pub fn encoded(text: &str) -> String {
    text.bytes()
        .map(|byte| if byte.is_ascii_alphanumeric() { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

/// A reply that has no body so far.
fn head(stream: &mut impl BufRead) -> Result<Reply> {
    let line = line(stream)?;
    let status = line.strip_prefix("HTTP/1.").and_then(|rest| rest.get(2..5)?.parse().ok());
    let status = status.ok_or_else(|| strange(&line))?;
    Ok(Reply { status, headers: Headers::read(stream)?, body: Vec::new() })
}

fn chunks(stream: &mut impl BufRead) -> Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let size = line(stream)?;
        // Extensions may follow the length.
        let length = number(size.split(';').next().unwrap_or_default().trim(), 16)?;
        if length == 0 {
            Headers::read(stream)?;
            return Ok(body);
        }
        body.extend(exactly(stream, length)?);
        let end = line(stream)?;
        if !end.is_empty() {
            return Err(strange(&end));
        }
    }
}

fn exactly(stream: &mut impl BufRead, length: u64) -> Result<Vec<u8>> {
    let mut body = Vec::new();
    // Not allocated ahead: the length can be anything.
    stream.take(length).read_to_end(&mut body)?;
    if body.len() as u64 == length { Ok(body) } else { Err(ErrorKind::UnexpectedEof.into()) }
}

fn line(stream: &mut impl BufRead) -> Result<String> {
    let mut line = Vec::new();
    stream.read_until(b'\n', &mut line)?;
    let Some(line) = line.strip_suffix(b"\r\n") else { return Err(ErrorKind::UnexpectedEof.into()) };
    String::from_utf8(line.to_vec()).map_err(|_| strange("bytes"))
}

fn number(text: &str, radix: u32) -> Result<u64> {
    u64::from_str_radix(text, radix).map_err(|_| strange(text))
}

fn strange(what: &str) -> Error {
    Error::new(ErrorKind::InvalidData, format!("not the protocol: {what:?}"))
}
