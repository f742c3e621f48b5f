//! Trouble that only Redis knows: restarts that keep data, killed connections, full memory under each policy,
//! passwords, replicas, clusters.

use std::time::{Duration, Instant};

use crate::process::{self, Node};
use crate::scene::{BOUND, Scene, play, play_on};
use crate::servers::{Blackhole, Memcached, Redis, RedisCluster, wait_for};

const WHILE: Duration = Duration::from_millis(900);
const ALL: [usize; 3] = [0, 1, 2];

fn store(redis: &Redis) -> String {
    format!("redis://{}", redis.address())
}

fn pause(span: Duration) {
    std::thread::sleep(span);
}

#[test]
fn a_server_that_restarts_with_its_data_makes_misses_and_nothing_stale() {
    let redis = Redis::with(&["--appendonly", "yes", "--appendfsync", "everysec"]);
    play(&store(&redis), |scene| {
        scene.cut_off(&ALL, WHILE, || redis.kill9(), || redis.restart());
        pause(BOUND);
        // And so short that nobody is out of touch in between.
        redis.kill9();
        redis.restart();
        pause(BOUND);
    });
}

#[test]
fn connections_that_are_killed_again_and_again_fail_nothing() {
    let redis = Redis::start();
    play(&store(&redis), |_| {
        for round in 0..30 {
            redis.run(if round % 2 == 0 { "CLIENT KILL TYPE normal SKIPME yes" } else { "CLIENT KILL TYPE pubsub" });
            pause(WHILE / 30);
        }
    });
}

/// Junk until nothing more fits: with keys that may go, and with keys that may not.
fn fill(redis: &Redis, rounds: usize) {
    let junk = vec![b'x'; 20_000];
    for round in 0..rounds {
        for expiring in [true, false] {
            let key = format!("junk:{expiring}:{round}");
            let mut words: Vec<&[u8]> = vec![b"SET", key.as_bytes(), &junk];
            if expiring {
                words.extend([&b"EX"[..], b"100"]);
            }
            redis.command(&words);
        }
    }
}

fn full_under(policy: &str) {
    let redis = Redis::with(&["--maxmemory", "3mb", "--maxmemory-policy", policy]);
    let scene = |_: &Scene| {
        for _ in 0..8 {
            fill(&redis, 30);
            pause(WHILE / 8);
        }
        // What was only junk may go again, so that there is room to share.
        redis.run("CONFIG SET maxmemory 64mb");
    };
    play(&store(&redis), scene);
}

macro_rules! under_each_policy {
    ($($name:ident: $policy:literal,)*) => { $(#[test] fn $name() { full_under($policy); })* };
}

under_each_policy! {
    full_memory_without_eviction: "noeviction",
    full_memory_evicting_what_was_used_least_recently: "allkeys-lru",
    full_memory_evicting_what_was_used_least_often: "allkeys-lfu",
    full_memory_evicting_at_random: "allkeys-random",
    full_memory_evicting_what_expires_and_was_used_least_recently: "volatile-lru",
    full_memory_evicting_what_expires_and_was_used_least_often: "volatile-lfu",
    full_memory_evicting_what_expires_at_random: "volatile-random",
    full_memory_evicting_what_expires_next: "volatile-ttl",
}

#[test]
fn a_password_that_changes_fails_nothing() {
    let redis = Redis::start();
    play(&store(&redis), |scene| {
        // On one connection: a new one would not be let in.
        let begin = || {
            let mut client = redis.client().unwrap();
            for words in ["CONFIG SET requirepass secret", "CLIENT KILL TYPE normal", "CLIENT KILL TYPE pubsub"] {
                client.run(words).unwrap().ok();
            }
        };
        scene.cut_off(&ALL, WHILE, begin, || clear_password(&redis));
    });
}

fn clear_password(redis: &Redis) {
    let mut client = redis.client().unwrap();
    client.command(&[b"AUTH", b"secret"]).unwrap();
    client.command(&[b"CONFIG", b"SET", b"requirepass", b""]).unwrap().ok();
}

#[test]
fn a_server_that_becomes_a_replica_serves_nothing_stale() {
    let (redis, other) = (Redis::start(), Redis::start());
    play(&store(&redis), |scene| {
        let follow = format!("REPLICAOF 127.0.0.1 {}", other.port());
        scene.cut_off(&ALL, WHILE, || _ = redis.run(&follow), || _ = redis.run("REPLICAOF NO ONE"));
    });
}

#[test]
fn values_that_are_corrupted_are_misses() {
    let redis = Redis::start();
    play(&store(&redis), |_| {
        for round in 0_usize..30 {
            let keys = redis.command(&[b"KEYS", b"mjc:{*"]);
            for (at, key) in keys.items().into_iter().enumerate() {
                let (key, at) = (key.bytes().unwrap(), (round + at).to_string());
                redis.command(&[&b"SETRANGE"[..], &key, at.as_bytes(), &b"\xff\0"[..]]);
            }
            pause(WHILE / 30);
        }
    });
}

#[test]
fn a_cluster_whose_slots_move_fails_nothing() {
    let cluster = RedisCluster::start(3);
    let addresses: Vec<String> = cluster.urls();
    let store = format!("cluster:{}", addresses.join(","));
    play_on(&[&store, &store, &store], |_| {
        for to in 0..3 {
            cluster.migrate(b"mjc:floors", to);
            pause(WHILE / 3);
        }
    });
}

/// A node that cannot even tell the store anything: it works by itself, and what it made is no older than the bound.
fn by_itself(store: &str) {
    let folder = tempfile::tempdir().unwrap();
    let node = Node::on(store, folder.path(), "alone", &["--bound", "400", "--patience", "100"]);
    let slack = Duration::from_millis(150);
    for version in 1..=4 {
        process::write(folder.path(), "k", version);
        let written = Instant::now();
        loop {
            let asked = written.elapsed();
            let (shown, took) = node.timed("k");
            assert!(took < Duration::from_millis(20) + slack, "{took:?}");
            if shown == version {
                break;
            }
            assert!(asked < BOUND, "{shown} is older than the bound");
        }
    }
    process::write(folder.path(), "k", 5);
    let told = node.invalidate("invalidate k wait").unwrap().told;
    assert_eq!((node.get("k").0, told, node.in_touch()), (5, None, false), "in force here, and nobody was told");
    assert_eq!(node.number("status", "untold"), 1);
}

#[test]
fn a_node_with_a_wrong_password_works_by_itself() {
    let redis = Redis::with(&["--requirepass", "secret"]);
    by_itself(&format!("redis://:wrong@{}", redis.address()));
}

#[test]
fn a_node_on_a_replica_works_by_itself() {
    let (redis, replica) = (Redis::start(), Redis::start());
    replica.run(&format!("REPLICAOF 127.0.0.1 {}", redis.port())).ok();
    wait_for("the replica", || replica.info("replication").contains("master_link_status:up"));
    by_itself(&store(&replica));
}

#[test]
fn a_node_whose_store_is_another_service_works_by_itself() {
    by_itself(&format!("redis://{}", Memcached::start().address()));
}

#[test]
fn a_node_whose_store_swallows_connections_works_by_itself() {
    by_itself(&format!("redis://{}", Blackhole::open().address()));
}
