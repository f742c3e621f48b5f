//! A server that loses its newest invalidations while a node is away, and numbers new ones as it did those: when the
//! node comes back, the numbers look as if it had missed little.

use tempfile::TempDir;

use crate::process::{Node, write};
use crate::scene::BOUND;
use crate::server::Server;
use crate::servers::{Proxy, Redis, wait_for};

const KEYS: usize = 10;

/// One node that stays and one that is away for a while.
struct Pair {
    folder: TempDir,
    near: Node,
    far: Node,
    proxy: Proxy,
    store: String,
    met: u64,
}

impl Pair {
    fn on(server: &Server) -> Pair {
        let (proxy, folder) = (Proxy::to(server.address()), tempfile::tempdir().unwrap());
        let settings = ["--bound", &BOUND.as_millis().to_string()];
        let store = server.store();
        let near = Node::on(&store, folder.path(), "near", &settings);
        let far = Node::on(&server.store_at(proxy.address()), folder.path(), "far", &settings);
        write(folder.path(), "mark", 0);
        let mut pair = Pair { folder, near, far, proxy, store, met: 0 };
        (0..KEYS).for_each(|key| pair.change(&format!("k{key}"), 0));
        pair.meet();
        pair
    }

    /// Another process in place of the near one.
    fn replace_near(&mut self) {
        let settings = ["--bound", &BOUND.as_millis().to_string()];
        self.near = Node::on(&self.store, self.folder.path(), "next", &settings);
    }

    fn change(&self, key: &str, version: u64) {
        write(self.folder.path(), key, version);
        let told = || self.near.invalidate(&format!("invalidate {key} wait")).unwrap().told.is_some();
        wait_for("the store to be told", told);
    }

    /// Waits until the far one knows all that the near one told.
    fn meet(&mut self) {
        self.met += 1;
        wait_for("in touch", || self.far.get("mark").0 < self.met && self.far.in_touch());
        self.change("mark", self.met);
        wait_for("all to be heard of", || self.far.get("mark").0 == self.met);
    }
}

/// `save` is what comes before the invalidations that `lose` makes the server lose.
fn loses_while_away(server: &Server, replaced: bool, save: impl FnOnce(), lose: impl FnOnce()) {
    let mut pair = Pair::on(server);
    save();
    (0..KEYS / 2).for_each(|round| pair.change(&format!("other{round}"), 1));
    pair.meet();
    (0..KEYS).for_each(|key| assert_eq!(pair.far.get(&format!("k{key}")).0, 0));
    pair.proxy.cut();
    // Told, and lost before it is heard of.
    pair.change("k0", 1);
    lose();
    if replaced {
        pair.replace_near();
    }
    // More than were lost.
    (1..KEYS).for_each(|key| pair.change(&format!("k{key}"), 1));
    (0..KEYS).for_each(|round| pair.change(&format!("other{round}"), 2));
    wait_for("out of touch", || !pair.far.in_touch());
    pair.proxy.heal();
    wait_for("in touch", || pair.far.in_touch());
    pair.meet();
    let shown: Vec<u64> = (0..KEYS).map(|key| pair.far.get(&format!("k{key}")).0).collect();
    assert_eq!(shown, [1; KEYS], "what the far node gives");
}

fn forgets(server: &Server) {
    loses_while_away(server, false, || (), || server.forget());
}

#[test]
fn redis_forgets_everything() {
    forgets(&Server::redis());
}

#[cfg(feature = "memcached")]
#[test]
fn memcached_forgets_everything() {
    forgets(&Server::memcached());
}

/// It is restarted with what it had saved earlier.
fn restarts_with_older_data(replaced: bool) {
    let server = Server::redis();
    #[cfg_attr(not(feature = "memcached"), expect(irrefutable_let_patterns))]
    let Server::Redis(redis) = &server else { return };
    let lose = || {
        redis.kill9();
        redis.restart();
    };
    loses_while_away(&server, replaced, || _ = redis.run("SAVE").ok(), lose);
}

#[test]
fn redis_restarts_with_older_data() {
    restarts_with_older_data(false);
}

#[test]
fn redis_restarts_with_older_data_and_so_does_the_node_that_told_it() {
    restarts_with_older_data(true);
}

/// It follows a copy of itself that is behind, and leads again, without being restarted.
fn follows_an_older_copy(replaced: bool) {
    let start = || Redis::with(&["--repl-diskless-sync-delay", "0"]);
    let (server, copy) = (Server::Redis(start()), start());
    #[cfg_attr(not(feature = "memcached"), expect(irrefutable_let_patterns))]
    let Server::Redis(redis) = &server else { return };
    let follow = |one: &Redis, other: &Redis| {
        one.run(&format!("REPLICAOF 127.0.0.1 {}", other.port())).ok();
        wait_for("the copy", || one.info("replication").contains("master_link_status:up"));
    };
    let save = || {
        follow(&copy, redis);
        wait_for("the floors", || copy.run("ZCARD mjc:floors") == redis.run("ZCARD mjc:floors"));
        copy.run("REPLICAOF NO ONE").ok();
    };
    let lose = || {
        follow(redis, &copy);
        redis.run("REPLICAOF NO ONE").ok();
    };
    loses_while_away(&server, replaced, save, lose);
}

#[test]
fn redis_follows_an_older_copy() {
    follows_an_older_copy(false);
}

#[test]
fn redis_follows_an_older_copy_while_the_node_that_told_it_is_replaced() {
    follows_an_older_copy(true);
}
