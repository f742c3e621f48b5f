//! The orders of the header, run through every schedule the checker draws.

use shuttle::sync::{Arc, Mutex as ModelMutex};
use shuttle::{check_random, thread};

use super::*;

const SCHEDULES: usize = 2_000;
const TAG: TagHash = 3;

/// A store in miniature: the number of the last invalidation of the one tag there is.
#[derive(Default)]
struct Store {
    seq: u64,
}

/// A node: its floors and its copy of the shared ones.
struct Node {
    floors: Floors,
    replica: Replica,
}

impl Local for Node {
    fn raise(&self, tags: &[TagHash]) {
        self.floors.raise_all(tags);
    }

    fn raise_everything(&self) {
        self.floors.raise_everything();
    }
}

impl Node {
    fn new(store: &ModelMutex<Store>) -> Arc<Node> {
        let node = Arc::new(Node { floors: Floors::new(1), replica: Replica::new(1) });
        node.sync(store);
        node
    }

    /// One question to the store, as the asking thread makes it.
    fn sync(&self, store: &ModelMutex<Store>) {
        let (untold, last) = self.replica.untold();
        let seq = {
            let mut store = lock(store);
            store.seq += u64::from(!untold.is_empty());
            store.seq
        };
        let floors = if seq > self.replica.known().seq { vec![(TAG, seq)] } else { vec![] };
        assert!(self.replica.receive(&News { epoch: 1, seq, base: 0, floors, now: 0 }, self));
        self.replica.confirm(last);
    }

    fn invalidate(&self) {
        self.replica.invalidate(TAG);
        self.floors.raise(TAG);
    }

    /// Whether a caller takes an entry from the store, and may keep it in memory for good.
    fn takes(&self, entry: Known) -> (bool, bool) {
        let local = self.floors.stamp();
        let taken = self.replica.received(entry).is_some_and(|stamp| self.replica.admits(stamp, [TAG]));
        (taken, taken && self.floors.admit(local, [TAG]))
    }
}

#[test]
fn after_an_invalidation_here_nothing_older_is_taken_from_the_store() {
    check_random(
        || {
            let store = Arc::new(ModelMutex::new(Store::default()));
            let node = Node::new(&store);
            let old = node.replica.known();
            let asking = {
                let (node, store) = (Arc::clone(&node), Arc::clone(&store));
                thread::spawn(move || (0..2).for_each(|_| node.sync(&store)))
            };
            node.invalidate();
            assert!(!node.takes(old).0, "a caller who comes after it returned");
            drop(asking.join());
            assert!(!node.takes(old).0);
        },
        SCHEDULES,
    );
}

#[test]
fn what_was_taken_from_the_store_does_not_outlive_an_invalidation_elsewhere() {
    check_random(
        || {
            let store = Arc::new(ModelMutex::new(Store::default()));
            let (here, there) = (Node::new(&store), Node::new(&store));
            let old = here.replica.known();
            let reader = {
                let here = Arc::clone(&here);
                thread::spawn(move || {
                    let local = here.floors.stamp();
                    let (taken, _) = here.takes(old);
                    (local, taken)
                })
            };
            there.invalidate();
            there.sync(&store);
            here.sync(&store);
            let (local, taken) = reader.join().unwrap();
            assert!(!taken || !here.floors.admit(local, [TAG]), "kept in memory although its floor has come");
            assert!(!here.takes(old).0);
        },
        SCHEDULES,
    );
}

#[test]
fn work_with_the_newest_stamp_finds_no_older_fragment_valid() {
    check_random(
        || {
            let store = Arc::new(ModelMutex::new(Store::default()));
            let (here, there) = (Node::new(&store), Node::new(&store));
            let old = here.replica.known();
            there.invalidate();
            there.sync(&store);
            let parent = {
                let here = Arc::clone(&here);
                thread::spawn(move || {
                    let (local, stamp) = (here.floors.stamp(), here.replica.stamp());
                    let (inner, _) = here.takes(old);
                    (local, stamp, inner)
                })
            };
            here.sync(&store);
            let (local, stamp, inner) = parent.join().unwrap();
            let sent = here.replica.admits(stamp, [TAG]) && here.floors.admit(local, [TAG]);
            assert!(!(inner && sent), "a parent valid for all, with what was invalidated inside");
        },
        SCHEDULES,
    );
}

#[test]
fn two_nodes_lose_neither_of_their_invalidations() {
    check_random(
        || {
            let store = Arc::new(ModelMutex::new(Store::default()));
            let nodes = [Node::new(&store), Node::new(&store)];
            let old = nodes[0].replica.known();
            let threads = nodes.each_ref().map(|node| {
                let (node, store) = (Arc::clone(node), Arc::clone(&store));
                thread::spawn(move || {
                    node.invalidate();
                    node.sync(&store);
                    assert!(!node.takes(old).0);
                })
            });
            threads.into_iter().for_each(|thread| thread.join().unwrap());
            for node in &nodes {
                node.sync(&store);
                assert!(!node.takes(old).0 && node.takes(Known { epoch: 1, seq: 2 }).0);
            }
        },
        SCHEDULES,
    );
}

/// Data is cached under one tag and pages made from it under another, and the data's tag is raised first. Elsewhere
/// both arrive at once, in no order.
#[test]
fn pages_made_from_data_that_was_invalidated_with_them_are_valid_nowhere() {
    const DATA: TagHash = 1;
    const PAGE: TagHash = 2;
    check_random(
        || {
            let here = Arc::new(Node { floors: Floors::new(1), replica: Replica::new(1) });
            let data = here.floors.stamp();
            let render = {
                let here = Arc::clone(&here);
                thread::spawn(move || {
                    let begin = here.floors.stamp();
                    let old = here.floors.admit(data, [DATA]);
                    (begin, old)
                })
            };
            let floors = vec![(PAGE, 1), (DATA, 1)];
            here.replica.receive(&News { epoch: 1, seq: 0, base: 0, floors: vec![], now: 0 }, &*here);
            here.replica.receive(&News { epoch: 1, seq: 1, base: 0, floors, now: 0 }, &*here);
            let (begin, old) = render.join().unwrap();
            assert!(!old || !here.floors.admit(begin, [PAGE]), "a page with old data inside");
        },
        SCHEDULES,
    );
}
