//! A static computation graph: built once per network, differentiated into more graph,
//! rewritten by passes, and laid out by [`plan`] for a device to run.
//!
//! A node's value has shape (N, C, H, W); the graph states (C, H, W) and leaves N to the run.
//! Nodes are in topological order by construction: a node's inputs come before it.

mod exits;
pub mod grad;
pub mod ops;
pub mod passes;
mod subgraph;

use std::sync::Arc;

use crate::{Error, Result, Shape};
pub use ops::Op;

/// A node of a [`Graph`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(u32);

impl NodeId {
    /// Position in [`Graph::nodes`].
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// A parameter of a [`Graph`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ParamId(u32);

impl ParamId {
    /// Position in [`Graph::params`].
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// A constant array: a weight, or something computed from weights when the graph was made.
#[derive(Debug, Clone)]
pub struct Param {
    /// Name of the tensor it comes from.
    pub name: String,
    /// Dimensions, outermost first.
    pub dims: Vec<usize>,
    /// The numbers, row-major; shared between the graphs that use them. None where the parameter
    /// is only declared.
    pub data: Arc<[f32]>,
}

/// One operation, what it reads and the shape of what it makes.
#[derive(Debug, Clone)]
pub struct Node {
    /// What is computed.
    pub op: Op,
    /// What it reads, in the op's order.
    pub inputs: Vec<NodeId>,
    /// (C, H, W) of the result.
    pub shape: Shape,
    /// The exit (from 1) to which this node belongs; 0 outside any exit.
    pub stage: usize,
}

/// The nodes and parameters; see the module's documentation.
#[derive(Debug, Clone, Default)]
pub struct Graph {
    nodes: Vec<Node>,
    params: Vec<Param>,
    stage: usize,
}

impl Graph {
    /// An empty graph.
    pub fn new() -> Self {
        Graph::default()
    }

    /// All nodes, in topological order.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// Every node's name, in topological order.
    pub fn ids(&self) -> impl DoubleEndedIterator<Item = NodeId> + ExactSizeIterator + use<> {
        (0..self.nodes.len()).map(|i| NodeId(i as u32))
    }

    /// All parameters.
    pub fn params(&self) -> &[Param] {
        &self.params
    }

    /// One node.
    pub fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.index()]
    }

    /// (C, H, W) of a node's value.
    pub fn shape(&self, id: NodeId) -> Shape {
        self.node(id).shape
    }

    /// One parameter.
    pub fn param(&self, id: ParamId) -> &Param {
        &self.params[id.index()]
    }

    /// Nodes pushed from now on belong to exit `stage`.
    pub fn set_stage(&mut self, stage: usize) {
        self.stage = stage;
    }

    /// Adds a constant array.
    ///
    /// # Panics
    /// When `data` does not fill `dims`.
    pub fn add_param(
        &mut self,
        name: impl Into<String>,
        dims: &[usize],
        data: impl Into<Arc<[f32]>>,
    ) -> ParamId {
        let (name, data) = (name.into(), data.into());
        assert_eq!(data.len(), dims.iter().product::<usize>(), "parameter '{name}' of {dims:?}");
        self.params.push(Param { name, dims: dims.to_vec(), data });
        ParamId(self.params.len() as u32 - 1)
    }

    /// Adds a constant array whose numbers are not known: for a graph that is looked at, not run.
    pub fn declare_param(&mut self, name: impl Into<String>, dims: &[usize]) -> ParamId {
        self.params.push(Param { name: name.into(), dims: dims.to_vec(), data: Arc::default() });
        ParamId(self.params.len() as u32 - 1)
    }

    /// Replaces the elements of a parameter.
    ///
    /// # Panics
    /// When `data` does not have as many elements as the parameter.
    pub fn set_param(&mut self, id: ParamId, data: Arc<[f32]>) {
        let param = &mut self.params[id.index()];
        assert_eq!(data.len(), param.data.len(), "elements of parameter '{}'", param.name);
        param.data = data;
    }

    /// Adds a node that reads `inputs`.
    ///
    /// # Errors
    /// When the op cannot read inputs of these shapes: names the op and the sizes that disagree.
    pub fn push(&mut self, op: impl Into<Op>, inputs: &[NodeId]) -> Result<NodeId> {
        let op = op.into();
        let shapes: Vec<Shape> = inputs.iter().map(|&i| self.shape(i)).collect();
        let shape = op.shape(self, &shapes)?;
        let stage = inputs.iter().map(|&i| self.node(i).stage).fold(self.stage, usize::max);
        self.nodes.push(Node { op, inputs: inputs.to_vec(), shape, stage });
        Ok(NodeId(self.nodes.len() as u32 - 1))
    }

    /// How many nodes read each node.
    pub fn fan_out(&self) -> Vec<usize> {
        let mut readers = vec![0; self.nodes.len()];
        for input in self.nodes.iter().flat_map(|n| &n.inputs) {
            readers[input.index()] += 1;
        }
        readers
    }

    /// The nodes that `roots` need, themselves included, as a mask over [`Graph::nodes`].
    pub fn ancestors(&self, roots: &[NodeId]) -> Vec<bool> {
        let mut needed = vec![false; self.nodes.len()];
        for &root in roots {
            needed[root.index()] = true;
        }
        for id in self.ids().rev() {
            if needed[id.index()] {
                for input in &self.node(id).inputs {
                    needed[input.index()] = true;
                }
            }
        }
        needed
    }
}

/// The error of an op that cannot read what it is given.
fn mismatch(op: &str, fact: String) -> Error {
    Error::usage(format!("{op}: {fact}"))
}
