//! A server as a child process: started until it answers, stopped, paused, and never left behind.

use std::fs::{File, OpenOptions, read_dir, read_to_string};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::{STUCK, ports, wait_for};

/// Kills the server and removes its directory when the pipe to the test process closes, however that process ended:
/// a `static` is never dropped, and neither is anything after an abort. A helper can still write as it dies.
const WATCHER: &str = r#"read -r _; kill -9 "-$0"; rm -rf -- "$1" || { sleep 1; rm -rf -- "$1"; }"#;

/// How long a server may take to leave after SIGTERM before it is killed.
const GRACE: Duration = Duration::from_secs(10);

pub struct Process {
    server: Child,
    watcher: Child,
}

/// How to start one kind of server.
pub struct Recipe<'a> {
    /// Holds all the server's files, among them its log.
    pub dir: &'a Path,
    /// The command for a port.
    pub command: &'a dyn Fn(u16) -> Command,
    /// Whether the process with this id answers on this port. Somebody else's server may listen there.
    pub answers: &'a dyn Fn(u16, u32) -> bool,
}

impl Recipe<'_> {
    /// Starts the server on some free port and returns when it answers.
    pub fn start(&self) -> (Process, u16) {
        for _ in 0..20 {
            let port = ports::free();
            if let Some(process) = self.attempt(port) {
                return (process, port);
            }
        }
        panic!("every free port was taken before the server had it\n{}", log(self.dir));
    }

    /// Starts the server on this port and returns when it answers.
    pub fn start_on(&self, port: u16) -> Process {
        let deadline = Instant::now() + STUCK;
        loop {
            if let Some(process) = self.attempt(port) {
                return process;
            }
            assert!(Instant::now() < deadline, "port {port} stays taken\n{}", log(self.dir));
            sleep(Duration::from_millis(50));
        }
    }

    /// `None` when the port is taken.
    fn attempt(&self, port: u16) -> Option<Process> {
        let seen = log(self.dir).len();
        let mut process = Process::spawn((self.command)(port), self.dir);
        let deadline = Instant::now() + STUCK;
        while !(self.answers)(port, process.id()) {
            if !process.alive() {
                let log = log(self.dir);
                let said = log.get(seen..).unwrap_or(&log);
                assert!(said.contains("ddress already in use"), "the server did not start:\n{said}");
                return None;
            }
            assert!(Instant::now() < deadline, "the server does not answer:\n{}", log(self.dir));
            sleep(Duration::from_millis(5));
        }
        Some(process)
    }
}

impl Process {
    fn spawn(mut command: Command, dir: &Path) -> Process {
        let output = log_file(dir);
        // A group of its own, and one for the watcher: what a terminal or a shell signals is for the tests.
        command.process_group(0).stdin(Stdio::null()).stderr(output.try_clone().unwrap()).stdout(output);
        let server = command.spawn().unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
        let watcher = Command::new("sh")
            .args(["-c", WATCHER, &server.id().to_string()])
            .arg(dir)
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("cannot start sh");
        Process { server, watcher }
    }

    pub fn id(&self) -> u32 {
        self.server.id()
    }

    pub fn alive(&mut self) -> bool {
        self.server.try_wait().unwrap().is_none()
    }

    /// Asks the server to leave, as a service manager would, and waits until it has.
    pub fn terminate(mut self) {
        self.signal("TERM");
        // A stopped process takes the signal when it continues.
        self.signal("CONT");
        let deadline = Instant::now() + GRACE;
        while self.alive() && Instant::now() < deadline {
            sleep(Duration::from_millis(5));
        }
    }

    /// Returns when no thread of the server runs any more.
    pub fn pause(&self) {
        self.signal("STOP");
        wait_for("the server to be stopped", || self.halted());
    }

    pub fn resume(&self) {
        self.signal("CONT");
    }

    fn signal(&self, name: &str) {
        // The shell's own kill: small images have no other.
        let script = format!("kill -{name} {}", self.id());
        let status = Command::new("sh").args(["-c", &script]).stderr(Stdio::null()).status().unwrap();
        assert!(status.success() || name == "CONT", "{script}: {status}");
    }

    /// Every thread, since the main one stops before the workers. Where there is no `/proc`, the signal has to do.
    fn halted(&self) -> bool {
        let Ok(threads) = read_dir(format!("/proc/{}/task", self.id())) else { return true };
        threads.flatten().all(|thread| {
            let stat = read_to_string(thread.path().join("stat")).unwrap_or_default();
            // The name before the state is in parentheses and may contain any.
            stat.rsplit_once(')').is_none_or(|(_, rest)| rest.trim_start().starts_with('T'))
        })
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // The watcher first: once the server is reaped, its id can be another process's.
        let _ = self.watcher.kill();
        let _ = self.watcher.wait();
        // SIGKILL reaches a stopped process too. First the whole group, since helpers do not all end with the one that
        // started them; a group whose server is reaped can be somebody else's.
        if matches!(self.server.try_wait(), Ok(None)) {
            let _ = Command::new("sh").args(["-c", r#"kill -9 "-$0""#, &self.id().to_string()]).status();
        }
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

/// All that the server has said so far, over all its restarts.
pub fn log(dir: &Path) -> String {
    std::fs::read(path(dir)).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
}

fn log_file(dir: &Path) -> File {
    OpenOptions::new().create(true).append(true).open(path(dir)).unwrap()
}

fn path(dir: &Path) -> PathBuf {
    dir.join("server.log")
}
