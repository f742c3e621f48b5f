//! One Prometheus that scrapes an application every second, and `promtool`.

use std::fs::write;
use std::io::Write;
use std::net::SocketAddr;
use std::process::{Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use super::http::Client;
use super::process::{Process, Recipe};
use super::{install, ports};

pub struct Prometheus {
    _process: Process,
    _dir: TempDir,
    port: u16,
}

impl Prometheus {
    /// Scrapes `/metrics` of this server.
    pub fn scraping(target: SocketAddr) -> Prometheus {
        install::ensure_programs(&["prometheus"]);
        let dir = tempfile::tempdir().unwrap();
        let config = dir.path().join("prometheus.yml");
        let text = format!(
            "global: {{scrape_interval: 1s}}\nscrape_configs: [{{job_name: tested, static_configs: [{{targets: ['{target}']}}]}}]\n"
        );
        write(&config, text).unwrap();
        let recipe = Recipe {
            dir: dir.path(),
            command: &|port| {
                let mut command = Command::new(install::program("prometheus"));
                command.arg(format!("--config.file={}", config.display()));
                command.arg(format!("--storage.tsdb.path={}", dir.path().join("data").display()));
                command.arg(format!("--web.listen-address={}", ports::loopback(port)));
                command
            },
            answers: &|port, _| {
                Client::new(ports::loopback(port)).get("/-/ready").try_send().is_ok_and(|reply| reply.status == 200)
            },
        };
        let (process, port) = recipe.start();
        Prometheus { _process: process, _dir: dir, port }
    }

    /// What a query gives now, a value for each series, or why it is none.
    pub fn query(&self, query: &str) -> Result<Vec<Value>, String> {
        let reply = Client::new(ports::loopback(self.port)).post("/api/v1/query", &[("query", query)]).send();
        let answer: Value = serde_json::from_slice(&reply.body).unwrap();
        match &answer["data"]["result"] {
            Value::Array(series) => Ok(series.clone()),
            _ => Err(answer["error"].to_string()),
        }
    }
}

/// What `promtool` has to say against an exposition; nothing, if all is well.
pub fn promtool(exposition: &str) -> String {
    install::ensure_programs(&["promtool"]);
    let mut command = Command::new(install::program("promtool"));
    command.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(exposition.as_bytes()).unwrap();
    drop(input);
    let output = child.wait_with_output().unwrap();
    let said: String = [output.stdout, output.stderr].iter().map(|it| String::from_utf8_lossy(it)).collect();
    if output.status.success() { said } else { format!("{}: {said}", output.status) }
}
