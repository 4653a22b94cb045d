//! A graph entered in the middle.

use super::{Graph, NodeId, Op};

impl Graph {
    /// The same graph, every node under its own name, with `at` as an input: its value is given
    /// at run time, and what it was made of is not needed for it.
    pub fn cut(&self, at: NodeId) -> Graph {
        let mut graph = self.clone();
        let node = &mut graph.nodes[at.index()];
        node.op = Op::Input(node.shape);
        node.inputs.clear();
        graph
    }
}
