//! Redis processes and fake servers for tests. Each process has a free port and a folder of its own, and is killed when
//! the test ends.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use redis::{IntoConnectionInfo, Value};
use tempfile::TempDir;

use super::super::RedisStore;
use super::super::connection::RedisConnection;
use super::super::tls::TlsConfig;

pub(super) struct Server {
    child: Child,
    folder: TempDir,
    pub(super) port: u16,
    arguments: Vec<String>,
}

impl Server {
    pub(super) fn start(arguments: &[&str]) -> Server {
        let folder = tempfile::tempdir().unwrap();
        for _ in 0..5 {
            let port = free_port();
            let arguments: Vec<String> =
                arguments.iter().map(|&argument| argument.replace("{dir}", folder.path().to_str().unwrap())).collect();
            if let Some(child) = spawn(port, folder.path(), &arguments) {
                return Server { child, folder, port, arguments };
            }
        }
        panic!("no server started");
    }

    pub(super) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    pub(super) fn store(&self) -> RedisStore {
        RedisStore::connect(&self.url()).unwrap()
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Runs a command, given as words separated by spaces.
    pub(super) fn call(&self, words: &str) -> Value {
        let mut words = words.split(' ');
        let mut command = redis::cmd(words.next().unwrap());
        words.for_each(|word| _ = command.arg(word));
        let info = self.url().into_connection_info().unwrap();
        let mut connection = RedisConnection::connect(&info, &TlsConfig::default(), soon()).unwrap();
        connection.run([&command], soon()).unwrap().remove(0)
    }

    pub(super) fn process(&self) -> u32 {
        self.child.id()
    }

    pub(super) fn stop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    pub(super) fn start_again(&mut self) {
        self.child = spawn(self.port, self.folder.path(), &self.arguments).expect("starts again");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

fn spawn(port: u16, folder: &Path, arguments: &[String]) -> Option<Child> {
    crate::servers::ensure();
    let mut command = Command::new(crate::servers::redis_server());
    // A configuration file comes before the options.
    let (file, options): (Vec<_>, Vec<_>) = arguments.iter().partition(|argument| argument.ends_with(".conf"));
    command.args(file).args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", ""]);
    command.args(["--appendonly", "no", "--dir"]).arg(folder).args(options);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let until = Instant::now() + Duration::from_secs(10);
    while Instant::now() < until && child.try_wait().unwrap().is_none() {
        if replies(port) {
            return Some(child);
        }
        thread::sleep(Duration::from_millis(10));
    }
    let _ = child.kill();
    let _ = child.wait();
    None
}

/// Whether the server replies, if only with a TLS alert.
fn replies(port: u16) -> bool {
    let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) else { return false };
    stream.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
    let mut reply = [0; 8];
    let read = stream.write_all(b"PING\r\n").and_then(|()| stream.read(&mut reply));
    read.is_ok_and(|read| read > 0 && !reply.starts_with(b"-LOADING"))
}

pub(super) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A fake server that calls `behave` with each connection.
pub(super) fn impostor(behave: impl Fn(TcpStream) + Send + Sync + Clone + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("redis://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        for stream in listener.incoming() {
            let behave = behave.clone();
            thread::spawn(move || behave(stream.unwrap()));
        }
    });
    url
}

pub(super) fn soon() -> Instant {
    Instant::now() + Duration::from_secs(10)
}

/// Waits until `happened` returns true.
pub(super) fn until(what: &str, limit: Duration, mut happened: impl FnMut() -> bool) {
    let began = Instant::now();
    while !happened() {
        assert!(began.elapsed() < limit, "{what}: not within {limit:?}");
        thread::sleep(Duration::from_millis(10));
    }
}
