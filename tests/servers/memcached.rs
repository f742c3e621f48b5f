//! One Memcached server with its own port, and a client of its own for its text protocol.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Error, ErrorKind, Read, Result, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;
use std::time::Duration;

use tempfile::TempDir;

use super::process::{self, Process, Recipe};
use super::{STUCK, install, ports};

/// How long a question that decides whether the server runs may take: the next attempt follows.
const GLANCE: Duration = Duration::from_secs(2);

pub struct Memcached {
    process: Mutex<Option<Process>>,
    dir: TempDir,
    args: Vec<String>,
    port: u16,
}

impl Memcached {
    pub fn start() -> Memcached {
        Memcached::with(&[])
    }

    /// With options as on the command line: `-m 8` for the memory, `-I 64k` for the largest item.
    pub fn with(args: &[&str]) -> Memcached {
        install::ensure();
        let dir = tempfile::tempdir().unwrap();
        let args = args.iter().map(ToString::to_string).collect();
        let mut memcached = Memcached { process: Mutex::new(None), dir, args, port: 0 };
        let (process, port) = memcached.launch(None);
        memcached.process = Mutex::new(Some(process));
        memcached.port = port;
        memcached
    }

    /// For `memcache::Client::connect`.
    pub fn url(&self) -> String {
        format!("memcache://{}", self.address())
    }

    pub fn address(&self) -> SocketAddr {
        ports::loopback(self.port)
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn log(&self) -> String {
        process::log(self.dir.path())
    }

    /// Stores a value for so many seconds, 0 for as long as there is room.
    #[track_caller]
    pub fn set(&self, key: &str, value: &[u8], seconds: u32) {
        let mut request = format!("set {key} 0 {seconds} {}\r\n", value.len()).into_bytes();
        request.extend_from_slice(value);
        request.extend_from_slice(b"\r\n");
        let answer = self.talk(STUCK, |connection| connection.ask(&request)).unwrap();
        assert_eq!(answer, "STORED", "set {key}");
    }

    #[track_caller]
    pub fn get(&self, key: &str) -> Option<Vec<u8>> {
        self.try_get(key, STUCK).unwrap()
    }

    pub fn try_get(&self, key: &str, patience: Duration) -> Result<Option<Vec<u8>>> {
        self.talk(patience, |connection| connection.get(key))
    }

    /// Sends a command whose answer is one line, and returns that: `delete key`, `version`, `touch key 1`.
    #[track_caller]
    pub fn run(&self, line: &str) -> String {
        self.talk(STUCK, |connection| connection.ask(format!("{line}\r\n").as_bytes())).unwrap()
    }

    #[track_caller]
    pub fn flush_all(&self) {
        assert_eq!(self.run("flush_all"), "OK");
    }

    #[track_caller]
    pub fn stats(&self) -> BTreeMap<String, String> {
        self.talk(STUCK, Connection::stats).unwrap()
    }

    /// One number the server counts: `cmd_get` (keys, not requests), `cmd_set`, `curr_items`, `total_connections`.
    #[track_caller]
    pub fn stat(&self, name: &str) -> u64 {
        let stats = self.stats();
        stats.get(name).unwrap_or_else(|| panic!("no {name} in {stats:?}")).parse().unwrap()
    }

    /// Ends the server in order, as SIGTERM does.
    pub fn stop(&self) {
        if let Some(process) = self.process.lock().unwrap().take() {
            process.terminate();
        }
    }

    /// Ends the server as a crash does.
    pub fn kill9(&self) {
        self.process.lock().unwrap().take();
    }

    /// Stops it from running: connections stay open, and new ones are accepted by the kernel, without an answer.
    #[track_caller]
    pub fn pause(&self) {
        self.process.lock().unwrap().as_ref().expect("the server is down").pause();
    }

    #[track_caller]
    pub fn resume(&self) {
        self.process.lock().unwrap().as_ref().expect("the server is down").resume();
    }

    /// Starts it again on the same port, empty as it always is then.
    pub fn restart(&self) {
        self.stop();
        let process = self.launch(Some(self.port)).0;
        *self.process.lock().unwrap() = Some(process);
    }

    fn launch(&self, port: Option<u16>) -> (Process, u16) {
        let recipe = Recipe {
            dir: self.dir.path(),
            command: &|port| {
                let mut command = Command::new(install::program("memcached"));
                command.args(["-l", "127.0.0.1", "-p", &port.to_string(), "-U", "0"]);
                if install::root() {
                    // It refuses to run as root unless told so.
                    command.args(["-u", "root"]);
                }
                command.args(&self.args);
                command
            },
            answers: &|port, id| {
                let stats = Connection::open(ports::loopback(port), GLANCE).and_then(|mut it| it.stats());
                stats.is_ok_and(|stats| stats.get("pid") == Some(&id.to_string()))
            },
        };
        match port {
            Some(port) => (recipe.start_on(port), port),
            None => recipe.start(),
        }
    }

    fn talk<T>(&self, patience: Duration, what: impl FnOnce(&mut Connection) -> Result<T>) -> Result<T> {
        what(&mut Connection::open(self.address(), patience)?)
    }
}

struct Connection {
    stream: BufReader<TcpStream>,
}

impl Connection {
    fn open(address: SocketAddr, patience: Duration) -> Result<Connection> {
        let stream = TcpStream::connect_timeout(&address, patience)?;
        stream.set_read_timeout(Some(patience))?;
        stream.set_write_timeout(Some(patience))?;
        stream.set_nodelay(true)?;
        Ok(Connection { stream: BufReader::new(stream) })
    }

    fn ask(&mut self, request: &[u8]) -> Result<String> {
        self.stream.get_mut().write_all(request)?;
        self.line()
    }

    fn get(&mut self, key: &str) -> Result<Option<Vec<u8>>> {
        let head = self.ask(format!("get {key}\r\n").as_bytes())?;
        if head == "END" {
            return Ok(None);
        }
        let length = head.strip_prefix("VALUE ").and_then(|rest| rest.split(' ').nth(2)?.parse::<usize>().ok());
        let mut value = vec![0; length.ok_or_else(|| strange(&head))?];
        self.stream.read_exact(&mut value)?;
        let (rest, end) = (self.line()?, self.line()?);
        if rest.is_empty() && end == "END" { Ok(Some(value)) } else { Err(strange(&end)) }
    }

    fn stats(&mut self) -> Result<BTreeMap<String, String>> {
        let mut stats = BTreeMap::new();
        let mut line = self.ask(b"stats\r\n")?;
        while line != "END" {
            let pair = line.strip_prefix("STAT ").and_then(|rest| rest.split_once(' '));
            let (name, value) = pair.ok_or_else(|| strange(&line))?;
            stats.insert(name.into(), value.into());
            line = self.line()?;
        }
        Ok(stats)
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        self.stream.read_line(&mut line)?;
        match line.strip_suffix("\r\n") {
            Some(line) => Ok(line.into()),
            None => Err(ErrorKind::UnexpectedEof.into()),
        }
    }
}

fn strange(what: &str) -> Error {
    Error::new(ErrorKind::InvalidData, format!("not the protocol: {what:?}"))
}
