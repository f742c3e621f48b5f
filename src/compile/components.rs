//! Strongly connected components of a dependency graph.
//!
//! Tarjan, "Depth-first search and linear graph algorithms" (1972), with an explicit stack instead of recursion: a
//! chain of ten thousand macros must not overflow the call stack.

/// A node, by its index.
pub(super) type NodeId = usize;

/// An edge from one node to another.
#[derive(Debug, Clone, Copy)]
pub(super) struct Edge {
    pub(super) to: NodeId,
    /// How many statements of the target node begin before the place of the mention.
    pub(super) before: usize,
}

/// The strongly connected components in topological order: each one after those that its edges lead to. Nodes are in
/// order within a component.
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
    /// The order in which nodes were reached, from 1; 0 for a node that was not.
    order: Vec<usize>,
    /// The earliest node on the stack that a node leads back to; `DONE` when its component is complete.
    low: Vec<usize>,
    reached: usize,
    stack: Vec<NodeId>,
    found: Vec<Vec<NodeId>>,
}

const DONE: usize = usize::MAX;

impl<N> ComponentSearch<'_, N> {
    fn from(&mut self, root: NodeId) {
        // The current path, with the next edge to follow from each node.
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
