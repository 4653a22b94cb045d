//! The golden networks, random ones, and graphs with Grad-CAM at every exit.

use std::collections::BTreeMap;

use msdcam::engine::graph::grad::gradients;
use msdcam::engine::graph::ops::{Op, ReluRule, ResizeMinMax, TargetInput, WeightedSum};
use msdcam::engine::graph::{Graph, NodeId};
use msdcam::engine::tensor::Tensor;
use msdcam::model::msdnet::recognize::recognize;
use msdcam::model::msdnet::{Config, build};
use msdcam::model::pytorch::{Checkpoint, Tensor as TensorOfFile};
use msdcam::model::{Exit, Model};
use msdcam::{Error, Shape};

use super::golden::{Golden, repository};
use super::port_options::PortOptions;
use super::random::Random;

/// Every network of `tests/golden/nets`.
pub const VARIANTS: [&str; 13] = [
    "subnets-even",
    "subnets-lin_grow",
    "subnets-gcn-first",
    "subnets-gcn-all",
    "subnets-gcn-all-shared",
    "subnets-no-bottleneck",
    "blocks-even",
    "blocks-lin_grow",
    "blocks-transition-last",
    "blocks-no-reduction",
    "blocks-imagenet-stem",
    "blocks-imagenet-stem-two-scales",
    "blocks-empty",
];

/// A golden network's answers, and the network built from its checkpoint.
pub fn golden_network(variant: &str) -> (Golden, Model) {
    let golden = Golden::load(&format!("nets/{variant}"));
    let options: PortOptions = golden.json("config");
    let path = repository(&format!("tests/golden/nets/{variant}.pth"));
    let tensors = network_tensors(&Checkpoint::read(&path, None).unwrap()).unwrap();
    let network = build(&options.config(), |name, dims| match tensors.get(name) {
        Some(tensor) if tensor.dims == dims => Ok(tensor.data.clone().into()),
        Some(tensor) => Err(Error::usage(format!("{name} is {:?}, not {dims:?}", tensor.dims))),
        None => Err(Error::usage(format!("there is no {name}"))),
    });
    (golden, network.unwrap_or_else(|e| panic!("{variant}: {e}")))
}

/// The tensors of a checkpoint's network by their names in its port.
pub fn network_tensors(checkpoint: &Checkpoint) -> msdcam::Result<BTreeMap<String, TensorOfFile>> {
    let network = recognize(&checkpoint.shapes()).map_err(Error::usage)?;
    let mut found = checkpoint.tensors(network.names.values().map(String::as_str))?;
    Ok(network.names.iter().map(|(port, name)| (port.clone(), found.remove(name).unwrap())).collect())
}

/// A network of any size with random weights, the same each time; its values stay near one.
pub fn random_network(config: &Config) -> Model {
    let tensor = |name: &str, dims: &[usize]| {
        let mut elements = Random::for_text(name).numbers(dims.iter().product());
        let fan_in: usize = dims[1..].iter().product();
        let spread = if fan_in > 1 { (6.0 / fan_in as f32).sqrt() } else { 0.3 };
        let center = if name.ends_with("running_var") { 1.0 } else { 0.0 };
        elements.iter_mut().for_each(|x| *x = center + spread * *x);
        Ok(elements.into())
    };
    build(config, tensor).unwrap()
}

/// The nodes of an exit: classification, Grad-CAM and what it is computed from.
#[derive(Clone, Copy)]
pub struct ExitNodes {
    pub logits: NodeId,
    pub probabilities: NodeId,
    pub tap: NodeId,
    pub grad: NodeId,
    pub weights: NodeId,
    pub signed: NodeId,
    pub cam: NodeId,
    pub range: NodeId,
    pub heat: NodeId,
}

/// The network's graph with Grad-CAM at every exit; its inputs are the image and each exit's target.
pub fn cam_graph(model: &Model) -> (Graph, Vec<ExitNodes>) {
    let mut graph = model.graph.clone();
    let image = model.input_shape();
    let mut push = |exit: &Exit| {
        let tap = model.taps[exit.tap].node;
        let target = graph.push(Op::Input(Shape::vector(1)), &[])?;
        let probabilities = graph.push(Op::Softmax, &[exit.logits])?;
        let seed = graph.push(Op::OneHot, &[exit.logits, target])?;
        let grad = gradients(&mut graph, exit.logits, seed, &[tap], ReluRule::Plain)?[0];
        let weights = graph.push(Op::SpatialMean, &[grad])?;
        let cam = graph.push(Op::WeightedSum(WeightedSum { relu: true }), &[weights, tap])?;
        let range = graph.push(Op::Range, &[cam])?;
        let heat = graph.push(Op::ResizeMinMax(ResizeMinMax { height: image.h, width: image.w }), &[cam])?;
        let signed = graph.push(Op::WeightedSum(WeightedSum { relu: false }), &[weights, tap])?;
        let logits = exit.logits;
        Ok(ExitNodes { logits, probabilities, tap, grad, weights, signed, cam, range, heat })
    };
    let exits: msdcam::Result<Vec<ExitNodes>> = model.exits.iter().map(&mut push).collect();
    (graph, exits.unwrap())
}

/// The outputs that the program requests at every exit: logits, probabilities, channel weights,
/// activation map, range and heatmap.
pub fn asked(exits: &[ExitNodes]) -> Vec<NodeId> {
    exits.iter().flat_map(|e| [e.logits, e.probabilities, e.weights, e.cam, e.range, e.heat]).collect()
}

/// Inputs of [`cam_graph`]: the images, and the predicted class as the target of each exit.
pub fn inputs(images: &Tensor, exits: usize) -> Vec<Tensor> {
    let predicted = Tensor::new(images.n, Shape::vector(1), vec![TargetInput::Predicted.encode(); images.n]);
    std::iter::once(images.clone()).chain(vec![predicted; exits]).collect()
}
