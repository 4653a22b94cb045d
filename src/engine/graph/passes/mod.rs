//! Passes: rewrites of a graph into an equivalent, cheaper one. Each is a file with one function; [`apply`]
//! runs them in order.

mod dead_nodes;
mod fold_batch_norm;
mod fuse_add;
mod fuse_cam;
mod fuse_classifier;
mod fuse_relu;
mod merge_pointwise;
mod pooled_gradient;

use super::{Graph, Node, NodeId, Op};
use crate::Result;

/// The passes to run. Tests switch single ones off to compare results and costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Passes {
    /// Folding of batch norm into the preceding convolution.
    pub fold_batch_norm: bool,
    /// Fusion of a sum of two into the convolution that computes one of them.
    pub fuse_add: bool,
    /// Fusion of a ReLU into the preceding convolution or batch norm, and of its gradient into that of a convolution.
    pub fuse_relu: bool,
    /// Merging of 1x1 convolutions that read the same value.
    pub merge_pointwise: bool,
    /// Computing the mean of a convolution's input gradient without that gradient.
    pub pooled_gradient: bool,
    /// Fusion of pooled gradient, weighted sum and range.
    pub fuse_cam: bool,
    /// Fusion of a head's classifier and the backward pass from its logit.
    pub fuse_classifier: bool,
    /// Dead-code elimination, first and after every other pass.
    pub dead_nodes: bool,
}

impl Passes {
    /// All passes.
    pub const ALL: Passes = Passes {
        fold_batch_norm: true,
        fuse_add: true,
        fuse_relu: true,
        merge_pointwise: true,
        pooled_gradient: true,
        fuse_cam: true,
        fuse_classifier: true,
        dead_nodes: true,
    };

    /// No pass.
    pub const NONE: Passes = Passes {
        fold_batch_norm: false,
        fuse_add: false,
        fuse_relu: false,
        merge_pointwise: false,
        pooled_gradient: false,
        fuse_cam: false,
        fuse_classifier: false,
        dead_nodes: false,
    };
}

/// The rewritten graph, and the nodes of `outputs` in it.
///
/// # Errors
/// When the graph lacks one of `outputs`, or a parameter that they need has no elements.
pub fn apply(graph: &Graph, outputs: &[NodeId], passes: &Passes) -> Result<(Graph, Vec<NodeId>)> {
    type Pass = fn(&Graph, &mut [NodeId]) -> Result<Graph>;
    let steps: [(bool, Pass); 7] = [
        (passes.fold_batch_norm, fold_batch_norm::run),
        (passes.fuse_add, fuse_add::run),
        (passes.fuse_relu, fuse_relu::run),
        (passes.merge_pointwise, merge_pointwise::run),
        (passes.pooled_gradient, pooled_gradient::run),
        (passes.fuse_cam, fuse_cam::run),
        (passes.fuse_classifier, fuse_classifier::run),
    ];
    graph.check_nodes("plan", outputs)?;
    graph.check_params(outputs)?;
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

/// A graph under construction, and its node for each node of the old graph.
struct Rewrite {
    graph: Graph,
    moved: Vec<Option<NodeId>>,
    /// The exit of the old node that is being rewritten.
    exit: usize,
}

impl Rewrite {
    /// The new graph's node for `old`.
    ///
    /// # Panics
    /// When it has been removed.
    fn at(&self, old: NodeId) -> NodeId {
        self.moved[old.index()].expect("a node with readers is not removed")
    }

    /// The new graph's nodes for `old`.
    fn all(&self, old: &[NodeId]) -> Vec<NodeId> {
        old.iter().map(|&id| self.at(id)).collect()
    }

    /// Appends a node of the same exit as the old node.
    fn push(&mut self, op: impl Into<Op>, inputs: &[NodeId]) -> Result<NodeId> {
        self.graph.push_at(self.exit, op, inputs)
    }

    /// Makes `new` the new graph's node for `old`, an earlier node that has been removed.
    fn place_removed(&mut self, old: NodeId, new: NodeId) {
        self.moved[old.index()] = Some(new);
    }

    /// Appends the old node unchanged.
    fn copy(&mut self, node: &Node) -> Result<NodeId> {
        let inputs = self.all(&node.inputs);
        self.push(node.op.clone(), &inputs)
    }
}

/// Rebuilds `graph` node by node: `place` returns the new node for each old one, or `Ok(None)` to remove
/// it. `outputs` are updated to the new graph.
fn rebuild(
    graph: &Graph,
    outputs: &mut [NodeId],
    mut place: impl FnMut(&mut Rewrite, NodeId, &Node) -> Result<Option<NodeId>>,
) -> Result<Graph> {
    let new = Graph { params: graph.params.clone(), ..Graph::new() };
    let mut rewrite = Rewrite { graph: new, moved: Vec::with_capacity(graph.nodes.len()), exit: 0 };
    for id in graph.ids() {
        let node = graph.node(id);
        rewrite.exit = node.exit;
        let moved = place(&mut rewrite, id, node)?;
        rewrite.moved.push(moved);
    }
    for output in outputs {
        *output = rewrite.at(*output);
    }
    Ok(rewrite.graph)
}
