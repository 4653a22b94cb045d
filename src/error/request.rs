//! Errors of requests: what is to be explained or evaluated, and on which model.

use super::{printable, printable_list};
use crate::engine::tensor::Shape;

/// A request that the model, the images or the other settings do not allow.
///
/// Exits are numbered from 1, classes from 0.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// A request for no exit.
    #[error("no exit requested: the network has exits 1 to {exits}")]
    NoExit {
        /// Count of the model's exits.
        exits: usize,
    },
    /// An exit that the model lacks.
    #[error("exit {exit}: the network has exits 1 to {exits}")]
    UnknownExit {
        /// The exit.
        exit: usize,
        /// Count of the model's exits.
        exits: usize,
    },
    /// Exits that are not in ascending order, or one that is there twice.
    #[error("exit {second} after exit {first}: expected exits in ascending order")]
    ExitsNotAscending {
        /// The exit before.
        first: usize,
        /// The exit after it.
        second: usize,
    },
    /// A class that the model lacks.
    #[error("class {class}: the network has classes 0 to {}", .classes.saturating_sub(1))]
    UnknownClass {
        /// The class.
        class: usize,
        /// Count of the model's classes.
        classes: usize,
    },
    /// A class name that the model lacks.
    #[error(
        "class '{}': the network has {}{}, or by number 0 to {}{}",
        printable(.name),
        printable_list(.examples),
        if .examples.len() < *.classes { ", ..." } else { "" },
        .classes.saturating_sub(1),
        if .words.is_empty() { String::new() } else { format!("; and there are {}", printable_list(.words)) }
    )]
    UnknownClassName {
        /// The name.
        name: String,
        /// The first of the model's class names.
        examples: Vec<String>,
        /// Count of the model's classes.
        classes: usize,
        /// Other words that are possible.
        words: Vec<String>,
    },
    /// A request for the best zero classes, or for more than there are.
    #[error("top {requested}: the network has {classes} classes")]
    TopClasses {
        /// Count of classes requested.
        requested: usize,
        /// Count of the model's classes.
        classes: usize,
    },
    /// A list of taps without a name.
    #[error("no tap is named")]
    NoTap,
    /// A list of taps with an empty name.
    #[error("tap '{}': a name is empty", printable(.taps))]
    EmptyTapName {
        /// The list.
        taps: String,
    },
    /// A tap that the model lacks.
    #[error("tap '{}': the network has {}", printable(.tap), printable_list(.taps))]
    UnknownTap {
        /// The tap.
        tap: String,
        /// The model's taps.
        taps: Vec<String>,
    },
    /// A tap on which the score of an exit does not depend.
    #[error(
        "tap '{}' does not reach the score of exit {exit}, {}; these do: {}",
        printable(.tap),
        match .reached.as_slice() {
            [] => "nor any other's".into(),
            exits => {
                let exits: Vec<String> = exits.iter().map(usize::to_string).collect();
                format!("but of exits {}", exits.join(", "))
            }
        },
        printable_list(.taps)
    )]
    UnrelatedTap {
        /// The tap.
        tap: String,
        /// The exit.
        exit: usize,
        /// Exits whose score depends on the tap.
        reached: Vec<usize>,
        /// Taps on which the score of `exit` depends.
        taps: Vec<String>,
    },
    /// A name that is not one of the possible ones.
    #[error("{what} '{}': there are {}", printable(.name), printable_list(.expected))]
    UnknownName {
        /// What is named, such as `method`.
        what: &'static str,
        /// The name.
        name: String,
        /// The possible names.
        expected: Vec<String>,
    },
    /// An unknown word in the description of a kernel variant.
    #[error("variant '{}': '{}' is not one of {expected}", printable(.variant), printable(.word))]
    UnknownVariant {
        /// The description.
        variant: String,
        /// The word.
        word: String,
        /// The possible words.
        expected: String,
    },
    /// A request for no method.
    #[error("no method requested")]
    NoMethod,
    /// A method or tap that is requested twice.
    #[error("{what} '{}' is requested twice", printable(.name))]
    Duplicate {
        /// `method` or `tap`.
        what: &'static str,
        /// Its name.
        name: String,
    },
    /// A fusion of activation maps without a method that makes them.
    #[error("fusion of activation maps, but no method that makes them is requested")]
    FusionWithoutMaps,
    /// Elements that are not those of one or more whole images.
    #[error("{given} elements given: an image of {shape} has {}", .shape.len())]
    ElementCount {
        /// Count of elements given.
        given: usize,
        /// (C, H, W) of one image.
        shape: Shape,
    },
    /// An image with an infinite or NaN element.
    #[error("image {image}: element {element} is {value}")]
    NonFinite {
        /// The image, from 1.
        image: usize,
        /// Index of the element in the image.
        element: usize,
        /// Its value.
        value: f32,
    },
    /// More or fewer labels than images.
    #[error("{given} labels for {images} images")]
    LabelCount {
        /// Count of labels.
        given: usize,
        /// Count of images.
        images: usize,
    },
    /// An explanation of the images' labels, without labels.
    #[error("target 'label': the images have no labels")]
    NoLabels,
    /// More or fewer thresholds than exits.
    #[error("{given} thresholds for {exits} exits")]
    ThresholdCount {
        /// Count of thresholds.
        given: usize,
        /// Count of exits.
        exits: usize,
    },
    /// Early exit with a classifier whose plan is not ordered by exit.
    #[error("early exit needs a classifier whose order is by exit")]
    ExitOrder,
    /// A memory limit below what one image takes.
    #[error("{purpose}: one image takes {needed} bytes, the memory limit leaves {limit}")]
    MemoryLimit {
        /// What the memory is for, such as a method.
        purpose: String,
        /// Bytes that one image takes.
        needed: usize,
        /// Bytes left within the limit.
        limit: usize,
    },
    /// CAM of an exit whose head is not a global average and one linear layer.
    #[error(
        "cam: exit {exit} does not read the means of '{}' by one linear layer ({convolutions} convolutions \
         stand in between): hires-cam is what CAM becomes for such a head",
        printable(.tap)
    )]
    HeadNotLinear {
        /// The exit.
        exit: usize,
        /// The tap.
        tap: String,
        /// Convolutions between the tap and the logits.
        convolutions: usize,
    },
    /// SmoothGrad without samples or with too many, or with noise that is negative or not finite.
    #[error(
        "smooth-grad: {samples} samples with noise of {noise}, expected 1 to {limit} and noise of 0 or more"
    )]
    SmoothGrad {
        /// Count of noisy samples.
        samples: usize,
        /// Standard deviation of the noise as a share of the image's range.
        noise: f32,
        /// Most samples.
        limit: usize,
    },
    /// Integrated Gradients without steps or with too many, or from a baseline that is not finite.
    #[error(
        "integrated-gradients: {steps} steps from a baseline of {baseline:?}, expected 1 to {limit} from a finite one"
    )]
    IntegratedGradients {
        /// Count of steps.
        steps: usize,
        /// Color of the baseline.
        baseline: [f32; 3],
        /// Most steps.
        limit: usize,
    },
    /// Faithfulness of a request that makes several maps for an exit and method.
    #[error("faithfulness: expected one map for each exit and method")]
    SeveralMaps,
    /// Deletion and insertion curves without a step.
    #[error("deletion and insertion: expected at least 1 step")]
    NoCurveSteps,
    /// ROAD without percentiles.
    #[error("road: expected at least one percentile")]
    NoPercentiles,
    /// A percentile of ROAD outside of its range.
    #[error("road: percentile {percentile}: expected above 0 and below 100")]
    Percentile {
        /// The percentile.
        percentile: f64,
    },
    /// Noise of ROAD that is negative or not finite.
    #[error("road: noise of {noise}: expected 0 or more")]
    ImputationNoise {
        /// Standard deviation of the noise.
        noise: f64,
    },
    /// A threshold of bounding boxes outside of its range.
    #[error("threshold {share} is outside (0, 1]")]
    Threshold {
        /// Share of the map's maximum.
        share: f32,
    },
    /// A text that is not a threshold of bounding boxes.
    #[error(
        "invalid threshold '{}'; expected a percentage such as 15%, a share such as 0.15, or otsu",
        printable(.text)
    )]
    InvalidThreshold {
        /// The text.
        text: String,
    },
    /// A model of a graph with a node that the graph lacks.
    #[error("model: node {node} of a graph of {nodes} nodes")]
    UnknownNode {
        /// Index of the node.
        node: usize,
        /// Count of the graph's nodes.
        nodes: usize,
    },
    /// A model of a graph whose input is not an RGB image.
    #[error("model: the input is {shape}, expected an input node of shape 3 x H x W")]
    InputShape {
        /// (C, H, W) of the input.
        shape: Shape,
    },
    /// A model of a graph with several inputs, or of a size other than its input specification.
    #[error(
        "model: {inputs} inputs, of which the image is {shape}; expected one, of {height} x {width} pixels"
    )]
    Inputs {
        /// Count of the graph's inputs.
        inputs: usize,
        /// (C, H, W) of the image in the graph.
        shape: Shape,
        /// Height in the input specification.
        height: usize,
        /// Width in the input specification.
        width: usize,
    },
    /// A model with an exit whose tap is not one of the model's.
    #[error("model: exit {exit} reads tap {tap} of {taps}, counted from 0")]
    ExitTap {
        /// The exit.
        exit: usize,
        /// Index of the tap.
        tap: usize,
        /// Count of the model's taps.
        taps: usize,
    },
    /// A model without an exit.
    #[error("model: no exit")]
    ModelWithoutExits,
    /// A model with exits whose logits are not vectors of one length.
    #[error("model: exit {exit} has logits of {given}, exit 1 of {first}")]
    LogitShape {
        /// The exit.
        exit: usize,
        /// Shape of its logits.
        given: Shape,
        /// Shape of the logits of exit 1.
        first: Shape,
    },
    /// An architecture that is not a valid network.
    #[error("architecture: {}", printable(.cause))]
    Architecture {
        /// The facts that disagree.
        cause: String,
    },
    /// A tensor whose dimensions are not those of the network.
    #[error("tensor '{}' has dimensions {given:?}, the network expects {expected:?}", printable(.tensor))]
    TensorDimensions {
        /// The tensor.
        tensor: String,
        /// Its dimensions.
        given: Vec<usize>,
        /// Dimensions that the network expects.
        expected: Vec<usize>,
    },
    /// A tensor whose elements are not as many as its dimensions say.
    #[error("tensor '{}' has {given} elements, the network expects {expected:?}", printable(.tensor))]
    TensorElements {
        /// The tensor.
        tensor: String,
        /// Count of its elements.
        given: usize,
        /// Dimensions that the network expects.
        expected: Vec<usize>,
    },
    /// A tensor of the network that the weights lack.
    #[error("there is no tensor '{}', the network expects one of {expected:?}", printable(.tensor))]
    MissingTensor {
        /// The tensor.
        tensor: String,
        /// Dimensions that the network expects.
        expected: Vec<usize>,
    },
    /// A conversion onto the checkpoint itself.
    #[error("{}: the output is the checkpoint itself", printable(.file))]
    OutputIsInput {
        /// The file.
        file: String,
    },
    /// An explanation that was stopped: [`crate::explain::Progress::stop`].
    #[error("stopped after {done} of {planned} runs")]
    Stopped {
        /// Runs of the model that were made.
        done: usize,
        /// Runs that the explanation needs.
        planned: usize,
    },
    /// Shared global convolutions for a network without global convolutions.
    #[error("the network has no global convolutions that could be shared")]
    NoGlobalConvolutions,
}
