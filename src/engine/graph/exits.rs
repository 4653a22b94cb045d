//! The first exit that needs each node of a graph.

use super::{Graph, NodeId};

impl Graph {
    /// The same graph, of which output `k` is what exit `k + 1` is for: every node belongs to the first exit that needs
    /// it, and those that no exit needs to the last among their inputs.
    ///
    /// # Panics
    /// When the graph lacks one of `outputs`.
    pub fn with_exits(mut self, outputs: &[NodeId]) -> Graph {
        for node in &mut self.nodes {
            node.exit = 0;
        }
        for (exit, output) in (1..).zip(outputs) {
            self.nodes[output.index()].exit = exit;
        }
        self.staged_by_need(outputs)
    }

    /// The same graph in which every node belongs to the first exit among the `outputs` that need it.
    ///
    /// A model is built block by block, but the last layers of a block also compute finer scales that
    /// only the next block reads: a run that stops at this block's exit does not need them. Nodes that
    /// no output needs keep their exit, or take the last one among their inputs where that is later.
    ///
    /// # Panics
    /// When the graph lacks one of `outputs`.
    pub fn staged_by_need(&self, outputs: &[NodeId]) -> Graph {
        let mut staged = self.clone();
        let mut first: Vec<Option<usize>> = vec![None; self.nodes.len()];
        for &output in outputs {
            let exit = self.node(output).exit;
            first[output.index()] = Some(exit);
        }
        for id in self.ids().rev() {
            let Some(exit) = first[id.index()] else { continue };
            staged.nodes[id.index()].exit = exit;
            for input in &self.node(id).inputs {
                let so_far = &mut first[input.index()];
                *so_far = Some(so_far.map_or(exit, |earlier| earlier.min(exit)));
            }
        }
        for id in self.ids().filter(|id| first[id.index()].is_none()) {
            let inputs = self.node(id).inputs.iter().map(|input| staged.node(*input).exit);
            staged.nodes[id.index()].exit = inputs.fold(self.node(id).exit, usize::max);
        }
        staged
    }
}
