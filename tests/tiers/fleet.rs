//! How soon the others know, and two processes of the example application on one store.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use crate::process::{Node, example};
use crate::servers::{Redis, STUCK, wait_for};

/// What is promised between two nodes, at the 99th percentile.
const PROMISED: Duration = Duration::from_millis(50);
const ROUNDS: u32 = 300;

fn node(redis: &Redis, data: &Path, name: &str) -> Node {
    let arguments = ["--store", &redis.url(), "--data", data.to_str().unwrap()].map(str::to_owned);
    let node = Node::start(&arguments, &data.join(name));
    wait_for("in touch", || node.in_touch());
    node
}

fn write(data: &Path, key: &str, version: u32) {
    std::fs::write(data.join("new"), version.to_string()).unwrap();
    std::fs::rename(data.join("new"), data.join(key)).unwrap();
}

/// From the moment an invalidation is called on one node until another one, asked without pause, gives what is new.
#[test]
fn an_invalidation_is_seen_by_two_other_processes_within_50_ms() {
    let (redis, data) = (Redis::start(), tempfile::tempdir().unwrap());
    let nodes = ["a", "b", "c"].map(|name| node(&redis, data.path(), name));
    write(data.path(), "k", 0);
    let mut took: Vec<Duration> = Vec::new();
    for round in 1..=ROUNDS {
        // All of them have the old one.
        nodes.iter().for_each(|node| assert_eq!(node.get("k").0, u64::from(round - 1)));
        write(data.path(), "k", round);
        let by = &nodes[round as usize % 3];
        let called = Instant::now();
        by.invalidate("invalidate k").unwrap();
        for other in nodes.iter().filter(|other| !std::ptr::eq(*other, by)) {
            while other.get("k").0 != u64::from(round) {}
            took.push(called.elapsed());
        }
        assert_eq!(by.get("k").0, u64::from(round));
    }
    took.sort_unstable();
    let (p50, p99) = (took[took.len() / 2], took[took.len() * 99 / 100]);
    println!(
        "{} times, an invalidation was seen by the others after: p50 {p50:?}, p99 {p99:?}, max {:?}",
        took.len(),
        took[took.len() - 1]
    );
    assert!(p99 < PROMISED, "{p99:?}");
}

/// The example application as a process, for as long as this lives.
struct Catalogue {
    child: Child,
    address: String,
}

impl Catalogue {
    fn start(redis: &Redis, database: &Path) -> Catalogue {
        let mut child = example("catalogue")
            .args(["--port", "0", "--redis", &redis.url()])
            .env("CATALOGUE_DB", database)
            .stdout(Stdio::piped())
            .spawn()
            .expect("cargo test builds the examples");
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.split_once("http://").unwrap().1.split('/').next().unwrap().to_owned();
        Catalogue { child, address }
    }

    /// Status and headers, and the body.
    fn send(&self, method: &str, path: &str, cookie: &str, form: &str) -> (String, String) {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(STUCK)).unwrap();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nCookie: {cookie}\r\n\
             Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{form}",
            form.len()
        );
        stream.write_all(request.as_bytes()).unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        (head.to_owned(), body.to_owned())
    }

    fn page(&self, path: &str, cookie: &str) -> String {
        let (head, body) = self.send("GET", path, cookie, "");
        assert!(head.starts_with("HTTP/1.1 200"), "{path}: {head}");
        body
    }

    /// Signs somebody in; the cookie.
    fn sign_in(&self) -> String {
        let (head, form) = self.send("GET", "/login", "", "");
        let cookie = cookie(&head);
        let typed = format!("csrf={}&name=Ada", field(&form, "csrf"));
        let (head, _) = self.send("POST", "/login", &cookie, &typed);
        if head.contains("set-cookie") { self::cookie(&head) } else { cookie }
    }
}

impl Drop for Catalogue {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn cookie(head: &str) -> String {
    let set = head.lines().find_map(|line| line.strip_prefix("set-cookie: ")).unwrap_or_default();
    set.split(';').next().unwrap().to_owned()
}

/// What a form has in a field.
fn field<'a>(page: &'a str, name: &str) -> &'a str {
    let (_, rest) = page.split_once(&format!("name=\"{name}\"")).unwrap_or_else(|| panic!("no {name}: {page}"));
    rest.split_once("value=\"").unwrap().1.split('"').next().unwrap()
}

#[test]
fn an_edit_on_one_catalogue_shows_on_the_other() {
    let (redis, folder) = (Redis::start(), tempfile::tempdir().unwrap());
    let database = folder.path().join("films.sqlite");
    let one = Catalogue::start(&redis, &database);
    let other = Catalogue::start(&redis, &database);
    // Shown on both, so that both have it in memory.
    for path in ["/", "/film/3"] {
        let shown = one.page(path, "");
        wait_for("shared", || other.page(path, "") == shown);
    }
    let cookie = one.sign_in();
    for round in 0..5 {
        let title = format!("A title of round {round}");
        let form = one.page("/film/3/edit", &cookie);
        let genre = form.split("<option").find(|option| option.contains("selected")).unwrap();
        let genre = genre.split_once("value=\"").unwrap().1.split('"').next().unwrap();
        let typed = format!(
            "csrf={}&version={}&title={}&genre={genre}&director=&imdb=&minutes=",
            field(&form, "csrf"),
            field(&form, "version"),
            title.replace(' ', "+")
        );
        let (head, body) = one.send("POST", "/film/3/edit", &cookie, &typed);
        assert!(head.starts_with("HTTP/1.1 303"), "{head}\n{body}");
        assert!(one.page("/film/3", "").contains(&title), "at once where it was edited");
        wait_for("the edit on the other", || other.page("/film/3", "").contains(&title));
    }
}
