//! Which exit first needs each node of a question.

use super::{Graph, NodeId};

impl Graph {
    /// The same graph with every node in the stage of the first of `outputs` that needs it.
    ///
    /// A network is built block by block, but the last layers of a block also make finer scales
    /// that only the next block reads: a run that stops at this block's exit can do without them.
    /// Nodes that no output needs stay where they are, but never before what they read.
    pub fn staged_by_need(&self, outputs: &[NodeId]) -> Graph {
        let mut staged = self.clone();
        let mut first: Vec<Option<usize>> = vec![None; self.nodes.len()];
        for &output in outputs {
            first[output.index()] = Some(self.node(output).stage);
        }
        for id in self.ids().rev() {
            let Some(stage) = first[id.index()] else { continue };
            staged.nodes[id.index()].stage = stage;
            for input in &self.node(id).inputs {
                let so_far = &mut first[input.index()];
                *so_far = Some(so_far.map_or(stage, |s| s.min(stage)));
            }
        }
        for id in self.ids().filter(|id| first[id.index()].is_none()) {
            let inputs = self.node(id).inputs.iter().map(|input| staged.node(*input).stage);
            staged.nodes[id.index()].stage = inputs.fold(self.node(id).stage, usize::max);
        }
        staged
    }
}
