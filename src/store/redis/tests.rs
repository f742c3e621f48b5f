//! The store against real servers; each test starts its own. Time limits are generous: they only show that there is a
//! deadline.

mod arrangements;
mod faults;
mod floors;
mod server;

use std::thread;
use std::time::Duration;

use redis::Value;

use self::server::{Server, soon};
use super::*;

const SPAN: Duration = Duration::from_secs(30);

fn write(name: StoreKey, value: &[u8]) -> ValueWrite<'_> {
    ValueWrite { key: name, value, ttl: None, lease: None }
}

#[test]
fn a_written_value_is_read() {
    let server = Server::start(&[]);
    let store = server.store();
    let large: Vec<u8> = (0..1 << 20).map(|index: u32| (index * 7 % 256) as u8).collect();
    let values: [&[u8]; 4] = [b"", b"\0\r\n$-1\r\n\xff", &large, b"plain"];
    let writes: Vec<_> = values.iter().zip(1..).map(|(value, name)| write(name, value)).collect();
    store.write(&writes, soon()).unwrap();
    let names = [3, 9, 1, 4, 2, 3];
    let expected: Vec<_> =
        [2, 9, 0, 3, 1, 2].iter().map(|&index| values.get(index).map(|value| value.to_vec())).collect();
    assert_eq!(store.read(&names, soon()).unwrap(), expected);
    assert_eq!(store.read(&[], soon()).unwrap(), Vec::<Option<Vec<u8>>>::new());
    store.write(&[], soon()).unwrap();
    // Another prefix has other entries.
    assert_eq!(server.store().prefix("other:").read(&[1], soon()).unwrap(), [None]);
}

#[test]
fn a_value_expires() {
    let server = Server::start(&[]);
    let store = server.store();
    let ttl = |name, ttl| ValueWrite { ttl: Some(ttl), ..write(name, b"x") };
    let writes = [ttl(1, Duration::from_micros(1)), ttl(2, Duration::from_secs(100)), ttl(3, Duration::MAX)];
    store.write(&writes, soon()).unwrap();
    thread::sleep(Duration::from_millis(50));
    assert_eq!(store.read(&[1, 2, 3], soon()).unwrap(), [None, Some(b"x".to_vec()), Some(b"x".to_vec())]);
    let Value::Int(left) = server.call(&format!("PTTL {}", store.key(2))) else { panic!() };
    assert!((90_000..=100_000).contains(&left), "{left}");
    // A write without expiry removes the expiry of the previous one.
    store.write(&[write(2, b"y")], soon()).unwrap();
    assert_eq!(server.call(&format!("PTTL {}", store.key(2))), Value::Int(-1));
}

#[test]
fn a_value_of_another_type_counts_as_missing_and_is_replaced() {
    let server = Server::start(&[]);
    let store = server.store();
    server.call(&format!("SADD {} x", store.key(1)));
    assert_eq!(store.read(&[1], soon()).unwrap(), [None]);
    assert!(matches!(store.read_or_lease(1, SPAN, soon()).unwrap(), LeasedRead::Taken(_)));
    store.write(&[write(1, b"x")], soon()).unwrap();
    assert_eq!(store.read(&[1], soon()).unwrap(), [Some(b"x".to_vec())]);
}

#[test]
fn a_lease_is_taken_once_and_ends() {
    let server = Server::start(&[]);
    let (store, other) = (server.store(), server.store());
    let LeasedRead::Taken(lease) = store.read_or_lease(1, SPAN, soon()).unwrap() else { panic!("held") };
    assert_eq!(other.read_or_lease(1, SPAN, soon()).unwrap(), LeasedRead::Held);
    // The token of another lease does not end it.
    other.release(1, Lease(lease.0 ^ 1), soon()).unwrap();
    assert_eq!(other.read_or_lease(1, SPAN, soon()).unwrap(), LeasedRead::Held);
    store.release(1, lease, soon()).unwrap();
    let LeasedRead::Taken(lease) = other.read_or_lease(1, SPAN, soon()).unwrap() else { panic!("not released") };
    // Writing with a stale token stores the value and does not end the lease. The right token ends it.
    let stale = ValueWrite { lease: Some(Lease(lease.0 ^ 1)), ..write(2, b"x") };
    store.write(&[stale, ValueWrite { lease: Some(lease), ..write(1, b"v") }], soon()).unwrap();
    assert_eq!(server.call(&format!("EXISTS {}", store.lease_key(1))), Value::Int(0));
    assert_eq!(store.read_or_lease(1, SPAN, soon()).unwrap(), LeasedRead::Found(b"v".to_vec()));
}

#[test]
fn a_lease_expires() {
    let server = Server::start(&[]);
    let store = server.store();
    assert!(matches!(store.read_or_lease(1, Duration::from_millis(50), soon()).unwrap(), LeasedRead::Taken(_)));
    thread::sleep(Duration::from_millis(100));
    assert!(matches!(store.read_or_lease(1, SPAN, soon()).unwrap(), LeasedRead::Taken(_)));
}

#[test]
fn scripts_that_the_server_lost_are_sent_again() {
    let server = Server::start(&[]);
    let store = server.store();
    let LeasedRead::Taken(lease) = store.read_or_lease(1, SPAN, soon()).unwrap() else { panic!("held") };
    server.call("SCRIPT FLUSH SYNC");
    store
        .write(
            &[ValueWrite { lease: Some(lease), ..write(2, b"x") }, ValueWrite { lease: Some(lease), ..write(1, b"x") }],
            soon(),
        )
        .unwrap();
    assert_eq!(server.call(&format!("EXISTS {}", store.lease_key(1))), Value::Int(0));
    server.call("SCRIPT FLUSH SYNC");
    store.release(1, lease, soon()).unwrap();
}

#[test]
fn a_refused_value_does_not_affect_others_and_deletes_the_older_one() {
    let server = Server::start(&[]);
    let store = server.store();
    let large = vec![7; 1 << 20];
    store.write(&[write(1, &large), write(2, b"old"), write(3, b"old")], soon()).unwrap();
    server.call("CONFIG SET maxmemory-policy noeviction");
    server.call("CONFIG SET maxmemory 1mb");
    let LeasedRead::Taken(lease) = store.read_or_lease(4, SPAN, soon()).unwrap() else { panic!("no lease under OOM") };
    let writes = [write(2, b"new"), ValueWrite { lease: Some(lease), ..write(4, b"new") }];
    let failure = store.write(&writes, soon()).unwrap_err();
    assert_eq!(failure.kind, FailureKind::Refused);
    assert!(
        failure.message.starts_with("cannot write to redis 127.0.0.1:") && failure.message.contains("OOM"),
        "{failure}"
    );
    assert_eq!(store.read(&[2, 3], soon()).unwrap(), [None, Some(b"old".to_vec())]);
    assert_eq!(server.call(&format!("EXISTS {}", store.lease_key(4))), Value::Int(0));
}

#[test]
fn many_threads_share_two_connections() {
    let server = Server::start(&[]);
    let store = server.store().pool_size(2);
    store.write(&[write(1, &[1; 5000])], soon()).unwrap();
    thread::scope(|scope| {
        for thread in 0..8u128 {
            let store = &store;
            scope.spawn(move || {
                for _ in 0..200 {
                    let values = store.read(&[1, thread + 2], soon()).unwrap();
                    assert_eq!(values[0].as_deref(), Some(&[1; 5000][..]));
                    store.write(&[write(thread + 2, &thread.to_be_bytes())], soon()).unwrap();
                    assert_eq!(
                        store.read(&[thread + 2], soon()).unwrap()[0].as_deref(),
                        Some(&thread.to_be_bytes()[..])
                    );
                }
            });
        }
    });
    let Value::BulkString(clients) = server.call("CLIENT LIST") else { panic!() };
    // Two of the pool, and the one of this check.
    assert!(String::from_utf8(clients).unwrap().lines().count() <= 3);
}

#[test]
fn descriptions_contain_no_password() {
    let store = RedisStore::connect("redis://user:secret@localhost:1/2").unwrap();
    assert_eq!(store.describe(), "redis localhost:1/2");
    assert!(!format!("{store:?}").contains("secret"), "{store:?}");
    let store = RedisStore::sentinel(["redis://:secret@a", "redis://b:1"], "main").unwrap();
    assert_eq!(store.describe(), "redis main/0 of sentinels a:6379,b:1");
    assert!(RedisStore::cluster(["redis+unix:///x"]).is_err() && RedisStore::cluster([""; 0]).is_err());
}
