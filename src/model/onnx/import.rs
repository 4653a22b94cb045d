//! The nodes of an ONNX graph as nodes of ours.
//!
//! Values are constants, which are computed here ([`fold`]), or depend on the image: then they are nodes of the graph with a
//! [`Layout`]. What is not supported gives an unknown value; the error lists all operators at once.

mod activations;
mod channel_norm;
mod classifiers;
mod elementwise;
mod maps;
mod missing;
mod node;
mod order;
mod parts;
mod products;
mod resize;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::fold::{drops_out, fold};
use super::layout::Layout;
use super::messages::{Attribute, GraphProto, NodeProto, ValueInfo};
use super::tensor::{Tensor, element_type, is_floating_point};
use crate::Shape;
use crate::engine::graph::ops::Slice;
use crate::engine::graph::{Graph, NodeId, Op, ParamId};
use channel_norm::Squares;
use missing::Cause;
use node::Node;
use order::ordered;

/// How many times the elements of its weights a file may have computed from constants, and how many in any case.
const MAX_FOLDED: (usize, usize) = (8, 1 << 24);

/// A value of the ONNX graph.
#[derive(Debug, Clone)]
pub enum Value {
    /// It does not depend on the image.
    Constant(Tensor),
    /// It does.
    Feature(Feature),
    /// The softmax of class scores, or its logarithm: an output, which is explained by the scores.
    Probabilities(Feature),
    /// The divisor of a local response normalization, as far as it is computed.
    Squares(Squares),
    /// It depends on an operator that is not supported, or is an optional result that nothing computes.
    Unknown,
    /// It does not depend on the image, but on dimensions of a value that is not known.
    UnknownConstant,
}

/// A value that depends on the image.
#[derive(Debug, Clone)]
pub struct Feature {
    pub node: NodeId,
    pub layout: Layout,
    /// Rows and columns before and behind it, which the next window reads as padding.
    pub padding: [[usize; 2]; 2],
    /// Whether these are copies of the outermost ones, rather than zeros.
    repeats_edge: bool,
}

impl Feature {
    fn new(node: NodeId, layout: Layout) -> Feature {
        Feature { node, layout, padding: [[0; 2]; 2], repeats_edge: false }
    }

    /// A value of (N, C, H, W).
    fn nchw(node: NodeId) -> Feature {
        Feature::new(node, Layout::nchw())
    }

    /// A value of (N, C).
    fn flat(node: NodeId) -> Feature {
        Feature::new(node, Layout::flat())
    }

    fn is_padded(&self) -> bool {
        self.padding != [[0; 2]; 2]
    }
}

/// The input that takes the image.
#[derive(Debug, Clone)]
pub struct ImageInput {
    pub name: String,
    /// (3, H, W).
    pub shape: Shape,
    /// (N, C, H, W) or (N, H, W, C).
    pub layout: Layout,
    /// Number of images of a batch, 1 if it is not fixed.
    pub batch: usize,
}

/// Why a node cannot be taken over.
#[derive(Debug)]
pub enum Stop {
    /// It is an operator, or a use of one, that is not supported: its name in the list of all.
    Unsupported(String),
    /// It contradicts itself or its inputs.
    Wrong(String),
}

impl From<String> for Stop {
    fn from(cause: String) -> Stop {
        Stop::Wrong(cause)
    }
}

impl From<&str> for Stop {
    fn from(cause: &str) -> Stop {
        Stop::Wrong(cause.into())
    }
}

impl From<crate::Error> for Stop {
    fn from(error: crate::Error) -> Stop {
        Stop::Wrong(error.to_string())
    }
}

fn unsupported<T>(what: impl Into<String>) -> Result<T, Stop> {
    Err(Stop::Unsupported(what.into()))
}

/// The graph under construction.
pub struct Importer {
    pub graph: Graph,
    /// Number of images of a batch in the file, 1 if it is not fixed.
    batch: usize,
    /// Version of the operators.
    opset: i64,
    values: HashMap<String, Value>,
    /// Elements that may still be computed from constants.
    folded_left: usize,
    /// Nodes that are the image, or the image times and plus constants of the architecture.
    preparation: HashSet<NodeId>,
    /// The parameter of an initializer that is used as it is.
    params: HashMap<(String, Vec<usize>), ParamId>,
    /// The first name of each value, by its node.
    pub names: HashMap<NodeId, String>,
    /// Why each unknown value is unknown.
    unknown: HashMap<String, Cause>,
}

impl Importer {
    /// An importer that knows the input and the initializers of `file`.
    ///
    /// # Errors
    /// When an initializer does not have the elements that its dimensions say; names it.
    pub fn new(file: &mut GraphProto, opset: i64, input: &ImageInput) -> Result<Importer, String> {
        let mut graph = Graph::new();
        let ImageInput { name, shape, layout, batch } = input.clone();
        let node = graph.push(Op::Input(shape), &[]).map_err(|e| e.to_string())?;
        let (mut values, mut elements) = (HashMap::new(), 0_usize);
        for (name, stored) in std::mem::take(&mut file.initializers) {
            let tensor = stored.tensor().map_err(|cause| format!("tensor '{name}': {cause}"))?;
            elements = elements.saturating_add(tensor.len());
            values.insert(name, Value::Constant(tensor));
        }
        values.insert(name.clone(), Value::Feature(Feature::new(node, layout)));
        let names = HashMap::from([(node, name)]);
        let (params, unknown) = (HashMap::new(), HashMap::new());
        let folded_left = elements.saturating_mul(MAX_FOLDED.0).saturating_add(MAX_FOLDED.1);
        let preparation = HashSet::from([node]);
        Ok(Importer { graph, batch, opset, values, folded_left, preparation, params, names, unknown })
    }

    /// Takes over all `nodes`, of whose values the caller reads `outputs`.
    ///
    /// # Errors
    /// When one contradicts itself or reads a value that no node before it computes.
    pub fn import(&mut self, nodes: &[NodeProto], outputs: &[ValueInfo]) -> Result<(), String> {
        let mut readers: HashMap<&str, usize> = HashMap::new();
        let read = nodes.iter().flat_map(|node| node.inputs.iter().chain(&node.captured));
        for name in read.chain(outputs.iter().map(|output| &output.name)) {
            *readers.entry(name).or_default() += 1;
        }
        for index in ordered(nodes)? {
            let node = &nodes[index];
            self.take_over(node, index)?;
            // What nobody reads, or nobody any more, gives its memory back: weights of which others were made.
            for name in node.inputs.iter().chain(&node.captured) {
                readers.entry(name).and_modify(|left| *left -= 1);
            }
            for name in node.inputs.iter().chain(&node.captured).chain(&node.outputs) {
                let is_read = readers.get(name.as_str()).is_some_and(|&left| left > 0);
                if let (false, Some(Value::Constant(tensor))) = (is_read, self.values.get_mut(name)) {
                    *tensor = Tensor::integers(&[0], Vec::new());
                }
            }
        }
        Ok(())
    }

    /// Takes over `node`, which is node `index`, or a part of it.
    fn take_over(&mut self, node: &NodeProto, index: usize) -> Result<(), String> {
        let place = || place(node, index);
        let missing = node
            .inputs
            .iter()
            .chain(&node.captured)
            .find(|name| !name.is_empty() && !self.values.contains_key(*name));
        if let Some(name) = missing {
            return Err(format!("{}: its input '{name}' is computed by no node", place()));
        }
        if let Some(name) =
            node.outputs.iter().find(|name| !name.is_empty() && self.values.contains_key(*name))
        {
            return Err(format!("{}: value '{name}' is there already", place()));
        }
        match self.node(node, index) {
            Ok(results) => self.keep(node, results).map_err(|cause| format!("{}: {cause}", place()))?,
            Err(Stop::Unsupported(op)) => self.mark_unknown(node, &Value::Unknown, Some(op)),
            Err(Stop::Wrong(cause)) => return Err(format!("{}: {cause}", place())),
        }
        Ok(())
    }

    /// The results of the branch of `node`, an `If`, that its condition chooses; `None` where that depends on the image.
    fn branch(&mut self, node: &NodeProto, index: usize) -> Result<Option<Vec<Value>>, Stop> {
        let Some(Value::Constant(condition)) = node.inputs.first().and_then(|name| self.values.get(name))
        else {
            return Ok(None);
        };
        let chosen = condition.scalar().ok_or("a condition of several elements")? != 0.0;
        let name = if chosen { "then_branch" } else { "else_branch" };
        let Some(Attribute::Graph(branch)) = node.attributes.get(name) else { return Ok(None) };
        if !branch.initializers.is_empty() || branch.outputs.len() != node.outputs.len() {
            return Ok(None);
        }
        for place in ordered(&branch.nodes)? {
            self.take_over(&branch.nodes[place], index)?;
        }
        let value = |output: &ValueInfo| {
            let value = self.values.get(&output.name).cloned();
            value.ok_or_else(|| format!("its result '{}' is computed by no node", output.name))
        };
        let values: Vec<Value> = branch.outputs.iter().map(value).collect::<Result<_, _>>()?;
        for (name, output) in node.outputs.iter().zip(&branch.outputs) {
            if let Some(cause) = self.unknown.get(&output.name) {
                self.unknown.insert(name.clone(), cause.clone());
            }
        }
        Ok(Some(values))
    }

    /// Keeps the `results` of `node`.
    ///
    /// # Errors
    /// When a result has other elements than its stored tensor.
    fn keep(&mut self, node: &NodeProto, mut results: Vec<Value>) -> Result<(), String> {
        if let [value @ (Value::Unknown | Value::UnknownConstant)] = &results[..] {
            self.mark_unknown(node, value, None);
            return Ok(());
        }
        results.resize(node.outputs.len().max(results.len()), Value::Unknown);
        for (name, mut value) in node.outputs.iter().zip(results).filter(|(name, _)| !name.is_empty()) {
            if let Value::Feature(feature) | Value::Probabilities(feature) = &mut value {
                let shape = self.graph.shape(feature.node);
                if !feature.layout.holds(shape) {
                    let dims = self.dims(feature);
                    return Err(format!(
                        "internal error: result '{name}' of {dims:?} is stored as {shape}; please report"
                    ));
                }
                // The padding is of stored rows and columns.
                if !feature.is_padded() {
                    feature.layout = feature.layout.clone().settled(shape);
                }
                self.names.entry(feature.node).or_insert_with(|| name.clone());
            }
            if matches!(value, Value::Unknown) {
                let op = format!("the second result of {}", node.op);
                self.unknown.entry(name.clone()).or_insert_with(|| Cause::of(node, Some(op)));
            }
            self.values.insert(name.clone(), value);
        }
        Ok(())
    }

    /// The value called `name`.
    pub fn value(&self, name: &str) -> Option<&Value> {
        self.values.get(name)
    }

    /// The results of a node; one that is unknown, for all, where an input is.
    fn node(&mut self, node: &NodeProto, index: usize) -> Result<Vec<Value>, Stop> {
        if !node.domain.is_empty() {
            return unsupported(operator(node));
        }
        if node.op == "If"
            && let Some(results) = self.branch(node, index)?
        {
            return Ok(results);
        }
        let inputs: Vec<Option<Value>> = node
            .inputs
            .iter()
            .map(|name| self.values.get(name).filter(|_| !name.is_empty()).cloned())
            .collect();
        if inputs.iter().flatten().any(|value| matches!(value, Value::Unknown | Value::UnknownConstant)) {
            return Ok(vec![Self::unknown_result(node, &inputs)?]);
        }
        if inputs.iter().flatten().all(|value| matches!(value, Value::Constant(_))) {
            let constants: Vec<Option<&Tensor>> = inputs
                .iter()
                .map(|input| match input {
                    Some(Value::Constant(tensor)) => Some(tensor),
                    _ => None,
                })
                .collect();
            if let Some(result) = fold(node, &constants) {
                let results = result?;
                let count = results.iter().map(Tensor::len).sum();
                let left = self.folded_left.checked_sub(count);
                self.folded_left = left.ok_or("too many elements are computed from constants")?;
                return Ok(results.into_iter().map(Value::Constant).collect());
            }
        }
        let node = Node { proto: node, inputs };
        if let Some(value) = self.written_out(&node)? {
            return Ok(vec![value]);
        }
        if node.proto.op == "Split" {
            return self.split(&node);
        }
        match on_maps(&node.proto.op) {
            Some(take_over) => Ok(vec![take_over(self, &node)?]),
            None => unsupported(operator(node.proto)),
        }
    }

    /// `Shape` and `Size` of a map.
    fn size(&mut self, node: &Node) -> Result<Value, Stop> {
        let feature = node.in_any_layout(0)?;
        if feature.is_padded() {
            return unsupported(format!("Pad before {}", node.proto.op));
        }
        let dims = self.dims(feature);
        Ok(Value::Constant(if node.proto.op == "Shape" {
            super::fold::shape(node.proto, &dims)?
        } else {
            Tensor::integers(&[], vec![dims.iter().product::<usize>() as i64])
        }))
    }

    /// `Identity`, `Dropout` and `Cast` of a map.
    fn identity(&mut self, node: &Node) -> Result<Value, Stop> {
        let op = node.proto.op.as_str();
        let to = node.proto.int("to", 1)?;
        if op == "Cast" && !is_floating_point(to) {
            let name = element_type(to).map_or_else(|| format!("type {to}"), |(name, ..)| name.to_string());
            return unsupported(format!("Cast of a map to {name}"));
        }
        if op == "Dropout" && drops_out(node.optional_constant(1)?, node.optional_constant(2)?) {
            return unsupported("Dropout in training mode (export after model.eval())");
        }
        node.input(0).cloned()
    }

    /// Dimensions of a value with its batch.
    fn dims(&self, feature: &Feature) -> Vec<usize> {
        let mut dims = vec![self.batch];
        dims.extend(feature.layout.dims(self.graph.shape(feature.node)));
        dims
    }

    /// The parameter `tensor`, which input `index` of `node` is, as it is.
    fn param(&mut self, node: &Node, index: usize, tensor: &Tensor, dims: &[usize]) -> Result<ParamId, Stop> {
        let name = node.proto.inputs[index].clone();
        if let Some(&id) = self.params.get(&(name.clone(), dims.to_vec())) {
            return Ok(id);
        }
        let data = tensor.as_floats()?;
        check_finite(&name, data)?;
        let id = self.graph.add_param(name.clone(), dims, data.clone());
        self.params.insert((name, dims.to_vec()), id);
        Ok(id)
    }

    /// A parameter that was made of input `index` of `node`.
    fn made_param(
        &mut self,
        node: &Node,
        index: usize,
        dims: &[usize],
        data: Arc<[f32]>,
    ) -> Result<ParamId, Stop> {
        let name = node.proto.inputs.get(index).filter(|name| !name.is_empty());
        let name = name.cloned().unwrap_or_else(|| node.name());
        check_finite(&name, &data)?;
        Ok(self.graph.add_param(name, dims, data))
    }

    /// The node of `feature` as (N, C, H, W).
    fn as_nchw(&mut self, feature: &Feature, what: &str) -> Result<NodeId, Stop> {
        let shape = self.graph.shape(feature.node);
        if feature.layout.is_nchw(shape) {
            return Ok(feature.node);
        }
        let [c, h, w] = feature.layout.dims(shape)[..] else {
            return unsupported(format!("{what} of {} axes", feature.layout.rank() + 1));
        };
        // The padding is of stored rows and columns, which would be others.
        if !feature.layout.is_stored_order(shape) || feature.is_padded() {
            return unsupported(format!("{what} of transposed maps"));
        }
        Ok(self.graph.push(Slice { offset: 0, shape: Shape::new(c, h, w) }, &[feature.node])?)
    }

    /// The node of `feature` as a vector (N, C, 1, 1) of its elements in the order of the file.
    fn as_vector(&mut self, feature: &Feature, what: &str) -> Result<NodeId, Stop> {
        let shape = self.graph.shape(feature.node);
        if !feature.layout.is_stored_order(shape) {
            return unsupported(format!("{what} of transposed maps"));
        }
        if shape == Shape::vector(shape.len()) {
            return Ok(feature.node);
        }
        Ok(self.graph.push(Slice { offset: 0, shape: Shape::vector(shape.len()) }, &[feature.node])?)
    }
}

/// Takes a node over, which gives a feature.
type OfFeature = fn(&mut Importer, &Node) -> Result<Feature, Stop>;

/// Takes a node over.
type TakeOver = Box<dyn Fn(&mut Importer, &Node) -> Result<Value, Stop>>;

/// How nodes of operator `op` are taken over where an input depends on the image; `None` if they are not.
fn on_maps(op: &str) -> Option<TakeOver> {
    let feature = |take_over: OfFeature| -> Option<TakeOver> {
        Some(Box::new(move |importer, node| take_over(importer, node).map(Value::Feature)))
    };
    match op {
        "Conv" => feature(Importer::conv),
        "MaxPool" => feature(Importer::max_pool),
        "AveragePool" => feature(Importer::average_pool),
        "GlobalAveragePool" | "GlobalMaxPool" | "ReduceMean" => feature(Importer::reduce),
        "Pad" => feature(Importer::pad),
        "BatchNormalization" => feature(Importer::batch_norm),
        "LRN" => feature(Importer::channel_norm),
        "Relu" => feature(Importer::relu),
        "Clip" => feature(Importer::clip),
        "Max" | "Min" => feature(Importer::one_bound),
        "Sigmoid" => feature(Importer::sigmoid),
        "HardSigmoid" => feature(Importer::hard_sigmoid),
        "HardSwish" => feature(Importer::hard_swish),
        "Swish" => feature(Importer::swish),
        "Tanh" => feature(Importer::tanh),
        "LeakyRelu" => feature(Importer::leaky_relu),
        "PRelu" => feature(Importer::parametric_relu),
        "Add" | "Sub" | "Mul" | "Div" | "Sum" | "Neg" => feature(Importer::arithmetic),
        "Resize" | "Upsample" => feature(Importer::resize),
        "Expand" | "Tile" => feature(Importer::repeated),
        "Concat" => feature(Importer::concat),
        "Slice" => feature(Importer::slice),
        "Gather" => feature(Importer::gather),
        "Gemm" => feature(Importer::gemm),
        "MatMul" => feature(Importer::mat_mul),
        "Softmax" | "LogSoftmax" => {
            Some(Box::new(|importer, node| importer.softmax(node).map(Value::Probabilities)))
        }
        "Shape" | "Size" => Some(Box::new(Importer::size)),
        "Identity" | "Dropout" | "Cast" => Some(Box::new(Importer::identity)),
        "Reshape" | "Flatten" | "Squeeze" | "Unsqueeze" | "Transpose" => Some(Box::new(Importer::view)),
        _ => None,
    }
}

/// Whether nodes of operator `op` are taken over where an input depends on the image.
fn is_on_maps(op: &str) -> bool {
    op == "Split" || on_maps(op).is_some()
}

/// The operator's name with its domain.
fn operator(node: &NodeProto) -> String {
    if node.domain.is_empty() { node.op.clone() } else { format!("{}:{}", node.domain, node.op) }
}

/// A node in an error.
fn place(node: &NodeProto, index: usize) -> String {
    format!("node '{}' ({})", node.label(index), operator(node))
}

fn check_finite(name: &str, data: &[f32]) -> Result<(), Stop> {
    match data.iter().position(|x| !x.is_finite()) {
        Some(i) => Err(Stop::Wrong(format!("tensor '{name}': element {i} is {}", data[i]))),
        None => Ok(()),
    }
}
