//! A node as a child process that is asked line by line, and never left behind.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use crate::report::Moment;
use crate::servers::{Clock, STUCK};

/// Ends the process when the pipe to the test closes, however that ended: also one that is stopped.
const WATCHER: &str = r#"read -r _; kill -9 "$0""#;

pub struct Node {
    child: Mutex<Child>,
    watcher: Mutex<Child>,
    talk: Mutex<Talk>,
    gone: AtomicBool,
    log: PathBuf,
}

struct Talk {
    input: ChildStdin,
    output: Receiver<String>,
}

/// When an invalidation began, returned, and was confirmed.
#[derive(Debug, Clone, Copy)]
pub struct Told {
    pub begun: Moment,
    pub returned: Moment,
    pub told: Option<Moment>,
}

/// One of the examples, which `cargo test` builds beside the tests.
pub fn example(name: &str) -> Command {
    let here = std::env::current_exe().unwrap();
    Command::new(here.parent().unwrap().parent().unwrap().join("examples").join(name))
}

/// A process that ends with the test, however that ends, if this one is kept as long.
pub fn watcher(child: &Child) -> Child {
    Command::new("sh")
        .args(["-c", WATCHER, &child.id().to_string()])
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("cannot start sh")
}

impl Node {
    /// Starts one with these arguments, and its messages in a file.
    pub fn start(arguments: &[String], log: &Path) -> Node {
        Node::launch(example("node"), arguments, log)
    }

    /// One on this store whose machine shows another time.
    pub fn with_clock(store: &str, folder: &Path, name: &str, clock: &Clock) -> Node {
        let mut command = example("node");
        clock.give(&mut command);
        let arguments = ["--store", store, "--data", folder.to_str().unwrap()].map(str::to_owned);
        Node::launch(command, &arguments, &folder.join(format!("{name}.log")))
    }

    fn launch(mut command: Command, arguments: &[String], log: &Path) -> Node {
        command.args(arguments).process_group(0).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.stderr(File::create(log).unwrap()).spawn().expect("cargo test builds the examples");
        let watcher = watcher(&child);
        let (input, output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let (sender, receiver) = channel();
        thread::spawn(move || {
            let lines = BufReader::new(output).lines().map_while(Result::ok);
            lines.map_while(|line| sender.send(line).ok()).for_each(drop);
        });
        let node = Node {
            child: Mutex::new(child),
            watcher: Mutex::new(watcher),
            talk: Mutex::new(Talk { input, output: receiver }),
            gone: AtomicBool::new(false),
            log: log.to_owned(),
        };
        let ready = lock(&node.talk).output.recv_timeout(STUCK);
        assert_eq!(ready.as_deref(), Ok("ready"), "{}", node.log());
        node
    }

    /// One on this store, with its files in this folder and these settings besides.
    pub fn on(store: &str, folder: &Path, name: &str, settings: &[&str]) -> Node {
        let arguments = ["--store", store, "--data", folder.to_str().unwrap()];
        let arguments: Vec<String> = arguments.iter().chain(settings).map(ToString::to_string).collect();
        Node::start(&arguments, &folder.join(format!("{name}.log")))
    }

    #[track_caller]
    pub fn ask(&self, line: &str) -> String {
        self.try_ask(line).unwrap_or_else(|| panic!("the node is gone: {}", self.log()))
    }

    /// `None` if the process ends before it answers.
    #[track_caller]
    pub fn try_ask(&self, line: &str) -> Option<String> {
        use std::sync::mpsc::RecvTimeoutError::{Disconnected, Timeout};
        let mut talk = lock(&self.talk);
        writeln!(talk.input, "{line}").ok()?;
        match talk.output.recv_timeout(STUCK) {
            Ok(answer) => Some(answer),
            Err(Disconnected) => {
                assert!(self.gone.load(Ordering::SeqCst), "the node died of {line:?}: {}", self.log());
                None
            }
            Err(Timeout) => panic!("no answer to {line:?}: {}", self.log()),
        }
    }

    /// One of the commands that invalidate.
    #[track_caller]
    pub fn invalidate(&self, line: &str) -> Option<Told> {
        let answer = self.try_ask(line)?;
        let moments: Vec<Moment> = answer.split(' ').skip(1).map(|word| word.parse().unwrap()).collect();
        let [begun, returned, told] = moments[..] else { panic!("{line}: {answer}") };
        Some(Told { begun, returned, told: Some(told).filter(|told| *told > 0) })
    }

    /// The version that a read gave, and whether it was loaded.
    #[track_caller]
    pub fn get(&self, key: &str) -> (u64, bool) {
        let answer = self.ask(&format!("get {key}"));
        let words: Vec<&str> = answer.split(' ').collect();
        (words[1].parse().unwrap_or_else(|_| panic!("get {key}: {answer}")), words[2] == "loaded")
    }

    /// How long such a read took, for this version.
    #[track_caller]
    pub fn timed(&self, key: &str) -> (u64, Duration) {
        let answer = self.ask(&format!("get {key}"));
        let words: Vec<&str> = answer.split(' ').collect();
        (words[1].parse().unwrap(), Duration::from_micros(words[3].parse().unwrap()))
    }

    /// The versions on a page, and how long it took beside loading.
    #[track_caller]
    pub fn page(&self, keys: &[&str]) -> (Vec<u64>, Duration) {
        let answer = self.ask(&format!("page {}", keys.join(" ")));
        let mut words: Vec<u64> = answer.split(' ').skip(1).map(|word| word.parse().unwrap()).collect();
        let took = words.pop().map(Duration::from_micros);
        (words, took.unwrap())
    }

    /// A number of `stats` or a truth of `status`.
    #[track_caller]
    pub fn field(&self, of: &str, name: &str) -> String {
        let answer = self.ask(of);
        let mut pairs = answer.split(' ').filter_map(|pair| pair.split_once('='));
        pairs.find(|(field, _)| *field == name).unwrap_or_else(|| panic!("no {name}: {answer}")).1.to_owned()
    }

    #[track_caller]
    pub fn number(&self, of: &str, name: &str) -> u64 {
        self.field(of, name).parse().unwrap()
    }

    #[track_caller]
    pub fn in_touch(&self) -> bool {
        self.field("status", "in_touch") == "true"
    }

    pub fn is_gone(&self) -> bool {
        self.gone.load(Ordering::SeqCst)
    }

    pub fn kill9(&self) {
        self.gone.store(true, Ordering::SeqCst);
        lock(&self.child).kill().unwrap();
        lock(&self.child).wait().unwrap();
    }

    pub fn pause(&self) {
        self.signal("STOP");
    }

    pub fn resume(&self) {
        self.signal("CONT");
    }

    pub fn log(&self) -> String {
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }

    fn signal(&self, name: &str) {
        let script = format!("kill -{name} {}", lock(&self.child).id());
        assert!(Command::new("sh").args(["-c", &script]).status().unwrap().success(), "{script}");
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // The watcher first: once the node is reaped, its id can be another process's.
        for child in [&self.watcher, &self.child] {
            let mut child = lock(child);
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Replaces what the database in a folder has for a key, in one step.
pub fn write(folder: &Path, key: &str, version: u64) {
    let (path, new) = (folder.join(key), folder.join(format!("{key}.new")));
    std::fs::write(&new, version.to_string()).unwrap();
    std::fs::rename(new, path).unwrap();
}
