//! How soon the others know, and two processes of the example application on one store.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Stdio};
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use crate::process::{Node, example, watcher, write};
use crate::report::{Report, Times, now};
use crate::servers::http::{Client, Reply};
use crate::servers::{Proxy, Redis, wait_for};

/// What is promised between nodes that are in touch, at the 99th percentile, and at the worst.
const PROMISED: Duration = Duration::from_millis(50);
const BOUND: Duration = Duration::from_secs(1);
const ROUNDS: u64 = 300;

/// Three nodes, the last of them without memory.
fn three(redis: &Redis, folder: &Path, settings: &[&str]) -> [Node; 3] {
    let nodes = [("a", "on"), ("b", "on"), ("c", "off")]
        .map(|(name, memory)| Node::on(&redis.url(), folder, name, &[&["--memory", memory], settings].concat()));
    nodes.iter().for_each(|node| wait_for("in touch", || node.in_touch()));
    nodes
}

/// From the moment an invalidation is called on one node until a reader inside another one, who asks all the time, has
/// what is new. Judged by what each reader noted.
#[test]
fn an_invalidation_is_seen_by_two_other_processes_within_50_ms() {
    let (redis, folder) = (Redis::start(), tempfile::tempdir().unwrap());
    let nodes = three(&redis, folder.path(), &[]);
    write(folder.path(), "k0", 0);
    nodes.iter().for_each(|node| assert_eq!(node.ask("load 1 1 200"), "loading"));
    // The same node for a while: one who tells the store something itself also learns what is new.
    let by = |version: u64| (version * 3 / (ROUNDS + 1)) as usize;
    let mut called = Vec::new();
    for version in 1..=ROUNDS {
        write(folder.path(), "k0", version);
        called.push(nodes[by(version)].invalidate("invalidate-tag k0").unwrap());
        // Long enough for most, and never the same.
        sleep(Duration::from_micros(6000 + version * 7919 % 6000));
    }
    wait_for("the last one to be seen", || nodes.iter().all(|node| node.get("k0").0 == ROUNDS));
    sleep(PROMISED);
    let mut took: Vec<u64> = Vec::new();
    for (index, node) in nodes.iter().enumerate() {
        let report: Report = serde_json::from_str(&node.ask("stop 0 0")).unwrap();
        assert_eq!(report.failed, 0, "{:?}", report.failures);
        for (version, told) in (1..=ROUNDS).zip(&called) {
            let newer = report.runs.iter().filter(|run| run.version >= version).map(|run| run.first_end).min().unwrap();
            let older =
                report.runs.iter().filter(|run| run.version < version).map(|run| run.last).max().unwrap_or_default();
            if by(version) == index {
                assert!(older <= told.returned, "not in force at once where it was called: {version}");
            } else {
                took.push(newer.max(older).saturating_sub(told.begun) / 1000);
            }
        }
    }
    let took = Times::of(took);
    println!("an invalidation is seen by the others after: {took}");
    assert!(took.p99 < PROMISED.as_micros() as u64, "{took}");
    assert!(took.max < BOUND.as_micros() as u64, "{took}");
}

#[test]
fn whatever_is_invalidated_wherever_is_gone_there_at_once_and_elsewhere_within_the_bound() {
    let (redis, folder) = (Redis::start(), tempfile::tempdir().unwrap());
    let nodes = three(&redis, folder.path(), &[]);
    let shows = |node: &Node, version: u64| node.page(&["k"]).0 == [version];
    write(folder.path(), "k", 0);
    let mut version = 0;
    for what in ["invalidate k", "invalidate-tag k", "invalidate-template row", "clear"] {
        for (index, by) in nodes.iter().enumerate() {
            nodes.iter().for_each(|node| wait_for("what was invalidated last", || shows(node, version)));
            version += 1;
            write(folder.path(), "k", version);
            let told = by.invalidate(&format!("{what} wait")).unwrap().told.expect("confirmed");
            assert!(shows(by, version), "{what} where it was called");
            for (other, node) in nodes.iter().enumerate() {
                let mut asked = now();
                while !shows(node, version) {
                    let late = asked.saturating_sub(told);
                    assert!(late < BOUND.as_nanos() as u64, "{what} on node {index}, asked for on node {other}");
                    asked = now();
                }
            }
        }
    }
}

#[test]
fn three_processes_compute_what_was_invalidated_once() {
    let (redis, folder) = (Redis::start(), tempfile::tempdir().unwrap());
    let nodes = three(&redis, folder.path(), &["--lease", "5000", "--work", "30"]);
    let count = |name: &str| nodes.iter().map(|node| node.number("stats", name)).sum::<u64>();
    for version in 1..=10 {
        write(folder.path(), "k", version);
        let (heard, by) = (count("shared_invalidations"), &nodes[version as usize % 3]);
        by.invalidate("invalidate k wait").unwrap().told.expect("confirmed");
        wait_for("all to know", || count("shared_invalidations") == heard + 3);
        let loads = count("loads");
        thread::scope(|scope| {
            for node in &nodes {
                scope.spawn(move || assert_eq!(node.get("k").0, version));
            }
        });
        assert_eq!(count("loads") - loads, 1, "round {version}");
    }
}

#[test]
fn a_process_that_dies_while_it_computes_costs_the_others_its_lease_at_the_most() {
    const LEASE: Duration = Duration::from_millis(1500);
    let (redis, folder) = (Redis::start(), tempfile::tempdir().unwrap());
    let node = |name, work| Node::on(&redis.url(), folder.path(), name, &["--lease", "1500", "--work", work]);
    let (dies, lives) = (node("dies", "60000"), node("lives", "0"));
    [&dies, &lives].into_iter().for_each(|node| wait_for("in touch", || node.in_touch()));
    write(folder.path(), "k", 1);
    thread::scope(|scope| {
        scope.spawn(|| assert_eq!(dies.try_ask("get k"), None));
        wait_for("the lease to be taken", || !redis.run("KEYS *:lease").items().is_empty());
        dies.kill9();
    });
    let (version, took) = lives.timed("k");
    assert_eq!(version, 1);
    assert!(took < LEASE + Duration::from_millis(250), "{took:?}");
}

/// A page has one budget, also where each of its fragments asks for a lease by itself.
#[test]
fn the_fragments_of_a_page_wait_for_a_slow_store_for_one_budget_together() {
    const LONGEST: Duration = Duration::from_millis(20 + 20);
    let (redis, folder) = (Redis::start(), tempfile::tempdir().unwrap());
    let proxy = Proxy::to(redis.address());
    let keys: Vec<String> = (0..8).map(|key| format!("k{key}")).collect();
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    keys.iter().for_each(|key| write(folder.path(), key, 1));
    for lease in ["0", "1000"] {
        proxy.heal();
        let store = format!("redis://{}", proxy.address());
        let node = Node::on(&store, folder.path(), &format!("lease-{lease}"), &["--lease", lease]);
        wait_for("in touch", || node.in_touch());
        // A round trip is most of the budget.
        proxy.delay(Duration::from_millis(8));
        let times = (0..10).map(|_| {
            node.invalidate("clear wait").unwrap();
            let (versions, took) = node.page(&keys);
            assert_eq!(versions, [1; 8]);
            took
        });
        let mut times: Vec<Duration> = times.collect();
        times.sort_unstable();
        // The slowest may have had to wait for its turn.
        println!("lease {lease}: {times:?}");
        assert!(times[times.len() / 2] < LONGEST, "with a lease of {lease} ms: {times:?}");
    }
}

/// The example application as a process, for as long as this lives.
struct Catalogue {
    child: Child,
    watcher: Child,
    client: Client,
}

impl Catalogue {
    fn start(redis: &Redis, database: &Path) -> Catalogue {
        let mut child = example("catalogue")
            .args(["--port", "0", "--redis", &redis.url()])
            .env("CATALOGUE_DB", database)
            .env("CATALOGUE_DEBUG", "off")
            .stdout(Stdio::piped())
            .spawn()
            .expect("cargo test builds the examples");
        let watcher = watcher(&child);
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.split_once("http://").unwrap().1.split('/').next().unwrap();
        Catalogue { child, watcher, client: Client::new(address.parse().unwrap()) }
    }

    fn get(&self, path: &str, cookie: &str) -> Reply {
        self.client.get(path).header("Cookie", cookie).send()
    }

    fn post(&self, path: &str, cookie: &str, form: &[(&str, &str)]) -> Reply {
        self.client.post(path, form).header("Cookie", cookie).send()
    }

    fn page(&self, path: &str, cookie: &str) -> String {
        let reply = self.get(path, cookie);
        assert_eq!(reply.status, 200, "{path}: {}", reply.text());
        reply.text()
    }

    /// Signs somebody in; the cookie.
    fn sign_in(&self) -> String {
        let form = self.get("/login", "");
        let before = cookie(&form);
        let reply = self.post("/login", &before, &[("csrf", field(&form.text(), "csrf")), ("name", "Ada")]);
        if reply.header("set-cookie").is_some() { cookie(&reply) } else { before }
    }
}

impl Drop for Catalogue {
    fn drop(&mut self) {
        // The watcher first, as for nodes.
        for child in [&mut self.watcher, &mut self.child] {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn cookie(reply: &Reply) -> String {
    reply.header("set-cookie").unwrap_or_default().split(';').next().unwrap().to_owned()
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
        let typed = [
            ("csrf", field(&form, "csrf")),
            ("version", field(&form, "version")),
            ("title", &title),
            ("genre", genre),
            ("director", ""),
            ("imdb", ""),
            ("minutes", ""),
        ];
        let reply = one.post("/film/3/edit", &cookie, &typed);
        assert_eq!(reply.status, 303, "{}", reply.text());
        assert!(one.page("/film/3", "").contains(&title), "at once where it was edited");
        let saved = Instant::now();
        wait_for("the edit on the other", || other.page("/film/3", "").contains(&title));
        println!("the other process showed it {:?} later", saved.elapsed());
        assert!(saved.elapsed() < BOUND, "{:?}", saved.elapsed());
    }
}
