//! Memcached servers and fake servers for tests.

use std::io::{Read, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::MemcachedStore;

/// A memcached process on a free port. It is killed when this is dropped.
pub(super) struct Memcached {
    process: Child,
    port: u16,
    options: Vec<String>,
}

impl Memcached {
    pub(super) fn start(options: &[&str]) -> Memcached {
        let options: Vec<String> = options.iter().map(ToString::to_string).collect();
        // Another process may take the port in between.
        for _ in 0..10 {
            let port = free_port();
            if let Some(process) = start_on(port, &options) {
                return Memcached { process, port, options };
            }
        }
        panic!("memcached does not start with {options:?}");
    }

    pub(super) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    pub(super) fn stop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    pub(super) fn start_again(&mut self) {
        let end = Instant::now() + Duration::from_secs(20);
        self.process = loop {
            if let Some(process) = start_on(self.port, &self.options) {
                break process;
            }
            assert!(Instant::now() < end, "memcached does not come back");
        };
    }

    /// Sends a raw command and returns the first part of the reply.
    pub(super) fn say(&self, command: &str) -> String {
        let mut stream = TcpStream::connect(self.address()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        stream.write_all(command.as_bytes()).unwrap();
        let mut answer = [0; 4096];
        let length = stream.read(&mut answer).unwrap();
        String::from_utf8_lossy(&answer[..length]).into_owned()
    }
}

impl Drop for Memcached {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn start_on(port: u16, options: &[String]) -> Option<Child> {
    let mut process = Command::new("memcached")
        .args(["-l", "127.0.0.1", "-u", "root", "-t", "2", "-p", &port.to_string()])
        .args(options)
        .stderr(Stdio::null())
        .spawn()
        .expect("memcached is installed");
    let end = Instant::now() + Duration::from_secs(20);
    while Instant::now() < end {
        if process.try_wait().unwrap().is_some() {
            break;
        }
        if TcpStream::connect(("127.0.0.1", port)).is_ok() {
            return Some(process);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let _ = process.kill();
    let _ = process.wait();
    None
}

/// A port without a listener.
pub(super) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Calls `serve` with each connection, on a thread each. The listener lives as long as the test process.
pub(super) fn impostor(serve: impl Fn(TcpStream) + Send + Sync + Copy + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || serve(stream));
        }
    });
    address
}

pub(super) fn store(servers: &[&Memcached]) -> MemcachedStore {
    MemcachedStore::connect(servers.iter().map(|server| server.address())).unwrap()
}

/// A deadline that no test reaches.
pub(super) fn soon() -> Instant {
    Instant::now() + Duration::from_secs(10)
}

pub(super) fn name() -> u128 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    u128::from(NEXT.fetch_add(1, Ordering::Relaxed)).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835)
}
