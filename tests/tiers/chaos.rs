//! Trouble with the store while nodes are under load: nothing stale beyond the bound, no page failed or stalled, and
//! all share again when it is over.

use std::net::SocketAddr;
use std::time::Duration;

use crate::scene::{BOUND, Scene, play, play_on};
use crate::server::Server;
use crate::servers::{Memcached, Proxy, Redis};

/// Longer than the bound, by enough to see what comes after it.
const WHILE: Duration = Duration::from_millis(1200);
const ALL: [usize; 3] = [0, 1, 2];

/// The same tests for each kind of server.
macro_rules! on_every_server {
    ($($name:ident)*) => {
        mod redis {
            use super::Server;
            $(#[test] fn $name() { super::$name(&Server::redis()); })*
        }
        #[cfg(feature = "memcached")]
        mod memcached {
            use super::Server;
            $(#[test] fn $name() { super::$name(&Server::memcached()); })*
        }
    };
}

on_every_server! {
    a_node_that_is_killed_costs_the_others_nothing
    a_node_that_stood_still_serves_nothing_old_when_it_runs_again
    a_server_that_is_killed_and_comes_back_empty_makes_misses
    a_server_that_stands_still_stalls_nobody
    a_server_that_forgets_everything_makes_misses
    a_slow_link_stalls_nobody
    a_dripping_link_stalls_nobody
    a_frozen_link_stalls_nobody
    a_node_whose_answers_are_lost_serves_nothing_older_than_the_bound
    answers_that_come_too_late_answer_nothing_else
    a_link_that_tears_again_and_again_fails_nothing
    another_service_at_the_address_fails_nothing
    a_distorted_link_fails_nothing
}

fn pause(span: Duration) {
    std::thread::sleep(span);
}

fn a_node_that_is_killed_costs_the_others_nothing(server: &Server) {
    play(&server.store(), |scene| {
        scene.node(1).kill9();
        scene.only_writers(&[0, 2]);
        pause(WHILE / 2);
        let again = scene.add(&server.store(), true);
        scene.only_writers(&[0, again]);
        pause(WHILE / 2);
    });
}

fn a_node_that_stood_still_serves_nothing_old_when_it_runs_again(server: &Server) {
    play(&server.store(), |scene| {
        scene.only_writers(&[2]);
        // A change under way was asked of another one.
        pause(BOUND);
        for stood in [0, 1] {
            scene.node(stood).pause();
            pause(BOUND * 2);
            scene.node(stood).resume();
            pause(BOUND / 2);
        }
        scene.only_writers(&ALL);
    });
}

fn a_server_that_is_killed_and_comes_back_empty_makes_misses(server: &Server) {
    play(&server.store(), |scene| {
        let restart = || match server {
            Server::Redis(redis) => redis.restart_empty(),
            #[cfg(feature = "memcached")]
            Server::Memcached(memcached) => memcached.restart(),
        };
        scene.cut_off(&ALL, WHILE, || server.kill9(), restart);
        pause(BOUND);
        // And so short that nobody is out of touch in between.
        server.kill9();
        restart();
        pause(BOUND);
    });
}

fn a_server_that_stands_still_stalls_nobody(server: &Server) {
    play(&server.store(), |scene| scene.cut_off(&ALL, WHILE, || server.pause(), || server.resume()));
}

fn a_server_that_forgets_everything_makes_misses(server: &Server) {
    play(&server.store(), |_| {
        for _ in 0..10 {
            server.forget();
            pause(WHILE / 10);
        }
    });
}

/// A node behind a proxy, and two that are not.
fn behind(server: &Server, trouble: impl FnOnce(&Scene, &Proxy)) {
    let proxy = Proxy::to(server.address());
    let (direct, troubled) = (server.store(), server.store_at(proxy.address()));
    play_on(&[&direct, &troubled, &troubled], |scene| trouble(scene, &proxy));
}

fn a_slow_link_stalls_nobody(server: &Server) {
    behind(server, |_, proxy| {
        // Within the budget; just not; and far beyond.
        for delay in [4, 12, 100] {
            proxy.delay(Duration::from_millis(delay));
            pause(WHILE / 2);
        }
        proxy.heal();
    });
}

fn a_dripping_link_stalls_nobody(server: &Server) {
    behind(server, |_, proxy| {
        proxy.drip(8, Duration::from_millis(5));
        pause(WHILE);
        proxy.heal();
    });
}

fn a_frozen_link_stalls_nobody(server: &Server) {
    behind(server, |scene, proxy| scene.cut_off(&[1, 2], WHILE, || proxy.freeze(), || proxy.heal()));
}

fn a_node_whose_answers_are_lost_serves_nothing_older_than_the_bound(server: &Server) {
    behind(server, |scene, proxy| scene.cut_off(&[1, 2], WHILE, || proxy.mute(), || proxy.heal()));
}

fn answers_that_come_too_late_answer_nothing_else(server: &Server) {
    behind(server, |scene, proxy| {
        scene.cut_off(&[1, 2], WHILE, || proxy.stall(), || proxy.heal());
        // Held up again and again, so that much arrives that nobody waits for any longer.
        for _ in 0..20 {
            proxy.stall();
            pause(Duration::from_millis(25));
            proxy.heal();
            pause(Duration::from_millis(25));
        }
    });
}

fn a_link_that_tears_again_and_again_fails_nothing(server: &Server) {
    behind(server, |scene, proxy| {
        for after in [1, 10, 100, 1000] {
            proxy.tear(after);
            pause(WHILE / 4);
        }
        scene.cut_off(&[1, 2], WHILE, || proxy.cut(), || proxy.heal());
    });
}

fn another_service_at_the_address_fails_nothing(server: &Server) {
    behind(server, |scene, proxy| {
        scene.cut_off(&[1, 2], WHILE, || proxy.nonsense(), || proxy.heal());
        let other = match server {
            Server::Redis(_) => Other::Memcached(Memcached::start()),
            #[cfg(feature = "memcached")]
            Server::Memcached(_) => Other::Redis(Redis::start()),
        };
        let swap = |to| {
            // Open connections stay where they are.
            proxy.cut();
            proxy.retarget(to);
            proxy.heal();
        };
        scene.cut_off(&[1, 2], WHILE, || swap(other.address()), || swap(server.address()));
    });
}

/// What listens where the store should be.
enum Other {
    Memcached(Memcached),
    Redis(Redis),
}

impl Other {
    fn address(&self) -> SocketAddr {
        match self {
            Other::Memcached(memcached) => memcached.address(),
            Other::Redis(redis) => redis.address(),
        }
    }
}

fn a_distorted_link_fails_nothing(server: &Server) {
    behind(server, |_, proxy| {
        proxy.corrupt();
        pause(WHILE);
        proxy.heal();
    });
}
