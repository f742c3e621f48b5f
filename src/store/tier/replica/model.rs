//! The orders in the header of `replica.rs`, run under every schedule that the model checker draws.

use shuttle::sync::{Arc, Mutex as ModelMutex};
use shuttle::{check_random, thread};

use super::*;

const SCHEDULES: usize = 2_000;
const TAG: TagHash = 3;

/// A minimal store.
#[derive(Default)]
struct Store {
    epoch: u128,
    seq: u64,
    floors: Vec<(TagHash, u64)>,
}

impl Store {
    fn answer(&mut self, known: SyncPosition, raise: &[TagHash]) -> FloorUpdate {
        let begun = !known.accepts(self.epoch, self.seq);
        if begun {
            *self = Store { epoch: known.next_epoch(), ..Store::default() };
        }
        if !raise.is_empty() {
            self.seq += 1;
            self.floors.extend(raise.iter().map(|tag| (*tag, self.seq)));
        }
        let since = if known.epoch == self.epoch { known.seq } else { 0 };
        let floors = self.floors.iter().copied().filter(|(_, seq)| *seq > since).collect();
        FloorUpdate { epoch: self.epoch, begun, seq: self.seq, floors, ..FloorUpdate::default() }
    }
}

/// A node: its floors and its copy of the shared ones.
struct Node {
    floors: Floors,
    replica: Replica,
}

impl FloorSink for Node {
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

    /// One synchronisation with the store, as in the loop of `backplane.rs`.
    fn sync(&self, store: &ModelMutex<Store>) {
        let (untold, last) = self.replica.untold();
        let news = lock(store).answer(self.replica.known(), &untold);
        assert!(self.replica.receive(&news, self));
        self.replica.confirm(last);
    }

    fn invalidate(&self) {
        self.replica.invalidate(TAG);
        self.floors.raise(TAG);
    }

    /// Whether a caller accepts an entry from the store, and whether it may store the entry in memory.
    fn takes(&self, entry: SyncPosition) -> (bool, bool) {
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
                assert!(!node.takes(old).0 && node.takes(SyncPosition { seq: 2, ..old }).0);
            }
        },
        SCHEDULES,
    );
}

/// Data is cached under one tag and pages made from it under another, and the tag of the data is raised first. Another
/// node receives both at once, in no order.
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
            let epoch = SyncPosition::default().next_epoch();
            let floors = vec![(PAGE, 1), (DATA, 1)];
            here.replica.receive(&FloorUpdate { epoch, ..FloorUpdate::default() }, &*here);
            here.replica.receive(&FloorUpdate { epoch, seq: 1, floors, ..FloorUpdate::default() }, &*here);
            let (begin, old) = render.join().unwrap();
            assert!(!old || !here.floors.admit(begin, [PAGE]), "a page with old data inside");
        },
        SCHEDULES,
    );
}

/// The address of the node's store leads to another server and back, repeatedly.
#[test]
fn what_was_invalidated_in_one_epoch_is_valid_in_none_that_comes_again() {
    check_random(
        || {
            let stores = Arc::new([(); 2].map(|()| ModelMutex::new(Store::default())));
            let node = Node::new(&stores[0]);
            let old = node.replica.known();
            let asking = {
                let (node, stores) = (Arc::clone(&node), Arc::clone(&stores));
                thread::spawn(move || {
                    for turn in [1, 0, 1, 0] {
                        node.sync(&stores[turn]);
                        let known = node.replica.known();
                        assert!(known.epoch != old.epoch && node.takes(known).0 | (node.replica.pending_count() > 0));
                    }
                })
            };
            node.invalidate();
            (0..3).for_each(|_| assert!(!node.takes(old).0, "of an epoch that was left, or invalidated"));
            asking.join().unwrap();
            node.sync(&stores[0]);
            assert!(!node.takes(old).0);
        },
        SCHEDULES,
    );
}

#[test]
fn what_was_told_an_epoch_that_others_had_left_holds_in_the_one_they_are_in() {
    check_random(
        || {
            let stores = Arc::new([(); 2].map(|()| ModelMutex::new(Store::default())));
            let (here, there) = (Node::new(&stores[0]), Node::new(&stores[0]));
            there.sync(&stores[1]);
            let computed = there.replica.known();
            let asking = {
                let (here, stores) = (Arc::clone(&here), Arc::clone(&stores));
                thread::spawn(move || [0, 1].into_iter().for_each(|turn| here.sync(&stores[turn])))
            };
            here.invalidate();
            asking.join().unwrap();
            assert!(!here.takes(computed).0, "where it was invalidated, at once");
            [&here, &there].into_iter().for_each(|node| node.sync(&stores[1]));
            assert!(!here.takes(computed).0 && !there.takes(computed).0);
        },
        SCHEDULES,
    );
}
