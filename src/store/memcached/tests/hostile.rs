//! Servers that are silent, slow, of another kind, or restarted.

use std::io::{Read, Write as _};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::support::{Memcached, free_port, impostor, name, soon, store};
use crate::MemcachedStore;
use crate::store::{FailureKind, Lease, Remote, StoreFailure, SyncPosition, ValueWrite};

const BUDGET: Duration = Duration::from_millis(50);
const SLACK: Duration = Duration::from_secs(3);

/// Runs every operation within its budget and returns how each of them failed.
fn all_fail(store: &MemcachedStore) -> Vec<FailureKind> {
    let write = ValueWrite { key: 1, value: b"v", ttl: None, lease: None };
    let operations: [&dyn Fn(Instant) -> Option<StoreFailure>; 6] = [
        &|by| store.read(&[1, 2, 3], by).err(),
        &|by| store.read_or_lease(1, Duration::from_secs(1), by).err(),
        &|by| store.write(&[write], by).err(),
        &|by| store.release(1, Lease(1), by).err(),
        &|by| store.sync(SyncPosition::default(), &[], by).err(),
        &|by| store.sync(SyncPosition::default(), &[1], by).err(),
    ];
    operations
        .iter()
        .map(|operation| {
            let start = Instant::now();
            let failure = operation(start + BUDGET).expect("the operation fails");
            assert!(start.elapsed() < BUDGET + SLACK, "{failure}");
            assert!(failure.message.contains("memcached"), "{failure}");
            failure.kind
        })
        .collect()
}

/// Reads and never replies.
fn silent(mut stream: TcpStream) {
    let mut sink = [0; 4096];
    while stream.read(&mut sink).is_ok_and(|length| length > 0) {}
}

#[test]
fn calls_to_a_silent_server_return_by_the_deadline() {
    let store = MemcachedStore::connect([impostor(silent)]).unwrap();
    assert_eq!(all_fail(&store), [FailureKind::Timeout; 6]);
    let large = vec![0; 64 << 20];
    let start = Instant::now();
    let write = ValueWrite { key: 1, value: &large, ttl: None, lease: None };
    assert_eq!(store.write(&[write], start + BUDGET).unwrap_err().kind, FailureKind::Timeout);
    assert!(start.elapsed() < SLACK);
}

#[test]
fn calls_to_a_server_that_sends_single_bytes_return_by_the_deadline() {
    let drip = |mut stream: TcpStream| {
        for byte in b"VA 100000 ".iter().chain(std::iter::repeat(&b'1')) {
            if stream.write_all(&[*byte]).is_err() {
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    };
    let store = MemcachedStore::connect([impostor(drip)]).unwrap();
    assert_eq!(all_fail(&store), [FailureKind::Timeout; 6]);
}

#[test]
fn calls_to_an_unreachable_server_return_by_the_deadline() {
    // TEST-NET-1, where no machine is. Some networks report that, others drop the packets.
    let store = MemcachedStore::connect(["192.0.2.1"]).unwrap();
    all_fail(&store);
    let store = MemcachedStore::connect([format!("127.0.0.1:{}", free_port())]).unwrap();
    assert_eq!(all_fail(&store), [FailureKind::Unreachable; 6]);
    let store = MemcachedStore::connect(["does-not-exist.invalid"]).unwrap();
    all_fail(&store);
}

#[test]
fn err_another_kind_of_server() {
    let http = |mut stream: TcpStream| {
        let _ = stream.read(&mut [0; 1024]);
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
        silent(stream);
    };
    let redis = |mut stream: TcpStream| {
        while stream.read(&mut [0; 1024]).is_ok_and(|length| length > 0) {
            let _ = stream.write_all(b"-ERR unknown command 'mg', with args beginning with: \r\n");
        }
    };
    let old = |mut stream: TcpStream| {
        while stream.read(&mut [0; 1024]).is_ok_and(|length| length > 0) {
            let _ = stream.write_all(b"ERROR\r\n");
        }
    };
    for (server, kind) in [
        (impostor(http), FailureKind::InvalidReply),
        (impostor(redis), FailureKind::InvalidReply),
        (impostor(old), FailureKind::Refused),
    ] {
        let store = MemcachedStore::connect([server]).unwrap();
        assert_eq!(all_fail(&store), [kind; 6]);
    }
}

#[test]
fn a_reply_for_another_key_is_rejected() {
    let confused = |mut stream: TcpStream| {
        while stream.read(&mut [0; 1024]).is_ok_and(|length| length > 0) {
            let _ = stream.write_all(b"VA 1 kmjc:00000000000000000000000000000009\r\nx\r\n");
        }
    };
    let store = MemcachedStore::connect([impostor(confused)]).unwrap();
    assert_eq!(store.read(&[1], soon()).unwrap_err().kind, FailureKind::InvalidReply);
    assert_eq!(store.read(&[9], soon()).unwrap(), [Some(b"x".to_vec())]);
}

#[test]
fn a_silent_server_affects_only_its_share() {
    let server = Memcached::start(&[]);
    let store = MemcachedStore::connect([impostor(silent), server.address()]).unwrap();
    let names: Vec<_> = (0..40).map(|_| name()).collect();
    let writes: Vec<_> =
        names.iter().map(|name| ValueWrite { key: *name, value: b"v", ttl: None, lease: None }).collect();
    let budget = Duration::from_millis(400);
    store.write(&writes, Instant::now() + budget).unwrap_err();
    for _ in 0..5 {
        let start = Instant::now();
        let read = store.read(&names, start + budget).unwrap();
        assert!(start.elapsed() < budget + SLACK);
        let found = read.iter().flatten().count();
        assert!((5..35).contains(&found), "{found}");
    }
}

#[test]
fn a_silent_server_does_not_shorten_the_time_of_a_slow_one() {
    let slow = |mut stream: TcpStream| {
        let mut asked = [0; 4096];
        while let Ok(length @ 1..) = stream.read(&mut asked) {
            std::thread::sleep(Duration::from_millis(1200));
            let builders = asked[..length].iter().filter(|byte| **byte == b'\n').count();
            let _ = stream.write_all(&b"VA 1\r\nx\r\n".repeat(builders));
        }
    };
    let store = MemcachedStore::connect([impostor(slow), impostor(silent)]).unwrap();
    let names: Vec<_> = (0..20).map(|_| name()).collect();
    let read = store.read(&names, Instant::now() + Duration::from_secs(2)).unwrap();
    assert!(read.iter().any(Option::is_some));
}

#[test]
fn a_refused_value_is_deleted() {
    static DELETED: AtomicBool = AtomicBool::new(false);
    let full = |mut stream: TcpStream| {
        let mut asked = [0; 4096];
        while let Ok(length @ 1..) = stream.read(&mut asked) {
            if asked[..length].starts_with(b"md mjc:") {
                DELETED.store(true, Ordering::SeqCst);
            }
            let _ = stream.write_all(b"SERVER_ERROR out of memory storing object\r\n");
        }
    };
    let store = MemcachedStore::connect([impostor(full)]).unwrap();
    let write = ValueWrite { key: 1, value: b"v", ttl: None, lease: None };
    let failure = store.write(&[write], soon()).unwrap_err();
    assert_eq!(failure.kind, FailureKind::Refused);
    assert!(failure.message.contains("out of memory"), "{failure}");
    assert!(DELETED.load(Ordering::SeqCst));
}

#[test]
fn closed_pooled_connections_fail_no_call() {
    let mut server = Memcached::start(&[]);
    let store = store(&[&server]);
    let name = name();
    // Several connections in the pool.
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| store.read(&[name], soon()).unwrap());
        }
    });
    server.stop();
    server.start_again();
    for _ in 0..20 {
        assert_eq!(store.read(&[name], soon()).unwrap(), [None]);
    }
    store.write(&[ValueWrite { key: name, value: b"v", ttl: None, lease: None }], soon()).unwrap();
}

#[test]
fn a_server_that_comes_back_is_used_again() {
    let mut servers = [Memcached::start(&[]), Memcached::start(&[])];
    let store = store(&[&servers[0], &servers[1]]);
    let names: Vec<_> = (0..40).map(|_| name()).collect();
    let writes: Vec<_> =
        names.iter().map(|name| ValueWrite { key: *name, value: b"v", ttl: None, lease: None }).collect();
    store.write(&writes, soon()).unwrap();
    servers[0].stop();
    for _ in 0..20 {
        assert!(store.write(&writes, soon()).is_err());
    }
    servers[0].start_again();
    let end = soon();
    while store.write(&writes, soon()).is_err() {
        assert!(Instant::now() < end, "does not come back");
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(store.read(&names, soon()).unwrap().iter().all(Option::is_some));
}

#[test]
fn more_threads_than_connections_take_turns() {
    let server = Memcached::start(&[]);
    let store = store(&[&server]).pool_size(2);
    let connections = || -> u32 {
        let stats = server.say("stats\r\n");
        stats.split("STAT total_connections ").nth(1).unwrap().split('\r').next().unwrap().parse().unwrap()
    };
    let before = connections();
    std::thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| {
                for _ in 0..50 {
                    store.read(&[name()], soon()).unwrap();
                }
            });
        }
    });
    // One is the `stats` connection itself, another may be that of `Memcached::start`, counted late.
    assert!(connections() - before <= 4);
}

#[test]
fn calls_that_wait_for_a_connection_return_by_the_deadline() {
    let store = MemcachedStore::connect([impostor(silent)]).unwrap().pool_size(1);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let start = Instant::now();
                assert_eq!(store.read(&[1], start + BUDGET).unwrap_err().kind, FailureKind::Timeout);
                assert!(start.elapsed() < BUDGET + SLACK);
            });
        }
    });
}

#[test]
fn a_server_is_reached_by_its_host_name() {
    let server = Memcached::start(&[]);
    let port = server.address().split_once(':').unwrap().1.to_string();
    let store = MemcachedStore::connect([format!("localhost:{port}")]).unwrap();
    assert_eq!(store.read(&[1], soon()).unwrap(), [None]);
}
