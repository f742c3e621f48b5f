//! Redis by itself, as a cluster, and under a sentinel.

use std::env::{current_exe, var_os};
use std::io::ErrorKind;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::LazyLock;
use std::time::Duration;

use crate::servers::{Client, Redis, RedisCluster, Reply, Sentinel, wait_for};

/// Nobody listens. A paused server does: it fails to answer only when its queue is full.
fn refuses(address: SocketAddr) -> bool {
    let connection = TcpStream::connect_timeout(&address, Duration::from_secs(5));
    connection.is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused)
}

#[test]
fn answers_every_kind_of_reply() {
    let redis = Redis::start();
    assert_eq!(redis.run("PING"), Reply::Simple("PONG".into()));
    assert_eq!(redis.command(&[b"SET", b"a", b"1\r\n\xff"]).ok().text(), "OK");
    assert_eq!(redis.run("GET a").bytes().unwrap(), b"1\r\n\xff");
    assert_eq!(redis.run("GET b").bytes(), None);
    assert_eq!(redis.run("EXISTS a").integer(), 1);
    assert_eq!(redis.run("MGET a b").items().len(), 2);
    assert_eq!(redis.run("BLPOP none 0.01"), Reply::Array(None));
    assert!(redis.run("LPUSH a 1").is_error());
    assert_eq!(redis.keys(), 1);
    assert_eq!(redis.url(), format!("redis://127.0.0.1:{}", redis.port()));
}

#[test]
fn counts_the_commands_of_others() {
    for args in [&[][..], &["--requirepass", "secret"]] {
        let redis = Redis::with(args);
        let mut client = redis.client().unwrap();
        let before = redis.commands_processed();
        assert_eq!(before, args.len() as u64 / 2, "the client's password");
        for _ in 0..3 {
            client.run("GET a").unwrap().ok();
        }
        redis.run("SET a 1");
        assert_eq!(redis.commands_processed() - before, 3);
        assert_eq!((redis.calls("get"), redis.calls("set"), redis.calls("del")), (3, 1, 0));
        redis.restart();
        assert_eq!((redis.commands_processed(), redis.calls("get")), (0, 0));
    }
}

#[test]
fn options_reach_the_server() {
    let redis = Redis::with(&["--requirepass", "secret", "--maxmemory", "8mb", "--maxmemory-policy", "allkeys-lru"]);
    assert_eq!(redis.info_number("memory", "maxmemory"), 8 << 20);
    assert!(redis.url().contains(":secret@"));
    let mut stranger = Client::connect(redis.endpoint(), Duration::from_secs(10)).unwrap();
    assert!(stranger.run("GET a").unwrap().text().starts_with("NOAUTH"));
}

#[test]
fn server_on_a_socket() {
    let redis = Redis::with(&["--port", "0", "--unixsocket", "redis.sock"]);
    assert_eq!(redis.run("PING").text(), "PONG");
    assert_eq!(redis.url(), format!("redis+unix://{}/redis.sock", redis.dir().display()));
    redis.restart();
    assert_eq!(redis.run("PING").text(), "PONG");
}

#[test]
fn paused_server_answers_after_it_resumes() {
    let redis = Redis::start();
    let mut client = Client::connect(redis.endpoint(), Duration::from_millis(100)).unwrap();
    redis.pause();
    let kind = client.run("PING").unwrap_err().kind();
    assert!(matches!(kind, ErrorKind::WouldBlock | ErrorKind::TimedOut), "{kind}");
    redis.resume();
    assert_eq!(redis.run("PING").text(), "PONG");
}

#[test]
fn restart_keeps_what_is_on_disk() {
    let redis = Redis::with(&["--appendonly", "yes", "--appendfsync", "always"]);
    let address = redis.address();
    redis.run("SET a 1").ok();
    redis.kill9();
    assert!(refuses(address));
    redis.restart();
    assert_eq!((redis.run("GET a").text(), redis.address()), ("1".into(), address));
    redis.restart();
    assert_eq!(redis.run("GET a").text(), "1");
    redis.restart_empty();
    assert_eq!((redis.keys(), redis.address()), (0, address));
}

#[test]
fn restart_without_persistence_loses_everything() {
    let redis = Redis::start();
    redis.run("SET a 1").ok();
    redis.pause();
    redis.restart();
    assert_eq!(redis.keys(), 0);
}

#[test]
fn dropped_server_is_gone_even_if_paused() {
    let redis = Redis::start();
    let (address, dir) = (redis.address(), redis.dir().to_owned());
    redis.pause();
    drop(redis);
    assert!(refuses(address) && !dir.exists());
}

/// Set for a process that is to leave a server behind.
const LEAVE: &str = "LEAVE_A_SERVER";

#[test]
fn server_ends_with_its_process() {
    if var_os(LEAVE).is_some() {
        static SHARED: LazyLock<Redis> = LazyLock::new(Redis::start);
        SHARED.pause();
        println!("\naddress={}\ndir={}", SHARED.address(), SHARED.dir().display());
        std::process::abort();
    }
    let name = concat!(module_path!(), "::server_ends_with_its_process").split_once("::").unwrap().1;
    let mut command = Command::new(current_exe().unwrap());
    let output = command.args([name, "--exact", "--nocapture"]).env(LEAVE, "1").output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let value = |key: &str| said.lines().find_map(|line| line.strip_prefix(key)).unwrap_or_else(|| panic!("{said}"));
    let address = value("address=").parse().unwrap();
    wait_for("the watcher to kill the server", || refuses(address));
    wait_for("the watcher to clean up", || !Path::new(value("dir=")).exists());
}

#[test]
fn cluster_shares_the_keys_and_moves_them() {
    let cluster = RedisCluster::start(3);
    assert_eq!(cluster.urls().len(), 3);
    let owners: Vec<usize> = ["a", "b", "c"].iter().map(|key| cluster.owner(key.as_bytes())).collect();
    // CRC16 of the keys: slots 15495, 3300 and 7365.
    assert_eq!(owners, [2, 0, 1]);
    cluster.nodes()[2].run("SET a 1").ok();
    let refused = cluster.nodes()[0].run("GET a").text();
    assert_eq!(refused, format!("MOVED 15495 127.0.0.1:{}", cluster.nodes()[2].port()));
    cluster.migrate(b"a", 0);
    assert_eq!((cluster.owner(b"a"), cluster.nodes()[0].run("GET a").text()), (0, "1".into()));
    assert!(cluster.nodes()[2].run("GET a").text().starts_with("MOVED"));
    cluster.open_slot(b"b", 1);
    assert!(cluster.nodes()[0].run("GET b").text().starts_with("ASK 3300"));
    cluster.nodes()[2].kill9();
    cluster.nodes()[2].restart();
    cluster.settle();
}

#[test]
fn sentinel_makes_the_replica_the_master() {
    let master = Redis::start();
    master.run("SET a 1").ok();
    let sentinel = Sentinel::start(&master);
    assert_eq!(sentinel.master(), master.address());
    sentinel.failover();
    assert_eq!(sentinel.master(), sentinel.replica().address());
    assert_eq!(sentinel.replica().run("GET a").text(), "1");
}

#[test]
fn sentinel_replaces_a_master_that_died() {
    let master = Redis::start();
    let sentinel = Sentinel::start(&master);
    master.kill9();
    sentinel.wait_for_failover(master.address());
    assert_eq!(sentinel.master(), sentinel.replica().address());
}
