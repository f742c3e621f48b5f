//! Nodes whose machines' clocks differ, on a store that has none of its own.

use crate::process::{Node, write};
use crate::servers::{Clock, Memcached, wait_for};

#[test]
fn nodes_on_memcached_go_by_the_clock_that_is_furthest_ahead() {
    let (server, folder, clock) = (Memcached::start(), tempfile::tempdir().unwrap(), Clock::new());
    let store = format!("memcached:{}", server.address());
    write(folder.path(), "k", 1);
    // To the one that is ahead, the entry is an hour old. The last one finds what that one made.
    for (name, ahead, loaded) in
        [("right", 0, true), ("behind", -3600, false), ("ahead", 3600, true), ("again", 0, false)]
    {
        clock.set(ahead);
        let node = Node::with_clock(&store, folder.path(), name, &clock);
        wait_for("in touch", || node.in_touch());
        assert_eq!(node.get("k"), (1, loaded), "{name}");
        assert_eq!(node.ask("flush 30000"), "flushed true");
    }
}
