//! One Redis or Valkey server with its own port and directory, and what it counts.

use std::fs::{read_dir, remove_dir_all, remove_file};
use std::io::{ErrorKind, Result};
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tempfile::TempDir;

use super::clock::Clock;
use super::process::{self, Process, Recipe};
use super::resp::{Client, Endpoint, Reply};
use super::{STUCK, install, ports};

/// How long a question that decides whether the server runs may take: the next attempt follows.
const GLANCE: Duration = Duration::from_secs(2);

pub struct Redis {
    process: Mutex<Option<Process>>,
    dir: TempDir,
    args: Vec<String>,
    endpoint: Endpoint,
    password: Option<String>,
    /// The commands this value has sent since the server started.
    own: AtomicU64,
    clock: Option<Clock>,
}

impl Redis {
    /// A server that keeps nothing on disk, on a free loopback port.
    pub fn start() -> Redis {
        Redis::with(&[])
    }

    /// The same with options as on the command line: `--requirepass secret`, `--maxmemory 4mb`, `--appendonly yes`.
    ///
    /// With `--port 0 --unixsocket name` it has a socket instead; a relative name is in the server's directory.
    pub fn with(args: &[&str]) -> Redis {
        Redis::in_dir(args, None)
    }

    /// The same with a clock that can be set.
    pub fn with_clock(args: &[&str]) -> Redis {
        Redis::in_dir(args, Some(Clock::new()))
    }

    /// Makes the server's clock show so many seconds more than this machine's.
    #[track_caller]
    pub fn set_clock(&self, ahead: i64) {
        self.clock.as_ref().expect("the server has this machine's clock").set(ahead);
    }

    fn in_dir(args: &[&str], clock: Option<Clock>) -> Redis {
        install::ensure();
        let dir = tempfile::tempdir().unwrap();
        let args: Vec<String> = args.iter().map(ToString::to_string).collect();
        let password = option(&args, "--requirepass").map(str::to_owned);
        // What `launch` needs is a value whose place is still to be found.
        let mut redis = Redis {
            process: Mutex::new(None),
            endpoint: Endpoint::Tcp(ports::loopback(0)),
            dir,
            args,
            password,
            own: AtomicU64::new(0),
            clock,
        };
        let process = match option(&redis.args, "--unixsocket") {
            Some(name) => {
                redis.endpoint = Endpoint::Unix(redis.dir().join(name));
                redis.launch(Some(0)).0
            }
            None => {
                let (process, port) = redis.launch(None);
                redis.endpoint = Endpoint::Tcp(ports::loopback(port));
                process
            }
        };
        redis.process = Mutex::new(Some(process));
        redis
    }

    /// For `redis::Client::open`, with the password as it is: one of letters and digits.
    pub fn url(&self) -> String {
        let password = self.password.as_deref();
        match &self.endpoint {
            Endpoint::Tcp(address) => {
                format!("redis://{}{address}", password.map(|it| format!(":{it}@")).unwrap_or_default())
            }
            Endpoint::Unix(path) => {
                let query = password.map(|it| format!("?pass={it}")).unwrap_or_default();
                format!("redis+unix://{}{query}", path.display())
            }
        }
    }

    #[track_caller]
    pub fn address(&self) -> SocketAddr {
        let Endpoint::Tcp(address) = self.endpoint else { panic!("this server has a socket and no port") };
        address
    }

    #[track_caller]
    pub fn port(&self) -> u16 {
        self.address().port()
    }

    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub fn log(&self) -> String {
        process::log(self.dir())
    }

    /// A connection of a test's own, with the password given. What it sends counts.
    pub fn client(&self) -> Result<Client> {
        self.client_within(&self.endpoint, STUCK)
    }

    /// Sends one command on a new connection; panics when there is no answer.
    #[track_caller]
    pub fn command(&self, parts: &[&[u8]]) -> Reply {
        self.try_command(parts).unwrap_or_else(|error| panic!("no answer from {:?}: {error}", self.endpoint))
    }

    /// [`Redis::command`] for words that have no spaces in them.
    #[track_caller]
    pub fn run(&self, words: &str) -> Reply {
        self.command(&words.split_whitespace().map(str::as_bytes).collect::<Vec<_>>())
    }

    pub fn try_command(&self, parts: &[&[u8]]) -> Result<Reply> {
        let reply = self.client()?.command(parts)?;
        self.own.fetch_add(1 + u64::from(self.password.is_some()), Ordering::SeqCst);
        Ok(reply)
    }

    /// The text of `INFO section`.
    #[track_caller]
    pub fn info(&self, section: &str) -> String {
        self.command(&[b"INFO", section.as_bytes()]).ok().text()
    }

    /// One number out of `INFO section`.
    #[track_caller]
    pub fn info_number(&self, section: &str, field: &str) -> u64 {
        let info = self.info(section);
        let value = self::field(&info, field).unwrap_or_else(|| panic!("no {field} in {info}"));
        value.parse().unwrap_or_else(|_| panic!("{field} is {value}"))
    }

    /// The commands executed since the start, without those this value has sent. Commands inside scripts and
    /// transactions count each, refused ones do not, and replicas and sentinels send some by themselves. Exact while no
    /// other thread sends with this value.
    #[track_caller]
    pub fn commands_processed(&self) -> u64 {
        let own = self.own.load(Ordering::SeqCst);
        // The first of this connection counts too when it is the password.
        let own = own + u64::from(self.password.is_some());
        self.info_number("stats", "total_commands_processed").saturating_sub(own)
    }

    /// How often one command was executed, in lower case (`config|set` for a subcommand), by anybody.
    #[track_caller]
    pub fn calls(&self, command: &str) -> u64 {
        let stats = self.info("commandstats");
        let line = field(&stats, &format!("cmdstat_{command}"));
        line.map_or(0, |it| it.split([',', '=']).nth(1).unwrap().parse().unwrap())
    }

    /// How many keys there are.
    #[track_caller]
    pub fn keys(&self) -> usize {
        usize::try_from(self.run("DBSIZE").integer()).unwrap()
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

    /// Starts it again at the same place, in order if it was still running, with what it had on disk.
    pub fn restart(&self) {
        self.stop();
        self.start_again();
    }

    /// Starts it again at the same place, without data.
    pub fn restart_empty(&self) {
        self.kill9();
        for entry in read_dir(self.dir()).unwrap().flatten() {
            let name = entry.file_name().into_string().unwrap();
            let path = entry.path();
            // What a cluster node is, it stays.
            if name.ends_with(".rdb") || name.contains(".aof") {
                remove_file(path).unwrap();
            } else if path.is_dir() {
                remove_dir_all(path).unwrap();
            }
        }
        self.start_again();
    }

    fn start_again(&self) {
        let port = match &self.endpoint {
            Endpoint::Tcp(address) => address.port(),
            Endpoint::Unix(_) => 0,
        };
        *self.process.lock().unwrap() = Some(self.launch(Some(port)).0);
    }

    fn launch(&self, port: Option<u16>) -> (Process, u16) {
        self.own.store(0, Ordering::SeqCst);
        let recipe = Recipe {
            dir: self.dir(),
            command: &|port| {
                let mut command = Command::new(install::redis_server());
                if let Some(clock) = &self.clock {
                    clock.give(&mut command);
                }
                command.args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--dir"]).arg(self.dir());
                command.args(["--save", "", "--appendonly", "no", "--daemonize", "no"]).args(&self.args);
                command
            },
            answers: &|port, id| self.is_served_by(port, id).unwrap_or(false),
        };
        match port {
            Some(port) => (recipe.start_on(port), port),
            None => recipe.start(),
        }
    }

    fn is_served_by(&self, port: u16, id: u32) -> Result<bool> {
        let endpoint = match &self.endpoint {
            Endpoint::Tcp(_) => Endpoint::Tcp(ports::loopback(port)),
            socket => socket.clone(),
        };
        let mut client = self.client_within(&endpoint, GLANCE)?;
        let info = client.run("INFO server")?.text();
        let mine = field(&info, "process_id") == Some(&id.to_string());
        let ready = mine && client.run("PING")?.text() == "PONG";
        if mine {
            let sent = 1 + u64::from(ready) + u64::from(self.password.is_some());
            self.own.fetch_add(sent, Ordering::SeqCst);
        }
        Ok(ready)
    }

    fn client_within(&self, endpoint: &Endpoint, patience: Duration) -> Result<Client> {
        let mut client = Client::connect(endpoint, patience)?;
        if let Some(password) = &self.password {
            let reply = client.command(&[b"AUTH", password.as_bytes()])?;
            if reply.is_error() {
                return Err(std::io::Error::new(ErrorKind::PermissionDenied, reply.text()));
            }
        }
        Ok(client)
    }
}

/// The value of a line `name:value`.
fn field<'a>(info: &'a str, name: &str) -> Option<&'a str> {
    info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
}

/// What follows an option on the command line.
fn option<'a>(args: &'a [String], name: &str) -> Option<&'a str> {
    let at = args.iter().position(|arg| arg == name)?;
    args.get(at + 1).map(String::as_str)
}
