//! Subgraphs that start at an inner node.

use super::{Graph, NodeId, Op};

impl Graph {
    /// The same graph with the same node identifiers, in which `at` is an input: its value is given at run
    /// time, and the nodes that it was computed from are not needed for it.
    ///
    /// # Panics
    /// When the graph has no such node.
    pub fn cut(&self, at: NodeId) -> Graph {
        let mut graph = self.clone();
        let shape = self.shape(at);
        let node = &mut graph.nodes[at.index()];
        node.op = Op::Input(shape);
        node.inputs.clear();
        graph
    }
}
