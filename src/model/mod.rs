//! Models: image classifiers with one or more exits, wherever they come from.
//!
//! [`open`] looks at a file's content and builds a [`Model`] from it. Everything above this floor
//! (explanations, metrics, pictures, the command line) works on a `Model` alone.

#[doc(hidden)]
pub mod convert;
mod input;
#[doc(hidden)]
pub mod inspect;
mod layer_group;
#[doc(hidden)]
pub mod msdnet;
mod open;
#[doc(hidden)]
pub mod pretrained;
#[doc(hidden)]
pub mod pytorch;
#[doc(hidden)]
pub mod source_file;
mod tap;
#[doc(hidden)]
pub mod weights;

pub use convert::{Conversion, ConvertOptions, convert};
pub use input::{InputSpec, Normalization};
pub use layer_group::LayerGroup;
pub use msdnet::Config as MsdNetConfig;
pub(crate) use open::from_bytes;
pub use open::open;
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
        config: msdnet::Config,
        /// SHA-256 of the checkpoint that the weights come from, lower-case hexadecimal; empty
        /// if there is none.
        checkpoint_sha256: String,
    },
    /// A graph built by the caller.
    Graph,
}

impl Source {
    /// SHA-256 of the checkpoint that the weights come from; empty where there is none.
    pub fn checkpoint_sha256(&self) -> &str {
        match self {
            Source::MsdNet { checkpoint_sha256, .. } => checkpoint_sha256,
            Source::Graph => "",
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

    /// A model of a graph that the caller built: `exits` holds the tap and the logits of each exit.
    /// The classes are named by their indices, pixels are not normalized, and the only taps are
    /// the exits' own.
    ///
    /// # Errors
    /// [`crate::Error::Request`] when there is no exit, `input` is not an RGB input of the graph, a node is
    /// not one of the graph's, or the exits' logits are not vectors of one length.
    pub fn from_graph(graph: Graph, input: NodeId, exits: &[(NodeId, NodeId)]) -> Result<Model> {
        let count = graph.nodes().len();
        let mut ids = exits.iter().flat_map(|&(tap, logits)| [tap, logits]).chain([input]);
        if let Some(id) = ids.find(|id| id.index() >= count) {
            return Err(RequestError::UnknownNode { node: id.index(), nodes: count }.into());
        }
        let shape = graph.shape(input);
        if !matches!(graph.node(input).op, Op::Input(_)) || shape.c != 3 {
            return Err(RequestError::InputShape { shape }.into());
        }
        let Some(&(_, first)) = exits.first() else { return Err(RequestError::ModelWithoutExits.into()) };
        let classes = graph.shape(first);
        for (k, &(_, logits)) in (1..).zip(exits) {
            let found = graph.shape(logits);
            if found != classes || (found.h, found.w) != (1, 1) {
                return Err(RequestError::LogitShape { exit: k, given: found, first: classes }.into());
            }
        }
        let taps = (1..).zip(exits).map(|(k, &(tap, _))| Tap::of_exit(k, tap)).collect();
        let exits = exits.iter().enumerate().map(|(tap, &(_, logits))| Exit { tap, logits }).collect();
        Ok(Model {
            input: InputSpec::new(&graph, input),
            graph,
            exits,
            taps,
            labels: weights::numbered(classes.c),
            source: Source::Graph,
        })
    }

    /// Number of classes.
    pub fn classes(&self) -> usize {
        self.graph.shape(self.exits[0].logits).c
    }

    /// (3, H, W) of the input.
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

    /// Checks that `exits`, numbered from 1, are exits of the model.
    pub(crate) fn check_exits(&self, exits: &[usize]) -> Result<()> {
        let last = self.exits.len();
        if exits.is_empty() {
            return Err(RequestError::NoExit { exits: last }.into());
        }
        match exits.iter().find(|&&e| e == 0 || e > last) {
            Some(e) => Err(RequestError::UnknownExit { exit: *e, exits: last }.into()),
            None => Ok(()),
        }
    }
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
