//! Models: image classifiers with one or more exits, wherever they come from.
//!
//! [`open`] looks at a file's content and builds a [`Model`] from it. Everything above this floor
//! (explanations, metrics, pictures, the command line) works on a `Model` alone.

mod class_names;
#[doc(hidden)]
pub mod convert;
mod digest;
mod input;
#[doc(hidden)]
pub mod inspect;
mod layer_group;
#[doc(hidden)]
pub mod msdnet;
mod onnx;
mod open;
mod open_options;
#[doc(hidden)]
pub mod pretrained;
#[doc(hidden)]
pub mod pytorch;
mod safetensors_header;
#[doc(hidden)]
pub mod source_file;
mod tap;
#[doc(hidden)]
pub mod weights;

pub use convert::{Conversion, ConvertOptions, convert};
pub(crate) use digest::ModelDigest;
pub use input::{InputSpec, Normalization};
pub use layer_group::LayerGroup;
pub use msdnet::Config as MsdNetConfig;
pub use open::open;
pub(crate) use open::open_digested;
pub use open_options::{Labels, OpenOptions};
pub use tap::{Tap, TapInfo};
pub use weights::Precision;

use std::path::Path;

use crate::engine::graph::{Graph, NodeId, Op};
use crate::error::RequestError;
use crate::imaging::Prepared;
use crate::imaging::rgb_image::RgbImage;
use crate::{Result, Shape};

/// An image classifier, forward only, and the places in it that can be explained.
///
/// ```
/// # fn main() -> msdcam::Result<()> {
/// use msdcam::model::Model;
///
/// let model = Model::pretrained()?;
/// assert_eq!((model.exits.len(), model.classes()), (10, 10));
/// assert_eq!(model.labels[3], "cat");
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Model {
    /// The computation from the input to every exit's logits.
    pub graph: Graph,
    /// The input of the graph, and how a photo is brought to it.
    pub input: InputSpec,
    /// The exits, exit 1 first; exit k is `exits[k - 1]`.
    pub exits: Vec<Exit>,
    /// Every tap: the exits' own in the order of the exits, then those of inner layers from the
    /// input on.
    pub taps: Vec<Tap>,
    /// Class names, one for each logit.
    pub labels: Vec<String>,
    /// Where the model comes from.
    pub source: Source,
}

/// A classifier inside a [`Model`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exit {
    /// Index in [`Model::taps`] of the feature map (C, h, w) that the exit's head reads.
    pub tap: usize,
    /// Class scores before the softmax, (classes, 1, 1).
    pub logits: NodeId,
}

/// The origin of a [`Model`].
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Source {
    /// An MSD-Net, from a weights file.
    MsdNet {
        /// Its architecture.
        config: Box<msdnet::Config>,
        /// SHA-256 of the checkpoint that the weights come from, lower-case hexadecimal; empty
        /// if there is none.
        checkpoint_sha256: String,
    },
    /// An ONNX file.
    Onnx {
        /// What was assumed, and what of the file is passed over, a line each.
        notes: Vec<String>,
    },
    /// A graph built by the caller.
    Graph,
}

impl Source {
    /// SHA-256 of the checkpoint that the weights come from; empty where there is none.
    pub fn checkpoint_sha256(&self) -> &str {
        match self {
            Source::MsdNet { checkpoint_sha256, .. } => checkpoint_sha256,
            Source::Onnx { .. } | Source::Graph => "",
        }
    }
}

impl Model {
    /// The built-in model: a ten-exit MSD-Net for CIFAR-10, see `weights/README.md`.
    ///
    /// # Errors
    /// Only if the library was built from a damaged file.
    pub fn pretrained() -> Result<Model> {
        open::pretrained()
    }

    /// The model in the file at `path`; see [`open`].
    ///
    /// # Errors
    /// As [`open`].
    pub fn open(path: impl AsRef<Path>) -> Result<Model> {
        open(path.as_ref())
    }

    /// As [`Model::open`]; `options` say what an ONNX file leaves open.
    ///
    /// # Errors
    /// As [`Model::open`], and for options with a weights file, which says all.
    pub fn open_with(path: impl AsRef<Path>, options: &OpenOptions) -> Result<Model> {
        open::open_with(path.as_ref(), options)
    }

    /// A model of a graph that the caller built: `exits` holds the tap and the logits of each exit.
    /// The classes are named by their indices, pixels are not normalized, and the only taps are
    /// the exits' own. If no node of the graph belongs to an exit ([`Graph::push_at`]), each belongs to the
    /// first exit that needs it, so that a run can stop there.
    ///
    /// # Errors
    /// [`crate::Error::Request`] when there is no exit, `input` is not an RGB input of the graph or not its only
    /// input, a node is not one of the graph's, or the exits' logits are not vectors of one length.
    pub fn from_graph(graph: Graph, input: NodeId, exits: &[(NodeId, NodeId)]) -> Result<Model> {
        let count = graph.nodes().len();
        let mut ids = exits.iter().flat_map(|&(tap, logits)| [tap, logits]).chain([input]);
        if let Some(id) = ids.find(|id| id.index() >= count) {
            return Err(RequestError::UnknownNode { node: id.index(), nodes: count }.into());
        }
        check_input(&graph, input)?;
        let logits: Vec<NodeId> = exits.iter().map(|&(_, logits)| logits).collect();
        let classes = check_logits(&graph, &logits)?;
        let taps = (1..).zip(exits).map(|(k, &(tap, _))| Tap::of_exit(k, tap)).collect();
        let exits = exits.iter().enumerate().map(|(tap, &(_, logits))| Exit { tap, logits }).collect();
        let is_unassigned = graph.nodes().iter().all(|node| node.exit == 0);
        let graph = if is_unassigned { graph.with_exits(&logits) } else { graph };
        let model = Model {
            input: InputSpec::new(&graph, input),
            graph,
            exits,
            taps,
            labels: weights::numbered(classes),
            source: Source::Graph,
        };
        model.check()?;
        Ok(model)
    }

    /// Number of classes.
    ///
    /// # Panics
    /// When the model has no exit, or its graph lacks the exit's logits.
    pub fn classes(&self) -> usize {
        self.graph.shape(self.exits.first().expect("a model has an exit").logits).c
    }

    /// (3, H, W) of the input.
    ///
    /// # Panics
    /// When the graph lacks the input's node.
    pub fn input_shape(&self) -> Shape {
        self.graph.shape(self.input.node)
    }

    /// Resizes, crops and normalizes a photo to the model's input.
    ///
    /// # Panics
    /// When the photo is empty.
    pub fn prepare(&self, photo: &RgbImage) -> Prepared {
        self.input.prepare(photo)
    }

    /// Checks that the parts of the model fit together: its fields are public.
    fn check(&self) -> Result<()> {
        let (graph, input) = (&self.graph, &self.input);
        let nodes: Vec<NodeId> = self.exits.iter().map(|exit| exit.logits).chain([input.node]).collect();
        graph.check_nodes("model", &nodes)?;
        graph.check_nodes("model", &self.taps.iter().map(|tap| tap.node).collect::<Vec<_>>())?;
        let shape = check_input(graph, input.node)?;
        let inputs = graph.nodes().iter().filter(|node| matches!(node.op, Op::Input(_))).count();
        let InputSpec { height, width, .. } = *input;
        if inputs != 1 || (shape.h, shape.w) != (height, width) {
            return Err(RequestError::Inputs { inputs, shape, height, width }.into());
        }
        let taps = self.taps.len();
        match (1..).zip(&self.exits).find(|(_, exit)| exit.tap >= taps) {
            Some((exit, found)) => Err(RequestError::ExitTap { exit, tap: found.tap, taps }.into()),
            None => check_logits(graph, &nodes[..self.exits.len()]).map(drop),
        }
    }

    /// Checks that `exits`, numbered from 1 and ascending, are exits of the model, whose parts fit together.
    pub(crate) fn check_exits(&self, exits: &[usize]) -> Result<()> {
        self.check()?;
        let last = self.exits.len();
        if exits.is_empty() {
            return Err(RequestError::NoExit { exits: last }.into());
        }
        if let Some(e) = exits.iter().find(|&&e| e == 0 || e > last) {
            return Err(RequestError::UnknownExit { exit: *e, exits: last }.into());
        }
        match exits.windows(2).find(|two| two[0] >= two[1]) {
            Some(two) => Err(RequestError::ExitsNotAscending { first: two[0], second: two[1] }.into()),
            None => Ok(()),
        }
    }
}

/// The shape of `input`, an RGB input of `graph`.
fn check_input(graph: &Graph, input: NodeId) -> Result<Shape> {
    let shape = graph.shape(input);
    if matches!(graph.node(input).op, Op::Input(_)) && shape.c == 3 {
        return Ok(shape);
    }
    Err(RequestError::InputShape { shape }.into())
}

/// The number of classes of exits with these `logits`, vectors of one length.
fn check_logits(graph: &Graph, logits: &[NodeId]) -> Result<usize> {
    let Some(&first) = logits.first() else { return Err(RequestError::ModelWithoutExits.into()) };
    let first = graph.shape(first);
    for (exit, &logits) in (1..).zip(logits) {
        let given = graph.shape(logits);
        if given != first || (given.h, given.w) != (1, 1) {
            return Err(RequestError::LogitShape { exit, given, first }.into());
        }
    }
    Ok(first.c)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::graph::ops::Linear;

    fn graph() -> (Graph, NodeId, NodeId) {
        let mut graph = Graph::new();
        let input = graph.push(Op::Input(Shape::new(3, 2, 2)), &[]).unwrap();
        let mean = graph.push(Op::SpatialMean, &[input]).unwrap();
        let weight = graph.add_param("weight", &[2, 3], vec![1.0; 6]);
        let bias = graph.add_param("bias", &[2], vec![0.0; 2]);
        let logits = graph.push(Linear { weight, bias }, &[mean]).unwrap();
        (graph, input, logits)
    }

    #[test]
    fn a_graph_makes_a_model_with_numbered_classes() {
        let (graph, input, logits) = graph();
        let model = Model::from_graph(graph, input, &[(input, logits)]).unwrap();
        assert_eq!((model.classes(), model.labels.as_slice()), (2, ["0", "1"].map(String::from).as_slice()));
        assert_eq!((model.input.height, model.taps[0].name.as_str()), (2, "exit1"));
        let photo = RgbImage::filled(7, 5, [255; 3]);
        assert_eq!(model.prepare(&photo).tensor, [1.0; 12]);
        assert_eq!(model.input.resize, crate::imaging::ResizePolicy::CenterCrop);
    }

    #[test]
    fn what_is_no_classifier_is_refused() {
        let (graph, input, logits) = graph();
        let refusal = |input, exits: &[(NodeId, NodeId)]| {
            Model::from_graph(graph.clone(), input, exits).unwrap_err().to_string()
        };
        assert_eq!(refusal(input, &[]), "model: no exit");
        assert!(refusal(logits, &[(input, logits)]).contains("the input is 2"));
        assert!(refusal(input, &[(input, input)]).contains("exit 1 has logits of 3"));
    }
}
