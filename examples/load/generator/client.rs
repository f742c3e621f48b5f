//! One connection that stays open: what is cheapest to drive, since client and server share the machine.

use std::net::SocketAddr;
use std::time::Duration;

use axum::body::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{CONTENT_TYPE, COOKIE, HOST, HeaderMap, HeaderValue};
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// What is asked.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Ask {
    pub(crate) path: String,
    pub(crate) cookie: Option<String>,
    /// The fields of a form to be posted; a GET without.
    pub(crate) form: Option<Vec<(&'static str, String)>>,
}

/// What came back.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

/// A connection to the server, opened when it is needed.
#[derive(Debug)]
pub(crate) struct Client {
    address: SocketAddr,
    host: HeaderValue,
    open: Option<SendRequest<Full<Bytes>>>,
}

impl Client {
    pub(crate) fn new(address: SocketAddr) -> Result<Client, String> {
        let host = HeaderValue::from_str(&address.to_string()).map_err(|error| error.to_string())?;
        Ok(Client { address, host, open: None })
    }

    /// Asks, and takes the whole answer, into the buffer of the one before. What fails also closes the connection.
    pub(crate) async fn send(&mut self, ask: &Ask, answer: &mut Answer) -> Result<(), String> {
        answer.body.clear();
        let result = match tokio::time::timeout(PATIENCE, self.exchange(ask, answer)).await {
            Ok(result) => result,
            Err(_) => Err(format!("no answer within {PATIENCE:?}")),
        };
        if result.is_err() {
            self.open = None;
        }
        result
    }

    async fn exchange(&mut self, ask: &Ask, answer: &mut Answer) -> Result<(), String> {
        let request = self.request(ask)?;
        let kept = match self.open.take() {
            Some(mut open) => open.ready().await.is_ok().then_some(open),
            None => None,
        };
        let sender = self.open.insert(match kept {
            Some(open) => open,
            None => connect(self.address).await?,
        });
        let response = sender.send_request(request).await.map_err(|error| format!("the connection failed: {error}"))?;
        let (head, mut body) = response.into_parts();
        (answer.status, answer.headers) = (head.status.as_u16(), head.headers);
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| format!("the answer broke off: {error}"))?;
            if let Some(data) = frame.data_ref() {
                answer.body.extend_from_slice(data);
            }
        }
        Ok(())
    }

    fn request(&self, ask: &Ask) -> Result<Request<Full<Bytes>>, String> {
        let mut request = Request::builder().uri(&ask.path).header(HOST, self.host.clone());
        if let Some(cookie) = &ask.cookie {
            request = request.header(COOKIE, cookie);
        }
        let body = match &ask.form {
            Some(fields) => {
                request = request.method(Method::POST).header(CONTENT_TYPE, "application/x-www-form-urlencoded");
                Full::from(encoded(fields))
            }
            None => Full::default(),
        };
        request.body(body).map_err(|error| format!("cannot ask for {}: {error}", ask.path))
    }
}

async fn connect(address: SocketAddr) -> Result<SendRequest<Full<Bytes>>, String> {
    let failed = |error: &dyn std::fmt::Display| format!("cannot connect to {address}: {error}");
    let stream = TcpStream::connect(address).await.map_err(|error| failed(&error))?;
    stream.set_nodelay(true).map_err(|error| failed(&error))?;
    let (sender, connection) = handshake(TokioIo::new(stream)).await.map_err(|error| failed(&error))?;
    // What goes wrong on it is told to whoever waits for an answer.
    tokio::spawn(async move { drop(connection.await) });
    Ok(sender)
}

/// A form as browsers send it.
fn encoded(fields: &[(&str, String)]) -> String {
    let mut text = String::new();
    for (name, value) in fields {
        if !text.is_empty() {
            text.push('&');
        }
        text.push_str(name);
        text.push('=');
        for byte in value.bytes() {
            match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' => text.push(char::from(byte)),
                _ => text.push_str(&format!("%{byte:02X}")),
            }
        }
    }
    text
}
