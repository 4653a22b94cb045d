//! Rewrites of a graph that leave its answers as they were. Each is a file with one function;
//! [`apply`] runs them in order, and each can be left out.

mod dead_nodes;
mod fold_batch_norm;
mod fuse_cam;
mod fuse_relu;
mod merge_pointwise;
mod pooled_gradient;

use super::{Graph, Node, NodeId};
use crate::Result;

/// Which rewrites to make: all of them, unless a test wants to see a difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Passes {
    /// Batch norm folds into the convolution before it.
    pub fold_batch_norm: bool,
    /// ReLU and its gradient join the convolution before them.
    pub fuse_relu: bool,
    /// 1x1 convolutions that read the same value become one.
    pub merge_pointwise: bool,
    /// The mean of a convolution's input gradient is computed without that gradient.
    pub pooled_gradient: bool,
    /// Pooled gradient, weighted sum and range become one step.
    pub fuse_cam: bool,
    /// Nodes that no output needs go.
    pub dead_nodes: bool,
    /// Concat parts are written in place (done by the plan).
    pub in_place_concat: bool,
    /// Small dependent steps run one after another as one job (done by the plan).
    pub chain_small_steps: bool,
}

impl Passes {
    /// Every rewrite.
    pub const ALL: Passes = Passes {
        fold_batch_norm: true,
        fuse_relu: true,
        merge_pointwise: true,
        pooled_gradient: true,
        fuse_cam: true,
        dead_nodes: true,
        in_place_concat: true,
        chain_small_steps: true,
    };

    /// No rewrite: one step a node.
    pub const NONE: Passes = Passes {
        fold_batch_norm: false,
        fuse_relu: false,
        merge_pointwise: false,
        pooled_gradient: false,
        fuse_cam: false,
        dead_nodes: false,
        in_place_concat: false,
        chain_small_steps: false,
    };
}

/// The rewritten graph and where `outputs` are in it.
///
/// # Errors
/// As [`Graph::push`]; a rewrite of a valid graph does not fail.
pub fn apply(graph: &Graph, outputs: &[NodeId], passes: &Passes) -> Result<(Graph, Vec<NodeId>)> {
    type Pass = fn(&Graph, &mut [NodeId]) -> Result<Graph>;
    let steps: [(bool, Pass); 5] = [
        (passes.fold_batch_norm, fold_batch_norm::run),
        (passes.fuse_relu, fuse_relu::run),
        (passes.merge_pointwise, merge_pointwise::run),
        (passes.pooled_gradient, pooled_gradient::run),
        (passes.fuse_cam, fuse_cam::run),
    ];
    let (mut graph, mut outputs) = (graph.clone(), outputs.to_vec());
    let clean = |graph: Graph, outputs: &mut [NodeId]| {
        if passes.dead_nodes { dead_nodes::run(&graph, outputs) } else { Ok(graph) }
    };
    graph = clean(graph, &mut outputs)?;
    for (_, pass) in steps.iter().filter(|(wanted, _)| *wanted) {
        graph = pass(&graph, &mut outputs)?;
        graph = clean(graph, &mut outputs)?;
    }
    Ok((graph, outputs))
}

/// A new graph in the making, and where the old graph's nodes are in it.
struct Rewrite {
    graph: Graph,
    moved: Vec<Option<NodeId>>,
}

impl Rewrite {
    /// Where `old` is in the new graph.
    ///
    /// # Panics
    /// When it has been left out.
    fn at(&self, old: NodeId) -> NodeId {
        self.moved[old.index()].expect("a node that others read was left out")
    }

    /// The new places of `old` nodes.
    fn all(&self, old: &[NodeId]) -> Vec<NodeId> {
        old.iter().map(|&id| self.at(id)).collect()
    }

    /// The node as it was, reading its inputs in their new places.
    fn copy(&mut self, node: &Node) -> Result<NodeId> {
        let inputs = self.all(&node.inputs);
        self.graph.push(node.op.clone(), &inputs)
    }
}

/// Rebuilds `graph` node by node: `place` says what becomes of each, `Ok(None)` leaves it out.
/// `outputs` are updated to the new graph.
fn rebuild(
    graph: &Graph,
    outputs: &mut [NodeId],
    mut place: impl FnMut(&mut Rewrite, NodeId, &Node) -> Result<Option<NodeId>>,
) -> Result<Graph> {
    let new = Graph { params: graph.params.clone(), ..Graph::new() };
    let mut rewrite = Rewrite { graph: new, moved: Vec::with_capacity(graph.nodes.len()) };
    for id in graph.ids() {
        let node = graph.node(id);
        rewrite.graph.set_stage(node.stage);
        let moved = place(&mut rewrite, id, node)?;
        rewrite.moved.push(moved);
    }
    for output in outputs {
        *output = rewrite.at(*output);
    }
    Ok(rewrite.graph)
}
