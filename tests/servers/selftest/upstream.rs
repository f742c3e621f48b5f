//! A web server written by hand: what it answers is up to the test, and what it was asked is kept.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread::{JoinHandle, spawn};
use std::time::Duration;

/// A connection that a browser opens ahead says nothing until it is needed.
const PATIENCE: Duration = Duration::from_secs(30);

/// The head of a request.
#[derive(Clone, Debug)]
pub(super) struct Asked(String);

impl Asked {
    pub(super) fn path(&self) -> &str {
        self.0.split(' ').nth(1).unwrap()
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.0.lines().filter_map(|line| line.split_once(": "));
        lines.find(|(it, _)| it.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }
}

pub(super) struct Upstream {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
    thread: Option<JoinHandle<()>>,
}

impl Upstream {
    /// `answer` makes all the bytes of an answer; [`reply`] helps.
    pub(super) fn start(answer: impl Fn(&Asked) -> String + Send + Sync + 'static) -> Upstream {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (shared, answer) = (asked.clone(), Arc::new(answer));
        let thread = spawn(move || {
            for stream in listener.incoming() {
                let stream = stream.unwrap();
                // Only it holds the other one, until it is dropped.
                if Arc::strong_count(&shared) == 1 {
                    return;
                }
                let (shared, answer) = (Arc::downgrade(&shared), answer.clone());
                spawn(move || {
                    let Some(asked) = receive(&stream) else { return };
                    // Noted first: who has the answer may look at once.
                    if let Some(shared) = shared.upgrade() {
                        shared.lock().unwrap().push(asked.clone());
                    }
                    let _ = (&stream).write_all(answer(&asked).as_bytes());
                });
            }
        });
        Upstream { address, asked, thread: Some(thread) }
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(super) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(super) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.asked = Arc::default();
        drop(TcpStream::connect(self.address));
        let _ = self.thread.take().unwrap().join();
    }
}

/// One answer on a connection that ends with it. `headers` are lines without their ends.
pub(super) fn reply(status: &str, headers: &[&str], body: &str) -> String {
    let lines: String = headers.iter().map(|line| format!("{line}\r\n")).collect();
    format!("HTTP/1.1 {status}\r\n{lines}Content-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len())
}

/// What a page with a validator answers: 304 to one who has it.
pub(super) fn validated(asked: &Asked, etag: &str, headers: &[&str], body: &str) -> String {
    let etag_line = format!("ETag: {etag}");
    let headers = [headers, &[&etag_line]].concat();
    if asked.header("if-none-match") == Some(etag) {
        return reply("304 Not Modified", &headers, "").replace("Content-Length: 0\r\n", "");
    }
    reply("200 OK", &headers, body)
}

fn receive(stream: &TcpStream) -> Option<Asked> {
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    let mut head = String::new();
    let mut stream = BufReader::new(stream);
    while !head.ends_with("\r\n\r\n") {
        if stream.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    Some(Asked(head))
}
