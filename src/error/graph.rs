//! Errors of graphs, their plans, and the batches of a session.

use std::ops::RangeInclusive;

use super::printable;
use crate::engine::tensor::Shape;

/// A graph that cannot be built or planned, or a batch that its plan cannot run on.
///
/// Shapes are (C, H, W) of one image; `op` is the operation's name, such as `conv2d`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GraphError {
    /// An operation with too few or too many inputs.
    #[error("{op}: expects {} to {} inputs, has {given}", .expected.start(), .expected.end())]
    InputCount {
        /// The operation.
        op: &'static str,
        /// Counts of inputs that it accepts.
        expected: RangeInclusive<usize>,
        /// Inputs that it was given.
        given: usize,
    },
    /// An operation on an input without elements.
    #[error("{op}: an input of {shape} has no elements")]
    EmptyInput {
        /// The operation.
        op: &'static str,
        /// Shape of the input.
        shape: Shape,
    },
    /// An operation whose result would have no elements.
    #[error("{op}: a result of {shape} has no elements")]
    EmptyResult {
        /// The operation.
        op: &'static str,
        /// Shape of the result.
        shape: Shape,
    },
    /// Inputs whose shapes should agree.
    #[error("{op}: inputs of {first} and {second}")]
    InputShapes {
        /// The operation.
        op: &'static str,
        /// Shape of its first input.
        first: Shape,
        /// Shape of the first input that does not match it.
        second: Shape,
    },
    /// Two operands with different roles whose shapes do not match.
    #[error("{op}: {} of {} and {} of {}", .roles[0], .shapes[0], .roles[1], .shapes[1])]
    OperandShapes {
        /// The operation.
        op: &'static str,
        /// What the operands are, such as `weights` and `channels`.
        roles: [&'static str; 2],
        /// Their shapes.
        shapes: [Shape; 2],
    },
    /// A weight for inputs of another size.
    #[error("{op}: weight expects {expected} {unit}, input has {given}")]
    WeightSize {
        /// The operation.
        op: &'static str,
        /// What is counted: `channels` or `elements`.
        unit: &'static str,
        /// The count that the weight is for.
        expected: usize,
        /// The count of the input.
        given: usize,
    },
    /// A gradient whose shape is not that of the result it belongs to.
    #[error("{op}: expects a gradient of {expected}, has {given}")]
    GradientShape {
        /// The operation.
        op: &'static str,
        /// Shape of the result of the forward operation.
        expected: Shape,
        /// Shape of the gradient.
        given: Shape,
    },
    /// A node that the graph lacks.
    #[error("{op}: node {node} of a graph of {nodes} nodes")]
    UnknownNode {
        /// The operation that reads it, or what asks for it.
        op: &'static str,
        /// Index of the node.
        node: usize,
        /// Count of the graph's nodes.
        nodes: usize,
    },
    /// A parameter that the graph lacks.
    #[error("{op}: parameter {param} of a graph of {params} parameters")]
    UnknownParam {
        /// The operation.
        op: &'static str,
        /// Index of the parameter.
        param: usize,
        /// Count of the graph's parameters.
        params: usize,
    },
    /// A parameter whose dimensions are not those that its operation needs.
    #[error("{op}: parameter '{}' has dimensions {given:?}, expected {expected}", printable(.param))]
    ParamDims {
        /// The operation.
        op: &'static str,
        /// Name of the parameter.
        param: String,
        /// Its dimensions.
        given: Vec<usize>,
        /// The dimensions that the operation needs, or their number.
        expected: String,
    },
    /// A parameter without elements in a graph that is to be run.
    #[error("plan: parameter '{}' of {dims:?} is only declared, without its elements", printable(.param))]
    DeclaredParam {
        /// Name of the parameter.
        param: String,
        /// Its dimensions.
        dims: Vec<usize>,
    },
    /// A value with more elements than any device addresses.
    #[error("{op}: a result of {shape} has more than {limit} elements")]
    TooLarge {
        /// The operation.
        op: &'static str,
        /// Shape of the result.
        shape: Shape,
        /// Most elements of a value.
        limit: usize,
    },
    /// A window that has no position along one axis of the image, or a side of it out of range.
    #[error(
        "{op}: kernel {kernel}, stride {stride}, dilation {dilation} and padding {padding:?} on {size} pixels"
    )]
    Window {
        /// The operation.
        op: &'static str,
        /// Length of the kernel.
        kernel: usize,
        /// Distance between positions.
        stride: usize,
        /// Distance between elements of the window.
        dilation: usize,
        /// Pixels of padding before and after the image.
        padding: [usize; 2],
        /// Length of the image.
        size: usize,
    },
    /// Dilation, (rows, columns), of a pooling.
    #[error("{op}: dilation {dilation:?}, only 1 is supported")]
    Dilation {
        /// The operation.
        op: &'static str,
        /// The dilation.
        dilation: [usize; 2],
    },
    /// A pooling one of whose windows has no pixel of the image along one axis.
    #[error(
        "{op}: kernel {kernel}, stride {stride} and padding {padding:?} on {size} pixels: a window is all padding"
    )]
    EmptyWindow {
        /// The operation.
        op: &'static str,
        /// Length of the kernel.
        kernel: usize,
        /// Distance between positions.
        stride: usize,
        /// Pixels of padding before and after the image.
        padding: [usize; 2],
        /// Length of the image.
        size: usize,
    },
    /// Padding before and after the image, each (rows, columns), on an operation that does not support it.
    #[error("{op}: padding {padding:?}, only zero padding is supported")]
    Padding {
        /// The operation.
        op: &'static str,
        /// The padding.
        padding: [[usize; 2]; 2],
    },
    /// Groups that do not divide the channels.
    #[error("{op}: {groups} groups do not divide {channels} channels")]
    Groups {
        /// The operation.
        op: &'static str,
        /// Number of groups.
        groups: usize,
        /// Number of channels.
        channels: usize,
    },
    /// Positions of a resize that are not inside any map.
    #[error("{op}: {sampling}")]
    Sampling {
        /// The operation.
        op: &'static str,
        /// The positions.
        sampling: String,
    },
    /// A resize of several channels, or to an empty image.
    #[error("{op}: {input} to {height} x {width}")]
    Resize {
        /// The operation.
        op: &'static str,
        /// Shape of the input.
        input: Shape,
        /// Rows of the result.
        height: usize,
        /// Columns of the result.
        width: usize,
    },
    /// A slice beyond the end of its input.
    #[error("slice: ends at element {end} of {len}")]
    Slice {
        /// Index after the slice's last element.
        end: usize,
        /// Elements of the input.
        len: usize,
    },
    /// An operation without a derivative on the way of a gradient.
    #[error("{op}: has no derivative")]
    NoDerivative {
        /// The operation.
        op: &'static str,
    },
    /// A gradient at a node on which the score does not depend.
    #[error("gradient: the score does not depend on tap {tap} of {taps}")]
    UnrelatedTap {
        /// Position of the node among the requested ones, from 1.
        tap: usize,
        /// Count of requested nodes.
        taps: usize,
    },
    /// A plan without outputs.
    #[error("plan: no outputs are requested")]
    NoOutputs,
    /// Buffers that are not those of a whole batch, or a batch that is too large.
    #[error(
        "a batch of N images, N at most {capacity}, expects N x {input_len} elements in and N x \
         {output_len} out, is given {inputs} in and {outputs} out"
    )]
    BatchSize {
        /// Most images of a batch.
        capacity: usize,
        /// Input elements of one image.
        input_len: usize,
        /// Output elements of one image.
        output_len: usize,
        /// Input elements given.
        inputs: usize,
        /// Output elements given.
        outputs: usize,
    },
    /// A batch that is submitted, or run to its end, while others are in flight.
    #[error("{in_flight} batch(es) in flight leave no room for another: wait for the oldest first")]
    BatchesInFlight {
        /// Batches in flight.
        in_flight: usize,
    },
    /// Waiting without a batch in flight.
    #[error("no batch is in flight: submit one before waiting for its results")]
    NoBatch,
}
