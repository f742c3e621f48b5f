//! Unix sockets, TLS, sentinels and clusters.

use std::fs;
#[cfg(feature = "redis-tls")]
use std::io::{Read, Write as _};
#[cfg(feature = "redis-tls")]
use std::process::{Command as Process, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use redis::Value;

use super::super::*;
#[cfg(feature = "redis-tls")]
use super::server::impostor;
use super::server::{Server, free_port, soon, until};
use super::{SPAN, write};

/// Runs every operation once.
fn exercise(store: &RedisStore) {
    let leased = StoreKey::from(unique());
    let names: Vec<StoreKey> = (1..50).map(|name| name << 90).collect();
    let values: Vec<Vec<u8>> = names.iter().map(|name| name.to_be_bytes().to_vec()).collect();
    let writes: Vec<_> = names.iter().zip(&values).map(|(&name, value)| write(name, value)).collect();
    store.write(&writes, soon()).unwrap();
    let expected: Vec<_> = values.iter().cloned().map(Some).collect();
    assert_eq!(store.read(&names, soon()).unwrap(), expected);
    let LeasedRead::Taken(lease) = store.read_or_lease(leased, SPAN, soon()).unwrap() else { panic!("held") };
    assert_eq!(store.read_or_lease(leased, SPAN, soon()).unwrap(), LeasedRead::Held);
    store.release(leased, lease, soon()).unwrap();
    let LeasedRead::Taken(lease) = store.read_or_lease(leased, SPAN, soon()).unwrap() else { panic!("held") };
    store.write(&[ValueWrite { lease: Some(lease), ..write(leased, b"x") }], soon()).unwrap();
    assert_eq!(store.read_or_lease(leased, SPAN, soon()).unwrap(), LeasedRead::Found(b"x".to_vec()));
    let heard = AtomicUsize::new(0);
    thread::scope(|scope| {
        let listener = scope
            .spawn(|| store.listen(&|| _ = heard.fetch_add(1, Ordering::SeqCst), &|| heard.load(Ordering::SeqCst) > 1));
        until("subscribed", Duration::from_secs(5), || heard.load(Ordering::SeqCst) > 0);
        let update = store.sync(SyncPosition::default(), &[5], soon()).unwrap();
        assert!(update.floors.contains(&(5, update.seq)), "{update:?}");
        listener.join().unwrap().unwrap();
    });
}

/// Checks that a connection is used again after it was idle.
fn idle(store: &RedisStore, server: &Server) {
    let connections = || {
        let Value::BulkString(info) = server.call("INFO stats") else { panic!() };
        let info = String::from_utf8(info).unwrap();
        let count = info.lines().find_map(|line| line.strip_prefix("total_connections_received:"));
        count.unwrap().parse::<u64>().unwrap()
    };
    // The spare connection may still be opening.
    store.read(&[1], soon()).unwrap();
    thread::sleep(Duration::from_millis(1200));
    let before = connections();
    store.read(&[1], soon()).unwrap();
    assert_eq!(connections(), before + 1, "only the connection of this check is new");
}

#[test]
fn an_idle_connection_is_used_again() {
    let server = Server::start(&[]);
    idle(&server.store(), &server);
}

#[test]
fn all_operations_work_over_a_unix_socket() {
    let server = Server::start(&["--unixsocket", "{dir}/redis.sock", "--requirepass", "secret"]);
    let socket = server.path("redis.sock");
    let store = RedisStore::connect(&format!("redis+unix://{}?db=1&pass=secret", socket.display())).unwrap();
    assert_eq!(store.describe(), format!("redis {}/1", socket.display()));
    exercise(&store);
}

#[test]
fn the_documented_rights_are_enough() {
    let server = Server::start(&[]);
    let rights = "+get +set +del +eval +evalsha +info +time +publish +subscribe +ping +select +zadd +zcard +zrange +zrangebyscore +zrem +zremrangebyscore";
    let reply = server.call(&format!("ACL SETUSER app on >secret ~app:* &app:floors:* -@all {rights}"));
    assert_eq!(reply, Value::Okay);
    let store = RedisStore::connect(&format!("redis://app:secret@127.0.0.1:{}/1", server.port)).unwrap();
    let failure = store.read(&[1], soon()).unwrap_err();
    assert!(failure.kind == FailureKind::Refused && failure.message.contains("NOPERM"), "{failure:?}");
    let store = store.prefix("app:");
    exercise(&store);
    // More floors than are kept, so that every branch of the script runs.
    let many: Vec<u64> = (0..70_000).collect();
    assert_eq!(store.sync(SyncPosition::default(), &many, soon()).unwrap().floors, []);
}

#[cfg(feature = "redis-tls")]
fn certificate(folder: &std::path::Path, constraints: &str) -> String {
    let status = Process::new("openssl")
        .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"])
        .args(["-addext", "subjectAltName=DNS:localhost"])
        .args(["-addext", &format!("basicConstraints=critical,{constraints}")])
        .arg("-keyout")
        .arg(folder.join("key.pem"))
        .arg("-out")
        .arg(folder.join("cert.pem"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    assert!(status.expect("openssl").success());
    fs::read_to_string(folder.join("cert.pem")).unwrap()
}

/// A server that also accepts TLS with the certificate in the folder, and its TLS port.
#[cfg(feature = "redis-tls")]
fn secured(folder: &std::path::Path) -> (Server, String) {
    let file = |name: &str| folder.join(name).display().to_string();
    let port = free_port().to_string();
    let server = Server::start(&[
        "--tls-port",
        &port,
        "--tls-cert-file",
        &file("cert.pem"),
        "--tls-key-file",
        &file("key.pem"),
        "--tls-auth-clients",
        "no",
    ]);
    until("TLS", Duration::from_secs(5), || std::net::TcpStream::connect(format!("127.0.0.1:{port}")).is_ok());
    (server, port)
}

#[cfg(feature = "redis-tls")]
#[test]
fn the_error_explains_why_a_certificate_is_not_trusted() {
    let folder = tempfile::tempdir().unwrap();
    let pem = certificate(folder.path(), "CA:TRUE");
    let (_server, port) = secured(folder.path());
    let store = || RedisStore::connect(&format!("rediss://localhost:{port}")).unwrap();
    let why = |store: RedisStore| store.read(&[1], soon()).unwrap_err().message;
    // `openssl req -x509` makes an authority's certificate, which is not valid for a server.
    let own = why(store().tls_root(&pem).unwrap());
    assert!(own.contains("CA:TRUE") && own.contains("basicConstraints=critical,CA:FALSE"), "{own}");
    assert!(!own.contains("Other(") && !own.contains("CaUsedAsEndEntity"), "{own}");
    // An untrusted certificate, and a trusted one for another host name.
    let pem = certificate(folder.path(), "CA:FALSE");
    let (_server, port) = secured(folder.path());
    let store = |host: &str| RedisStore::connect(&format!("rediss://{host}:{port}")).unwrap();
    let unknown = why(store("localhost"));
    assert!(unknown.contains("tls_root") && unknown.contains("authority"), "{unknown}");
    let name = why(store("127.0.0.1").tls_root(&pem).unwrap());
    assert!(name.contains("127.0.0.1") && name.contains("not valid for name"), "{name}");
}

#[cfg(feature = "redis-tls")]
#[test]
fn tls_works_with_trusted_certificates_only() {
    let folder = tempfile::tempdir().unwrap();
    let pem = certificate(folder.path(), "CA:FALSE");
    let (server, port) = secured(folder.path());
    let url = format!("rediss://localhost:{port}/2");
    let store = RedisStore::connect(&url).unwrap().tls_root(&pem).unwrap();
    exercise(&store);
    idle(&store, &server);
    exercise(&RedisStore::connect(&format!("{url}#insecure")).unwrap());
    let failure = RedisStore::connect(&url).unwrap().read(&[1], soon()).unwrap_err();
    assert!(failure.kind == FailureKind::InvalidReply && failure.message.contains("certificate"), "{failure:?}");
    // Another host name than the certificate's; a server without TLS.
    let store = RedisStore::connect(&url.replace("localhost", "127.0.0.1")).unwrap().tls_root(&pem).unwrap();
    assert_eq!(store.read(&[1], soon()).unwrap_err().kind, FailureKind::InvalidReply);
    let plain = Server::start(&[]);
    let store = RedisStore::connect(&plain.url().replace("redis", "rediss")).unwrap();
    let failure = store.read(&[1], Instant::now() + Duration::from_millis(500)).unwrap_err();
    assert_ne!(failure.kind, FailureKind::Refused, "{failure:?}");
    let http = impostor(|mut stream| {
        let _ = stream.read(&mut [0; 64]).and_then(|_| stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n"));
    });
    let store = RedisStore::connect(&http.replace("redis", "rediss")).unwrap();
    assert_eq!(store.read(&[1], soon()).unwrap_err().kind, FailureKind::InvalidReply);
    // Without TLS on the TLS port, where the server may wait for more bytes.
    let store = RedisStore::connect(&url.replace("rediss", "redis")).unwrap();
    let failure = store.read(&[1], Instant::now() + Duration::from_millis(500)).unwrap_err();
    assert_ne!(failure.kind, FailureKind::Refused, "{failure:?}");
    assert!(RedisStore::connect(&url).unwrap().tls_root("nonsense").is_err());
}

#[test]
fn the_master_is_found_through_sentinels() {
    let master = Server::start(&[]);
    let replica = Server::start(&["--replicaof", &format!("127.0.0.1 {}", master.port)]);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("sentinel.conf");
    fs::write(&file, format!("sentinel monitor main 127.0.0.1 {} 1\nsentinel down-after-milliseconds main 500\nsentinel failover-timeout main 2000\n", master.port)).unwrap();
    let sentinel = Server::start(&[file.to_str().unwrap(), "--sentinel"]);
    let dead = format!("redis://127.0.0.1:{}", free_port());
    let store = RedisStore::sentinel([dead, sentinel.url()], "main").unwrap();
    exercise(&store);
    assert!(matches!(master.call("DBSIZE"), Value::Int(50..)));
    let failure = RedisStore::sentinel([sentinel.url()], "other").unwrap().read(&[1], soon()).unwrap_err();
    assert!(failure.kind == FailureKind::Refused && failure.message.contains("`other`"), "{failure:?}");
    // A server that is not a sentinel; a replica, which refuses invalidations.
    let failure = RedisStore::sentinel([master.url()], "main").unwrap().read(&[1], soon()).unwrap_err();
    assert_eq!(failure.kind, FailureKind::Refused, "{failure:?}");
    let failure = replica.store().sync(SyncPosition::default(), &[1], soon()).unwrap_err();
    assert!(failure.kind == FailureKind::Refused && failure.message.contains("READONLY"), "{failure:?}");
    let before = store.sync(SyncPosition::default(), &[], soon()).unwrap();
    until("replica known", Duration::from_secs(20), || {
        matches!(sentinel.call("SENTINEL replicas main"), Value::Array(replicas) if !replicas.is_empty())
            && sentinel.call("SENTINEL failover main") == Value::Okay
    });
    // The replica becomes master, with the entries and another epoch.
    until("failed over", Duration::from_secs(30), || {
        let Ok(update) = store.sync(SyncPosition::default(), &[1], Instant::now() + Duration::from_millis(500)) else {
            return false;
        };
        update.epoch != before.epoch
    });
    assert!(matches!(replica.call("ROLE"), Value::Array(role) if role[0] == Value::BulkString(b"master".to_vec())));
    exercise(&store);
}

fn cluster(nodes: usize) -> Vec<Server> {
    let servers: Vec<Server> = (0..nodes)
        .map(|_| Server::start(&["--cluster-enabled", "yes", "--cluster-port", &free_port().to_string()]))
        .collect();
    for (index, server) in servers.iter().enumerate() {
        let (from, to) = (16_384 * index / nodes, 16_384 * (index + 1) / nodes - 1);
        assert_eq!(server.call(&format!("CLUSTER ADDSLOTSRANGE {from} {to}")), Value::Okay);
        assert_eq!(server.call(&format!("CLUSTER SET-CONFIG-EPOCH {}", index + 1)), Value::Okay);
    }
    let bus = |server: &Server| {
        let Value::BulkString(nodes) = server.call("CLUSTER NODES") else { panic!() };
        let nodes = String::from_utf8(nodes).unwrap();
        nodes.split('@').nth(1).unwrap().split([',', ' ']).next().unwrap().to_owned()
    };
    for server in &servers[1..] {
        assert_eq!(servers[0].call(&format!("CLUSTER MEET 127.0.0.1 {} {}", server.port, bus(server))), Value::Okay);
    }
    for server in &servers {
        until("cluster is up", Duration::from_secs(30), || {
            let Value::BulkString(info) = server.call("CLUSTER INFO") else { return false };
            let info = String::from_utf8(info).unwrap();
            info.contains("cluster_state:ok") && info.contains(&format!("cluster_known_nodes:{nodes}"))
        });
    }
    servers
}

#[test]
fn all_operations_work_with_a_cluster_of_one_node() {
    let mut servers = cluster(1);
    let store = RedisStore::cluster([servers[0].url()]).unwrap();
    exercise(&store);
    servers[0].stop();
    assert_eq!(store.read(&[1], soon()).unwrap_err().kind, FailureKind::Unreachable);
    servers[0].start_again();
    until("works again", Duration::from_secs(20), || store.read(&[1], soon()).is_ok());
    // The node has all slots, so it also works as a single server.
    exercise(&servers[0].store());
    let failure = RedisStore::cluster([Server::start(&[]).url()]).unwrap().read(&[1], soon()).unwrap_err();
    assert!(failure.kind == FailureKind::Refused && failure.message.contains("cluster"), "{failure:?}");
}

#[test]
fn all_operations_work_with_a_cluster_of_three_nodes() {
    let mut servers = cluster(3);
    let dead = format!("redis://127.0.0.1:{}", free_port());
    let store = RedisStore::cluster([dead, servers[0].url(), servers[1].url()]).unwrap();
    exercise(&store);
    for server in &servers {
        assert!(matches!(server.call("DBSIZE"), Value::Int(5..)));
    }
    let failure = servers[0].store().read(&(0..9).collect::<Vec<_>>(), soon()).unwrap_err();
    assert!(failure.kind == FailureKind::Refused && failure.message.contains("RedisStore::cluster"), "{failure:?}");
    move_slot_under(&store, &servers);
    // A node that is down affects its own entries only.
    servers[2].stop();
    let read = |name: StoreKey| store.read(&[name], Instant::now() + Duration::from_millis(500));
    let (gone, kept): (Vec<_>, Vec<_>) = (1..50).map(|name: StoreKey| read(name << 90)).partition(Result::is_err);
    assert!(gone.len() > 5 && kept.len() > 10, "{} {}", gone.len(), kept.len());
    assert!(kept.into_iter().flatten().all(|values| values[0].is_some()));
    servers[2].start_again();
    until("works again", Duration::from_secs(20), || {
        read(49 << 90).is_ok() && (1..50).all(|name| read(name << 90).is_ok())
    });
}

/// Commands are redirected by ASK while a slot is moved, and by MOVED afterwards.
fn move_slot_under(store: &RedisStore, servers: &[Server]) {
    let id = |server: &Server| {
        let Value::BulkString(id) = server.call("CLUSTER MYID") else { panic!() };
        String::from_utf8(id).unwrap()
    };
    let slot_of = |name: StoreKey| {
        let Value::Int(slot) = servers[0].call(&format!("CLUSTER KEYSLOT {}", store.key(name))) else { panic!() };
        slot
    };
    let name = (1000..).find(|&name| slot_of(name) < 5000).unwrap();
    let slot = slot_of(name);
    servers[1].call(&format!("CLUSTER SETSLOT {slot} IMPORTING {}", id(&servers[0])));
    servers[0].call(&format!("CLUSTER SETSLOT {slot} MIGRATING {}", id(&servers[1])));
    store.write(&[write(name, b"moved"), write(1 << 90, b"stays")], soon()).unwrap();
    assert_eq!(store.read(&[name], soon()).unwrap(), [Some(b"moved".to_vec())]);
    for server in [&servers[1], &servers[0]] {
        server.call(&format!("CLUSTER SETSLOT {slot} NODE {}", id(&servers[1])));
    }
    for _ in 0..3 {
        let values = store.read(&[name, 1 << 90], soon()).unwrap();
        assert_eq!(values, [Some(b"moved".to_vec()), Some(b"stays".to_vec())]);
    }
}
