//! Static computation graphs: built once per model, differentiated by appending nodes, rewritten by
//! [`passes`], and laid out for execution by [`super::plan`].
//!
//! A node's value is a tensor (N, C, H, W); the graph holds (C, H, W), and N is known at run time.
//! Nodes are in topological order by construction: a node's inputs precede it.

mod elements;
mod exits;
pub mod grad;
pub mod ops;
pub mod passes;
mod small;
mod subgraph;

use std::sync::Arc;

use crate::error::GraphError;
use crate::{Result, Shape};
pub use elements::Elements;
pub(crate) use elements::FileBytes;
pub use ops::Op;

/// Identifier of a node of a [`Graph`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(u32);

impl NodeId {
    /// Index in [`Graph::nodes`].
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// Identifier of a parameter of a [`Graph`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ParamId(u32);

impl ParamId {
    /// Index in [`Graph::params`].
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// A constant tensor: a weight, a statistic, or the result of folding them.
#[derive(Debug, Clone)]
pub struct Param {
    /// Name of the tensor in the model.
    pub name: String,
    /// Dimensions, outermost first.
    pub dims: Vec<usize>,
    /// The elements, row-major, shared between the graphs that use them; empty where the parameter is
    /// only declared.
    pub data: Elements,
    /// Whether it is part of the architecture, as the bound of a clipped activation is, rather than found by training.
    pub(crate) is_fixed: bool,
}

/// A node: an op, its inputs and the shape of its value.
#[derive(Debug, Clone)]
pub struct Node {
    /// The op.
    pub op: Op,
    /// The nodes that it reads, in the op's order.
    pub inputs: Vec<NodeId>,
    /// Shape (C, H, W) of its value.
    pub shape: Shape,
    /// The exit that it belongs to, from 1; 0 for a node of no exit. Never less than that of its inputs.
    pub exit: usize,
}

/// A computation graph: nodes in topological order, and their parameters.
#[derive(Debug, Clone, Default)]
pub struct Graph {
    nodes: Vec<Node>,
    /// Shared by the graphs that rewrites make of it, until one adds its own.
    params: Arc<Vec<Param>>,
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

    /// The identifiers of all nodes, in topological order.
    pub fn ids(&self) -> impl DoubleEndedIterator<Item = NodeId> + ExactSizeIterator + use<> {
        (0..self.nodes.len()).map(|i| NodeId(i as u32))
    }

    /// All parameters.
    pub fn params(&self) -> &[Param] {
        &self.params
    }

    /// The same, for a plan of this graph.
    pub(crate) fn shared_params(&self) -> Arc<Vec<Param>> {
        Arc::clone(&self.params)
    }

    /// One node.
    ///
    /// # Panics
    /// When the graph has no such node.
    pub fn node(&self, id: NodeId) -> &Node {
        let nodes = self.nodes.len();
        self.nodes
            .get(id.index())
            .unwrap_or_else(|| panic!("node {} of a graph of {nodes} nodes", id.index()))
    }

    /// Shape (C, H, W) of a node's value.
    ///
    /// # Panics
    /// When the graph has no such node.
    pub fn shape(&self, id: NodeId) -> Shape {
        self.node(id).shape
    }

    /// One parameter.
    ///
    /// # Panics
    /// When the graph has no such parameter.
    pub fn param(&self, id: ParamId) -> &Param {
        let params = self.params.len();
        let param = self.params.get(id.index());
        param.unwrap_or_else(|| panic!("parameter {} of a graph of {params} parameters", id.index()))
    }

    /// Checks that the graph has `nodes`, of which `op` asks.
    ///
    /// # Errors
    /// When it lacks one.
    pub(crate) fn check_nodes(&self, op: &'static str, nodes: &[NodeId]) -> Result<()> {
        let count = self.nodes.len();
        match nodes.iter().find(|id| id.index() >= count) {
            Some(id) => Err(GraphError::UnknownNode { op, node: id.index(), nodes: count }.into()),
            None => Ok(()),
        }
    }

    /// The N dimensions of the parameter `id` of `op`.
    ///
    /// # Errors
    /// When there is no such parameter, or it has another number of dimensions.
    fn dims<const N: usize>(&self, op: &'static str, id: ParamId) -> Result<[usize; N]> {
        let params = self.params.len();
        let unknown = || GraphError::UnknownParam { op, param: id.index(), params };
        let Param { name, dims, .. } = self.params.get(id.index()).ok_or_else(unknown)?;
        <[usize; N]>::try_from(&dims[..]).map_err(|_| {
            let (param, given, expected) = (name.clone(), dims.clone(), format!("{N} of them"));
            GraphError::ParamDims { op, param, given, expected }.into()
        })
    }

    /// Checks that the parameter `id` of `op` has the dimensions `expected`.
    ///
    /// # Errors
    /// When it has others, or there is no such parameter.
    fn check_dims<const N: usize>(&self, op: &'static str, id: ParamId, expected: [usize; N]) -> Result<()> {
        let given = self.dims(op, id)?;
        if given == expected {
            return Ok(());
        }
        let (param, expected) = (self.param(id).name.clone(), format!("{expected:?}"));
        Err(GraphError::ParamDims { op, param, given: given.to_vec(), expected }.into())
    }

    /// Checks that every parameter that `outputs` depend on has its elements.
    ///
    /// # Errors
    /// When one is only declared.
    pub(crate) fn check_params(&self, outputs: &[NodeId]) -> Result<()> {
        let needed = self.ancestors(outputs);
        let nodes = self.nodes.iter().zip(needed).filter(|&(_, needed)| needed);
        for id in nodes.flat_map(|(node, _)| node.op.params()) {
            let Param { name, dims, data, .. } = self.param(id);
            if element_count(dims) != Some(data.len()) {
                return Err(GraphError::DeclaredParam { param: name.clone(), dims: dims.clone() }.into());
            }
        }
        Ok(())
    }

    /// Adds a parameter.
    ///
    /// # Panics
    /// When the length of `data` is not the product of `dims`.
    pub fn add_param(
        &mut self,
        name: impl Into<String>,
        dims: &[usize],
        data: impl Into<Elements>,
    ) -> ParamId {
        let (name, data) = (name.into(), data.into());
        assert_eq!(Some(data.len()), element_count(dims), "elements of parameter '{name}' of {dims:?}");
        self.params_mut().push(Param { name, dims: dims.to_vec(), data, is_fixed: false });
        ParamId(self.params.len() as u32 - 1)
    }

    fn params_mut(&mut self) -> &mut Vec<Param> {
        Arc::make_mut(&mut self.params)
    }

    /// Makes parameter `id` part of the architecture.
    pub(crate) fn fix_param(&mut self, id: ParamId) {
        self.params_mut()[id.index()].is_fixed = true;
    }

    /// Adds a parameter without elements, for a graph that is inspected, not run.
    pub fn declare_param(&mut self, name: impl Into<String>, dims: &[usize]) -> ParamId {
        self.params_mut().push(Param {
            name: name.into(),
            dims: dims.to_vec(),
            data: Elements::default(),
            is_fixed: false,
        });
        ParamId(self.params.len() as u32 - 1)
    }

    /// Replaces the elements of a parameter.
    ///
    /// # Panics
    /// When the graph has no such parameter, or `data` does not have as many elements as it.
    pub fn set_param(&mut self, id: ParamId, data: Elements) {
        let params = self.params.len();
        let param = self.params_mut().get_mut(id.index());
        let param =
            param.unwrap_or_else(|| panic!("parameter {} of a graph of {params} parameters", id.index()));
        assert_eq!(data.len(), param.data.len(), "elements of parameter '{}'", param.name);
        param.data = data;
    }

    /// Appends a node that reads `inputs` and belongs to the last exit among theirs.
    ///
    /// # Errors
    /// When the op does not accept inputs of these shapes, its parameters have other dimensions than it needs,
    /// or the graph lacks an input or a parameter: names the op and the sizes that disagree.
    pub fn push(&mut self, op: impl Into<Op>, inputs: &[NodeId]) -> Result<NodeId> {
        self.push_at(0, op, inputs)
    }

    /// Appends a node that reads `inputs` and belongs to `exit`, or to the last exit among those of its
    /// inputs where that is later.
    ///
    /// # Errors
    /// As [`Graph::push`].
    pub fn push_at(&mut self, exit: usize, op: impl Into<Op>, inputs: &[NodeId]) -> Result<NodeId> {
        let op = op.into();
        self.check_nodes(op.name(), inputs)?;
        let shapes: Vec<Shape> = inputs.iter().map(|&i| self.shape(i)).collect();
        let shape = op.shape(self, &shapes)?;
        let exit = inputs.iter().map(|&i| self.node(i).exit).fold(exit, usize::max);
        self.nodes.push(Node { op, inputs: inputs.to_vec(), shape, exit });
        Ok(NodeId(self.nodes.len() as u32 - 1))
    }

    /// Number of readers of each node, counted once for each input that it is.
    pub fn fan_out(&self) -> Vec<usize> {
        let mut readers = vec![0; self.nodes.len()];
        for input in self.nodes.iter().flat_map(|n| &n.inputs) {
            readers[input.index()] += 1;
        }
        readers
    }

    /// The nodes that `roots` depend on, `roots` included, as a mask over [`Graph::nodes`].
    ///
    /// # Panics
    /// When the graph lacks one of `roots`.
    pub fn ancestors(&self, roots: &[NodeId]) -> Vec<bool> {
        let mut needed = vec![false; self.nodes.len()];
        for &root in roots {
            let _ = self.node(root);
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

/// The number of elements of a tensor of dimensions `dims`; `None` where that overflows.
fn element_count(dims: &[usize]) -> Option<usize> {
    dims.iter().try_fold(1_usize, |count, &size| count.checked_mul(size))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_belongs_to_its_own_exit_or_to_the_last_one_of_its_inputs() {
        let mut graph = Graph::new();
        let none = graph.push(Op::Input(Shape::vector(2)), &[]).unwrap();
        let first = graph.push_at(1, Op::RELU, &[none]).unwrap();
        let third = graph.push_at(3, Op::RELU, &[first]).unwrap();
        let inherited = graph.push(Op::Add, &[third, first]).unwrap();
        let raised = graph.push_at(2, Op::Add, &[third, none]).unwrap();
        let mut copy = graph.clone();
        let fresh = copy.push(Op::Input(Shape::vector(1)), &[]).unwrap();
        let exits = [none, first, third, inherited, raised, fresh].map(|id| copy.node(id).exit);
        assert_eq!(exits, [0, 1, 3, 3, 3, 0]);
    }
}
