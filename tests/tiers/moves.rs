//! The address of the store leads to another server, while nodes are under load.

use std::time::Duration;

use crate::scene::{BOUND, play};
use crate::servers::{Proxy, Redis, Sentinel};

#[cfg(feature = "memcached")]
use crate::servers::Memcached;

fn pause(span: Duration) {
    std::thread::sleep(span);
}

#[test]
fn sentinels_that_fail_over_twice_within_seconds_bring_nothing_old_back() {
    let master = Redis::start();
    let sentinel = Sentinel::start(&master);
    let store = format!("sentinel:{}@{}", sentinel.name(), sentinel.url());
    play(&store, |_| {
        for _ in 0..2 {
            sentinel.failover();
            pause(BOUND * 2);
        }
    });
}

#[test]
fn a_master_that_does_not_know_yet_that_it_was_replaced_is_left_within_the_bound() {
    let master = Redis::start();
    let sentinel = Sentinel::start(&master);
    let store = format!("sentinel:{}@{}", sentinel.name(), sentinel.url());
    play(&store, |_| {
        // It goes on answering: connections stay, and it is master for itself.
        for server in [sentinel.replica(), &master] {
            server.run("REPLICAOF NO ONE").ok();
            sentinel.run(&format!("SENTINEL REMOVE {}", sentinel.name())).ok();
            sentinel.run(&format!("SENTINEL MONITOR {} 127.0.0.1 {} 1", sentinel.name(), server.port())).ok();
            pause(BOUND * 2);
        }
    });
}

#[test]
fn two_redis_servers_that_change_places_bring_nothing_old_back() {
    let servers = [Redis::start(), Redis::start()];
    let proxy = Proxy::to(servers[0].address());
    play(&format!("redis://{}", proxy.address()), |_| {
        for round in 1..8 {
            proxy.cut();
            proxy.retarget(servers[round % 2].address());
            proxy.heal();
            pause(BOUND / 2);
        }
    });
}

#[test]
fn two_databases_that_are_swapped_bring_nothing_old_back() {
    let redis = Redis::start();
    play(&redis.url(), |_| {
        for _ in 0..8 {
            redis.run("SWAPDB 0 1").ok();
            pause(BOUND / 2);
        }
    });
}

#[cfg(feature = "memcached")]
#[test]
fn two_memcached_servers_that_change_places_bring_nothing_old_back() {
    let servers = [Memcached::start(), Memcached::start()];
    let proxy = Proxy::to(servers[0].address());
    play(&format!("memcached:{}", proxy.address()), |_| {
        for round in 1..8 {
            proxy.cut();
            proxy.retarget(servers[round % 2].address());
            proxy.heal();
            pause(BOUND / 2);
        }
    });
}
