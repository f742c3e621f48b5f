//! Values and leases.

use std::time::Duration;

use super::super::lifetime;
use super::support::{Memcached, free_port, name, soon, store};
use crate::store::{FailureKind, Lease, LeasedRead, Remote, StoreKey, ValueWrite};
use crate::{ErrorKind, MemcachedStore};

const SPAN: Duration = Duration::from_secs(60);

fn write(name: StoreKey, value: &[u8]) -> ValueWrite<'_> {
    ValueWrite { key: name, value, ttl: None, lease: None }
}

fn read_one(store: &MemcachedStore, name: StoreKey) -> Option<Vec<u8>> {
    store.read(&[name], soon()).unwrap().remove(0)
}

fn taken(store: &MemcachedStore, name: StoreKey, span: Duration) -> Lease {
    match store.read_or_lease(name, span, soon()).unwrap() {
        LeasedRead::Taken(lease) => lease,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_written_value_is_read() {
    let server = Memcached::start(&[]);
    let store = store(&[&server]);
    let every_byte: Vec<u8> = (0..=255).chain(*b"\r\nEN\r\nVA 1\r\n").collect();
    // 1 MiB less the item's header and key.
    for value in [b"x".to_vec(), every_byte, vec![b'\n'; (1 << 20) - 200]] {
        let name = name();
        assert_eq!(read_one(&store, name), None);
        store.write(&[write(name, &value)], soon()).unwrap();
        assert!(read_one(&store, name) == Some(value.clone()), "{} bytes", value.len());
        assert_eq!(store.read_or_lease(name, SPAN, soon()).unwrap(), LeasedRead::Found(value));
    }
    assert_eq!(store.read(&[], soon()).unwrap(), [] as [Option<Vec<u8>>; 0]);
    store.write(&[], soon()).unwrap();
}

#[test]
fn a_value_that_is_too_large_deletes_the_older_one_and_does_not_affect_others() {
    let server = Memcached::start(&[]);
    let store = store(&[&server]);
    let (before, large, after) = (name(), name(), name());
    store.write(&[write(large, b"old")], soon()).unwrap();
    let value = vec![1; 2 << 20];
    let failure = store.write(&[write(before, b"1"), write(large, &value), write(after, b"2")], soon()).unwrap_err();
    assert_eq!(failure.kind, FailureKind::Refused);
    assert!(failure.message.contains("too large"), "{failure}");
    let read = store.read(&[before, large, after], soon()).unwrap();
    assert_eq!(read, [Some(b"1".to_vec()), None, Some(b"2".to_vec())]);
}

#[test]
fn a_full_server_refuses_a_value_and_deletes_the_older_one() {
    let server = Memcached::start(&["-M", "-m", "2"]);
    let store = store(&[&server]);
    let first = name();
    store.write(&[write(first, b"old")], soon()).unwrap();
    let value = vec![1; 100_000];
    let full = (0..200).find_map(|_| store.write(&[write(name(), &value)], soon()).err());
    assert_eq!(full.unwrap().kind, FailureKind::Refused);
    assert_eq!(store.write(&[write(first, &value)], soon()).unwrap_err().kind, FailureKind::Refused);
    assert_eq!(read_one(&store, first), None);
}

#[test]
fn values_of_many_keys_on_three_servers_come_in_order() {
    let servers = [Memcached::start(&[]), Memcached::start(&[]), Memcached::start(&[])];
    let store = store(&[&servers[0], &servers[1], &servers[2]]);
    let names: Vec<StoreKey> = (0..3000).map(|_| name()).collect();
    let values: Vec<String> = names.iter().map(|name| format!("{name:x}").repeat(40)).collect();
    let writes: Vec<_> = names.iter().zip(&values).step_by(2).map(|(n, v)| write(*n, v.as_bytes())).collect();
    store.write(&writes, soon()).unwrap();
    for (at, read) in store.read(&names, soon()).unwrap().into_iter().enumerate() {
        assert_eq!(read, (at % 2 == 0).then(|| values[at].clone().into_bytes()), "{at}");
    }
    for server in &servers {
        let stats = server.say("stats\r\n");
        let items: u32 = stats.split("STAT curr_items ").nth(1).unwrap().split('\r').next().unwrap().parse().unwrap();
        assert!((300..700).contains(&items), "{items}");
    }
}

#[test]
fn an_added_server_takes_only_its_share() {
    let names: Vec<StoreKey> = (0..2000).map(|_| name()).collect();
    let choose = |servers: &[&str]| -> Vec<String> {
        let servers = MemcachedStore::connect(servers).unwrap().client.servers;
        names.iter().map(|name| servers.all[servers.choose(&name.to_be_bytes())].address.name.clone()).collect()
    };
    let three = choose(&["c:1", "a:1", "b:1"]);
    assert_eq!(three, choose(&["a:1", "b:1", "c:1"]));
    let four = choose(&["a:1", "b:1", "c:1", "d:1"]);
    let moved: Vec<_> = three.iter().zip(&four).filter(|(before, after)| before != after).collect();
    assert!(moved.iter().all(|(_, after)| *after == "d:1"));
    assert!((350..650).contains(&moved.len()), "{}", moved.len());
}

#[test]
fn a_server_that_is_down_affects_only_its_share() {
    let server = Memcached::start(&[]);
    let dead = format!("127.0.0.1:{}", free_port());
    let store = MemcachedStore::connect([server.address(), dead]).unwrap();
    let names: Vec<StoreKey> = (0..40).map(|_| name()).collect();
    let writes: Vec<_> = names.iter().map(|name| write(*name, b"v")).collect();
    assert_eq!(store.write(&writes, soon()).unwrap_err().kind, FailureKind::Unreachable);
    let mut lost = Vec::new();
    for _ in 0..5 {
        let read = store.read(&names, soon()).unwrap();
        lost = names.iter().zip(read).filter(|(_, read)| read.is_none()).map(|(name, _)| *name).collect();
        assert!((5..35).contains(&lost.len()), "{}", lost.len());
    }
    assert_eq!(store.read(&lost, soon()).unwrap_err().kind, FailureKind::Unreachable);
}

#[test]
fn a_value_expires_after_its_ttl() {
    let server = Memcached::start(&[]);
    let store = store(&[&server]);
    let (short, long, month, ever) = (name(), name(), name(), name());
    let ttl = |name, ttl| ValueWrite { key: name, value: b"v", ttl, lease: None };
    let day = Duration::from_secs(86_400);
    let writes = [
        ttl(short, Some(Duration::from_millis(10))),
        ttl(long, Some(day)),
        ttl(month, Some(31 * day)),
        ttl(ever, Some(Duration::MAX)),
    ];
    store.write(&writes, soon()).unwrap();
    assert_eq!(store.read(&[short, long, month, ever], soon()).unwrap(), vec![Some(b"v".to_vec()); 4]);
    let left = server.say(&format!("mg {} t\r\n", store.client.key(month)));
    let seconds: u64 = left.trim().strip_prefix("HD t").unwrap().parse().unwrap();
    assert!((30 * 86_400..32 * 86_400).contains(&seconds), "{left}");
    assert_eq!(server.say(&format!("mg {} t\r\n", store.client.key(ever))), "HD t-1\r\n");
    let end = soon();
    while read_one(&store, short).is_some() {
        assert!(std::time::Instant::now() < end, "does not expire");
        std::thread::sleep(Duration::from_millis(100));
    }
    assert!(read_one(&store, long).is_some());
}

#[test]
fn lifetimes_are_whole_seconds_and_long_ones_are_dates() {
    assert_eq!(lifetime(None), 0);
    assert_eq!(lifetime(Some(Duration::ZERO)), 1);
    assert_eq!(lifetime(Some(Duration::from_nanos(1))), 2);
    assert_eq!(lifetime(Some(Duration::from_secs(60))), 61);
    assert_eq!(lifetime(Some(Duration::from_secs(2_591_999))), 2_592_000);
    assert!(lifetime(Some(Duration::from_secs(2_592_000))) > 1_700_000_000);
    assert_eq!(lifetime(Some(Duration::MAX)), 0);
}

#[test]
fn one_process_gets_the_lease_and_the_others_wait_for_its_value() {
    let server = Memcached::start(&[]);
    let (ours, theirs) = (store(&[&server]), store(&[&server]));
    let name = name();
    let lease = taken(&ours, name, SPAN);
    for store in [&theirs, &ours] {
        assert_eq!(store.read_or_lease(name, SPAN, soon()).unwrap(), LeasedRead::Held);
        assert_eq!(read_one(store, name), None);
    }
    ours.write(&[ValueWrite { key: name, value: b"v", ttl: Some(SPAN), lease: Some(lease) }], soon()).unwrap();
    assert_eq!(theirs.read_or_lease(name, SPAN, soon()).unwrap(), LeasedRead::Found(b"v".to_vec()));
    // The lease ended with the value.
    ours.write(&[ValueWrite { key: name, value: b"late", ttl: None, lease: Some(lease) }], soon()).unwrap();
    assert_eq!(read_one(&theirs, name), Some(b"v".to_vec()));
}

#[test]
fn one_of_many_threads_gets_the_lease() {
    let server = Memcached::start(&[]);
    let store = store(&[&server]);
    let name = name();
    let won = std::thread::scope(|scope| {
        let ask = || matches!(store.read_or_lease(name, SPAN, soon()).unwrap(), LeasedRead::Taken(_));
        let threads: Vec<_> = (0..16).map(|_| scope.spawn(ask)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).filter(|won| *won).count()
    });
    assert_eq!(won, 1);
}

#[test]
fn a_value_of_a_lost_lease_is_not_stored() {
    let server = Memcached::start(&[]);
    let store = store(&[&server]);
    let (deleted, replaced) = (name(), name());
    let with = |name, lease| ValueWrite { key: name, value: b"late", ttl: None, lease: Some(lease) };
    let lease = taken(&store, deleted, SPAN);
    server.say(&format!("md {}\r\n", store.client.key(deleted)));
    store.write(&[with(deleted, lease)], soon()).unwrap();
    assert_eq!(read_one(&store, deleted), None);
    let lease = taken(&store, replaced, SPAN);
    store.write(&[write(replaced, b"newer")], soon()).unwrap();
    store.write(&[with(replaced, lease)], soon()).unwrap();
    assert_eq!(read_one(&store, replaced), Some(b"newer".to_vec()));
    store.release(replaced, lease, soon()).unwrap();
    assert_eq!(read_one(&store, replaced), Some(b"newer".to_vec()));
}

#[test]
fn a_released_lease_can_be_taken_again() {
    let server = Memcached::start(&[]);
    let store = store(&[&server]);
    let name = name();
    let lease = taken(&store, name, SPAN);
    store.release(name, lease, soon()).unwrap();
    let next = taken(&store, name, SPAN);
    assert_ne!(lease, next);
    store.release(name, lease, soon()).unwrap();
    assert_eq!(store.read_or_lease(name, SPAN, soon()).unwrap(), LeasedRead::Held);
}

#[test]
fn a_lease_expires() {
    let server = Memcached::start(&[]);
    let store = store(&[&server]);
    let name = name();
    taken(&store, name, Duration::from_millis(1));
    assert_eq!(store.read_or_lease(name, SPAN, soon()).unwrap(), LeasedRead::Held);
    let end = soon();
    while store.read_or_lease(name, SPAN, soon()).unwrap() == LeasedRead::Held {
        assert!(std::time::Instant::now() < end, "does not end");
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn err_a_refused_value_ends_its_lease() {
    let server = Memcached::start(&[]);
    let store = store(&[&server]);
    let name = name();
    let lease = taken(&store, name, SPAN);
    let value = vec![1; 2 << 20];
    let large = ValueWrite { key: name, value: &value, ttl: None, lease: Some(lease) };
    assert_eq!(store.write(&[large], soon()).unwrap_err().kind, FailureKind::Refused);
    taken(&store, name, SPAN);
}

#[test]
fn err_a_server_without_compare_and_swap() {
    let server = Memcached::start(&["-C"]);
    let store = store(&[&server]);
    assert_eq!(store.read_or_lease(name(), SPAN, soon()).unwrap_err().kind, FailureKind::Refused);
    let failure = store.sync(Default::default(), &[1], soon()).unwrap_err();
    assert!(failure.message.contains("compare-and-swap"), "{failure}");
}

#[test]
fn prefixes_separate_applications() {
    let server = Memcached::start(&[]);
    let (ours, theirs) = (store(&[&server]).prefix("ä:").unwrap(), store(&[&server]).prefix("x".repeat(150)).unwrap());
    let name = name();
    ours.write(&[write(name, b"ours")], soon()).unwrap();
    assert_eq!(read_one(&theirs, name), None);
    theirs.write(&[write(name, b"theirs")], soon()).unwrap();
    assert_eq!(read_one(&ours, name), Some(b"ours".to_vec()));
    assert_eq!(theirs.sync(Default::default(), &[1, 2], soon()).unwrap().seq, 2);
    assert_eq!(ours.sync(Default::default(), &[1], soon()).unwrap().seq, 1);
}

#[test]
fn err_invalid_settings_are_rejected() {
    let connect = |servers: &[&str]| MemcachedStore::connect(servers).unwrap_err();
    assert_eq!(connect(&[]).to_string(), "memcached store: no server is given");
    assert_eq!(connect(&["a", "b", "A:11211"]).to_string(), "memcached server \"A:11211\": listed twice");
    assert_eq!(connect(&["a:x"]).kind(), ErrorKind::Config);
    for prefix in ["a b", "a\n", "\u{a0}", &"x".repeat(151)] {
        let error = MemcachedStore::connect(["a"]).unwrap().prefix(prefix).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config, "{prefix:?}");
    }
    let store = MemcachedStore::connect(["memcached://A", "b:1"]).unwrap();
    assert_eq!(store.describe(), "memcached a:11211, b:1");
}
