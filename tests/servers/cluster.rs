//! Redis masters that share the slots as a cluster.

use super::{Redis, wait_for};

/// What the protocol divides the keys into.
const SLOTS: usize = 16_384;

pub struct RedisCluster {
    nodes: Vec<Redis>,
}

impl RedisCluster {
    /// So many masters, with as many slots each, when all of them agree on that.
    pub fn start(masters: usize) -> RedisCluster {
        RedisCluster::with(masters, &[])
    }

    /// The same with options for every node.
    pub fn with(masters: usize, args: &[&str]) -> RedisCluster {
        let mut all = vec!["--cluster-enabled", "yes", "--cluster-node-timeout", "5000"];
        all.extend_from_slice(args);
        let nodes: Vec<Redis> = (0..masters).map(|_| Redis::with(&all)).collect();
        for (index, node) in nodes.iter().enumerate() {
            let slots: Vec<String> = (0..SLOTS).filter(|slot| slot * masters / SLOTS == index).map(text).collect();
            node.run(&format!("CLUSTER ADDSLOTS {}", slots.join(" "))).ok();
            // Each its own, or they would settle it by colliding first.
            node.run(&format!("CLUSTER SET-CONFIG-EPOCH {}", index + 1)).ok();
            for other in &nodes[..index] {
                node.run(&format!("CLUSTER MEET 127.0.0.1 {}", other.port())).ok();
            }
        }
        let cluster = RedisCluster { nodes };
        cluster.settle();
        cluster
    }

    /// Waits until all nodes see a working cluster of all nodes.
    #[track_caller]
    pub fn settle(&self) {
        let (nodes, slots) = (format!("cluster_known_nodes:{}", self.nodes.len()), format!("cluster_slots_ok:{SLOTS}"));
        wait_for("the cluster to agree", || {
            self.nodes.iter().all(|node| {
                let info = node.run("CLUSTER INFO").text();
                ["cluster_state:ok", &nodes, &slots].iter().all(|line| info.lines().any(|it| it == *line))
            })
        });
    }

    pub fn urls(&self) -> Vec<String> {
        self.nodes.iter().map(Redis::url).collect()
    }

    pub fn nodes(&self) -> &[Redis] {
        &self.nodes
    }

    pub fn slot(&self, key: &[u8]) -> usize {
        usize::try_from(self.nodes[0].command(&[b"CLUSTER", b"KEYSLOT", key]).integer()).unwrap()
    }

    /// The index of the node that has this key, as far as the first node that answers knows.
    #[track_caller]
    pub fn owner(&self, key: &[u8]) -> usize {
        let node = self.nodes.iter().find(|node| node.try_command(&[b"PING"]).is_ok()).expect("all nodes are down");
        let slot = node.command(&[b"CLUSTER", b"KEYSLOT", key]).integer();
        for range in node.run("CLUSTER SLOTS").items() {
            let parts = range.items();
            if (parts[0].integer()..=parts[1].integer()).contains(&slot) {
                let port = parts[2].clone().items()[1].integer();
                return self.nodes.iter().position(|node| i64::from(node.port()) == port).unwrap();
            }
        }
        panic!("nobody has slot {slot}");
    }

    /// Gives the slot of this key, with all that is in it, to another node: clients that do not know get MOVED.
    #[track_caller]
    pub fn migrate(&self, key: &[u8], to: usize) {
        let from = self.open_slot(key, to);
        let (slot, source, target) = (self.slot(key), &self.nodes[from], &self.nodes[to]);
        let port = target.port();
        for key in source.run(&format!("CLUSTER GETKEYSINSLOT {slot} 1000000")).items() {
            let (port, key) = (port.to_string(), key.bytes().unwrap());
            source.command(&[b"MIGRATE", b"127.0.0.1", port.as_bytes(), &key, b"0", b"5000", b"REPLACE"]).ok();
        }
        let id = target.run("CLUSTER MYID").text();
        // The one that gets it first, so that it is never nobody's.
        let others = (0..self.nodes.len()).filter(|node| *node != to);
        for node in std::iter::once(to).chain(others) {
            self.nodes[node].run(&format!("CLUSTER SETSLOT {slot} NODE {id}")).ok();
        }
    }

    /// Begins a migration and leaves it there: keys of the slot that its node does not have get ASK. Returns that node.
    #[track_caller]
    pub fn open_slot(&self, key: &[u8], to: usize) -> usize {
        let (slot, from) = (self.slot(key), self.owner(key));
        assert_ne!(from, to, "the node has the slot already");
        let id = |node: usize| self.nodes[node].run("CLUSTER MYID").text();
        self.nodes[to].run(&format!("CLUSTER SETSLOT {slot} IMPORTING {}", id(from))).ok();
        self.nodes[from].run(&format!("CLUSTER SETSLOT {slot} MIGRATING {}", id(to))).ok();
        from
    }
}

fn text(slot: usize) -> String {
    slot.to_string()
}
