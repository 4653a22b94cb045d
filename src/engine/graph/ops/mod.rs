//! The ops. Each file has an op's parameters, the shape of its result, and its vector-Jacobian product:
//! the gradient of an input from the gradient of the result.

mod activation;
mod add;
mod avg_pool;
mod batch_norm;
mod cam;
mod channel_shuffle;
mod classifier;
mod concat;
mod conv2d;
mod linear;
mod lrn;
mod max_pool;
mod mul;
mod one_hot;
mod relu;
mod resize;
mod resize_min_max;
mod softmax;

pub use activation::Activation;
pub use avg_pool::{AvgPool, AvgPoolGrad};
pub use batch_norm::{BatchNorm, BatchNormGrad};
pub use cam::{BorderClasses, Cam, PooledConv2dGrad, WeightedSum};
pub use channel_shuffle::ChannelShuffle;
pub use classifier::Classifier;
pub(crate) use concat::joined_slice_grads;
pub use concat::{Slice, SliceGrad};
pub use conv2d::{Conv2d, Conv2dGrad, Window};
pub use linear::{Linear, LinearGrad};
pub use lrn::Lrn;
pub use max_pool::{MaxPool, MaxPoolGrad};
pub use one_hot::TargetInput;
pub use relu::{Relu, ReluGrad, ReluRule};
pub use resize::{Interpolation, Resize, ResizeGrad, Sample, Sampling};
pub use resize_min_max::ResizeMinMax;

use super::{Graph, NodeId, ParamId};
use crate::error::GraphError;
use crate::{Result, Shape};

/// Most elements of a node's value for one image: kernels hold offsets inside a value in 32 bits.
pub(crate) const MAX_ELEMENTS: usize = i32::MAX as usize;

/// The operation of a node.
#[derive(Debug, Clone, PartialEq)]
pub enum Op {
    /// Given at run time, for each image.
    Input(Shape),
    /// Copy of the input to another slot.
    Copy,
    /// Two-dimensional convolution.
    Conv2d(Conv2d),
    /// Gradient of [`Op::Conv2d`] with respect to its input.
    Conv2dGrad(Conv2dGrad),
    /// Batch normalization with stored statistics.
    BatchNorm(BatchNorm),
    /// Gradient of [`Op::BatchNorm`].
    BatchNormGrad(BatchNormGrad),
    /// min(max(x, 0), max).
    Relu(Relu),
    /// Gradient of [`Op::Relu`] under one of three rules; inputs: gradient, the ReLU's result.
    ReluGrad(ReluGrad),
    /// A smooth or leaky activation.
    Activation(Activation),
    /// Gradient of [`Op::Activation`]; inputs: gradient, the activation's input.
    ActivationGrad(Activation),
    /// Maximum over windows.
    MaxPool(MaxPool),
    /// Gradient of [`Op::MaxPool`]; inputs: gradient, the pooling's input.
    MaxPoolGrad(MaxPoolGrad),
    /// Mean over windows.
    AvgPool(AvgPool),
    /// Gradient of [`Op::AvgPool`].
    AvgPoolGrad(AvgPoolGrad),
    /// Concatenation along the channels.
    Concat,
    /// A contiguous range of the input's elements with another shape.
    Slice(Slice),
    /// Gradient of [`Op::Slice`]: zeros but for the slice.
    SliceGrad(SliceGrad),
    /// Transposition of groups of channels.
    ChannelShuffle(ChannelShuffle),
    /// Fully connected layer on the flattened input.
    Linear(Linear),
    /// Gradient of [`Op::Linear`].
    LinearGrad(LinearGrad),
    /// Elementwise sum of the inputs.
    Add,
    /// Elementwise product; inputs: a map, another one of its shape or a factor for each channel.
    Mul,
    /// Sum over H and W of the products of two maps, for each channel.
    ChannelDot,
    /// Local response normalization across channels.
    Lrn(Lrn),
    /// Gradient of [`Op::Lrn`]; inputs: gradient, the normalization's input.
    LrnGrad(Lrn),
    /// Other numbers of rows and columns.
    Resize(Resize),
    /// Gradient of [`Op::Resize`].
    ResizeGrad(ResizeGrad),
    /// Softmax over the channels.
    Softmax,
    /// Gradient of [`Op::Softmax`]; inputs: gradient, the softmax's result.
    SoftmaxGrad,
    /// One-hot vector of a class; inputs: logits, target (an encoded [`TargetInput`]).
    OneHot,
    /// Mean over H and W for each channel.
    SpatialMean,
    /// Spatial mean of a convolution's input gradient, computed without that gradient.
    PooledConv2dGrad(PooledConv2dGrad),
    /// Weighted sum of channels; inputs: weights, channels.
    WeightedSum(WeightedSum),
    /// Minimum and maximum of the input, as a vector of two elements.
    Range,
    /// A map resized bilinearly and scaled to [0, 1] by its minimum and maximum.
    ResizeMinMax(ResizeMinMax),
    /// Pooled gradient, weighted sum, ReLU and range, fused.
    Cam(Cam),
    /// Average pooling, linear layer, softmax and the gradient of one logit, fused; inputs: what is pooled,
    /// target (an encoded [`TargetInput`]).
    Classifier(Classifier),
}

impl Op {
    /// max(x, 0).
    pub const RELU: Op = Op::Relu(Relu::PLAIN);

    /// The op's name, used in Rust, CUDA, tests and documents.
    pub fn name(&self) -> &'static str {
        match self {
            Op::Input(_) => "input",
            Op::Copy => "copy",
            Op::Conv2d(_) => "conv2d",
            Op::Conv2dGrad(_) => "conv2d_grad",
            Op::BatchNorm(_) => "batch_norm",
            Op::BatchNormGrad(_) => "batch_norm_grad",
            Op::Relu(_) => "relu",
            Op::ReluGrad(_) => "relu_grad",
            Op::Activation(_) => "activation",
            Op::ActivationGrad(_) => "activation_grad",
            Op::MaxPool(_) => "max_pool",
            Op::MaxPoolGrad(_) => "max_pool_grad",
            Op::AvgPool(_) => "avg_pool",
            Op::AvgPoolGrad(_) => "avg_pool_grad",
            Op::Concat => "concat",
            Op::Slice(_) => "slice",
            Op::SliceGrad(_) => "slice_grad",
            Op::ChannelShuffle(_) => "channel_shuffle",
            Op::Linear(_) => "linear",
            Op::LinearGrad(_) => "linear_grad",
            Op::Add => "add",
            Op::Mul => "mul",
            Op::ChannelDot => "channel_dot",
            Op::Lrn(_) => "lrn",
            Op::LrnGrad(_) => "lrn_grad",
            Op::Resize(_) => "resize",
            Op::ResizeGrad(_) => "resize_grad",
            Op::Softmax => "softmax",
            Op::SoftmaxGrad => "softmax_grad",
            Op::OneHot => "one_hot",
            Op::SpatialMean => "spatial_mean",
            Op::PooledConv2dGrad(_) => "pooled_conv2d_grad",
            Op::WeightedSum(_) => "weighted_sum",
            Op::Range => "range",
            Op::ResizeMinMax(_) => "resize_min_max",
            Op::Cam(_) => "cam",
            Op::Classifier(_) => "classifier",
        }
    }

    /// The parameters that it reads.
    pub(crate) fn params(&self) -> Vec<ParamId> {
        let of_norm = |norm: &BatchNorm| vec![norm.weight, norm.bias, norm.mean, norm.variance];
        match self {
            Op::Conv2d(op) => op.bias.into_iter().chain([op.weight]).collect(),
            Op::Conv2dGrad(op) => vec![op.weight],
            Op::BatchNorm(op) => of_norm(op),
            Op::BatchNormGrad(op) => of_norm(&op.forward),
            Op::Linear(op) | Op::Classifier(Classifier { linear: op, .. }) => vec![op.weight, op.bias],
            Op::LinearGrad(op) => vec![op.weight],
            Op::PooledConv2dGrad(op) | Op::Cam(Cam { pooled: op, .. }) => vec![op.weight],
            _ => Vec::new(),
        }
    }

    /// Shape of the result for inputs of these shapes.
    ///
    /// Devices rely on what this checks: a node of a graph has parameters of the right dimensions, and no
    /// more than [`MAX_ELEMENTS`].
    ///
    /// # Errors
    /// When the op does not accept such inputs.
    pub(super) fn shape(&self, graph: &Graph, inputs: &[Shape]) -> Result<Shape> {
        let arity = match self {
            Op::Input(_) => 0..=0,
            Op::Concat => 1..=usize::MAX,
            Op::Add => 2..=usize::MAX,
            Op::ReluGrad(_)
            | Op::ActivationGrad(_)
            | Op::Mul
            | Op::ChannelDot
            | Op::LrnGrad(_)
            | Op::MaxPoolGrad(_)
            | Op::SoftmaxGrad
            | Op::OneHot
            | Op::WeightedSum(_)
            | Op::Cam(_)
            | Op::Classifier(_) => 2..=2,
            Op::Conv2d(op) => op.arity(),
            Op::Conv2dGrad(op) => op.arity(),
            _ => 1..=1,
        };
        if !arity.contains(&inputs.len()) {
            let (op, given) = (self.name(), inputs.len());
            return Err(GraphError::InputCount { op, expected: arity, given }.into());
        }
        if let Some(empty) = inputs.iter().find(|s| s.is_empty()) {
            return Err(GraphError::EmptyInput { op: self.name(), shape: *empty }.into());
        }
        let shape = match self {
            Op::Input(shape) => Ok(*shape),
            Op::Copy | Op::Relu(_) | Op::Activation(_) | Op::Lrn(_) | Op::Softmax => Ok(inputs[0]),
            Op::BatchNormGrad(op) => op.forward.shape(graph, inputs[0]),
            Op::Conv2d(op) => op.shape(graph, inputs),
            Op::Conv2dGrad(op) => op.shape(graph, inputs),
            Op::BatchNorm(op) => op.shape(graph, inputs[0]),
            Op::ReluGrad(_) | Op::ActivationGrad(_) | Op::LrnGrad(_) | Op::Add | Op::SoftmaxGrad => {
                add::shape(self.name(), inputs)
            }
            Op::Mul => mul::shape(inputs),
            Op::ChannelDot => mul::channel_dot_shape(inputs),
            Op::Resize(op) => op.shape(inputs[0]),
            Op::ResizeGrad(op) => op.shape(inputs[0]),
            Op::MaxPool(op) => op.shape(inputs[0]),
            Op::MaxPoolGrad(op) => op.shape(inputs),
            Op::AvgPool(op) => op.shape(inputs[0]),
            Op::AvgPoolGrad(op) => op.shape(inputs[0]),
            Op::Concat => concat::shape(inputs),
            Op::Slice(op) => op.shape(inputs[0]),
            Op::SliceGrad(op) => op.shape(inputs[0]),
            Op::ChannelShuffle(op) => op.shape(inputs[0]),
            Op::Linear(op) => op.shape(graph, inputs[0]),
            Op::LinearGrad(op) => op.shape(graph, inputs[0]),
            Op::OneHot => one_hot::shape(self.name(), inputs),
            Op::SpatialMean => Ok(Shape::vector(inputs[0].c)),
            Op::PooledConv2dGrad(op) => op.shape(graph, inputs[0]),
            Op::WeightedSum(_) => cam::weighted_sum_shape(inputs),
            Op::Range => Ok(Shape::vector(2)),
            Op::ResizeMinMax(op) => op.shape(inputs[0]),
            Op::Cam(op) => op.shape(graph, inputs),
            Op::Classifier(op) => op.shape(graph, inputs),
        }?;
        if shape.is_empty() {
            return Err(GraphError::EmptyResult { op: self.name(), shape }.into());
        }
        if shape.len() > MAX_ELEMENTS {
            return Err(GraphError::TooLarge { op: self.name(), shape, limit: MAX_ELEMENTS }.into());
        }
        Ok(shape)
    }

    /// Multiply-adds for one image; zero for ops whose count is negligible.
    pub fn multiply_adds(&self, graph_inputs: &[Shape], output: Shape) -> u64 {
        let count = match self {
            Op::Conv2d(op) => output.len() * (graph_inputs[0].c / op.groups) * op.window.area(),
            Op::Conv2dGrad(op) => graph_inputs[0].len() * (op.input.c / op.groups) * op.window.area(),
            Op::Linear(_) | Op::LinearGrad(_) => graph_inputs[0].len() * output.len(),
            Op::PooledConv2dGrad(op) => op.classes.count() * graph_inputs[0].c * output.len(),
            Op::Cam(op) => {
                op.pooled.classes.count() * graph_inputs[0].c * graph_inputs[1].c + graph_inputs[1].len()
            }
            Op::WeightedSum(_) => graph_inputs[1].len(),
            Op::Classifier(op) => op.multiply_adds(graph_inputs[0]),
            _ => 0,
        };
        count as u64
    }

    /// Vector-Jacobian product: appends the nodes that compute the gradient of input `index` of `node` from
    /// `grad`, the gradient of its value, and returns the last of them.
    ///
    /// # Errors
    /// When the op has no derivative here; gradient ops have none, because nothing is differentiated
    /// twice.
    pub(super) fn vjp(
        &self,
        graph: &mut Graph,
        node: NodeId,
        grad: NodeId,
        index: usize,
        rule: ReluRule,
    ) -> Result<NodeId> {
        let input = graph.node(node).inputs[index];
        match self {
            Op::Copy | Op::Add => Ok(grad),
            Op::Conv2d(op) => op.vjp(graph, node, index, grad, rule),
            Op::BatchNorm(op) => op.vjp(graph, node, grad, rule),
            Op::Relu(op) => op.vjp(graph, node, grad, rule),
            Op::Activation(op) => op.vjp(graph, input, grad),
            Op::Mul => mul::vjp(graph, node, grad, index),
            Op::ChannelShuffle(op) => op.vjp(graph, grad),
            Op::Lrn(op) => op.vjp(graph, input, grad),
            Op::Resize(op) => op.vjp(graph, input, grad),
            Op::MaxPool(op) => op.vjp(graph, input, grad),
            Op::AvgPool(op) => op.vjp(graph, input, grad),
            Op::Concat => concat::vjp(graph, node, grad, index),
            Op::Slice(op) => op.vjp(graph, input, grad),
            Op::Linear(op) => op.vjp(graph, input, grad),
            Op::Softmax => softmax::vjp(graph, node, grad),
            _ => Err(GraphError::NoDerivative { op: self.name() }.into()),
        }
    }
}
