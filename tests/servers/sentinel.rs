//! A sentinel that watches a master with one replica.

use std::io::Result;
use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use super::process::{self, Process, Recipe};
use super::resp::{Client, Endpoint, Reply};
use super::{Redis, STUCK, install, ports, wait_for};

/// The name clients ask for.
const NAME: &str = "main";

pub struct Sentinel {
    _process: Process,
    dir: TempDir,
    port: u16,
    replica: Redis,
}

impl Sentinel {
    /// Returns when the replica has the master's data and the sentinel knows both. The master has no password.
    pub fn start(master: &Redis) -> Sentinel {
        install::ensure();
        // Older servers have no such delay before the first copy.
        master.run("CONFIG SET repl-diskless-sync-delay 0");
        let replica = Redis::with(&["--replicaof", "127.0.0.1", &master.port().to_string()]);
        // First: a sentinel looks for replicas at once and then only every ten seconds.
        wait_for("the replica", || {
            let role = replica.run("ROLE").items();
            role[3].text() == "connected" && master.run("ROLE").items()[2].clone().items().len() == 1
        });
        let dir = tempfile::tempdir().unwrap();
        let (process, port) = launch(&dir, master.port());
        let sentinel = Sentinel { _process: process, dir, port, replica };
        wait_for("the sentinel to know the replica", || {
            let replicas = sentinel.run(&format!("SENTINEL REPLICAS {NAME}")).items();
            replicas.len() == 1 && property(replicas[0].clone(), "master-link-status") == "ok"
        });
        sentinel
    }

    /// What the master is called, for `SENTINEL GET-MASTER-ADDR-BY-NAME`.
    pub fn name(&self) -> &'static str {
        NAME
    }

    pub fn address(&self) -> SocketAddr {
        ports::loopback(self.port)
    }

    pub fn url(&self) -> String {
        format!("redis://{}", self.address())
    }

    /// The server that starts as the replica.
    pub fn replica(&self) -> &Redis {
        &self.replica
    }

    pub fn log(&self) -> String {
        process::log(self.dir.path())
    }

    #[track_caller]
    pub fn run(&self, words: &str) -> Reply {
        ask(self.port, words, STUCK).unwrap()
    }

    /// Where the sentinel says the master is.
    #[track_caller]
    pub fn master(&self) -> SocketAddr {
        let parts = self.run(&format!("SENTINEL GET-MASTER-ADDR-BY-NAME {NAME}")).items();
        format!("{}:{}", parts[0].text(), parts[1].text()).parse().unwrap()
    }

    /// Exchanges master and replica, as an operator would, and returns when the sentinel says so and it is true.
    #[track_caller]
    pub fn failover(&self) {
        let from = self.master();
        wait_for("a replica to promote", || !self.run(&format!("SENTINEL FAILOVER {NAME}")).is_error());
        self.wait_for_failover(from);
    }

    /// Returns when another than this one is the master: after it was killed or paused, say.
    #[track_caller]
    pub fn wait_for_failover(&self, from: SocketAddr) {
        wait_for("the failover", || {
            let master = self.master();
            let role = || ask(master.port(), "ROLE", STUCK).unwrap().items()[0].text();
            master != from && role() == "master"
        });
    }
}

fn launch(dir: &TempDir, master: u16) -> (Process, u16) {
    let config = dir.path().join("sentinel.conf");
    let recipe = Recipe {
        dir: dir.path(),
        command: &|port| {
            // It keeps what it learns in this file.
            let lines = format!(
                "port {port}\nbind 127.0.0.1\ndir {dir}\n\
                 sentinel monitor {NAME} 127.0.0.1 {master} 1\n\
                 sentinel down-after-milliseconds {NAME} 1000\n\
                 sentinel failover-timeout {NAME} 10000\n",
                dir = dir.path().display(),
            );
            std::fs::write(&config, lines).unwrap();
            let mut command = Command::new(install::redis_server());
            command.arg(&config).arg("--sentinel");
            command
        },
        answers: &|port, id| {
            let info = ask(port, "INFO server", Duration::from_secs(2));
            info.is_ok_and(|info| info.text().lines().any(|line| line == format!("process_id:{id}")))
        },
    };
    recipe.start()
}

fn ask(port: u16, words: &str, patience: Duration) -> Result<Reply> {
    Client::connect(&Endpoint::Tcp(ports::loopback(port)), patience)?.run(words)
}

/// A value out of names and values in turn.
fn property(entry: Reply, name: &str) -> String {
    let words: Vec<String> = entry.items().iter().map(Reply::text).collect();
    let at = words.iter().position(|word| word == name);
    at.and_then(|at| words.get(at + 1)).cloned().unwrap_or_default()
}
