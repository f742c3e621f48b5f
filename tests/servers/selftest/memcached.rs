//! The Memcached server.

use std::net::TcpStream;
use std::time::Duration;

use crate::servers::Memcached;

#[test]
fn stores_returns_and_flushes() {
    let memcached = Memcached::start();
    assert_eq!(memcached.get("a"), None);
    memcached.set("a", b"line\r\nEND\r\n", 0);
    assert_eq!(memcached.get("a").unwrap(), b"line\r\nEND\r\n");
    assert_eq!(memcached.run("delete a"), "DELETED");
    memcached.set("b", b"", 60);
    assert_eq!(memcached.get("b").unwrap(), b"");
    memcached.flush_all();
    assert_eq!(memcached.get("b"), None);
    assert_eq!((memcached.stat("cmd_set"), memcached.stat("cmd_get"), memcached.stat("get_hits")), (2, 4, 2));
    assert_eq!(memcached.url(), format!("memcache://127.0.0.1:{}", memcached.port()));
}

#[test]
fn options_reach_the_server() {
    let memcached = Memcached::with(&["-m", "8"]);
    assert_eq!(memcached.stat("limit_maxbytes"), 8 << 20);
}

#[test]
fn paused_server_answers_after_it_resumes() {
    let memcached = Memcached::start();
    memcached.set("a", b"1", 0);
    memcached.pause();
    assert!(memcached.try_get("a", Duration::from_millis(100)).is_err());
    memcached.resume();
    assert_eq!(memcached.get("a").unwrap(), b"1");
}

#[test]
fn restarted_server_is_empty_at_the_same_place() {
    let memcached = Memcached::start();
    let address = memcached.address();
    memcached.set("a", b"1", 0);
    memcached.kill9();
    assert!(TcpStream::connect(address).is_err());
    memcached.restart();
    assert_eq!(memcached.get("a"), None);
    memcached.set("a", b"2", 0);
    memcached.restart();
    assert_eq!((memcached.get("a"), memcached.address()), (None, address));
    memcached.pause();
    memcached.stop();
    assert!(TcpStream::connect(address).is_err());
}
