//! Which nodes of a graph reach each other in a circle.
//!
//! Tarjan, "Depth-first search and linear graph algorithms" (1972), with a stack of its own in place of recursion: a chain
//! of ten thousand macros is no deeper than a vector.

/// A node, by its number.
pub(super) type NodeId = usize;

/// A way from one node to another.
#[derive(Debug, Clone, Copy)]
pub(super) struct Edge {
    pub(super) to: NodeId,
    /// How many of the statements behind it begin before the place it leads from.
    pub(super) before: usize,
}

/// Groups the nodes that reach each other: every group after those it leads to, its nodes in order.
pub(super) fn strong_components<N>(nodes: &[N], edges: fn(&N) -> &[Edge]) -> Vec<Vec<NodeId>> {
    let (order, low) = (vec![0; nodes.len()], vec![0; nodes.len()]);
    let mut search = ComponentSearch { nodes, edges, order, low, reached: 0, stack: Vec::new(), found: Vec::new() };
    for node in 0..nodes.len() {
        if search.order[node] == 0 {
            search.from(node);
        }
    }
    search.found
}

struct ComponentSearch<'n, N> {
    nodes: &'n [N],
    edges: fn(&N) -> &[Edge],
    /// When a node was reached, counted from 1; 0 before that.
    order: Vec<usize>,
    /// The earliest node on the stack that a node leads back to; `DONE` once its group is complete.
    low: Vec<usize>,
    reached: usize,
    stack: Vec<NodeId>,
    found: Vec<Vec<NodeId>>,
}

const DONE: usize = usize::MAX;

impl<N> ComponentSearch<'_, N> {
    fn from(&mut self, root: NodeId) {
        // The way down, with the next edge to follow from each node.
        let mut path = vec![(root, 0)];
        self.enter(root);
        while let Some((node, next)) = path.last_mut() {
            let node = *node;
            if let Some(&edge) = (self.edges)(&self.nodes[node]).get(*next) {
                *next += 1;
                if self.order[edge.to] == 0 {
                    self.enter(edge.to);
                    path.push((edge.to, 0));
                } else if self.low[edge.to] != DONE {
                    self.low[node] = self.low[node].min(self.order[edge.to]);
                }
                continue;
            }
            path.pop();
            let low = self.low[node];
            if low == self.order[node] {
                self.complete(node);
            } else if let Some((parent, _)) = path.last() {
                self.low[*parent] = self.low[*parent].min(low);
            }
        }
    }

    fn enter(&mut self, node: NodeId) {
        self.reached += 1;
        self.order[node] = self.reached;
        self.low[node] = self.reached;
        self.stack.push(node);
    }

    fn complete(&mut self, root: NodeId) {
        let at = self.stack.iter().rposition(|node| *node == root).unwrap_or_default();
        let mut group = self.stack.split_off(at);
        group.iter().for_each(|node| self.low[*node] = DONE);
        group.sort_unstable();
        self.found.push(group);
    }
}
